"""The user's own command that is told when an agent waits, is done or has failed.

Of the user's settings only: what a repository says must not run anything on this machine. One at a
time, each for a limited while. An agent that waits, is asked and waits again was worth telling
twice; one that says the same again, or changes its mind within a moment, was not.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from rumpel import agents, config, paths
from rumpel.adapters import proc, threads
from rumpel.daemon import requests
from rumpel.daemon.background import Background
from rumpel.errors import ConfigError, RumpelError
from rumpel.tasks.world import PodAddress

log = logging.getLogger(__name__)

SETTLE_S = 0.15
"""A state that is another one by then was none to tell of."""
PAUSE_S = 5.0
"""Between two of one agent: the newest counts."""
TIMEOUT_S = 10.0
MAX_OUTPUT_BYTES = 64 << 10
WORDS = {"waiting": "waits for you", "done": "is done", "failed": "has failed"}
"""By state of `agent_states`."""

Key = tuple[str, str]


class Notifier:
    """`heard` is called for each change; what is to be told is run behind it."""

    def __init__(
        self, background: Background, run: Callable[[PodAddress, str, str], Awaitable[None]]
    ) -> None:
        self._background, self._run = background, run
        self._due: dict[Key, asyncio.TimerHandle] = {}
        self._told_at: dict[Key, float] = {}
        self._queue: dict[Key, tuple[PodAddress, str]] = {}
        self._is_running = False

    def heard(self, pod: PodAddress, agent: str, state: str) -> None:
        key = pod.pod_id, agent
        if (due := self._due.pop(key, None)) is not None:
            due.cancel()
        self._queue.pop(key, None)
        if state in WORDS:
            loop = asyncio.get_running_loop()
            told_at = self._told_at.get(key, -PAUSE_S)
            wait_s = max(SETTLE_S, told_at + PAUSE_S - loop.time())
            self._due[key] = loop.call_later(wait_s, self._tell, pod, agent, state)

    def forget(self, pod_id: str) -> None:
        """There is no such pod any more."""
        for key in [k for k in (*self._told_at, *self._due, *self._queue) if k[0] == pod_id]:
            self._told_at.pop(key, None)
            self._queue.pop(key, None)
            if (due := self._due.pop(key, None)) is not None:
                due.cancel()

    def _tell(self, pod: PodAddress, agent: str, state: str) -> None:
        key = pod.pod_id, agent
        del self._due[key]
        self._told_at[key] = asyncio.get_running_loop().time()
        self._queue[key] = pod, state
        if not self._is_running:
            self._is_running = True
            self._background.spawn(self._drain(), "notify")

    async def _drain(self) -> None:
        try:
            while self._queue:
                key = next(iter(self._queue))
                pod, state = self._queue.pop(key)
                await self._run(pod, key[1], state)
        finally:
            self._is_running = False


async def run(pod: PodAddress, agent: str, state: str) -> None:
    """The command of the user, if there is one; what goes wrong is in the daemon's log."""
    try:
        argv = await threads.call(_command)
        if argv:
            done = await proc.run(
                argv,
                cwd="/",
                env={**os.environ, **words(pod, agent, state)},
                timeout_s=TIMEOUT_S,
                max_output_bytes=MAX_OUTPUT_BYTES,
            )
            if done.code:
                log.warning("notify ended with %d: %s", done.code, done.error_text)
    except RumpelError as error:
        log.warning("notify: %s", error.message)


def words(pod: PodAddress, agent: str, state: str) -> Mapping[str, str]:
    """What the command is told. Nothing in it is a pod's own text."""
    title = agents.title(agent) if agent in (*agents.AGENTS, agents.BUILTIN) else agent
    return {
        "RUMPEL_POD": pod.pod,
        "RUMPEL_AGENT": agent,
        "RUMPEL_STATE": state,
        "RUMPEL_REPO": pod.repo.work_tree,
        "RUMPEL_MESSAGE": f"{title} in {pod.pod} ({pod.repo.basename}) {WORDS[state]}",
    }


def _command() -> tuple[str, ...]:
    variable = config.SETTINGS["notify"].variable
    found = config.resolve(
        flags={},
        env={variable: os.environ.get(variable, "")},
        user=requests.json_file(Path(paths.user_config_path(os.environ)), _log),
        on_problem=_log,
    )
    command: tuple[str, ...] = found.get("notify")
    return command


def _log(problem: ConfigError) -> None:
    log.warning("%s", problem.message)
