"""The packs of a seed: the user's own where they hold nothing else, and one of the rest.

A pack that is written anew costs as much as all the rest of seeding. But packs also have what
was thrown away, stashed, or fetched and never shared; one that has any of it is not used.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path

from rumpel.adapters import git, git_run, threads
from rumpel.errors import RumpelError

log = logging.getLogger(__name__)

TIMEOUT_S = 1800.0
MAX_OBJECTS = 1_000_000
"""Of which the names are held in memory (100 MB); larger repositories get a new pack."""
MAX_PACKS = 50
MAGIC = b"\xfftOc\0\0\0\2"
FANOUT_BYTES = 256 * 4
PARTS = (".pack", ".idx", ".rev")


async def write(repo: git.Repo, tips: list[str], scratch: Path, *, is_partial: bool) -> None:
    """Files of packs in `scratch` that together hold what `tips` reach, and nothing else."""
    indexes = [] if is_partial else await threads.call(_own, repo)
    if not indexes:
        await _pack(repo, scratch, "--revs", wanted=tips)
        return
    done = await git_run.run(
        repo.git_dir,
        "rev-list",
        "--objects",
        "--no-object-names",
        "--stdin",
        input="".join(f"{oid}\n" for oid in tips).encode(),
        timeout_s=TIMEOUT_S,
        env=git_run.own_env(),
        max_output_bytes=MAX_OBJECTS * 2 * 65,
    )
    rest = await threads.call(_take, done.stdout.split(), indexes, scratch)
    if rest:
        await _pack(repo, scratch, wanted=rest)


async def _pack(repo: git.Repo, scratch: Path, *options: str, wanted: list[str]) -> None:
    """No search for new deltas (window 0): those that exist are reused, the rest is small."""
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
        env=git_run.own_env(),
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


def _take(listed: list[bytes], indexes: list[Path], scratch: Path) -> list[str]:
    """Link packs whose objects are all `listed` into `scratch`; the other objects."""
    wanted = {bytes.fromhex(oid.decode()) for oid in listed}
    left = set(wanted)
    for index in indexes:
        names = _names(index, len(next(iter(wanted), b"")))
        # One whose objects are all in others already would only add to the volume.
        if names <= wanted and not names.isdisjoint(left) and _link(index, scratch):
            left -= names
    if len(left) == len(wanted):
        return [oid.decode() for oid in listed]
    return [oid.decode() for oid in listed if bytes.fromhex(oid.decode()) in left]


def _link(index: Path, scratch: Path) -> bool:
    """Linked, so that a `git gc` meanwhile does no harm; False where that cannot be."""
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
        return False
    return True


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
    return frozenset(table[start : start + oid_bytes] for start in range(0, len(table), oid_bytes))
