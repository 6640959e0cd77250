"""What the hostile corpus shares: quick pairs, objects and packs by hand, lying servers, verdicts.

A case is judged by `verdict`: whatever the pod does, nothing on the host changes but new objects
and refs of ours, nothing runs, nothing is left behind, the reason is told, the pod's other branch
arrives, and its next honest commit arrives too.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import stat
import struct
import zlib
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rumpel.adapters import git_door, git_refs, threads
from rumpel.adapters.git_door import Imported
from rumpel.adapters.git_limits import Limits
from rumpel.adapters.published import view
from rumpel.adapters.stream import STDOUT, Stream
from rumpel.errors import RumpelError
from tests.adapters.git.conftest import LocalStream, Pair
from tests.adapters.git.test_hostile import branch, commit_of, pack_ref, tree, write
from tests.adapters.git.test_import import left_over
from tests.support.repo import Repo

__all__ = ["branch", "commit_of", "pack_ref", "tree", "write"]

LONG = bool(os.environ.get("RUMPEL_LONG"))
"""Read when imported: no test sees the caller's variables."""
SHARE = 3
OURS = ("refs/remotes/rumpelpod/", "refs/rumpel/")
LIMITS = Limits(seconds=20, idle_seconds=10)
WHO = "A <a@b.c> 1700000000 +0000"


def share(names: Iterable[str]) -> list[str]:
    """The same third of the cases in each normal run; all with RUMPEL_LONG=1 (scripts/long)."""
    return [name for name in names if LONG or zlib.crc32(name.encode()) % SHARE == 0]


def pkt(data: bytes) -> bytes:
    return f"{len(data) + 4:04x}".encode() + data


def honest(repo: Repo, subject: str, name: str = "alice") -> str:
    """A commit on a branch, without a process."""
    parent = (repo.root / ".git/refs/heads/alice").read_text().strip()
    blob = write(repo, "blob", subject.encode())
    folder = tree(repo, [(b"100644", b"f", blob)])
    text = f"tree {folder}\nparent {parent}\nauthor {WHO}\ncommitter {WHO}\n\n{subject}\n"
    oid = write(repo, "commit", text.encode())
    branch(repo, name, oid)
    return oid


def raw_commit(repo: Repo, lines: bytes) -> str:
    """A commit of these bytes; `%T` is a good tree, `%P` the tip of alice."""
    parent = (repo.root / ".git/refs/heads/alice").read_text().strip()
    blob = write(repo, "blob", b"x\n")
    folder = tree(repo, [(b"100644", b"f", blob)])
    return write(
        repo, "commit", lines.replace(b"%T", folder.encode()).replace(b"%P", parent.encode())
    )


def everything(top: Path) -> dict[str, object]:
    """All files below `top`, byte by byte, with kind and mode."""
    found: dict[str, object] = {}
    for folder, names, files in os.walk(top):
        for name in (*names, *files):
            path = Path(folder, name)
            state = path.lstat()
            content: object = ""
            if stat.S_ISLNK(state.st_mode):
                content = str(path.readlink())
            elif stat.S_ISREG(state.st_mode):
                content = path.read_bytes()
            found[os.fsdecode(path.relative_to(top))] = (stat.S_IFMT(state.st_mode), content)
    return found


def foreign_changes(before: Mapping[str, object], after: Mapping[str, object]) -> list[str]:
    """What changed on the host that is no new object and no ref of ours."""
    changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    return sorted(name for name in changed if not _is_ours(name, is_new=name not in before))


def _is_ours(name: str, *, is_new: bool) -> bool:
    if name.startswith(".git/objects/") and is_new:
        parts = name.split("/")[2:]
        is_loose = len(parts[0]) == 2 and (len(parts) == 1 or len(parts[1]) == 38)
        is_pack = parts[0] == "pack" and parts[-1].startswith("pack-")
        return is_loose or (is_pack and parts[-1].endswith((".pack", ".idx")))
    inside = name.removeprefix(".git/") + "/"
    return any(inside.startswith(ours) or ours.startswith(inside) for ours in OURS)


Opener = Callable[[], Awaitable[Stream]]


@dataclass
class Run:
    """One import of what a case made, and what it may see."""

    pair: Pair
    good: str
    opener: Opener | None = None
    limits: Limits = LIMITS
    known_refused: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    streams: list[Stream] = field(default_factory=list)

    async def open(self) -> Stream:
        stream = await (self.opener or self.pair.upload_pack)()
        self.streams.append(stream)
        return stream

    async def take(self) -> Imported:
        """As the daemon does it: with new servers at hand."""
        try:
            return await git_door.import_pod(
                self.pair.repo,
                self.pair.door,
                await self.open(),
                self.limits,
                reopen=self.open,
                known_refused=self.known_refused,
            )
        finally:
            for stream in self.streams:
                await stream.close()
            self.streams.clear()


async def verdict(
    run: Run,
    *,
    refused: Mapping[str, str] | None = None,
    arrives: Iterable[str] = (),
    fails: str | None = None,
    fsck: tuple[str, ...] = ("--full", "--strict"),
) -> None:
    """`refused`: branch -> part of the reason; `fails`: part of the error of the whole import."""
    pair = run.pair
    before = everything(pair.host.root)
    outside = {path.name for path in pair.host.root.parent.iterdir()} | {"state"}
    message = None
    found = Imported({}, ())
    try:
        found = await run.take()
    except RumpelError as err:
        message = err.message
    if fails is not None:
        assert message is not None, found
        assert fails in message
    else:
        assert message is None, message
        assert found.branches.get("alice") == run.good
        reasons = dict(found.rejected)
        assert reasons.keys() == (refused or {}).keys()
        for name, why in (refused or {}).items():
            assert why in reasons[name], reasons
        assert set(found.branches) >= {"alice", *arrives}
        known = {"alice": ("pod-1", found.branches), "bob": ("pod-2", {"bob": run.good})}
        wanted = view(known).refs
        written = await git_refs.publish(pair.repo, wanted, {})
        assert written == wanted
        assert written["refs/remotes/rumpelpod/bob"] == run.good
    assert foreign_changes(before, everything(pair.host.root)) == []
    assert {path.name for path in pair.host.root.parent.iterdir()} <= outside
    assert not list(pair.host.root.parent.rglob("canary*"))
    assert left_over(pair.door) == []
    assert pair.host.git("fsck", "--no-dangling", *fsck) == ""


async def recovers(run: Run, heal: Callable[[Repo], None] | None = None) -> None:
    """The pod becomes honest again: its next commit arrives."""
    (heal or clean)(run.pair.pod)
    branch(run.pair.pod, "alice", run.good)
    newer = honest(run.pair.pod, "newer")
    found = await Run(run.pair, newer).take()
    assert found == Imported({"alice": newer}, ())
    assert await threads.call(git_door.branches, run.pair.door) == {"alice": newer}


def clean(pod: Repo) -> None:
    """Only alice is left."""
    top = pod.root / ".git"
    for path in (top / "packed-refs", top / "refs/heads", top / "info/grafts", top / "shallow"):
        if path.is_symlink() or path.is_file() or path.is_fifo():
            path.unlink()
        elif path.is_dir():
            shutil.rmtree(path)
    shutil.rmtree(top / "refs/replace", ignore_errors=True)
    (top / "refs/heads").mkdir()
    (top / "HEAD").unlink(missing_ok=True)
    (top / "HEAD").write_text("ref: refs/heads/alice\n")


# Packs by hand.

COMMIT, TREE, BLOB, TAG, OFS, REF = 1, 2, 3, 4, 6, 7


def number(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def packed(kind: int, data: bytes, *, size: int | None = None, base: bytes = b"") -> bytes:
    """An object as it lies in a pack."""
    size = len(data) if size is None else size
    first, rest = kind << 4 | size & 15, size >> 4
    head = bytes([first | 0x80]) + number(rest) if rest else bytes([first])
    return head + base + zlib.compress(data)


def distance(value: int) -> bytes:
    """Of a delta to its base."""
    out = [value & 0x7F]
    value >>= 7
    while value:
        value -= 1
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(reversed(out))


def pack(*objects: bytes, count: int | None = None, version: int = 2) -> bytes:
    data = b"PACK" + struct.pack(">II", version, len(objects) if count is None else count)
    data += b"".join(objects)
    return data + hashlib.sha1(data, usedforsecurity=False).digest()


def name_of(kind: str, data: bytes) -> str:
    raw = f"{kind} {len(data)}\0".encode() + data
    return hashlib.sha1(raw, usedforsecurity=False).hexdigest()


def history(parent: str, *extra: bytes) -> tuple[str, list[bytes]]:
    """A commit on `parent` with one file, as objects of a pack: (its name, the objects)."""
    blob = b"file\n"
    folder = b"100644 f\0" + bytes.fromhex(name_of("blob", blob))
    text = f"tree {name_of('tree', folder)}\nparent {parent}\nauthor {WHO}\ncommitter {WHO}\n\nx\n"
    return name_of("commit", text.encode()), [
        packed(COMMIT, text.encode()),
        packed(TREE, folder),
        packed(BLOB, blob),
        *extra,
    ]


GREETING = (
    pkt(b"version 2\n")
    + pkt(b"agent=git/evil\n")
    + pkt(b"ls-refs=unborn\n")
    + pkt(b"fetch=shallow wait-for-done\n")
    + pkt(b"object-format=sha1\n")
    + b"0000"
)


def listing(refs: Mapping[bytes, str]) -> bytes:
    return b"".join(pkt(oid.encode() + b" " + name + b"\n") for name, oid in refs.items()) + b"0000"


def bands(data: bytes, band: int = 1) -> bytes:
    step = 65515
    pieces = (data[at : at + step] for at in range(0, len(data), step))
    return b"".join(pkt(bytes([band]) + piece) for piece in pieces)


def sending(data: bytes) -> bytes:
    """The answer to `fetch`: a pack."""
    return pkt(b"packfile\n") + bands(data) + b"0000"


ENOUGH = pkt(b"acknowledgments\n") + pkt(b"ready\n") + b"0001"
"""To a client that has not said it all yet: it is ready to send the pack."""


class Liar:
    """A server of protocol version 2 that answers `ls-refs` and `fetch` with given bytes.

    `None` in an answer: from there on silence. Hangs up when its answers are used up.
    """

    def __init__(
        self, refs: bytes, *answers: bytes, greeting: bytes = GREETING, hang: bool = False
    ) -> None:
        self._out: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._out.put_nowait(greeting)
        self._refs, self._answers, self._hang = refs, list(answers), hang
        self._held = b""

    async def read(self) -> tuple[int, bytes] | None:
        item = await self._out.get()
        if item is None:
            self._out.put_nowait(None)
            return None
        return STDOUT, item

    async def write(self, data: bytes, /) -> None:
        self._held += data
        while (end := self._held.find(b"0000")) >= 0:
            request, self._held = self._held[: end + 4], self._held[end + 4 :]
            if b"command=ls-refs" in request:
                self._say(self._refs)
            elif b"command=fetch" in request:
                answer = self._answers.pop(0) if self._answers else None
                if answer is not None and b"0009done" not in request:
                    answer = ENOUGH + answer
                self._say(answer)

    def _say(self, data: bytes | None) -> None:
        if data is not None or not self._hang:
            self._out.put_nowait(data)

    async def write_eof(self) -> None:
        if not self._hang:
            self._out.put_nowait(None)

    async def close(self) -> None:
        self._out.put_nowait(None)


def liar(refs: Mapping[bytes, str], *answers: bytes, hang: bool = False) -> Opener:
    """Each time a new one."""

    async def start() -> Stream:
        return Liar(listing(refs), *answers, hang=hang)

    return start


async def nonsense(pair: Pair, *argv: str) -> Stream:
    """A program that is no git server."""
    return await LocalStream.start(*argv, cwd=Path("/"), env=pair.home.environment({}))
