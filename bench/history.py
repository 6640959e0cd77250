"""A repository of 150 MB and 20,000 commits: what its seed and its commits cost."""

from __future__ import annotations

import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from pods import CONFIG, grow
from pods import commits as measure_commits
from world import LABEL, MINI, Figure, Raw, Rumpel

from rumpel.adapters import git, git_seed, tar_stream
from rumpel.adapters.tar_stream import Entry

TARGET = "/seed"


def grown(rumpel: Rumpel, commits: int) -> Path:
    repo = rumpel.repo("history", CONFIG % MINI)
    grow(rumpel, repo, commits)
    rumpel.git(repo, "gc", "-q")
    return repo


def seed(rumpel: Rumpel, raw: Raw, repo: Path, rounds: int) -> Figure:
    """Into a volume of a container that was made and not started, as a gateway is."""
    packs = sorted((repo / ".git/objects/pack").iterdir())
    size = sum(path.stat().st_size for path in packs) // 1_000_000
    found = git.discover(str(repo))
    scratch = Path(tempfile.mkdtemp(dir=rumpel.folder))

    async def ours(container: str) -> None:
        async with git_seed.seed(found, scratch, is_bold=True) as tar:  # as for a new volume
            await raw.host.put_archive(container, TARGET, tar)

    async def plain(container: str) -> None:
        tar = tar_stream.chunks([Entry(path.name, path) for path in packs])
        await raw.host.put_archive(container, TARGET, tar)

    mine, theirs = [], []
    for _ in range(rounds):
        theirs.append(raw.wait(poured(raw, plain)))
        mine.append(raw.wait(poured(raw, ours)))
    shutil.rmtree(scratch, ignore_errors=True)
    return Figure(
        f"seed of {size} MB into a host",
        statistics.median(mine),
        "ms",
        statistics.median(theirs),
        "its pack and idx as a plain tar",
        1.3,
    )


async def poured(raw: Raw, pour: Any) -> float:
    made = await raw.host.create_volume(f"rumpel-bench-{time.time_ns()}", LABEL)
    volume = made.name
    body = raw.body(MINI)
    body["HostConfig"]["Mounts"] = [{"Type": "volume", "Source": volume, "Target": TARGET}]
    container = await raw.host.create_container(None, body)
    try:
        begun = time.perf_counter()
        await pour(container)
        return (time.perf_counter() - begun) * 1e3
    finally:
        await raw.host.remove(container, force=True, volumes=False)
        await raw.host.remove_volume(volume)


def commits(rumpel: Rumpel, raw: Raw, repo: Path, rounds: int) -> list[Figure]:
    rumpel.run("create", "far", cwd=repo)
    found = measure_commits(rumpel, raw, repo, rounds, pod="far")
    return [
        Figure(f"{one.name}, long history", one.value, one.unit, one.baseline, one.against, 2.5)
        for one in (found[0], found[2])
    ]
