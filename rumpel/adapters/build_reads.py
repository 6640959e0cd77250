"""May a Dockerfile read a certain file of its context? Pure; in doubt, yes.

Asked for devcontainer.json, which lies in the context of the usual layout and says much that is no
image's business: an edited port must not make a new image. Where something may copy the file, or
the Dockerfile says what is not understood here, it counts like every other. (An ONBUILD of a base
image is not looked for: at worst such an image has the configuration of an earlier day in it.)
"""

from __future__ import annotations

import json
import re
from fnmatch import fnmatchcase

COMMENT = re.compile(r"^[ \t]*(?:#.*)?\n", re.MULTILINE)
CONTINUED = re.compile(r"\\[ \t]*\n")
SYNTAX = re.compile(r"^#[ \t]*syntax[ \t]*=[ \t]*(\S*)", re.MULTILINE | re.IGNORECASE)
ESCAPE = re.compile(r"^#[ \t]*escape[ \t]*=", re.MULTILINE | re.IGNORECASE)
FRONTEND = re.compile(r"(?:docker\.io/)?docker/dockerfile(?:[:@].*)?")
REMOTE = ("http://", "https://", "git@", "ssh://", "git://")


def may_read(dockerfile: bytes, path: str) -> bool:
    """`path`: relative to the context, with slashes."""
    text = dockerfile.decode("utf-8", "replace").replace("\r\n", "\n") + "\n"
    # A here-document can hide what follows it; another frontend has other instructions.
    if "<<" in text or ESCAPE.search(text):
        return True
    if any(not FRONTEND.fullmatch(found[1]) for found in SYNTAX.finditer(text)):
        return True
    lines = CONTINUED.sub(" ", COMMENT.sub("", text)).split("\n")
    return any(_instruction_reads(line.strip(), path) for line in lines)


def _instruction_reads(line: str, path: str) -> bool:
    word, _, rest = line.partition(" ")
    word, rest = word.upper(), rest.strip()
    if "\t" in word:
        return True
    if word == "ONBUILD":
        return _instruction_reads(rest, path)
    if word == "RUN":
        return any(_mounts(one) for one in re.findall(r"--mount=(\S*)", rest))
    if word not in ("COPY", "ADD"):
        return False
    flags = []
    while rest.startswith("--"):
        flag, _, rest = rest.partition(" ")
        flags.append(flag)
        rest = rest.lstrip()
    if any(flag.startswith("--from=") for flag in flags):
        return False
    return any(_covers(source, path) for source in _sources(rest))


def _mounts(options: str) -> bool:
    """Does a mount of RUN show the context? Without a type it is a bind, without `from` that."""
    given = dict(part.partition("=")[::2] for part in options.split(","))
    return "$" in options or (given.get("type", "bind") == "bind" and "from" not in given)


def _sources(rest: str) -> list[str]:
    if rest.startswith("["):
        try:
            words = json.loads(rest)
        except ValueError:
            return ["."]
        return [str(word) for word in words[:-1]]
    return rest.split()[:-1]


def _covers(source: str, path: str) -> bool:
    """Is it the file, or a folder or pattern with it?"""
    if source.startswith(REMOTE):
        return False
    parts = [part for part in source.strip("\"'").split("/") if part not in ("", ".")]
    # What is quoted, escaped or a variable may be anything.
    if ".." in parts or "**" in source or any(c in source for c in "$[\\\"'"):
        return True
    names = path.split("/")
    return len(parts) <= len(names) and all(map(fnmatchcase, names, parts))
