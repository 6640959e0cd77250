"""A task of a batch is done with its pod: it is stopped, and makes room for the next one."""

from __future__ import annotations

from dataclasses import dataclass

from rumpel.engine.operation import Context, Json, Policy, Probe, changed
from rumpel.tasks import batching
from rumpel.tasks.batching import TaskKey
from rumpel.tasks.world import World

KIND = "leave"
TITLE = "Stopping the pod"
VERSION = 1
POLICY = Policy(timeout_s=660.0, is_reused=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    key: TaskKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    pass


def fingerprint(inputs: Inputs) -> dict[str, Json]:
    return {"task": inputs.key.task}


def check(world: World, inputs: Inputs, output: Output) -> Probe:
    return changed("asked for every time")


async def run(ctx: Context[World], inputs: Inputs) -> Output:
    await batching.of(ctx.world).leave(inputs.key)
    return Output()


async def undo(ctx: Context[World], inputs: Inputs) -> None:
    """Nothing to do: a stopped pod is started by whoever wants in."""
