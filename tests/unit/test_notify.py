"""When the user's command is told of an agent, and when it is not."""

from __future__ import annotations

import asyncio

import pytest

from rumpel.daemon import notify
from rumpel.daemon.background import Background
from rumpel.daemon.notify import Notifier
from rumpel.model import RepoRef
from rumpel.tasks.world import PodAddress

REPO = RepoRef.at("/r/.git", "/r")
PODS = [
    PodAddress(repo=REPO, host="local", pod=name, pod_id=name, workspace_folder="/w")
    for name in "ab"
]


class Heard:
    """What the command was told, one after the other; it takes a while."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self._changed, self._at_once = asyncio.Event(), 0

    async def run(self, pod: PodAddress, agent: str, state: str) -> None:
        self._at_once += 1
        assert self._at_once == 1, "one at a time"
        await asyncio.sleep(0)
        self._at_once -= 1
        self.told.append(f"{pod.pod} {agent} {state}")
        self._changed.set()

    async def several(self, count: int) -> list[str]:
        async with asyncio.timeout(20):
            while len(self.told) < count:
                self._changed.clear()
                await self._changed.wait()
        return self.told


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notify, "SETTLE_S", 0.01)
    monkeypatch.setattr(notify, "PAUSE_S", 0.02)


async def test_what_changes_at_once_is_told_once() -> None:
    async with Background() as background:
        heard = Heard()
        notifier = Notifier(background, heard.run)
        for state in ("working", "waiting", "working", "failed"):
            notifier.heard(PODS[0], "claude", state)
        notifier.heard(PODS[1], "claude", "waiting")
        assert await heard.several(2) == ["a claude failed", "b claude waiting"]


async def test_one_that_works_on_is_not_told_of() -> None:
    async with Background() as background:
        heard = Heard()
        notifier = Notifier(background, heard.run)
        notifier.heard(PODS[0], "claude", "waiting")
        notifier.heard(PODS[0], "claude", "working")
        notifier.heard(PODS[0], "codex", "ended")
        notifier.heard(PODS[1], "claude", "done")
        assert await heard.several(1) == ["b claude done"]


async def test_a_new_turn_is_told_of_again() -> None:
    async with Background() as background:
        heard = Heard()
        notifier = Notifier(background, heard.run)
        for count in (1, 2, 3):
            notifier.heard(PODS[0], "claude", "working")
            notifier.heard(PODS[0], "claude", "waiting")
            await heard.several(count)
        assert heard.told == ["a claude waiting"] * 3


async def test_a_deleted_pod_is_not_told_of() -> None:
    async with Background() as background:
        heard = Heard()
        notifier = Notifier(background, heard.run)
        notifier.heard(PODS[0], "claude", "waiting")
        notifier.forget("a")
        notifier.heard(PODS[1], "claude", "waiting")
        assert await heard.several(1) == ["b claude waiting"]


async def test_a_command_that_goes_wrong_harms_nobody(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(notify, "TIMEOUT_S", 0.2)
    for command, word in (("exit 3", "ended with 3"), ("sleep 60", "0.2"), ("yes", "more than")):
        monkeypatch.setenv("RUMPEL_NOTIFY", command)
        await notify.run(PODS[0], "claude", "waiting")
        assert word in caplog.messages[-1]
