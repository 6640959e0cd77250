"""The rules of .dockerignore, as BuildKit applies them.

Reference: docs.docker.com/build/concepts/context ("Filename and location", "Syntax"); behaviour
compared with the docker CLI on random trees in tests/adapters/docker/test_build_context.py. A
later pattern wins, `!` takes back, a match of a folder holds for everything in it, `**` spans
folders, and every pattern starts at the root.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable
from dataclasses import dataclass

from rumpel.errors import ConfigError

_WILD = frozenset("*?[]^\\")


@dataclass(frozen=True, slots=True)
class Pattern:
    text: str
    is_exception: bool
    regex: re.Pattern[str]

    def is_plain(self) -> bool:
        """Whether only a trailing `/*` or `/**` is wild: its folder then says where it applies."""
        return not _WILD & set(self.folder())

    def folder(self) -> str:
        return self.text.removesuffix("/**").removesuffix("/*")


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a path is left out, and which patterns say so: its children inherit them."""

    is_ignored: bool
    matched: tuple[bool, ...]


@dataclass(frozen=True, slots=True)
class Ignore:
    patterns: tuple[Pattern, ...]

    def root(self) -> Verdict:
        return Verdict(False, (False,) * len(self.patterns))

    def judge(self, path: str, parent: Verdict) -> Verdict:
        """`path` is relative, with slashes; `parent` is the verdict on its folder."""
        is_ignored = False
        matched = []
        for pattern, is_inherited in zip(self.patterns, parent.matched, strict=True):
            # A pattern that could not change the verdict is not asked, nor inherited.
            is_match = is_inherited or (
                pattern.is_exception == is_ignored and bool(pattern.regex.fullmatch(path))
            )
            if is_match:
                is_ignored = not pattern.is_exception
            matched.append(is_match)
        return Verdict(is_ignored, tuple(matched))

    def can_skip(self, folder: str) -> bool:
        """Whether nothing in an ignored folder can be taken back by an exception."""
        exceptions = [pattern for pattern in self.patterns if pattern.is_exception]
        if not all(pattern.is_plain() for pattern in exceptions):
            return False
        return not any(f"{pattern.folder()}/".startswith(f"{folder}/") for pattern in exceptions)


def parse(text: str, source: str = ".dockerignore") -> Ignore:
    """Read an ignore file. Raises ConfigError with the line of a pattern that is none."""
    patterns = []
    for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), 1):
        if line.startswith("#") or not (cleaned := line.strip()):
            continue
        is_exception = cleaned.startswith("!")
        cleaned = _clean(cleaned[1:].strip() if is_exception else cleaned)
        try:
            if not cleaned:
                raise ValueError("an exception without a pattern")
            patterns.append(Pattern(cleaned, is_exception, re.compile(translate(cleaned), re.S)))
        except (ValueError, re.error) as err:
            message = f"{source}:{number}: bad pattern {line.strip()!r}: {err}"
            raise ConfigError(message, details={"file": source, "line": number}) from err
    return Ignore(tuple(patterns))


def _clean(pattern: str) -> str:
    if not pattern:
        return ""
    cleaned = posixpath.normpath(pattern)
    return cleaned.lstrip("/") if len(cleaned) > 1 else cleaned


def translate(pattern: str) -> str:
    """A pattern as a regular expression over the whole path."""
    if pattern.startswith("**") and not _WILD & set(pattern[2:]):
        # `**/name` is any path that ends so, `**name` too, in the middle of a name.
        rest = pattern[2:]
        bare = f"|{re.escape(rest[1:])}" if rest.startswith("/") else ""
        return f".*{re.escape(rest)}{bare}"
    return "".join(_pieces(pattern))


def _pieces(pattern: str) -> Iterable[str]:
    position = 0
    while position < len(pattern):
        char = pattern[position]
        position += 1
        if char == "*" and pattern[position : position + 1] == "*":
            position += 1
            if pattern[position : position + 1] == "/":
                position += 1
            yield ".*" if position == len(pattern) else "(?:.*/)?"
        elif char == "*":
            yield "[^/]*"
        elif char == "?":
            yield "[^/]"
        elif char == "[":
            piece, position = _char_class(pattern, position)
            yield piece
        elif char == "\\":
            if position == len(pattern):
                raise ValueError("a backslash at the end")
            yield re.escape(pattern[position])
            position += 1
        else:
            yield re.escape(char)


def _char_class(pattern: str, position: int) -> tuple[str, int]:
    """`[a-z]` or `[^a-z]`, its first member after `position`; the piece and where it ends."""
    sign = ""
    if pattern[position : position + 1] == "^":
        sign = "^"
        position += 1
    members: list[str] = []
    while (char := pattern[position : position + 1]) != "]" or not members:
        if char in ("", "]", "-"):
            raise ValueError("a character class that does not end, or is empty")
        low, position = _member(pattern, position)
        high = low
        if pattern[position : position + 1] == "-":
            high, position = _member(pattern, position + 1)
        members.append(f"{re.escape(low)}-{re.escape(high)}")
    return f"[{sign}{''.join(members)}]", position + 1


def _member(pattern: str, position: int) -> tuple[str, int]:
    if pattern[position : position + 1] == "\\":
        position += 1
    char = pattern[position : position + 1]
    if not char:
        raise ValueError("a character class that does not end")
    return char, position + 1
