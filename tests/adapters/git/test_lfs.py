"""Pointers and content of large files: what is taken for one, and how content gets to the store."""

from __future__ import annotations

import asyncio
import hashlib
import os
from pathlib import Path

import pytest

from rumpel.adapters import git, git_door, lfs, lfs_stream, threads
from rumpel.adapters.lfs import Part, Pointer, Store
from rumpel.adapters.lfs_needed import needed
from rumpel.adapters.lfs_stream import GONE, SEND, TAKE, Limits
from rumpel.errors import RumpelError, TimedOut
from tests.adapters.git.conftest import LocalStream, Pair
from tests.adapters.git.test_import import load
from tests.support import large

BIG = os.urandom((3 << 20) + 17)
SMALL = b"small\n" * 30
FORMATS = pytest.mark.parametrize("pair", [(), ("--object-format=sha256",)], indirect=True)


def pointer_of(content: bytes) -> Pointer:
    return Pointer(large.oid_of(content), len(content))


async def ask(pair: Pair, *contents: Pointer, limits: Limits | None = None) -> dict[Pointer, str]:
    """Into the host's store, out of the pod's."""
    argv = ["/bin/sh", "-c", SEND, "sh", str(pair.pod.root), *(item.oid for item in contents)]
    stream = await LocalStream.start(*argv, cwd=Path("/"), env=pair.home.environment(None))
    try:
        return await lfs_stream.receive(stream, Store(pair.repo), contents, limits or Limits())
    finally:
        await stream.close()


def stores(pair: Pair) -> tuple[Path, Path]:
    return pair.host.root / ".git/lfs", pair.pod.root / ".git/lfs"


def files_of(store: Path) -> list[Path]:
    return [path for path in store.rglob("*") if path.is_file()]


def test_a_pointer_and_its_blob(pair: Pair) -> None:
    item = Pointer.parse(large.pointer(SMALL).encode())
    assert item == pointer_of(SMALL)
    assert item.text.decode() == large.pointer(SMALL)
    oid = pair.host.git("hash-object", "-w", "--stdin", input=item.text)
    assert item.blob("sha1") == oid
    assert lfs.may_point(len(item.text))


def test_a_pointer_with_an_extension() -> None:
    head, oid, size, _ = large.pointer(SMALL).split("\n")
    text = f"{head}\next-0-foo sha256:{'b' * 64}\n{oid}\n{size}\n"
    assert Pointer.parse(text.encode()) == pointer_of(SMALL)


@pytest.mark.parametrize(
    "oid",
    ["A" * 64, "a" * 63, "a" * 65, "../" + "a" * 61, "aa/../../" + "b" * 55, "a" * 63 + "\n", ""],
)
def test_a_bad_oid_is_no_pointer_and_no_path(pair: Pair, oid: str) -> None:
    assert Pointer.parse(large.pointer_to(oid, 10).encode()) is None
    with pytest.raises(RumpelError, match="no name of an LFS object"):
        Store(pair.repo).path(oid)


@pytest.mark.parametrize("size", ["-1", "01", "1e3", "1" * 19, " 1", ""])
def test_a_bad_size_is_no_pointer(size: str) -> None:
    text = large.pointer_to("a" * 64, 0).replace("size 0", f"size {size}")
    assert Pointer.parse(text.encode()) is None


async def test_content_goes_into_the_store(pair: Pair) -> None:
    host, pod = stores(pair)
    large.put(pod, BIG)
    large.put(pod, SMALL)
    (host.parent / "objects").chmod(0o2775)  # as core.sharedRepository=group makes it
    gone = pointer_of(b"nowhere\n" * 30)
    missing = await ask(pair, pointer_of(BIG), gone, pointer_of(SMALL))
    assert missing == {gone: GONE}
    assert large.stored(host, BIG).read_bytes() == BIG
    assert large.stored(host, SMALL).read_bytes() == SMALL
    assert large.stored(host, SMALL).stat().st_mode & 0o7777 == 0o664
    assert large.stored(host, SMALL).parent.stat().st_mode & 0o2777 == 0o2775
    assert len(files_of(host)) == 2, "and no part is left"


async def test_content_that_is_not_what_its_name_says(pair: Pair) -> None:
    host, pod = stores(pair)
    large.put(pod, SMALL)
    large.put(pod, BIG)
    large.stored(pod, BIG).write_bytes(b"x" * len(BIG))
    with pytest.raises(RumpelError, match="not what its name says"):
        await ask(pair, pointer_of(SMALL), pointer_of(BIG))
    assert files_of(host) == [large.stored(host, SMALL)], "what came before is kept"


async def test_content_of_another_size(pair: Pair) -> None:
    host, pod = stores(pair)
    large.put(pod, SMALL)
    with pytest.raises(RumpelError, match="is not of 5 bytes"):
        await ask(pair, Pointer(large.oid_of(SMALL), 5))
    assert files_of(host) == []


async def test_a_link_out_of_the_store_is_only_content(pair: Pair, tmp_path: Path) -> None:
    host, pod = stores(pair)
    secret = tmp_path / "secret"
    secret.write_bytes(b"s" * len(SMALL))
    large.put(pod, SMALL)
    large.stored(pod, SMALL).unlink()
    large.stored(pod, SMALL).symlink_to(secret)
    with pytest.raises(RumpelError, match="not what its name says"):
        await ask(pair, pointer_of(SMALL))
    assert files_of(host) == []


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("printf '%s' 1234567890", "ended before"),
        ("yes 1 | tr -d '\\n'", "does not answer as it should"),
        ("echo 180; echo short", "ended before"),
        ("exit 3", "ended before"),
    ],
)
async def test_a_pod_that_breaks_the_format(pair: Pair, script: str, why: str) -> None:
    stream = await LocalStream.start(
        "/bin/sh", "-c", script, cwd=Path("/"), env=pair.home.environment(None)
    )
    try:
        with pytest.raises(RumpelError, match=why):
            await lfs_stream.receive(stream, Store(pair.repo), [pointer_of(SMALL)], Limits())
    finally:
        await stream.close()
    assert files_of(stores(pair)[0]) == []


async def test_a_pod_that_sends_nothing(pair: Pair) -> None:
    stream = await LocalStream.start("sleep", "60", cwd=Path("/"), env=pair.home.environment(None))
    try:
        with pytest.raises(TimedOut):
            await lfs_stream.receive(
                stream, Store(pair.repo), [pointer_of(SMALL)], Limits(idle_s=0.05)
            )
    finally:
        await stream.close()


def test_limits(pair: Pair) -> None:
    store = Store(pair.repo)
    small, middle, big = (Pointer(f"{n}" * 64, 10**n) for n in (1, 3, 6))
    limits = Limits(object_bytes=5000, total_bytes=10**9)
    wanted, refused = lfs_stream.sort_out(store, [big, small, middle], limits)
    assert wanted == [small, middle]
    assert refused == {big: "maxFileSize is 5000 bytes"}
    wanted, refused = lfs_stream.sort_out(store, [small, middle], Limits(total_bytes=100))
    assert (wanted, refused) == ([small], {middle: "the podQuota is used up"})
    limits = Limits(free_bytes=1 << 60)
    assert lfs_stream.sort_out(store, [small], limits) == ([], {small: "no room on the host"})


def test_a_part_is_nothing_until_it_is_whole(pair: Pair) -> None:
    """As after a kill in the middle: no name in the store leads to half of an object."""
    store = Store(pair.repo)
    part = Part(store, pointer_of(BIG))
    part.write(BIG[:100])
    assert not store.has(pointer_of(BIG))
    (left,) = files_of(store.root)
    os.utime(left, (0, 0))
    again = Part(store, pointer_of(BIG))
    assert not left.exists(), "a later one clears it away"
    again.write(BIG)
    again.finish()
    assert store.has(pointer_of(BIG))
    part.drop()


def test_where_the_store_is(pair: Pair, tmp_path: Path) -> None:
    pair.host.git("worktree", "add", "-q", "-b", "side", str(tmp_path / "side"))
    side = git.discover(str(tmp_path / "side"))
    assert Store(side).root == pair.host.root / ".git/lfs"
    pair.host.git("config", "lfs.storage", "below/here")
    assert Store(side).root == pair.host.root / ".git/below/here"
    pair.host.git("config", "lfs.storage", "/else/where")
    assert Store(pair.repo).root == Path("/else/where")


@FORMATS
async def test_what_a_checkout_needs(pair: Pair) -> None:
    store = pair.host.root / ".git/lfs"
    for content in (SMALL, BIG, b"unused\n" * 40):
        large.put(store, content)
    first = large.track(pair.host, small=SMALL)
    pair.host.git("rm", "-q", "small.bin")
    second = large.track(pair.host, big=BIG, lost=b"lost\n" * 40)
    assert (await needed(pair.repo, [second]))[1] == [pointer_of(BIG)]
    assert (await needed(pair.repo, [first, second]))[1] == sorted(map(pointer_of, (SMALL, BIG)))
    assert (await needed(pair.repo, []))[1] == []


@FORMATS
@pytest.mark.parametrize("others", [0, 200], ids=["few", "many"])
async def test_an_import_tells_of_new_pointers(pair: Pair, others: int) -> None:
    pair.pod.write({f"many/{n}": f"{n}\n" for n in range(others)})
    oid = large.track(pair.pod, small=SMALL, big=BIG)
    large.put(pair.host.root / ".git/lfs", SMALL)
    found = await load(pair)
    assert found.branches == {"alice": oid}
    assert found.lfs == {pointer_of(BIG): ""}
    assert (await load(pair)).lfs == {pointer_of(BIG): ""}, "remembered until it is here"
    await threads.call(git_door.settle_lfs, pair.door, {pointer_of(BIG): "no room\nfor it"})
    assert (await load(pair)).lfs == {pointer_of(BIG): "no room for it"}
    large.put(pair.host.root / ".git/lfs", BIG)
    assert (await load(pair)).lfs == {}
    assert not (pair.door / "lfs").exists()


async def test_a_gateway_takes_whole_objects_only(pair: Pair, tmp_path: Path) -> None:
    store = stores(pair)[0]
    large.put(store, BIG)
    argv = ("/bin/sh", "-c", TAKE, "sh", str(tmp_path / "to/objects"), large.oid_of(BIG))
    stream = await LocalStream.start(*argv, cwd=Path("/"), env=pair.home.environment(None))
    try:
        async with asyncio.timeout(20):
            await lfs_stream.send(stream, large.stored(store, BIG))
    finally:
        await stream.close()
    (file,) = files_of(tmp_path / "to")
    assert hashlib.sha256(file.read_bytes()).hexdigest() == file.name
