"""What a reviewer may miss in the content of a changed file. Pure, and quick on large files.

Invisible and reordering characters make text read other than it runs; opaque binaries cannot be
read at all; a manifest's scripts run on install; a lock file can send an install elsewhere.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from typing import Any

Found = tuple[str, str]
"""(kind, why)."""

HIDDEN = re.compile(
    "[\x00-\x08\x0b\x0e-\x1f\x7f-\x84\x86-\x9f"  # controls but tab, newlines, form feed
    "\u061c\u115f\u1160\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff9-\ufffb"
    "\U000e0000-\U000e0fff]"  # tags, variation selectors 17 to 256
)
REORDERING = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
JOINERS = frozenset("\u200c\u200d")
BYTE_ORDER_MARK = "\ufeff"
BLACK_FLAG = "\U0001f3f4"
ASCII_CONTROLS = bytes(code for code in range(128) if HIDDEN.match(chr(code)))
CHECKED_BYTES = 8000
"""Git looks for a NUL in so much of a file to tell whether it is binary."""

MEDIA = re.compile(
    rb"\x89PNG\r\n|\xff\xd8\xff|GIF8[79]a|RIFF....(?:WEBP|WAVE|AVI )|BM|\x00\x00[\x01\x02]\x00"
    rb"|wOF[F2]|OTTO|\x00\x01\x00\x00|true\x00|ttcf|OggS|fLaC|ID3|\xff[\xfb\xf3\xf2]"
    rb"|....ftyp|\x1aE\xdf\xa3|II\*\x00|MM\x00\*|8BPS|glTF|%PDF-",
    re.DOTALL,
)
"""Pictures, fonts, sound, films, documents: what is looked at, not run."""
PROGRAM = re.compile(
    rb"\x7fELF|MZ|\xfe\xed\xfa[\xce\xcf]|[\xce\xcf]\xfa\xed\xfe|\xca\xfe\xba\xbe|\x00asm|dex\n"
    rb"|!<arch>\n"
)

MANIFEST_KEYS = (
    "scripts",
    "bin",
    "husky",
    "lint-staged",
    "simple-git-hooks",
    "pre-commit",
    "gypfile",
    "packageManager",
)
ELSEWHERE = re.compile(
    r"^(?:git|https?|file|link|portal|github|gitlab|bitbucket|gist|ssh)[+:]"
    r"|^[\w.-]+@[^:]+:|^[\w.-]+/[\w.-]+"
)
"""A dependency that does not come from a registry: a URL, a path, `owner/repository`."""
DEPENDENCIES = ("dependencies", "devDependencies", "optionalDependencies", "peerDependencies")
LOCKS = {
    b"package-lock.json": b"package.json",
    b"npm-shrinkwrap.json": b"package.json",
    b"yarn.lock": b"package.json",
    b"pnpm-lock.yaml": b"package.json",
    b"bun.lock": b"package.json",
    b"deno.lock": b"deno.json",
    b"cargo.lock": b"cargo.toml",
    b"poetry.lock": b"pyproject.toml",
    b"uv.lock": b"pyproject.toml",
    b"pdm.lock": b"pyproject.toml",
    b"pipfile.lock": b"pipfile",
    b"composer.lock": b"composer.json",
    b"gemfile.lock": b"gemfile",
    b"flake.lock": b"flake.nix",
}
"""Lock file -> the manifest it is made from; names in lower case."""
URL = re.compile(rb"((?:[a-z][a-z0-9+.-]{0,20}://|git@)[^\s\"'<>)\]},]+)")
RESOLVED = re.compile(rb'"resolved"\s{0,9}:\s{0,9}"([^"\n]*)"')
DIST = re.compile(rb'"(?:dist|source)"\s{0,9}:\s{0,9}\{[^}]{0,999}?"url"\s{0,9}:\s{0,9}"([^"\n]*)"')
URLS = {b"package-lock.json": RESOLVED, b"npm-shrinkwrap.json": RESOLVED, b"composer.lock": DIST}
"""Where other URLs (of sponsors, homepages) are no downloads."""
HOST = re.compile(rb"(?:[a-z][a-z0-9+.-]*://|git@)(?:[^/@]*@)?([^/:?#]*)")


def is_manifest(path: bytes) -> bool:
    return _name(path) in (b"package.json", b"composer.json", b"pyproject.toml")


def is_lock(path: bytes) -> bool:
    return _name(path) in LOCKS


def is_compared(path: bytes) -> bool:
    """What counts of it is what changed, so that its old content is needed."""
    return is_manifest(path) or is_lock(path)


def may_hide(data: bytes) -> bool:
    return not is_binary(data) and _has_hidden(data)


def is_binary(data: bytes) -> bool:
    return b"\0" in data[:CHECKED_BYTES]


def opaque(data: bytes) -> Found | None:
    """A binary that nobody can read in a diff, unless it is one to look at."""
    if not is_binary(data) or MEDIA.match(data):
        return None
    if PROGRAM.match(data):
        return "binary", "a program in machine code"
    return "binary", "a binary file that a diff cannot show"


def hidden(new: bytes, old: bytes) -> Found | None:
    """Characters in added lines that are not seen, or change the order of what is seen."""
    if not may_hide(new):
        return None
    before = set(_text(old).split("\n"))
    worst = None
    for number, line in enumerate(_text(new).split("\n"), 1):
        if line in before:
            continue
        for char in _hidden_in(line, is_first=number == 1):
            what = f"line {number} has U+{ord(char):04X}"
            if char in REORDERING:
                return "hidden", f"{what}, which changes the order of what is read"
            worst = worst or f"{what}, which is not seen"
    return None if worst is None else ("hidden", worst)


def manifest(path: bytes, new: bytes, old: bytes) -> Found | None:
    """Scripts that run on install or by name, and dependencies from elsewhere than the registry."""
    if _name(path) == b"pyproject.toml":
        after, before = _toml(new), _toml(old)
        if after.get("build-system") != before.get("build-system"):
            return "packages", "changes how the project is built (build-system)"
        return None
    after, before = _json(new), _json(old)
    keys = [key for key in MANIFEST_KEYS if after.get(key) != before.get(key)]
    if keys:
        return "packages", f"changes {', '.join(keys)}, which package managers run"
    for group in DEPENDENCIES:
        known = _dict(before.get(group))
        for name, wanted in _dict(after.get(group)).items():
            if known.get(name) != wanted and ELSEWHERE.search(str(wanted)):
                return "packages", f"takes {name} from {wanted}"
    return None


def lock(path: bytes, new: bytes, old: bytes, *, is_manifest_changed: bool) -> Found | None:
    """URLs that are new, when nothing asked for them, or on a host that was not there."""
    pattern = URLS.get(_name(path), URL)
    after, before = set(pattern.findall(new)), set(pattern.findall(old))
    added = after - before
    if not added:
        return None
    hosts = _hosts(added) - _hosts(before)
    if hosts and before:
        listed = ", ".join(sorted(host.decode("utf-8", "replace") for host in hosts)[:3])
        return "lock", f"downloads from a new place: {listed}"
    if before and not is_manifest_changed:
        manifest_name = LOCKS[_name(path)].decode()
        return "lock", f"downloads other files, though {manifest_name} did not change"
    return None


def manifest_of(path: bytes) -> bytes:
    """The manifest beside a lock file, in lower case."""
    folder, slash, name = path.lower().rpartition(b"/")
    return folder + slash + LOCKS[name]


def _has_hidden(data: bytes) -> bool:
    if data.isascii():  # nearly always, and many times quicker
        return len(data.translate(None, ASCII_CONTROLS)) < len(data)
    return HIDDEN.search(_text(data)) is not None


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _hidden_in(line: str, *, is_first: bool) -> Iterator[str]:
    for match in HIDDEN.finditer(line):
        at, char = match.start(), match[0]
        if char == BYTE_ORDER_MARK and is_first and at == 0:
            continue
        if char in JOINERS and min(line[at - 1 : at], line[at + 1 : at + 2]) > "\x7f":
            continue  # between letters of other scripts, or emoji, where it belongs
        if char > "\U000e0000" and BLACK_FLAG in line[max(0, at - 7) : at]:
            continue  # the flags of England, Scotland and Wales
        yield char


def _name(path: bytes) -> bytes:
    return path.rpartition(b"/")[2].lower()


def _hosts(urls: set[bytes]) -> set[bytes]:
    return {match[1].lower() for url in urls if (match := HOST.match(url))}


def _json(data: bytes) -> dict[str, Any]:
    """{} for what is none: then every key of the other side is new."""
    try:
        return _dict(json.loads(data))
    except (ValueError, RecursionError):
        return {}


def _toml(data: bytes) -> dict[str, Any]:
    try:
        return tomllib.loads(data.decode())
    except (ValueError, RecursionError):
        return {}


def _dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
