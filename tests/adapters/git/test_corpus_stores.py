"""Hostile corpus: a pod's object store that lies, and what a pod may have the host hold (G13)."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from rumpel.adapters.git_limits import Limits
from tests.adapters.git.conftest import Pair
from tests.adapters.git.hostile import (
    Run,
    branch,
    clean,
    commit_of,
    honest,
    raw_commit,
    recovers,
    share,
    tree,
    verdict,
)
from tests.adapters.git.test_corpus_objects import FILE, WHO_LINES, blob
from tests.support.repo import Repo


def write_file(name: str, data: bytes) -> Callable[[Repo], object]:
    def make(pod: Repo) -> None:
        path = pod.root / ".git" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    return make


def corrupt(data: bytes) -> Callable[[Repo], object]:
    """The file of evil's own commit."""

    def make(pod: Repo) -> None:
        oid = honest(pod, "evil", "evil")
        (pod.root / ".git/objects" / oid[:2] / oid[2:]).write_bytes(data)

    return make


def swapped(pod: Repo) -> None:
    """A blob with the content of another."""
    oid = honest(pod, "evil", "evil")
    name = blob(pod, b"evil")
    other = blob(pod, b"something else")
    objects = pod.root / ".git/objects"
    assert oid
    (objects / name[:2] / name[2:]).write_bytes((objects / other[:2] / other[2:]).read_bytes())


def replaced(pod: Repo) -> None:
    oid = honest(pod, "evil", "evil")
    other = raw_commit(pod, b"tree %T\n" + WHO_LINES + b"\nreplacement\n")
    write_file(f"refs/replace/{oid}", f"{other}\n".encode())(pod)


def grafted(pod: Repo) -> None:
    oid = honest(pod, "evil", "evil")
    write_file("info/grafts", f"{oid}\n".encode())(pod)


def cut_off(pod: Repo) -> None:
    middle = honest(pod, "middle", "middle")
    text = f"tree %T\nparent {middle}\n".encode() + WHO_LINES + b"\nx\n"
    branch(pod, "evil", raw_commit(pod, text))
    write_file("shallow", f"{middle}\n".encode())(pod)
    (pod.root / ".git/refs/heads/middle").unlink()


def broken_pack(cut: int) -> Callable[[Repo], object]:
    """evil lies in a pack with a byte flipped, or the end missing."""

    def make(pod: Repo) -> None:
        oid = honest(pod, "evil", "evil")
        listed = f"{oid}\n^{pod.oid('alice')}\n".encode()
        prefix = str(pod.root / ".git/objects/pack/pack")
        pod.git("pack-objects", "-q", "--revs", prefix, input=listed)
        pod.git("prune-packed", "-q")
        pack = next((pod.root / ".git/objects/pack").glob("*.pack"))
        data = bytearray(pack.read_bytes())
        pack.chmod(0o644)
        if cut:
            del data[-cut:]
        else:
            data[20] ^= 0xFF
        pack.write_bytes(bytes(data))

    return make


def borrowed(target: str) -> Callable[[Repo], object]:
    return write_file("objects/info/alternates", f"{target}\n".encode())


def itself(pod: Repo) -> None:
    borrowed(str(pod.root / ".git/objects"))(pod)


def fifo_object(pod: Repo) -> None:
    oid = honest(pod, "evil", "evil")
    path = pod.root / ".git/objects" / oid[:2] / oid[2:]
    path.unlink()
    os.mkfifo(path)


STORES: dict[str, tuple[Callable[[Repo], object], dict[str, str], tuple[str, ...]]] = {
    "object that is garbage": (corrupt(b"garbage"), {"evil": "the pod says"}, ()),
    "object that is empty": (corrupt(b""), {"evil": "the pod says"}, ()),
    "object under another's name": (swapped, {"evil": ""}, ()),
    "replace refs": (replaced, {}, ("evil",)),
    "grafts": (grafted, {}, ("evil",)),
    "history that is said to be cut off": (cut_off, {}, ("evil",)),
    "pack with a flipped byte": (broken_pack(0), {"evil": "the pod says"}, ()),
    "pack without its end": (broken_pack(40), {"evil": "the pod says"}, ()),
    "alternates that are nowhere": (borrowed("/nowhere"), {}, ()),
    "alternates outside": (borrowed("/etc"), {}, ()),
    "alternates that are the store itself": (itself, {}, ()),
    "commit-graph that is garbage": (write_file("objects/info/commit-graph", b"CGPH\1"), {}, ()),
    "multi-pack-index that is garbage": (
        write_file("objects/pack/multi-pack-index", b"MIDX\1\1\1\0"),
        {},
        (),
    ),
    "stale locks": (write_file("packed-refs.lock", b""), {}, ()),
}


@pytest.mark.parametrize("name", share(STORES))
async def test_object_store_that_lies(quick: Pair, name: str) -> None:
    make, refused, arrives = STORES[name]
    good = honest(quick.pod, "beside it")
    make(quick.pod)
    run = Run(quick, good)
    await verdict(run, refused=refused, arrives=arrives)
    await recovers(run, heal)


def heal(pod: Repo) -> None:
    clean(pod)
    top = pod.root / ".git/objects"
    for path in (top / "info/alternates", top / "info/commit-graph", top / "pack/multi-pack-index"):
        path.unlink(missing_ok=True)


async def test_object_that_is_a_fifo(quick: Pair) -> None:
    good = honest(quick.pod, "beside it")
    fifo_object(quick.pod)
    run = Run(quick, good, limits=Limits(idle_seconds=0.7))
    await verdict(run, fails="said nothing for 0.7 s")
    await recovers(run)


async def test_quota(quick: Pair) -> None:
    """What was thrown away on the host does not count any more."""
    run = Run(quick, "", limits=Limits(quota_bytes=60_000))
    for number in range(2):
        data = os.urandom(20_000)
        oid = commit_of(quick.pod, tree(quick.pod, [(FILE, b"r", blob(quick.pod, data))]))
        branch(quick.pod, f"b{number}", oid)
        assert (await run.take()).rejected == ()
    big = commit_of(quick.pod, tree(quick.pod, [(FILE, b"r", blob(quick.pod, os.urandom(30_000)))]))
    branch(quick.pod, "big", big)
    found = await run.take()
    assert [name for name, _ in found.rejected] == ["big"]
    assert "podQuota is 60000" in found.rejected[0][1]
    good = honest(quick.pod, "small")
    assert (await run.take()).branches["alice"] == good
    for number in range(2):
        (quick.pod.root / f".git/refs/heads/b{number}").unlink()
    await run.take()
    for ref in quick.host.refs("refs/rumpel"):
        quick.host.git("update-ref", "-d", ref)
    assert (await run.take()).branches["big"] == big
