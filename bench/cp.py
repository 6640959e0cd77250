"""`rumpel cp` beside `docker cp`: one large file and many small ones, both ways."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from both_ways import container_of_repo
from world import DEV, Figure, Raw, Rumpel, pairs, timed

CONFIG = '{"image": "%s", "runArgs": ["--network=none"], "remoteUser": "dev"}'
LARGE = 1 << 30
MANY = 10_000
IN_FOLDER = 100
SMALL = 1000
LARGE_BAR, MANY_BAR = 1.3, 1.0
PAUSE_S = 2.0
"""Before each copy: the engine and the disk are done with the one before."""


def measure(rumpel: Rumpel, raw: Raw, rounds: int) -> list[Figure]:
    repo = rumpel.repo("cp", CONFIG % DEV)
    rumpel.run("create", "p", cwd=repo)
    container = str(container_of_repo(rumpel, raw, repo, "p"))
    folder = rumpel.folder / "copies"
    folder.mkdir()
    _large(folder / "large")
    _many(folder / "many")
    _exec(container, "mkdir -p /tmp/r /tmp/d && chown dev /tmp/r && chmod 755 /tmp/d")
    found = [
        figure
        for name, bar, label in (
            ("large", LARGE_BAR, "1 GiB"),
            ("many", MANY_BAR, f"{MANY:,} files"),
        )
        for figure in _both(rumpel, repo, container, (folder / name, bar, label), rounds)
    ]
    found.append(_least(rumpel, repo, container, folder, rounds))
    rumpel.run("delete", "--force", "p", cwd=repo)
    shutil.rmtree(folder)
    return found


def _both(
    rumpel: Rumpel, repo: Path, container: str, what: tuple[Path, float, str], rounds: int
) -> list[Figure]:
    """New places each time: what is deleted in between costs the next one's search for inodes."""
    source, bar, label = what
    back = source.parent / f"{source.name}-back"
    back.mkdir()
    name = source.name
    into = pairs(
        lambda n: rumpel.run("cp", str(source), f"p:/tmp/r/{name}{n}", cwd=repo),
        lambda n: docker_cp(str(source), f"{container}:/tmp/d/{name}{n}"),
        rounds,
        pause_s=PAUSE_S,
    )
    out = pairs(
        lambda n: rumpel.run("cp", f"p:/tmp/r/{name}0", str(back / f"r{n}"), cwd=repo),
        lambda n: docker_cp(f"{container}:/tmp/d/{name}0", str(back / f"d{n}")),
        rounds,
        pause_s=PAUSE_S,
    )
    _compare(source, back / "r0")
    shutil.rmtree(back)
    _exec(container, "rm -rf /tmp/r/* /tmp/d/*")
    return [
        Figure(f"cp of {label} into a pod", into[0], "ms", into[1], "docker cp", bar),
        Figure(f"cp of {label} out of a pod", out[0], "ms", out[1], "docker cp", bar),
    ]


def _least(rumpel: Rumpel, repo: Path, container: str, folder: Path, rounds: int) -> Figure:
    (folder / "one").write_text("one\n")
    ours, base = pairs(
        lambda n: rumpel.run("cp", "-q", str(folder / "one"), "p:/tmp/r/one", cwd=repo),
        lambda n: docker_cp(str(folder / "one"), f"{container}:/tmp/d/one"),
        3 * rounds,
    )
    return Figure("cp of one small file into a pod", ours, "ms", base, "docker cp")


def _large(path: Path) -> None:
    with path.open("wb") as file:
        for _ in range(LARGE >> 20):
            file.write(os.urandom(1 << 20))


def _many(folder: Path) -> None:
    for number in range(MANY):
        below = folder / f"{number // IN_FOLDER:04}"
        below.mkdir(parents=True, exist_ok=True)
        (below / f"{number:06}").write_bytes(os.urandom(SMALL))


def _compare(ours: Path, theirs: Path) -> None:
    done = subprocess.run(["diff", "-rq", str(ours), str(theirs)], check=False)
    if done.returncode:
        raise SystemExit(f"{theirs} is not what was copied")


def _exec(container: str, script: str) -> None:
    subprocess.run(["docker", "exec", "-u", "0", container, "sh", "-c", script], check=True)


def docker_cp(source: str, target: str) -> float:
    return timed(lambda: subprocess.run(["docker", "cp", source, target], check=True))
