"""A pod that means harm: refs, objects, bombs and servers (notes/reliability.md 2.1)."""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Iterable
from pathlib import Path

import pytest

from rumpel.adapters import git_door, threads
from rumpel.adapters.git_door import Imported
from rumpel.adapters.git_limits import Limits
from rumpel.errors import RumpelError
from tests.adapters.git.conftest import Pair
from tests.adapters.git.test_import import left_over, load
from tests.support.repo import Repo

Entry = tuple[bytes, bytes, str]
"""Mode, name and oid of a tree's entry."""


def write(repo: Repo, kind: str, data: bytes) -> str:
    """An object git itself would not make."""
    raw = f"{kind} {len(data)}\0".encode() + data
    oid = hashlib.sha1(raw, usedforsecurity=False).hexdigest()
    path = repo.root / ".git/objects" / oid[:2] / oid[2:]
    path.parent.mkdir(exist_ok=True)
    if not path.exists():
        path.write_bytes(zlib.compress(raw))
    return oid


def tree(repo: Repo, entries: Iterable[Entry]) -> str:
    data = b"".join(mode + b" " + name + b"\0" + bytes.fromhex(oid) for mode, name, oid in entries)
    return write(repo, "tree", data)


def commit_of(repo: Repo, tree_oid: str, *, author: str = "A <a@b.c> 1700000000 +0000") -> str:
    text = f"tree {tree_oid}\nparent {repo.oid('HEAD')}\nauthor {author}\ncommitter {author}\n\nx\n"
    return write(repo, "commit", text.encode())


def branch(repo: Repo, name: str | bytes, oid: str) -> None:
    """Written as a file, past all checks of git."""
    path = os.fsencode(repo.root / ".git/refs/heads") + b"/" + os.fsencode(name)
    Path(os.fsdecode(path)).parent.mkdir(parents=True, exist_ok=True)
    Path(os.fsdecode(path)).write_text(f"{oid}\n")


def pack_ref(repo: Repo, name: str, oid: str) -> None:
    """A name that no file can have."""
    path = repo.root / ".git/packed-refs"
    lines = path.read_text().splitlines() if path.exists() else []
    refs = [line for line in lines if line[0] not in "#^"] + [f"{oid} refs/heads/{name}"]
    refs.sort(key=lambda line: line.partition(" ")[2])
    path.write_text("".join(f"{line}\n" for line in ["# pack-refs with: sorted ", *refs]))


def snapshot(repo: Repo) -> dict[str, bytes]:
    """All of .git but objects."""
    top = repo.root / ".git"
    return {
        str(path.relative_to(top)): path.read_bytes()
        for path in top.rglob("*")
        if path.is_file() and path.relative_to(top).parts[0] != "objects"
    }


def has(repo: Repo, oid: str) -> bool:
    return repo.run_git("cat-file", "-e", oid).returncode == 0


FOREIGN_REFS = [
    "refs/tags/v1",
    "refs/notes/commits",
    "refs/replace/{host}",
    "refs/stash",
    "refs/remotes/origin/main",
    "refs/remotes/rumpelpod/other",
    "refs/rumpel/keep/pod-2/heads/x",
    "refs/bisect/bad",
    "refs/worktree/x",
    "refs/pull/1/head",
    "refs/for/main",
    "refs/headsx/y",
    "refs/original/refs/heads/main",
]


@pytest.mark.parametrize("is_bare_config", [False, True])
async def test_only_branches_are_taken_and_none_becomes_one_of_the_user(
    pair: Pair, is_bare_config: bool
) -> None:
    if is_bare_config:
        pair.host.git("config", "core.hooksPath", ".husky")
        pair.host.git("config", "receive.denyCurrentBranch", "ignore")
    oid = pair.pod.commit("evil", {"README.md": "evil\n"})
    for name in FOREIGN_REFS:
        pair.pod.git("update-ref", name.format(host=pair.host.oid("HEAD")), oid)
    for name in ("main", "HEAD", "refs/heads/main", "heads/main", "master"):
        branch(pair.pod, name, oid)
    before = snapshot(pair.host)
    found = await load(pair)
    assert set(found.branches) == {
        "alice",
        "main",
        "HEAD",
        "refs/heads/main",
        "heads/main",
        "master",
    }
    assert snapshot(pair.host) == before
    assert pair.host.git("status", "--porcelain") == ""


@pytest.mark.parametrize(
    "name",
    [
        "-u",
        "--upload-pack=touch${IFS}canary",
        "--output=canary",
        ";touch canary",
        "$(touch canary)",
        "`touch canary`",
        "|touch canary",
        "a'b\"c",
        "\N{RIGHT-TO-LEFT OVERRIDE}evil",
        "%2F",
        "é",
    ],
)
async def test_names_that_look_like_options_or_commands(pair: Pair, name: str) -> None:
    name = name.replace(" ", "\N{NO-BREAK SPACE}")
    oid = pair.pod.oid("HEAD")
    branch(pair.pod, name, oid)
    assert (await load(pair)).branches == {"alice": oid, name: oid}
    assert await load(pair) == Imported({"alice": oid, name: oid}, ())
    assert not list(pair.host.root.rglob("canary"))


@pytest.mark.parametrize("name", ["a..b", "a.lock", "a~1", "a\x07b", "x@{1}", ".hidden"])
async def test_names_git_forbids_are_refused_alone(pair: Pair, name: str) -> None:
    oid = pair.pod.commit("work")
    pack_ref(pair.pod, name, oid)
    found = await load(pair)
    assert found.branches.keys() - {name} == {"alice"}
    assert name not in found.branches


async def test_names_no_file_can_have_come_all_the_same(pair: Pair) -> None:
    oid = pair.pod.commit("work", {"new": "x"})
    pack_ref(pair.pod, "x" * 300, oid)
    pack_ref(pair.pod, "d/" + "y" * 251, pair.pod.oid("HEAD~1"))
    found = await load(pair)
    assert found == Imported(
        {"alice": oid, "x" * 300: oid, "d/" + "y" * 251: pair.pod.oid("HEAD~1")}, ()
    )
    assert await load(pair) == found


async def test_names_that_are_not_text_are_encoded(pair: Pair) -> None:
    oid = pair.pod.commit("work")
    branch(pair.pod, b"caf\xe9", oid)
    assert await load(pair) == Imported({"alice": oid, "caf%E9": oid}, ())
    branch(pair.pod, "caf%E9", oid)
    found = await load(pair)
    assert found.branches == {"alice": oid, "caf%E9": oid}
    assert found.rejected == (("caf%E9", "two branches have this name"),)


async def test_branch_that_is_no_commit_is_refused_alone(pair: Pair) -> None:
    oid = pair.pod.commit("work", {"new": "x"})
    branch(pair.pod, "blob", pair.pod.oid("HEAD:new"))
    branch(pair.pod, "tree", pair.pod.oid("HEAD^{tree}"))
    found = await load(pair)
    assert found.branches == {"alice": oid}
    assert [name for name, _ in found.rejected] == ["blob", "tree"]


def bad_trees(repo: Repo) -> dict[str, str]:
    blob = repo.git("hash-object", "-w", "--stdin", input=b"x\n")
    modules = repo.git(
        "hash-object",
        *("-w", "--stdin"),
        input=b'[submodule "a"]\n\tpath = a\n\turl = --upload-pack=touch canary\n',
    )
    nested = repo.git(
        "hash-object",
        *("-w", "--stdin"),
        input=b'[submodule "../../x"]\n\tpath = a\n\turl = https://e.x/y\n',
    )
    file, folder, link = b"100644", b"40000", b"120000"
    sub = tree(repo, [(file, b"config", blob)])
    return {
        "dot-git": tree(repo, [(folder, b".git", sub)]),
        "dot-git-case": tree(repo, [(folder, b".GiT", sub)]),
        "dot-git-ntfs": tree(repo, [(folder, b"git~1", sub)]),
        "dot-git-hfs": tree(repo, [(folder, ".g\u200cit".encode(), sub)]),
        "dot-dot": tree(repo, [(folder, b"..", sub)]),
        "dot": tree(repo, [(folder, b".", sub)]),
        "slash": tree(repo, [(file, b"a/b", blob)]),
        "twice": tree(repo, [(file, b"a", blob), (file, b"a", blob)]),
        "unsorted": tree(repo, [(file, b"b", blob), (file, b"a", blob)]),
        "modules-option": tree(repo, [(file, b".gitmodules", modules)]),
        "modules-nested": tree(repo, [(file, b".gitmodules", nested)]),
        "modules-link": tree(repo, [(link, b".gitmodules", blob)]),
    }


BAD_TREES = [
    "dot-git",
    "dot-git-case",
    "dot-git-ntfs",
    "dot-git-hfs",
    "dot-dot",
    "dot",
    "slash",
    "twice",
    "unsorted",
    "modules-option",
    "modules-nested",
    "modules-link",
]


@pytest.mark.parametrize("kind", BAD_TREES)
async def test_bad_objects_are_refused_and_spoil_no_other_branch(pair: Pair, kind: str) -> None:
    good = pair.pod.commit("good", {"good": "x"})
    bad = commit_of(pair.pod, bad_trees(pair.pod)[kind])
    branch(pair.pod, "evil", bad)
    found = await load(pair)
    assert found.branches == {"alice": good}
    assert [name for name, _ in found.rejected] == ["evil"]
    assert "fsck" in found.rejected[0][1] or "error" in found.rejected[0][1]
    assert not has(pair.host, bad)
    assert pair.host.git("fsck", "--full", "--no-dangling", "--strict") == ""
    assert left_over(pair.door) == []


@pytest.mark.parametrize(
    "author",
    [
        "A <a@b.c> 1700000000",
        "A a@b.c 1700000000 +0000",
        "\0 <> 1 +0",
    ],
)
async def test_bad_commits_are_refused(pair: Pair, author: str) -> None:
    bad = commit_of(pair.pod, pair.pod.oid("HEAD^{tree}"), author=author)
    branch(pair.pod, "evil", bad)
    found = await load(pair)
    assert found.branches == {"alice": pair.pod.oid("HEAD")}
    assert not has(pair.host, bad)


async def test_pod_whose_repository_is_broken_says_so(pair: Pair) -> None:
    oid = pair.pod.commit("good")
    await load(pair)
    broken = tree(pair.pod, [(b"100644", b"a", "3" * 40)])
    branch(pair.pod, "evil", commit_of(pair.pod, broken))
    with pytest.raises(RumpelError, match="the pod says"):
        await load(pair)
    assert await threads.call(git_door.branches, pair.door) == {"alice": oid}


async def test_faults_of_old_histories_are_taken(pair: Pair) -> None:
    oid = commit_of(pair.pod, pair.pod.oid("HEAD^{tree}"), author="A <a@b.c> 1700000000 +051800")
    blob = pair.pod.git("hash-object", "-w", "--stdin", input=b"x\n")
    sub = tree(pair.pod, [(b"100644", b"f", blob)])
    padded = commit_of(pair.pod, tree(pair.pod, [(b"040000", b"d", sub)]))
    branch(pair.pod, "zone", oid)
    branch(pair.pod, "padded", padded)
    assert (await load(pair)).rejected == ()


async def test_refused_branch_stays_at_its_last_good_commit(pair: Pair) -> None:
    good = pair.pod.commit("good")
    await load(pair)
    bad = commit_of(pair.pod, bad_trees(pair.pod)["dot-git"])
    branch(pair.pod, "alice", bad)
    found = await load(pair)
    assert found.branches == {"alice": good}
    assert [name for name, _ in found.rejected] == ["alice"]
    branch(pair.pod, "alice", good)
    newer = pair.pod.commit("newer")
    assert await load(pair) == Imported({"alice": newer}, ())


async def test_bomb_of_zeros_is_refused(pair: Pair) -> None:
    bad = pair.pod.commit("bomb", {"zeros": b"\0" * (32 << 20)})
    with pytest.raises(RumpelError, match="object of 33554432 bytes"):
        await load(pair, limits=Limits(object_bytes=1 << 20))
    assert not has(pair.host, bad)
    assert left_over(pair.door) == []


async def test_too_many_bytes_are_refused_while_they_come(pair: Pair) -> None:
    pair.pod.commit("big", {"random": os.urandom(8 << 20)})
    with pytest.raises(RumpelError, match="sends more than 1048576 bytes"):
        await load(pair, limits=Limits(pack_bytes=1 << 20))
    assert left_over(pair.door) == []


async def test_too_many_objects_are_refused(pair: Pair) -> None:
    pair.pod.commit("many", {f"{number}": f"{number}" for number in range(50)})
    with pytest.raises(RumpelError, match="sends more than 20 objects"):
        await load(pair, limits=Limits(objects=20))


async def test_too_many_branches_are_refused(pair: Pair) -> None:
    for number in range(30):
        branch(pair.pod, f"b{number}", pair.pod.oid("HEAD"))
    with pytest.raises(RumpelError, match="has more than 20 branches"):
        await load(pair, limits=Limits(refs=20))


async def test_tree_bomb_is_refused_alone(pair: Pair) -> None:
    good = pair.pod.commit("good")
    oid = pair.pod.git("hash-object", "-w", "--stdin", input=b"x\n")
    mode = b"100644"
    for _ in range(9):
        oid = tree(pair.pod, [(mode, f"{number}".encode(), oid) for number in range(10)])
        mode = b"40000"
    bad = commit_of(pair.pod, oid)
    branch(pair.pod, "bomb", bad)
    found = await load(pair)
    assert found == Imported(
        {"alice": good}, (("bomb", "the pod has a tree with more than 2000000 paths"),)
    )
    assert not has(pair.host, bad)
    assert left_over(pair.door) == []
