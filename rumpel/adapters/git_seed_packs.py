"""The packs of a seed: the user's own where they hold nothing else, and one of the rest.

A pack that is written anew costs as much as all the rest of seeding. But packs also have what
was thrown away, stashed, or fetched and never shared; one that has any of it is not used. The proof
takes as long as the pour, so both can be done side by side.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from rumpel.adapters import git, git_quarantine, git_run, threads
from rumpel.errors import RumpelError

log = logging.getLogger(__name__)

TIMEOUT_S = 1800.0
MAX_OBJECTS = 1_000_000
"""Of which the names are held in memory (100 MB); larger repositories get a new pack."""
MAX_PACKS = 50
MAX_STRANGE = 1000
EARLY_BYTES = 8 << 20
"""Below that the proof takes no longer than the pour."""
MAGIC = b"\xfftOc\0\0\0\2"
FANOUT_BYTES = 256 * 4
PARTS = (".pack", ".idx", ".rev")


class Unclean(RumpelError):
    """A pack that looked like the branches' own holds something else, and is poured already."""


@dataclass(frozen=True, slots=True)
class Draft:
    """Packs in `scratch` that hold what `tips` reach: `early` ones at once, the others later."""

    repo: git.Repo
    tips: list[str]
    scratch: Path
    early: list[Path]
    """Perhaps not clean: whatever became of them must be thrown away unless `rest` succeeds."""
    _listing: asyncio.Task[list[bytes]] | None

    async def rest(self) -> list[Path]:
        """All other files of packs. Raises Unclean, RumpelError."""
        early = set(self.early)
        if self._listing is None:
            await _pack(self.repo, self.scratch, "--revs", wanted=self.tips)
        else:
            listed = await self._listing
            indexes = await threads.call(_own, self.repo)
            proven = [path for path in self.early if path.suffix == ".idx"]
            found = await threads.call(_take, listed, indexes, self.scratch, proven)
            if found:
                await _pack(self.repo, self.scratch, wanted=found)
        return [path for path in await threads.call(_files, self.scratch) if path not in early]

    async def close(self) -> None:
        if self._listing is not None:
            self._listing.cancel()
            await asyncio.wait({self._listing})
            if not self._listing.cancelled():
                self._listing.exception()  # seen: whoever wanted the list has got it


async def draft(
    repo: git.Repo, tips: list[str], scratch: Path, *, is_partial: bool, is_bold: bool
) -> Draft:
    """`is_bold`: a large pack that seems clean comes before it is proven to be."""
    indexes = await threads.call(_own, repo) if tips and not is_partial else []
    if not indexes:
        return Draft(repo, tips, scratch, [], None)
    listing = asyncio.get_running_loop().create_task(
        _list(repo, tips, "--objects", "--no-object-names"), name="objects of a seed"
    )
    made = Draft(repo, tips, scratch, [], listing)
    try:
        is_large = is_bold and await threads.call(_weight, indexes[0]) >= EARLY_BYTES
        # It reads commits alone, where the proof reads every tree.
        if is_large and await seems_clean(repo, tips, indexes[0]):
            made.early.extend(await threads.call(_link, indexes[0], scratch))
    except BaseException:
        await made.close()
        raise
    return made


async def _list(repo: git.Repo, tips: list[str], *options: str) -> list[bytes]:
    """The commits that `tips` reach, or more with OPTIONS."""
    done = await git_run.run(
        repo.git_dir,
        "rev-list",
        *options,
        "--stdin",
        input="".join(f"{oid}\n" for oid in tips).encode(),
        timeout_s=TIMEOUT_S,
        env=git_run.own_env(),
        max_output_bytes=MAX_OBJECTS * 2 * 65,
    )
    return done.stdout.split()


async def seems_clean(repo: git.Repo, tips: list[str], index: Path) -> bool:
    """It has no commit that a ref or a reflog has, and the branches lack; others may dangle."""
    done = await git_run.run(
        repo.git_dir,
        "rev-list",
        f"--max-count={MAX_STRANGE}",
        "--all",
        "--reflog",
        "--stdin",
        input="".join(f"^{oid}\n" for oid in tips).encode(),
        timeout_s=TIMEOUT_S,
        env=git_run.own_env(),
        codes=(0, 128),
    )
    strange = done.stdout.split()
    if done.code or len(strange) == MAX_STRANGE:
        return False
    names = await threads.call(_names, index, len(tips[0]) // 2)
    found = {oid for oid in strange if bytes.fromhex(oid.decode()) in names}
    # Git goes by dates: who is younger than its own children may be named though a branch has it.
    return not found or found.issubset(await _list(repo, tips))


async def _pack(repo: git.Repo, scratch: Path, *options: str, wanted: list[str]) -> None:
    """No search for new deltas (window 0): those that exist are reused, the rest is small."""
    env = await threads.call(_there, repo, scratch)
    try:
        await _packed(repo, scratch, *options, wanted=wanted, env=git_run.own_env() | env)
    finally:
        if env:
            await threads.call(shutil.rmtree, env["GIT_OBJECT_DIRECTORY"], ignore_errors=True)


def _there(repo: git.Repo, scratch: Path) -> dict[str, str]:
    """git writes a pack among the objects and moves it to its place, which is no way from one
    file system to another: then it gets a folder for objects beside that.
    """
    if scratch.stat().st_dev == Path(repo.objects_dir).stat().st_dev:
        return {}
    return {
        "GIT_OBJECT_DIRECTORY": tempfile.mkdtemp(dir=scratch.parent, prefix="objects-"),
        "GIT_ALTERNATE_OBJECT_DIRECTORIES": git_quarantine.quoted(repo.objects_dir),
    }


async def _packed(
    repo: git.Repo, scratch: Path, *options: str, wanted: list[str], env: dict[str, str]
) -> None:
    await git_run.run(
        repo.git_dir,
        "-c",
        "pack.writeReverseIndex=true",
        "pack-objects",
        "--quiet",
        "--delta-base-offset",
        "--window=0",
        *options,
        str(scratch / "pack"),
        input="".join(f"{oid}\n" for oid in wanted).encode(),
        timeout_s=TIMEOUT_S,
        env=env,
    )


def _own(repo: git.Repo) -> list[Path]:
    """Indexes of the repository's packs, the largest first; none when they are too many."""
    found = [
        path
        for path in Path(repo.objects_dir, "pack").glob("pack-*.idx")
        if path.with_suffix(".pack").exists() and not path.with_suffix(".mtimes").exists()
    ]
    if len(found) > MAX_PACKS or sum(map(_count, found)) > MAX_OBJECTS:
        return []
    return sorted(found, key=_count, reverse=True)


def _take(listed: list[bytes], indexes: list[Path], scratch: Path, early: list[Path]) -> list[str]:
    """Link packs whose objects are all `listed` into `scratch`; the other objects.

    Raises Unclean when one of the `early` ones is none of these.
    """
    size = len(next(iter(listed), b"")) // 2
    wanted = _split(bytes.fromhex(b"".join(listed).decode()), size)
    left = set(wanted)
    for index in early:
        names = _names(index, size)
        if not names <= wanted:
            raise Unclean(f"{index.name} has more than the branches")
        left -= names
    for index in indexes:
        names = _names(index, size)
        # One whose objects are all in others already would only add to the volume.
        if names <= wanted and not names.isdisjoint(left) and _link(index, scratch):
            left -= names
    if not left:
        return []
    if len(left) == len(wanted):
        return [oid.decode() for oid in listed]
    return [oid.decode() for oid in listed if bytes.fromhex(oid.decode()) in left]


def _link(index: Path, scratch: Path) -> list[Path]:
    """Linked, so that a `git gc` meanwhile does no harm; nothing where that cannot be."""
    made: list[Path] = []
    try:
        for suffix in PARTS:
            path, target = index.with_suffix(suffix), scratch / index.with_suffix(suffix).name
            if suffix != ".rev" or path.exists():
                os.link(path, target)
                made.append(target)
    except OSError as err:
        log.info("%s is not reused: %s", index.name, err.strerror)
        for target in made:
            target.unlink()
        return []
    return made


def _files(scratch: Path) -> list[Path]:
    return sorted(scratch.iterdir())


def _weight(index: Path) -> int:
    try:
        return index.with_suffix(".pack").stat().st_size
    except FileNotFoundError:
        return 0


def _count(index: Path) -> int:
    with index.open("rb") as file:
        head = file.read(len(MAGIC) + FANOUT_BYTES)
    return int.from_bytes(head[-4:], "big") if head.startswith(MAGIC) else MAX_OBJECTS + 1


def _names(index: Path, oid_bytes: int) -> frozenset[bytes]:
    """The objects of a pack. Raises RumpelError when the index is cut off."""
    count = _count(index)
    with index.open("rb") as file:
        file.seek(len(MAGIC) + FANOUT_BYTES)
        table = file.read(count * oid_bytes)
    if len(table) != count * oid_bytes:
        raise RumpelError(f"{index} is cut off")
    return _split(table, oid_bytes)


def _split(names: bytes, size: int) -> frozenset[bytes]:
    return frozenset(names[start : start + size] for start in range(0, len(names), size or 1))
