"""What the steps of a batch ask of the daemon. No operation of its own; they share it.

The daemon knows the tasks that run, with what their user gave them: a prompt, variables, what
signs an agent in. So a step carries the name of its task, and digests of what it depends on.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from rumpel.adapters.docker_exec import Environment
from rumpel.engine.operation import Context
from rumpel.errors import Bug, HostUnreachable, NotRunning, RumpelError
from rumpel.tasks.headless import Inputs as Headless
from rumpel.tasks.shell import Where
from rumpel.tasks.world import PodAddress, World

MOST_STOPS = 5
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskKey:
    """Which task of which batch."""

    repo_id: str
    batch: str
    task: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """A pod that is there for a task."""

    host: str
    pod_id: str
    container_id: str
    waited_s: float = 0.0
    """For room."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seated:
    """A task in its pod: an agent's, or a command with its environment."""

    address: PodAddress
    where: Where
    env: Environment = field(repr=False)
    agent: Headless | None = field(repr=False)
    """None: it is a command."""
    argv: tuple[str, ...] = ()
    timeout_s: float = 0.0
    """What is left of `limit_s`: a daemon that is started again goes on counting."""
    limit_s: float = 0.0


class Batches(Protocol):
    """The batches that run."""

    async def make(self, key: TaskKey, oid: str | None) -> Ready:
        """The task's pod, made from `oid`; waits until its host has room for it."""

    async def back(self, key: TaskKey, oid: str | None, problem: RumpelError) -> None:
        """Its host was lost, or only its pod stopped: until that runs again."""

    def seat(
        self,
        ctx: Context[World],
        key: TaskKey,
        *,
        token: str,
        folder: str,
        goes_on: bool,
        is_anew: bool = False,
    ) -> AbstractAsyncContextManager[Seated]:
        """The task may begin; nobody else's agent begins in its pod meanwhile.

        `is_anew`: the agent is installed, whatever is known.
        """

    async def shell(self, key: TaskKey) -> Seated:
        """To run something else in its pod."""

    def is_cancelled(self, key: TaskKey) -> bool:
        """By its user; else a step that is cancelled goes on without us."""

    def verified(self, key: TaskKey, proof: str) -> str:
        """The task for which this was verified before; empty: none."""

    async def note_verified(self, key: TaskKey, proof: str) -> None:
        """It was, for this one."""

    async def leave(self, key: TaskKey) -> None:
        """All is done in its pod: it is stopped, unless it is to be kept running."""


def of(world: World) -> Batches:
    """Raises Bug where there are none."""
    if world.batches is None:
        raise Bug("this world has no batches")
    return world.batches


async def kept_up(
    ctx: Context[World], key: TaskKey, oid: str | None, work: Callable[[], Awaitable[T]]
) -> T:
    """`work`, and again where its host or its pod was lost, which is no word about it."""
    stops = 0
    while True:
        try:
            return await work()
        except (HostUnreachable, NotRunning) as error:
            stops += isinstance(error, NotRunning)
            if stops > MOST_STOPS:
                raise
            ctx.log(f"{error.message}: waiting for it")
            await of(ctx.world).back(key, oid, error)
