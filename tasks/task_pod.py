"""The pod of a task of a batch is there: created as `rumpel create` does, once there is room.

How many pods a host has at once is the batch's business; what the pods share is built once, since
equal steps of several graphs are one.
"""

from __future__ import annotations

from dataclasses import dataclass

from rumpel.engine.operation import Context, Json, Policy, Probe, changed
from rumpel.tasks import batching
from rumpel.tasks.batching import TaskKey
from rumpel.tasks.world import World

KIND = "pod"
TITLE = "Making the pod"
VERSION = 1
POLICY = Policy(timeout_s=30 * 86400.0, is_reused=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    key: TaskKey
    oid: str | None
    """What a new one starts from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    host: str
    pod_id: str
    container_id: str
    waited_s: float = 0.0
    """For room on a host: that is no time of its own."""


def fingerprint(inputs: Inputs) -> dict[str, Json]:
    return {"task": inputs.key.task, "base": inputs.oid}


def check(world: World, inputs: Inputs, output: Output) -> Probe:
    return changed("asked for every time")


async def run(ctx: Context[World], inputs: Inputs) -> Output:
    made = await batching.of(ctx.world).make(inputs.key, inputs.oid)
    return Output(
        host=made.host,
        pod_id=made.pod_id,
        container_id=made.container_id,
        waited_s=made.waited_s,
    )


async def undo(ctx: Context[World], inputs: Inputs) -> None:
    """Nothing to do: what makes the pod undoes it."""
