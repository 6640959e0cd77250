"""A slow onCreateCommand and many pods: paid once, beside what nobody can do without."""

from __future__ import annotations

import json
import statistics
import time
from pathlib import Path

from pods import PARALLEL, container_of, tools_image
from world import MINI, Figure, Raw, Rumpel, pairs, timed

SECONDS = 10
RAN = "/tmp/ran"
WRITE = f"head -c 1000000 /dev/urandom >/var/made; cat /proc/sys/kernel/random/uuid >{RAN}"
COMMAND = f"sleep {SECONDS}; {WRITE}"


def many(rumpel: Rumpel, raw: Raw, rounds: int, *, count: int = 20) -> list[Figure]:
    """Each round is a new content, so a new prebuild."""
    repo = rumpel.repo("prebuilt", json.dumps({"image": MINI, "runArgs": ["--network=none"]}))
    rumpel.run("create", "warm", cwd=repo)
    image = tools_image(raw, rumpel)
    mine, theirs, runs = [], [], 0
    for number in range(rounds):
        configure(rumpel, repo, number)
        theirs.append(timed(lambda: raw.wait(raw.many(image, count, PARALLEL))))
        commit_ms = raw.wait(commit(raw, image))
        raw.clear()
        theirs[-1] = SECONDS * 1e3 + commit_ms + 1.3 * theirs[-1]
        names = [f"p{number}-{index}" for index in range(count)]
        mine.append(timed(lambda names=names: rumpel.run("create", *names, cwd=repo)))
        runs = max(runs, len({ran(rumpel, raw, name) for name in names}))
        rumpel.run("delete", "--force", *names, cwd=repo)
    figure = Figure(
        f"{count} pods with an onCreateCommand of {SECONDS} s",
        statistics.median(mine),
        "ms",
        statistics.median(theirs),
        f"{SECONDS} s + one raw commit + 1.3 x {count} raw create + start",
        1.0,
    )
    found = [
        figure,
        Figure("times that command ran for them", runs, "", bar=1),
        *later(rumpel, repo),
    ]
    raw.wait(forget_images(rumpel, raw))
    return found


def later(rumpel: Rumpel, repo: Path, rounds: int = 7) -> list[Figure]:
    """One more pod of the same content, beside one of a repository without commands."""
    plain = rumpel.folder / "small"
    mine, base = pairs(
        lambda n: rumpel.run("create", f"later-{n}", cwd=repo),
        lambda n: rumpel.run("create", f"plain-{n}", cwd=plain),
        rounds,
    )
    for path, name in ((repo, "later"), (plain, "plain")):
        rumpel.run("delete", "--force", *(f"{name}-{n}" for n in range(rounds)), cwd=path)
    return [
        Figure("one more pod from a prebuild", mine, "ms", base, "create without commands", 1.3)
    ]


def configure(rumpel: Rumpel, repo: Path, number: int) -> None:
    config = {"image": MINI, "runArgs": ["--network=none"], "onCreateCommand": COMMAND}
    (repo / ".devcontainer.json").write_text(json.dumps(config))
    (repo / "content").write_text(f"{number}\n")
    rumpel.git(repo, "add", "-A")
    rumpel.git(repo, "commit", "-qm", f"content {number}")


async def commit(raw: Raw, image: str) -> float:
    """Milliseconds of one, of a megabyte as the command leaves."""
    container = await raw.create_start(image)
    await raw.host.exec_run(container, ["sh", "-c", WRITE])
    begun = time.perf_counter()
    made = await raw.host.commit(container, "", {})
    took_ms = (time.perf_counter() - begun) * 1e3
    await raw.host.remove_image(made, force=True)
    return took_ms


async def forget_images(rumpel: Rumpel, raw: Raw) -> None:
    home = (rumpel.folder / "s" / "rumpel" / "home-id").read_text().strip()
    for image in await raw.host.images([f"rumpel.home={home}", "rumpel.kind=prebuilt"]):
        await raw.host.remove_image(image, force=True)


def ran(rumpel: Rumpel, raw: Raw, pod: str) -> bytes:
    done = raw.wait(raw.host.exec_run(container_of(rumpel, raw, pod), ["cat", RAN]))
    return bytes(done.stdout)
