"""Tests of jsonc in devcontainer.json."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rumpel.devcontainer import jsonc
from rumpel.errors import ConfigError

ACCEPTED: dict[str, tuple[str | bytes, Any]] = {
    "line comment": ('{"a": 1} // end', {"a": 1}),
    "line comment with CRLF": ('{\r\n// c\r\n"a": 1\r\n}\r\n', {"a": 1}),
    "comment ends with a lone CR": ('{// c\r"a": 1}', {"a": 1}),
    "block comment": ('{/* "b": 2, */"a": /*\n*/ 1}', {"a": 1}),
    "block comment with stars": ("{/***/}", {}),
    "block comment with slashes": ('{"a": 1 /* // */}', {"a": 1}),
    "trailing comma in an object": ('{"a": 1,}', {"a": 1}),
    "trailing comma in a list": ("[1, 2, ]", [1, 2]),
    "trailing comma before a comment": ('{"a": 1, // c\n}', {"a": 1}),
    "byte order mark": (b'\xef\xbb\xbf{"a": 1}', {"a": 1}),
    "comment marks in a string": ('{"a": "http://x/*y*/"}', {"a": "http://x/*y*/"}),
    "commas in a string": ('{"a": ",}", "b": ",]"}', {"a": ",}", "b": ",]"}),
    "escaped quote before slashes": (r'{"a": "b \"c//d\" e"}', {"a": 'b "c//d" e'}),
    "escaped quotes around a comment": (r'{"a": "\"/* x */\""}', {"a": '"/* x */"'}),
    "backslash at the end of a string": (r'{"a": "b\\", "c": "//"}', {"a": "b\\", "c": "//"}),
    "single quotes in a string": ("{\"a\": \"it's // 'x'\"}", {"a": "it's // 'x'"}),
    "surrogate pair": (r'"\ud83d\ude00"', "\U0001f600"),
    "every escape": (r'"\"\\\/\b\f\n\r\t\u00e9"', '"\\/\b\f\n\r\t\u00e9'),
    "words and numbers": ("[true, false, null, -0, 1.5e3]", [True, False, None, 0, 1500]),
    "empty parts": ('{"a": {}, "b": [], "": 0}', {"a": {}, "b": [], "": 0}),
    "invalid UTF-8": (b'{"a": "\xff"}', {"a": "\ufffd"}),
}  # fmt: skip

REFUSED: dict[str, tuple[str | bytes, str]] = {
    "empty": ("", "1:1: the file is empty, a JSON object is expected"),
    "only comments": ("// a\n/* b */\n", "3:1: the file is empty, a JSON object is expected"),
    "missing comma": ('{\n  "a": 1\n  "b": 2\n}', "3:3: ',' or '}' is expected"),
    "missing comma in a list": ("[1 2]", "1:4: ',' or ']' is expected"),
    "missing colon": ('{"a" 1}', "1:6: ':' is expected after the key 'a'"),
    "missing value": ('{"a": }', "1:7: a value is expected"),
    "only a comma": ("{,}", "1:2: a key in double quotes or '}' is expected"),
    "two commas": ("[1,,2]", "1:4: a value is expected"),
    "two trailing commas": ("[1,,]", "1:4: a value is expected"),
    "wrong bracket": ('{"a": [1}', "1:9: ',' or ']' is expected"),
    "unclosed object": ('{\n"a": {\n"b": 1,\n', "4:1: the file ends inside the '{' of line 2"),
    "unclosed list": ('{"a": [1', "1:9: the file ends inside the '[' of line 1"),
    "unclosed string": ('{"a": "b\n}', "1:7: the string is not closed on its line"),
    "unclosed string at the end": ('{"a": "b', "1:7: the string is not closed on its line"),
    "unclosed comment": ('{"a": 1} /* b', "1:10: the comment is not closed"),
    "single quotes": ("{'a': 1}", "1:2: strings are written in double quotes"),
    "bare key": ("{a: 1}", "1:2: a key in double quotes or '}' is expected, not 'a'"),
    "bare word": ('{"a": yes}', "1:7: a value is expected, not 'yes'"),
    "word with a tail": ('{"a": trueish}', "1:7: a value is expected, not 'trueish'"),
    "upper case word": ('{"a": True}', "1:7: a value is expected, not 'True'"),
    "NaN": ('{"a": NaN}', "1:7: a value is expected, not 'NaN'"),
    "leading zero": ('{"a": 01}', "1:7: a value is expected, not '01'"),
    "leading plus": ('{"a": +1}', "1:7: a value is expected, not '+1'"),
    "dot only": ('{"a": 1.}', "1:7: a value is expected, not '1.'"),
    "huge number": ('{"a": 1e999}', "1:7: the number is too large"),
    "endless number": ('{"a": ' + "9" * 5000 + "}", "1:7: the number is too large"),
    "tab in a string": ('{"a": "b\tc"}', r"1:9: '\t' must be written as an escape"),
    "unknown escape": (r'{"a": "\x"}', r"1:8: '\\x' is not an escape JSON knows"),
    "short escape": (r'{"a": "\u12"}', r"1:8: '\\u' is not an escape JSON knows"),
    "tab in a string that is too many": ('{"a": 1 "b\tc"}', "1:9: ',' or '}' is expected"),
    "unclosed string that is too many": ('["a" "b', "1:6: ',' or ']' is expected"),
    "half a pair": (r'{"a": "\ud800"}', "1:7: the string has half a surrogate pair"),
    "NUL": (r'{"a": "b\u0000"}', "1:7: the string has a NUL character"),
    "two values": ("{} {}", "1:4: nothing may follow the end of the value"),
    "no-break space": ('{\u00a0"a": 1}', r"1:2: a key in double quotes or '}' is expected"),
    "hash comment": ('{"a": 1} # c', "1:10: nothing may follow the end of the value, not '#'"),
    "UTF-16": ('{"a": 1}'.encode("utf-16"), "1:1: the file is UTF-16, UTF-8 is expected"),
    "too deep": ("[" * 100 + "]" * 100, "1:65: nested deeper than 64 levels"),
    "after a BOM": (b"\xef\xbb\xbf[1 2]", "1:4: ',' or ']' is expected"),
    "lone CR counts as a line": ("[\r1 2]", "2:3: ',' or ']' is expected"),
    "CRLF counts once": ("[\r\n1 2]", "2:3: ',' or ']' is expected"),
    "column in characters": ('["\u00e9\U0001f600" 1]', "1:7: ',' or ']' is expected"),
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_accepts(name: str) -> None:
    source, value = ACCEPTED[name]
    assert jsonc.parse(source, "f.json").value == value


@pytest.mark.parametrize("name", REFUSED)
def test_refuses_with_the_position(name: str) -> None:
    source, message = REFUSED[name]
    with pytest.raises(ConfigError, match=re.escape(f"f.json:{message}")) as caught:
        jsonc.parse(source, "f.json")
    line, column = message.split(":")[:2]
    assert caught.value.details["file"] == "f.json"
    assert caught.value.details["line"] == int(line)
    assert caught.value.details["column"] == int(column)


def test_warns_about_a_repeated_key_and_keeps_the_last() -> None:
    parsed = jsonc.parse('{"a": {"b": 1},\n "a": [2]}', "f.json")
    assert parsed.value == {"a": [2]}
    assert parsed.warnings == ("f.json:2:2: 'a' is repeated, the one on line 1 does not count",)
    assert parsed.at(("a", 0)) == (2, 8)
    assert parsed.at(("a", "b")) == (2, 7)


def test_warns_about_invalid_utf8_at_its_place() -> None:
    parsed = jsonc.parse(b'\xef\xbb\xbf{\n "\xc3\xa9": "\xff"}', "f.json")
    assert parsed.warnings == ("f.json:2:8: invalid UTF-8 is read as U+FFFD",)


def test_refuses_a_huge_file() -> None:
    with pytest.raises(ConfigError, match="larger than 1024 KiB"):
        jsonc.parse(b" " * (jsonc.MAX_BYTES + 1), "f.json")


def test_knows_where_keys_and_values_stand() -> None:
    parsed = jsonc.parse('{ // x\n  "a": [1,\n   {"b": true}]}', "f.json")
    assert parsed.at(("a",), key=True) == (2, 3)
    assert parsed.at(("a",)) == (2, 8)
    assert parsed.at(("a", 1, "b")) == (3, 10)
    assert parsed.where(("a", 1, "b"), key=True) == "f.json:3:5"
    assert parsed.at(("a", 1, "missing", 3)) == (3, 4)


NASTY = st.text(st.sampled_from("\"\\/*,{}[]:' \n\r\tab\u00e9\U0001f600\u2028\x7f"), max_size=12)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**15), 10**15) | NASTY,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NASTY, inner, max_size=4),
    max_leaves=12,
)
BLANK = st.lists(
    st.sampled_from([" ", "\n", "\r\n", "\t", "//c\n", '// "[,\r\n', "/**/", '/*"},//*/', "\r"]),
    max_size=2,
).map("".join)


@st.composite
def documents(draw: st.DrawFn) -> tuple[str, Any]:
    """A value and one of its many spellings."""

    is_ascii: bool = draw(st.booleans())

    def spell(value: Any) -> str:
        if isinstance(value, dict):
            pairs = [f"{spell(key)}{blank()}:{spell(inner)}" for key, inner in value.items()]
            text = "{" + ",".join(pairs) + comma(pairs) + "}"
        elif isinstance(value, list):
            items = [spell(inner) for inner in value]
            text = "[" + ",".join(items) + comma(items) + "]"
        else:
            text = json.dumps(value, ensure_ascii=is_ascii)
        return blank() + text + blank()

    def blank() -> str:
        return draw(BLANK)

    def comma(parts: list[str]) -> str:
        is_wanted: bool = draw(st.booleans())
        return "," + blank() if parts and is_wanted else ""

    value = draw(VALUES)
    return spell(value), value


@settings(max_examples=150, deadline=None)
@given(documents())
def test_reads_every_spelling_of_a_value(document: tuple[str, Any]) -> None:
    text, value = document
    parsed = jsonc.parse(text.encode(), "f.json")
    assert parsed.value == value
    assert parsed.warnings == ()
    for path, offset in parsed.values.items():
        found = value
        for part in path:
            found = found[part]
        assert text[offset] == json.dumps(found)[0]


SOUP = st.text(st.sampled_from('{}[]:,"\\/* \n\r\t1-.eEtrufalsn\x00\u00e9'), max_size=30)


@settings(max_examples=300, deadline=None)
@given(SOUP)
def test_agrees_with_json_on_what_has_no_extension(text: str) -> None:
    """Whatever json takes is taken with the same value; what we take, json takes after `plain`."""
    try:
        expected = json.loads(text)
    except ValueError:
        expected = None
    try:
        value = jsonc.parse(text, "f.json").value
    except ConfigError as error:
        refused = error.message
    else:
        assert json.loads(jsonc.plain(text)) == value
        assert expected in (None, value)
        return
    assert re.match(r"f\.json:\d+:\d+: ", refused)
    assert expected is None or "NUL" in refused or "surrogate" in refused


@settings(max_examples=120, deadline=None)
@given(documents(), st.data())
def test_never_fails_in_another_way(document: tuple[str, Any], data: st.DataObject) -> None:
    """A spelling with one byte taken out or changed is read or refused, never anything else."""
    content = bytearray(document[0].encode())
    if content:
        at = data.draw(st.integers(0, len(content) - 1))
        content[at : at + 1] = data.draw(st.binary(max_size=2))
    try:
        jsonc.parse(bytes(content), "f.json")
    except ConfigError as error:
        refused = error.message
    else:
        return
    assert re.match(r"f\.json:\d+:\d+: ", refused)
