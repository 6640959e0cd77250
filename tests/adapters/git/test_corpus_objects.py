"""Hostile corpus: objects a pod's root can write, behind an honest upload-pack (G4, G5, G13)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from rumpel.adapters.git_limits import Limits
from tests.adapters.git.conftest import Pair
from tests.adapters.git.hostile import (
    WHO,
    Run,
    branch,
    commit_of,
    honest,
    raw_commit,
    recovers,
    share,
    tree,
    verdict,
    write,
)
from tests.support.repo import Repo

FILE, EXEC, FOLDER, LINK, MODULE = b"100644", b"100755", b"40000", b"120000", b"160000"
Make = Callable[[Repo], str]
"""The object a branch `evil` points at."""


def blob(pod: Repo, data: bytes = b"x\n") -> str:
    return write(pod, "blob", data)


def folder(pod: Repo) -> str:
    return tree(pod, [(FILE, b"config", blob(pod))])


def one(mode: bytes, name: bytes) -> Make:
    """A commit with one entry of this name."""

    def make(pod: Repo) -> str:
        target = "1" * 40 if mode == MODULE else folder(pod) if mode == FOLDER else blob(pod)
        return commit_of(pod, tree(pod, [(mode, name, target)]))

    return make


def raw_tree(data: bytes) -> Make:
    return lambda pod: commit_of(
        pod, write(pod, "tree", data.replace(b"%B", bytes.fromhex(blob(pod))))
    )


def modules(data: bytes, name: bytes = b".gitmodules", mode: bytes = FILE) -> Make:
    return lambda pod: commit_of(pod, tree(pod, [(mode, name, blob(pod, data))]))


def commit(lines: bytes) -> Make:
    return lambda pod: raw_commit(pod, lines)


def by(author: bytes) -> Make:
    head = b"tree %T\nparent %P\n"
    return commit(head + b"author " + author + b"\ncommitter " + WHO.encode() + b"\n\nx\n")


WHO_LINES = f"author {WHO}\ncommitter {WHO}\n".encode()
MODULE_TEXT = b'[submodule "%s"]\n\tpath = %s\n\turl = %s\n'


def tag(pod: Repo) -> str:
    target = raw_commit(pod, b"tree %T\n" + WHO_LINES + b"\nx\n")
    text = f"object {target}\ntype commit\ntag v1\ntagger {WHO}\n\nx\n"
    return write(pod, "tag", text.encode())


def module(name: bytes = b"a", path: bytes = b"a", url: bytes = b"https://e.x/y") -> Make:
    return modules(MODULE_TEXT % (name, path, url))


REFUSED: dict[str, tuple[Make, str]] = {
    "folder .git with a blank": (one(FOLDER, b".git "), "hasDotgit"),
    "folder .git with a dot": (one(FOLDER, b".git."), "hasDotgit"),
    "folder .git as a stream": (one(FOLDER, b".git::$INDEX_ALLOCATION"), "hasDotgit"),
    "folder GIT~1": (one(FOLDER, b"GIT~1"), "hasDotgit"),
    "file .git": (one(FILE, b".git"), "hasDotgit"),
    "submodule .git": (one(MODULE, b".git"), "hasDotgit"),
    "link .git": (one(LINK, b".GIT"), "hasDotgit"),
    "ignorable in .git": (one(FOLDER, ".g\u200dit\u200e".encode()), "hasDotgit"),
    "ignorable behind .git": (one(FOLDER, ".git\u200c".encode()), "hasDotgit"),
    "backslash before .git": (one(FOLDER, b"a\\.git"), "hasDotgit"),
    "dot dot as a file": (one(FILE, b".."), "hasDotdot"),
    "empty name": (one(FILE, b""), "error"),
    "name with a slash at the start": (one(FILE, b"/etc"), "fullPathname"),
    "file and folder of one name": (
        lambda pod: commit_of(
            pod, tree(pod, [(FILE, b"a", blob(pod)), (FOLDER, b"a", folder(pod))])
        ),
        "duplicateEntries",
    ),
    "twins that are not neighbours": (
        lambda pod: commit_of(
            pod,
            tree(
                pod,
                [(FILE, b"a", blob(pod)), (FILE, b"a.b", blob(pod)), (FOLDER, b"a", folder(pod))],
            ),
        ),
        "duplicateEntries",
    ),
    "tree that ends in a name": (raw_tree(b"100644 a"), "error"),
    "tree that ends in an oid": (raw_tree(b"100644 a\0" + b"x" * 7), "error"),
    "tree with an odd mode": (raw_tree(b"999999 a\0%B"), "error"),
    "tree without a mode": (raw_tree(b" a\0%B"), "error"),
    ".gitmodules with an option as path": (module(path=b"-x"), "gitmodulesPath"),
    ".gitmodules with an option as URL": (module(url=b"-u./x"), "gitmodulesUrl"),
    ".gitmodules with a newline in a URL": (
        module(url=b'"https://e.x/%0ahost=y"'),
        "gitmodulesUrl",
    ),
    ".gitmodules with a name upwards": (module(name=b"a/../../b"), "gitmodulesName"),
    ".gitmodules with a command": (
        modules(b'[submodule "a"]\n\tpath = a\n\turl = u\n\tupdate = !touch canary\n'),
        "gitmodulesUpdate",
    ),
    ".gitmodules in other letters": (
        modules(MODULE_TEXT % (b"..", b"a", b"u"), b".GitModules"),
        "gitmodulesName",
    ),
    ".gitmodules by its short name": (
        modules(MODULE_TEXT % (b"..", b"a", b"u"), b"gitmod~1"),
        "gitmodulesName",
    ),
    ".gitmodules as a link by its short name": (
        modules(b"../../x", b"GITMOD~1", LINK),
        "gitmodulesSymlink",
    ),
    ".gitattributes with a long line": (
        modules(b"*.c " + b"a" * 5000 + b"\n", b".gitattributes"),
        "gitattributesLineLength",
    ),
    "commit without a tree": (commit(b"parent %P\n" + WHO_LINES + b"\nx\n"), "error"),
    "commit without an author": (commit(b"tree %T\nparent %P\n\nx\n"), "error"),
    "commit with two authors": (
        commit(b"tree %T\nparent %P\nauthor " + WHO.encode() + b"\n" + WHO_LINES + b"\nx\n"),
        "multipleAuthors",
    ),
    "commit without a committer": (
        commit(b"tree %T\nparent %P\nauthor " + WHO.encode() + b"\n\nx\n"),
        "missingCommitter",
    ),
    "author without brackets": (by(b"A a@b.c 1 +0000"), "error"),
    "author with a line too many": (by(b"A <a@b\nx> 1 +0000"), "error"),
    "date that overflows": (by(b"A <a@b.c> 99999999999999999999999 +0000"), "badDateOverflow"),
    "date that is a word": (by(b"A <a@b.c> now +0000"), "error"),
    "NUL in a header": (by(b"A\0B <a@b.c> 1 +0000"), "nulInHeader"),
    "NUL in the message": (
        commit(b"tree %T\nparent %P\n" + WHO_LINES + b"\na\0b\n"),
        "nulInCommit",
    ),
    "header without an end": (commit(b"tree %T\nparent %P\n" + WHO_LINES[:-1]), "error"),
    "annotated tag as a branch": (
        tag,
        "",
    ),
    "long path": (
        lambda pod: commit_of(pod, deep(pod, 50, b"n" * 100)),
        "a path of 4147 bytes",
    ),
    "deep tree": (lambda pod: commit_of(pod, deep(pod, 600, b"d")), "more than 512 levels"),
    "long name": (one(FILE, b"n" * 4097), "a path of 4097 bytes"),
    "bomb of the user's own trees": (
        lambda pod: commit_of(pod, wide(pod, pod.oid("HEAD^{tree}"))),
        "more than 200000 paths",
    ),
    "bomb": (lambda pod: commit_of(pod, bomb(pod, 6)), "more than 200000 paths"),
    "bomb of submodules": (
        lambda pod: commit_of(pod, bomb(pod, 6, MODULE, "1" * 40)),
        "more than 200000 paths",
    ),
    "bomb in an older commit": (
        lambda pod: raw_commit(
            pod,
            f"tree %T\nparent {commit_of(pod, bomb(pod, 6))}\n".encode() + WHO_LINES + b"\nx\n",
        ),
        "more than 200000 paths",
    ),
    "large file": (
        lambda pod: commit_of(pod, tree(pod, [(FILE, b"z", blob(pod, bytes(5 << 20)))])),
        "an object of 5242880 bytes",
    ),
    "large message": (
        commit(b"tree %T\nparent %P\n" + WHO_LINES + b"\n" + b"m" * (5 << 20)),
        "an object of 5",
    ),
    "missing parent": (
        commit(b"tree %T\nparent " + b"1" * 40 + b"\n" + WHO_LINES + b"\nx\n"),
        "the pod says",
    ),
    "missing tree": (
        commit(b"tree " + b"1" * 40 + b"\nparent %P\n" + WHO_LINES + b"\nx\n"),
        "the pod says",
    ),
    "missing file": (
        lambda pod: commit_of(pod, tree(pod, [(FILE, b"a", "1" * 40)])),
        "the pod says",
    ),
    "a file as the tree": (lambda pod: commit_of(pod, blob(pod)), "the pod says"),
    "a file as a folder": (
        lambda pod: commit_of(pod, tree(pod, [(FOLDER, b"a", blob(pod))])),
        "the pod says",
    ),
    "a tree as the parent": (
        lambda pod: raw_commit(
            pod, f"tree %T\nparent {folder(pod)}\n".encode() + WHO_LINES + b"\nx\n"
        ),
        "the pod says",
    ),
}
LIMITS = Limits(
    seconds=20, idle_seconds=10, paths=200_000, object_bytes=4 << 20, tree_bytes=4 << 20
)


def deep(pod: Repo, levels: int, name: bytes) -> str:
    oid = folder(pod)
    for _ in range(levels):
        oid = tree(pod, [(FOLDER, name, oid)])
    return oid


def bomb(pod: Repo, levels: int, mode: bytes = FILE, oid: str | None = None) -> str:
    oid = oid or blob(pod)
    for _ in range(levels):
        oid = tree(pod, [(mode, f"{number}".encode(), oid) for number in range(10)])
        mode = FOLDER
    return oid


def wide(pod: Repo, oid: str) -> str:
    """The user's tree 100,000 times, in two new trees."""
    for count in (400, 400):
        names = sorted(f"{number}".encode() + b"/" for number in range(count))
        oid = tree(pod, [(FOLDER, name[:-1], oid) for name in names])
    return oid


@pytest.mark.parametrize("name", share(REFUSED))
async def test_object_that_is_refused(quick: Pair, name: str) -> None:
    make, why = REFUSED[name]
    good = honest(quick.pod, "beside it")
    branch(quick.pod, "evil", make(quick.pod))
    run = Run(quick, good, limits=LIMITS)
    await verdict(run, refused={"evil": why})
    await recovers(run)


TAKEN: dict[str, Make] = {
    "escape in the subject": commit(
        b"tree %T\nparent %P\n" + WHO_LINES + b"\n\x1b[2J\x1b]0;x\x07evil\n"
    ),
    "escape in the author": by(b"\x1b[31mA <a@b.c> 1 +0000"),
    "invalid UTF-8 in the subject": commit(b"tree %T\nparent %P\n" + WHO_LINES + b"\n\xff\xfe\n"),
    "encoding that is none": commit(
        b"tree %T\nparent %P\n" + WHO_LINES + b"encoding ../../x\n\nx\n"
    ),
    "submodule by a program": module(url=b"../../../ext::sh -c touch%20canary"),
    "author without a date": by(b"A <a@b.c>"),
    "signature that is none": commit(
        b"tree %T\nparent %P\n" + WHO_LINES + b"gpgsig -----BEGIN\n touch canary\n\nx\n"
    ),
    "long header": commit(
        b"tree %T\nparent %P\n" + WHO_LINES + b"x " + b"y" * 100_000 + b"\n\nx\n"
    ),
    "no message": commit(b"tree %T\nparent %P\n" + WHO_LINES + b"\n"),
    "no parent": commit(b"tree %T\n" + WHO_LINES + b"\nx\n"),
    "the same parent many times": commit(b"tree %T\n" + b"parent %P\n" * 50 + WHO_LINES + b"\nx\n"),
    "zone of an old client": by(b"A <a@b.c> 1700000000 +051800"),
    "name with an escape": one(FILE, b"\x1b[2Ja"),
    "name with a newline": one(FILE, b"a\nb"),
    "name of bytes": one(FILE, b"\xff\xfe"),
    "name like an option": one(FILE, b"--output=canary"),
    "Windows names": one(FILE, b"CON"),
    "executable hook": one(EXEC, b".husky"),
    "attributes with a filter": modules(b"* filter=canary diff=canary\n", b".gitattributes"),
    "link outside": modules(b"../../../etc/passwd", b"link", LINK),
    "submodule": one(MODULE, b"sub"),
    "lfs pointer": modules(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", b"a.bin"),
}


@pytest.mark.parametrize("name", share(TAKEN))
async def test_object_that_git_takes(quick: Pair, name: str) -> None:
    """Odd, but it does no harm at the door; what shows it must not be fooled."""
    good = honest(quick.pod, "beside it")
    branch(quick.pod, "odd", TAKEN[name](quick.pod))
    run = Run(quick, good)
    await verdict(run, arrives=["odd"], fsck=("--connectivity-only",))
    await recovers(run)
