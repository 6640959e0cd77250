"""What a gateway is sent, and what is noted of it; its engine runs everything here."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from rumpel.adapters import git, git_push, threads
from rumpel.adapters.docker_api import DockerHost
from rumpel.adapters.docker_types import Completed
from rumpel.daemon.by_hand import ByHandLook
from rumpel.daemon.repos import Gateway, RepoSync
from rumpel.model import PodSpec, RepoRef
from tests.adapters.git.conftest import LocalStream, Pair


class Here:
    """What a gateway needs of an engine."""

    def __init__(self, env: dict[str, str]) -> None:
        self.env = env
        self.after_run: Callable[[], None] = lambda: None

    async def exec_stream(self, _: str, argv: Sequence[str], **_options: Any) -> LocalStream:
        return await LocalStream.start(*argv, cwd=Path("/"), env=self.env)

    async def exec_run(self, _: str, argv: Sequence[str], **_options: Any) -> Completed:
        process = await asyncio.create_subprocess_exec(
            *argv, cwd="/", env=self.env, stdout=asyncio.subprocess.PIPE, stderr=-1
        )
        out, err = await process.communicate()
        return Completed(code=process.returncode or 0, stdout=out, stderr=err)


class Sync(RepoSync):
    """Somebody may do something while large files are sent."""

    meanwhile: Callable[[], None] = staticmethod(lambda: None)

    async def send_large(self, *_args: Any, **_options: Any) -> None:
        await asyncio.to_thread(self.meanwhile)


class Seed:
    """The seed of a repository, looked at and mended."""

    def __init__(self, pair: Pair, folder: Path) -> None:
        self.pair, self.path = pair, folder / "seed.git"
        self.ref = RepoRef.at(pair.repo.common_dir, str(pair.host.root))
        self.sync = Sync(self.ref, on_pushed=lambda *_: None, on_published=lambda _: None)
        self.look = ByHandLook(lambda _: self.sync)
        self.here = Here(dict(pair.home.environment(None)))
        self.seat(self.path)

    def seat(self, path: Path) -> None:
        pair = self.pair
        pair.host.git("init", "-q", "--bare", "-b", "none", str(path))
        gateway = Gateway(
            host=cast(DockerHost, self.here), host_name="local", container_id="g", path=str(path)
        )
        # In its volume a seed has a fixed path.
        self.sync._gateways["local", "/rumpel/host.git"] = gateway

    def refs(self) -> dict[str, str]:
        text = self.pair.host.git("--git-dir", str(self.path), "for-each-ref", "refs/heads")
        return {line.split()[2]: line.split()[0] for line in text.splitlines()}

    async def push(self) -> None:
        for seat in list(self.sync._gateways):
            await self.sync._send_news(seat)

    async def damage(self) -> str | None:
        return await self.look.look_at_seed(self.ref, "local")


@pytest.fixture
def seed(quick: Pair, tmp_path: Path) -> Seed:
    return Seed(quick, tmp_path)


async def test_a_new_gateway_is_sent_what_the_last_one_had(seed: Seed, tmp_path: Path) -> None:
    host = seed.pair.host
    loose = host.git("commit-tree", "HEAD^{tree}", "-m", "restored")
    for name in ("one.git", "two.git"):
        seed.seat(tmp_path / name)
        tips = await threads.call(lambda: (git.head(seed.pair.repo), host.refs("refs/heads/")))
        seed.sync.mark_sent("local", tips)
        for _ in range(2):
            await seed.sync.ensure("local", None, {"refs/heads/x": loose})
        at = ("--git-dir", str(tmp_path / name))
        assert host.git(*at, "for-each-ref", "--format=%(objectname)", "refs/rumpel") == loose


@pytest.mark.parametrize("is_first", [True, False])
async def test_what_is_noted_is_what_was_sent(seed: Seed, *, is_first: bool) -> None:
    """A user who commits during a push has damaged nothing."""
    host = seed.pair.host
    if not is_first:
        await seed.push()
        host.commit("before")

    def commit() -> None:
        host.commit("meanwhile")
        host.git("branch", "-f", "new")

    seed.sync.meanwhile = commit
    await seed.push()
    assert await seed.damage() is None
    seed.sync.meanwhile = lambda: None
    await seed.push()
    assert seed.refs() == host.refs("refs/heads/")
    assert await seed.damage() is None
    host.git("branch", "-D", "new")
    host.git("branch", "new/deep")
    await seed.push()
    assert seed.refs() == host.refs("refs/heads/")
    assert await seed.damage() is None


async def test_a_push_that_failed_is_not_known(seed: Seed) -> None:
    await seed.push()
    assert seed.sync.sent("local") is not None
    hook = seed.path / "hooks/pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)
    seed.pair.host.commit("next")
    await seed.push()
    assert seed.sync.sent("local") is None
    hook.unlink()
    await seed.push()
    assert seed.refs() == seed.pair.host.refs("refs/heads/")


async def test_a_push_while_a_seed_is_mended_is_not_lost(seed: Seed) -> None:
    await seed.push()
    seed.pair.host.git("--git-dir", str(seed.path), "pack-refs", "--all")
    seed.pair.host.commit("not poured")
    await seed.push()
    await seed.look.mend_seed(seed.ref, "local")
    assert seed.refs() == seed.pair.host.refs("refs/heads/")


async def test_a_mend_waits_for_a_push_that_is_under_way(seed: Seed) -> None:
    await seed.push()
    async with seed.sync.push_lock("local"):
        mend = asyncio.ensure_future(seed.look.mend_seed(seed.ref, "local"))
        done = await seed.here.exec_run("g", ["/bin/sh", "-c", ":"])
        assert not done.code
        assert seed.refs(), "it took the branches away under the push"
    await mend
    assert seed.refs() == seed.pair.host.refs("refs/heads/")


async def test_a_look_at_everything_does_not_wait_for_a_push(seed: Seed) -> None:
    await seed.push()
    pod = cast(PodSpec, type("Pod", (), {"repo": seed.ref, "host": "local"}))
    async with seed.sync.push_lock("local"), asyncio.timeout(10):
        await seed.look.look([pod])
    (seed.path / "HEAD").unlink()
    await seed.look.look([pod])
    assert "damaged" in str(seed.look.seed(seed.ref, "local"))


def test_the_refspecs_of_a_push() -> None:
    before = {"refs/heads/a": "1", "refs/heads/b": "1"}
    assert git_push.moves(before, {**before, "refs/heads/b": "2"}, "a") == ["+2:refs/heads/b"]
    assert git_push.moves(before, before, "b") == ["+1:refs/heads/b"]
    assert git_push.moves(before, before, None) == ["+1:refs/heads/a"]
    assert git_push.moves(before, {"refs/heads/a": "1"}, "a") is None
    assert git_push.moves({}, {}, "unborn") is None
    many = {f"refs/heads/{number}": "1" for number in range(git_push.MAX_MOVES + 1)}
    assert git_push.moves({}, many, None) is None
