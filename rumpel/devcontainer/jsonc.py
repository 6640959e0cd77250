"""JSON with comments and trailing commas, strict about everything else, with true positions.

Three steps (evidence: jsonc-parser 1.1.5 alone fails on trailing commas, BOM and CRLF comments
and silently corrupts some strings): a scanner checks the syntax and notes where every value
stands; `plain` turns the text into JSON that jsonc-parser's regular expression cannot misread;
jsonc-parser reads that.

Accepted as the reference does: BOM, comments, trailing commas, repeated keys (the last one
counts), invalid UTF-8 (replaced). The last two warn. Its tolerance of broken JSON is not copied:
there a missing quote silently changes what a container gets.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator

from jsonc_parser.errors import ParserError
from jsonc_parser.parser import JsoncParser

from rumpel.devcontainer.positions import Parsed, Path, line_and_column, positioned
from rumpel.errors import ConfigError

MAX_BYTES = 1 << 20
MAX_DEPTH = 64

# Alternatives exclude each other, so this is linear on hostile input. Single characters repeat
# possessively; groups do not, since Python before 3.11.5 matches `(...)*+` wrongly.
_TOKEN = re.compile(
    r"""(?: [ \t\r\n]++ | //[^\r\n]*+ | /\*(?:[^*]|\*(?!/))*\*/ )*
    (?: (?P<string>"(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*")
      | (?P<mark>[{}\[\],:])
      | (?P<number>-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?(?:[eE][+-]?[0-9]++)?)(?![\w.+-])
      | (?P<word>true|false|null)(?!\w)
      | (?P<end>\Z)
      | (?P<bad>.) )""",
    re.VERBOSE | re.DOTALL,
)
_COMMENT = re.compile(r'("(?:[^"\\]|\\.)*")|//[^\r\n]*+|/\*.*?\*/', re.DOTALL)
_TRAILING_COMMA = re.compile(r'("(?:[^"\\]|\\.)*")|,(?=[ \t\r\n]*+[}\]])', re.DOTALL)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_UNUSABLE = re.compile("[\x00\ud800-\udfff]")
_STRING_START = re.compile(r'"(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*')
_VALUE = "a value is expected"
_KEY = "a key in double quotes or '}' is expected"
_BARE_WORD = re.compile(r"[\w$.+-]+")


def parse(source: str | bytes, filename: str) -> Parsed:
    """Read one file.

    Raises: ConfigError `file:line:col: ...` at the first thing that is not JSON with comments.
    """
    text, warnings = _decode(source, filename)
    scanner = _Scanner(text, filename)
    scanner.document()
    warnings += scanner.warnings
    try:
        value = JsoncParser.parse_str(plain(text))
    except ParserError as error:
        # The scanner accepts nothing that json refuses; this keeps it an error if it ever does.
        raise positioned(filename, 1, 1, "cannot be read as JSON with comments") from error
    return Parsed(value, filename, text, scanner.keys, scanner.values, tuple(warnings))


def plain(text: str) -> str:
    """Scanned text as JSON without comments, trailing commas or `\\"` and `\\\\` escapes."""
    text = _COMMENT.sub(lambda m: _plain_string(m[1]) if m[1] else " ", text)
    return _TRAILING_COMMA.sub(lambda m: m[1] or " ", text)


def _plain_string(token: str) -> str:
    if "\\" not in token:
        return token
    return _ESCAPE.sub(lambda m: _PLAIN_ESCAPES.get(m[1], m[0]), token)


_PLAIN_ESCAPES = {'"': "\\u0022", "\\": "\\u005c"}


def _decode(source: str | bytes, filename: str) -> tuple[str, list[str]]:
    if len(source) > MAX_BYTES:
        raise ConfigError(f"{filename}: the file is larger than {MAX_BYTES // 1024} KiB")
    if isinstance(source, str):
        return source.removeprefix("\ufeff"), []
    if source.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise positioned(
            filename, 1, 1, "the file is UTF-16, UTF-8 is expected", hint="save it as UTF-8"
        )
    try:
        return source.decode("utf-8").removeprefix("\ufeff"), []
    except UnicodeDecodeError as error:
        text = source.decode("utf-8", "replace").removeprefix("\ufeff")
        before = source[: error.start].decode("utf-8").removeprefix("\ufeff")
        line, column = line_and_column(before, len(before))
        return text, [f"{filename}:{line}:{column}: invalid UTF-8 is read as U+FFFD"]


class _Scanner:
    """Walks the tokens once; knows the position of every key and value afterwards."""

    __slots__ = ("filename", "keys", "text", "tokens", "values", "warnings")

    def __init__(self, text: str, filename: str) -> None:
        self.text = text
        self.filename = filename
        self.tokens: Iterator[re.Match[str]] = _TOKEN.finditer(text)
        self.keys: dict[Path, int] = {}
        self.values: dict[Path, int] = {}
        self.warnings: list[str] = []

    def document(self) -> None:
        first = self._next()
        if first.lastgroup == "end":
            raise self._error(first, "the file is empty, a JSON object is expected")
        self._value(first, ())
        after = self._next()
        if after.lastgroup != "end":
            raise self._error(after, "nothing may follow the end of the value")

    def _next(self) -> re.Match[str]:
        return next(self.tokens)

    def _value(self, token: re.Match[str], path: Path) -> None:
        kind = token.lastgroup
        self.values[path] = token.start(kind or 0)
        if kind == "string":
            self._string(token)
        elif kind == "number":
            self._number(token)
        elif kind == "mark" and token["mark"] in "{[":
            if len(path) >= MAX_DEPTH:
                raise self._error(token, f"nested deeper than {MAX_DEPTH} levels")
            if token["mark"] == "{":
                self._object(token, path)
            else:
                self._array(token, path)
        elif kind != "word":
            raise self._error(token, _VALUE)

    def _object(self, opening: re.Match[str], path: Path) -> None:
        token = self._next()
        while token["mark"] != "}":
            if token.lastgroup != "string":
                raise self._error(token, _KEY, opening)
            key = self._string(token)
            inner = (*path, key)
            if inner in self.keys:
                self._warn_repeated(key, self.keys[inner], token.start("string"))
                self._forget(inner)
            self.keys[inner] = token.start("string")
            token = self._next()
            if token["mark"] != ":":
                raise self._error(token, f"':' is expected after the key {_shown(key)}", opening)
            self._value(self._next(), inner)
            token = self._next()
            if token["mark"] == ",":
                token = self._next()
            elif token["mark"] != "}":
                raise self._error(token, "',' or '}' is expected", opening)

    def _array(self, opening: re.Match[str], path: Path) -> None:
        token = self._next()
        index = 0
        while token["mark"] != "]":
            self._value(token, (*path, index))
            index += 1
            token = self._next()
            if token["mark"] == ",":
                token = self._next()
            elif token["mark"] != "]":
                raise self._error(token, "',' or ']' is expected", opening)

    def _string(self, token: re.Match[str]) -> str:
        raw = token["string"]
        text = json.loads(raw) if "\\" in raw else raw[1:-1]
        found = _UNUSABLE.search(text)
        if found:
            what = "a NUL character" if found[0] == "\x00" else "half a surrogate pair"
            raise self._error(token, f"the string has {what}, which no program can be given")
        return text

    def _number(self, token: re.Match[str]) -> None:
        raw = token["number"]
        if len(raw) > 64 or not math.isfinite(float(raw)):
            raise self._error(token, "the number is too large")

    def _forget(self, path: Path) -> None:
        """A repeated key replaces the first one with all that is below it."""
        size = len(path)
        for known in (self.keys, self.values):
            for inner in [one for one in known if one[:size] == path]:
                del known[inner]

    def _warn_repeated(self, key: str, first: int, second: int) -> None:
        line, column = line_and_column(self.text, second)
        earlier, _ = line_and_column(self.text, first)
        self.warnings.append(
            f"{self.filename}:{line}:{column}: {_shown(key)} is repeated, "
            f"the one on line {earlier} does not count"
        )

    def _error(
        self, token: re.Match[str], expected: str, opening: re.Match[str] | None = None
    ) -> ConfigError:
        offset = token.start(token.lastgroup or 0)
        if token.lastgroup == "bad":
            offset, message = _explain(self.text, offset, expected)
        elif token.lastgroup == "end" and opening is not None:
            line, _ = line_and_column(self.text, opening.start("mark"))
            message = f"the file ends inside the {opening['mark']!r} of line {line}"
        else:
            message = expected
        line, column = line_and_column(self.text, offset)
        return positioned(self.filename, line, column, message)


def _explain(text: str, offset: int, expected: str) -> tuple[int, str]:
    """Offset and message for a character that starts no token."""
    char = text[offset]
    if char == '"' and expected not in (_VALUE, _KEY):
        return offset, expected  # whatever is wrong in a string that should not be there
    if char == '"':
        stop = _STRING_START.match(text, offset)
        end = stop.end() if stop else offset + 1
        if end >= len(text) or text[end] in "\r\n":
            return offset, "the string is not closed on its line"
        if text[end] == "\\":
            return end, f"{_shown(text[end : end + 2])} is not an escape JSON knows"
        return end, f"{_shown(text[end])} must be written as an escape inside a string"
    if text.startswith("/*", offset):
        return offset, "the comment is not closed"
    if char == "'":
        return offset, "strings are written in double quotes"
    word = _BARE_WORD.match(text, offset)
    return offset, f"{expected}, not {_shown(word[0][:40] if word else char)}"


def _shown(text: str) -> str:
    return ascii(text) if not text.isprintable() else repr(text)
