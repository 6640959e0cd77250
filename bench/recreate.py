"""Recreate: what it costs when nothing, little, or a container's variable has changed."""

from __future__ import annotations

import json
from pathlib import Path

from world import MINI, Figure, Raw, Rumpel, pairs

FILES = 1000
FOLDER = "/workspaces/again"
FORGETS_S = 6.0
"""An ext4 without a journal searches past each file that was deleted in the last five seconds
before it makes one: who comes right after the end of an old container pays for it (4 times)."""


def measure(rumpel: Rumpel, raw: Raw, rounds: int) -> list[Figure]:
    repo = rumpel.repo("again", json.dumps(config()))
    (repo / "src").mkdir()
    for number in range(FILES):
        (repo / "src" / f"f{number}").write_text(f"line {number}\n" * 50)
    rumpel.git(repo, "add", "-A")
    rumpel.git(repo, "commit", "-qm", "files")
    rumpel.run("enter", "warm", "--", "sh", "-c", "echo new >new; echo more >>src/f1", cwd=repo)
    found = [
        nothing(rumpel, repo, rounds),
        later(rumpel, repo, rounds),
        container(rumpel, raw, repo, rounds),
    ]
    rumpel.run("delete", "--force", "warm", cwd=repo)
    return found


def config(**more: object) -> dict[str, object]:
    return {"image": MINI, "runArgs": ["--network=none"], **more}


def configure(repo: Path, **more: object) -> None:
    (repo / ".devcontainer.json").write_text(json.dumps(config(**more)))


def nothing(rumpel: Rumpel, repo: Path, rounds: int) -> Figure:
    mine, base = pairs(
        lambda _: rumpel.run("recreate", "warm", cwd=repo),
        lambda _: rumpel.run("list", cwd=repo),
        rounds,
    )
    return Figure("recreate, nothing changed", mine, "ms", base, "rumpel list", 3)


def later(rumpel: Rumpel, repo: Path, rounds: int) -> Figure:
    def change(number: int) -> None:
        more = {"forwardPorts": [9300]} if number % 2 else {}
        configure(repo, remoteEnv={"ROUND": str(number)}, **more)
        rumpel.run("recreate", "warm", cwd=repo)

    before = rumpel.run("list", "--json", cwd=repo)
    mine, base = pairs(change, lambda _: rumpel.run("list", cwd=repo), rounds)
    after = rumpel.run("list", "--json", cwd=repo)
    assert _container(before) == _container(after), "the container stays"
    return Figure("recreate, remoteEnv or a port changed", mine, "ms", base, "rumpel list", 5)


def container(rumpel: Rumpel, raw: Raw, repo: Path, rounds: int) -> Figure:
    """Against the same steps without any of the checks: the copy is not even compared."""
    image = tools_image_of(rumpel, raw, repo)
    old = [raw.wait(_first(raw, image, tar_of(rumpel, raw, repo)))]

    async def by_hand() -> None:
        await raw.host.stop(old[-1], 10)
        new = await raw.host.create_container(None, raw.body(image))
        raw.made.append(new)
        async with raw.host.get_archive(old[-1], f"{FOLDER}/.") as pieces:
            await raw.host.put_archive(new, FOLDER, pieces)
        await raw.host.start(new)
        await raw.host.exec_run(new, ["true"])
        old.append(new)

    def change(number: int) -> None:
        configure(repo, containerEnv={"ROUND": str(number)})
        rumpel.run("recreate", "warm", cwd=repo)

    mine, base = pairs(change, lambda _: raw.wait(by_hand()), rounds, pause_s=FORGETS_S)
    raw.clear()
    against = f"raw stop + create + copy of {FILES} files + start + exec"
    return Figure("recreate, containerEnv changed", mine, "ms", base, against, 1.4)


def tools_image_of(rumpel: Rumpel, raw: Raw, repo: Path) -> str:
    detail = raw.wait(raw.host.inspect(_container(rumpel.run("list", "--json", cwd=repo))))
    return str(detail.state.image_id)


def tar_of(rumpel: Rumpel, raw: Raw, repo: Path) -> bytes:
    name = _container(rumpel.run("list", "--json", cwd=repo))

    async def read() -> bytes:
        async with raw.host.get_archive(name, f"{FOLDER}/.") as pieces:
            return b"".join([piece async for piece in pieces])

    return bytes(raw.wait(read()))


async def _first(raw: Raw, image: str, tar: bytes) -> str:
    made = await raw.host.create_container(None, raw.body(image))
    raw.made.append(made)
    await raw.host.put_archive(made, FOLDER, tar)
    await raw.host.start(made)
    return str(made)


def _container(listed: str) -> str:
    (row,) = json.loads(listed)["data"]
    return str(row["container_id"])
