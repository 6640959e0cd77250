"""Hostile corpus: names of refs, and ref files of a pod (notes/reliability.md F6, F7, G1-G3)."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from rumpel.adapters.git_limits import Limits
from tests.adapters.git.conftest import Pair
from tests.adapters.git.hostile import Run, branch, liar, pack_ref, recovers, share, verdict
from tests.support.repo import Repo

TAKEN = {
    "option": b"-u",
    "option with a value": b"--upload-pack=touch${IFS}canary",
    "output option": b"--output=canary",
    "end of options": b"--",
    "command": b";touch${IFS}canary",
    "substitution": b"$(touch${IFS}canary)",
    "backticks": b"`touch${IFS}canary`",
    "pipe": b"|touch${IFS}canary",
    "quotes": b"a'b\"c",
    "bidi": "\N{RIGHT-TO-LEFT OVERRIDE}evil".encode(),
    "C1 control": "\x9b31mred".encode(),
    "zero width": "a\u200db".encode(),
    "HEAD": b"HEAD",
    "at": b"@",
    "FETCH_HEAD": b"FETCH_HEAD",
    "full name": b"refs/heads/main",
    "full name of ours": b"refs/remotes/rumpelpod/bob",
    "remote": b"origin/main",
    "main": b"main",
    "rumpelpod": b"rumpelpod/bob",
    "another pod": b"bob",
    "published name of another": b"bob@bob",
    "below another pod": b"bob/x",
    "keep": b"rumpel/keep/pod-2/heads/bob",
    "its own pod name below": b"alice/x",
    "Windows device": b"CON",
    "Windows device with a suffix": b"aux.txt",
    "Windows stream": b"nul$DATA",
    "percent": b"a%2Fb",
    "emoji": "\N{SKULL}".encode(),
    "NFC": b"caf\xc3\xa9",
    "NFD": b"cafe\xcc\x81",
    "deep": b"a/" * 60 + b"b",
    "very deep": b"a/" * 600 + b"b",
    "part of 253 bytes": b"x" * 253,
    "part of 300 bytes": b"x" * 300,
    "4096 bytes": b"x" * 4096,
    "hex": b"1" * 40,
    "digest look-alike": b"branch%0000000000000000",
    "revision syntax": b"main@",
}
"""Allowed by git: they come, and are published under some name."""
FORBIDDEN = {
    "two dots": b"a..b",
    "lock": b"a.lock",
    "lock folder": b"a.lock/b",
    "tilde": b"a~1",
    "caret": b"a^b",
    "colon": b"a:b",
    "bell": b"a\x07b",
    "escape": b"a\x1b[31mb",
    "delete": b"a\x7fb",
    "reflog": b"x@{1}",
    "hidden": b".hidden",
    "hidden below": b"a/.b",
    "double slash": b"a//b",
    "slash at the end": b"a/",
    "dot at the end": b"a.",
    "star": b"a*",
    "question mark": b"a?",
    "bracket": b"a[b",
    "backslash": b"a\\b",
    "out of refs": b"../../HEAD",
    "out of heads": b"../tags/v1",
    "absolute": b"/etc/passwd",
    "tab": b"a\tb",
}


def text_of(raw: bytes) -> str:
    return os.fsdecode(raw)


@pytest.mark.parametrize("name", share(TAKEN))
async def test_name_that_git_allows(quick: Pair, good: str, name: str) -> None:
    raw = TAKEN[name]
    refs = {b"refs/heads/alice": good, b"refs/heads/" + raw: good}
    run = Run(quick, good, liar(refs))
    await verdict(run, arrives=[text_of(raw)])
    await recovers(run)


@pytest.mark.parametrize("name", share(FORBIDDEN))
async def test_name_that_git_forbids(quick: Pair, good: str, name: str) -> None:
    raw = FORBIDDEN[name]
    refs = {b"refs/heads/alice": good, b"refs/heads/" + raw: good}
    run = Run(quick, good, liar(refs))
    await verdict(run, refused={text_of(raw): "git allows no such name"})
    await recovers(run)


TWINS = {
    "letter case": (b"Main", b"main", b"MAIN"),
    "letter case of the pod": (b"Alice", b"ALICE"),
    "Unicode forms": (b"caf\xc3\xa9", b"cafe\xcc\x81"),
    "ignorable": (b"ab", "a\u200cb".encode()),
    "file and folder": (b"fix", b"fix/login", b"fix/login/deep"),
    "folder in other case": (b"Fix", b"fix/login"),
    "sharp s": ("straße".encode(), b"STRASSE", b"strasse"),
    "encoded on purpose": (b"a/b", b"a", b"a%2Fb", b"a%2fb"),
    "Kelvin": ("\u212a".encode(), b"k", b"K"),
}


@pytest.mark.parametrize("name", share(TWINS))
async def test_names_that_clash(quick: Pair, good: str, name: str) -> None:
    refs = {b"refs/heads/alice": good} | {b"refs/heads/" + raw: good for raw in TWINS[name]}
    run = Run(quick, good, liar(refs))
    await verdict(run, arrives=map(text_of, TWINS[name]))
    await recovers(run)


async def test_names_that_are_no_text_and_clash(quick: Pair, good: str) -> None:
    refs = {b"alice": good, b"\xff\xfe": good, b"caf\xe9": good, b"caf%E9": good}
    run = Run(quick, good, liar({b"refs/heads/" + raw: oid for raw, oid in refs.items()}))
    await verdict(run, arrives=["%FF%FE", "caf%E9"], refused={"caf%E9": "two branches"})
    await recovers(run)


OUTSIDE = (
    b"refs/tags/v1",
    b"refs/notes/commits",
    b"refs/replace/" + b"1" * 40,
    b"refs/stash",
    b"refs/remotes/rumpelpod/bob",
    b"refs/rumpel/keep/pod-2/heads/bob",
    b"HEAD",
    b"refs/headsx",
    b"refs/heads",
    b"config",
    b"../../config",
)


async def test_refs_that_are_no_branches(quick: Pair, good: str) -> None:
    run = Run(quick, good, liar({b"refs/heads/alice": good} | dict.fromkeys(OUTSIDE, good)))
    await verdict(run)
    await recovers(run)


SHORT = Limits(seconds=20, idle_seconds=0.7)


@dataclass(frozen=True)
class Case:
    """Ref files as a pod's root can write them, behind an honest upload-pack."""

    make: Callable[[Repo, str], object]
    refused: Mapping[str, str] | None = None
    arrives: tuple[str, ...] = ()
    fails: str | None = None
    limits: Limits = SHORT


def heads(pod: Repo) -> Path:
    return pod.root / ".git/refs/heads"


def folder_link(pod: Repo, good: str) -> None:
    (pod.root / "folder").mkdir()
    (pod.root / "folder/any").write_text("secret\n")
    (heads(pod) / "evil").symlink_to(pod.root / "folder")


def as_link(target: str) -> Callable[[Repo, str], object]:
    return lambda pod, good: (heads(pod) / "evil").symlink_to(target)


def as_text(text: str) -> Callable[[Repo, str], object]:
    return lambda pod, good: (heads(pod) / "evil").write_text(text.replace("%O", good))


def head_link(pod: Repo, good: str) -> None:
    head = pod.root / ".git/HEAD"
    head.unlink()
    head.symlink_to("/etc/hostname")


def fifo_for(name: str) -> Callable[[Repo, str], object]:
    def make(pod: Repo, good: str) -> None:
        path = pod.root / ".git" / name
        path.unlink(missing_ok=True)
        os.mkfifo(path)

    return make


def as_packed(text: str) -> Callable[[Repo, str], object]:
    return lambda pod, good: (pod.root / ".git/packed-refs").write_text(text.replace("%O", good))


NOWHERE = {"evil": "it points at no commit"}
FILES = {
    "link to a file outside": Case(as_link("/etc/passwd"), refused=NOWHERE),
    "link to a folder outside": Case(
        folder_link,
        refused={"evil/any": "it points at no commit"},
    ),
    "link to itself": Case(as_link("evil")),
    "link to another ref": Case(as_link("alice"), arrives=("evil",)),
    "symref out of the repository": Case(as_text("ref: ../../../../etc/passwd\n")),
    "symref to HEAD": Case(as_text("ref: HEAD\n"), arrives=("evil",)),
    "symref to itself": Case(as_text("ref: refs/heads/evil\n")),
    "symref to a tag": Case(as_text("ref: refs/tags/none\n")),
    "symref to another branch": Case(as_text("ref: refs/heads/alice\n"), arrives=("evil",)),
    "null oid": Case(as_text("0" * 40 + "\n"), refused=NOWHERE),
    "half an oid": Case(as_text("1234\n"), refused=NOWHERE),
    "oid and more": Case(as_text("%O\n../../x\n"), arrives=("evil",)),
    "missing object": Case(as_text("1" * 40 + "\n"), refused={"evil": "not our ref " + "1" * 40}),
    "HEAD is a link outside": Case(head_link, fails="the pod says"),
    "HEAD is a FIFO": Case(fifo_for("HEAD"), fails="said nothing for 0.7 s"),
    "branch is a FIFO": Case(fifo_for("refs/heads/evil"), fails="said nothing for 0.7 s"),
    "packed-refs is a FIFO": Case(fifo_for("packed-refs"), fails="said nothing for 0.7 s"),
    "packed-refs is garbage": Case(as_packed("\x00\xff garbage"), fails="the pod says"),
    "packed-refs is not sorted": Case(
        as_packed("# pack-refs with: sorted \n%O refs/heads/z\n%O refs/heads/a\n"),
        arrives=("a", "z"),
    ),
    "packed-refs with a name outside": Case(
        as_packed("%O refs/heads/../../x\n"), fails="packed refname is dangerous"
    ),
    "packed-refs peels a lie": Case(
        as_packed("# pack-refs with: peeled \n%O refs/heads/evil\n^" + "1" * 40 + "\n"),
        arrives=("evil",),
    ),
    "packed-refs names one twice": Case(
        as_packed("%O refs/heads/evil\n" + "1" * 40 + " refs/heads/evil\n"),
        refused={"evil": "not our ref"},
    ),
    "name with an escape in a file": Case(
        lambda pod, good: branch(pod, b"a\x1b[2Jb", good),
        refused={"a\x1b[2Jb": "git allows no such name"},
    ),
    "name of bytes in a file": Case(lambda pod, good: branch(pod, b"\xff", good), arrives=("%FF",)),
    "name no file can have": Case(
        lambda pod, good: pack_ref(pod, "y" * 300, good), arrives=("y" * 300,)
    ),
    "configuration hides and namespaces": Case(
        lambda pod, good: (pod.root / ".git/config").write_text(
            "[core]\nbare = false\n[transfer]\nhideRefs = refs/tags\n[uploadpack]\n"
            "allowAnySHA1InWant = true\nallowFilter = true\n[include]\npath = /etc/passwd\n"
            "[core]\nfsmonitor = touch canary\nsshCommand = touch canary\nhooksPath = /tmp\n"
        ),
        fails="the pod says",
    ),
}


@pytest.mark.parametrize("name", share(FILES))
async def test_ref_files(quick: Pair, good: str, name: str) -> None:
    case = FILES[name]
    case.make(quick.pod, good)
    run = Run(quick, good, limits=case.limits)
    await verdict(run, refused=case.refused, arrives=case.arrives, fails=case.fails)
    if "configuration" in name:
        (quick.pod.root / ".git/config").unlink()
    await recovers(run)
