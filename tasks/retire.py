"""The pod's new container has the place of the old one, which nobody needs any more.

Comes after `sync`: the new one was verified, its link works, and its commits are on the host. From
the first rename on there is no way back, only forward. That the old one is removed nobody has to
wait for (0.3 s and more): what its name says is enough for the next start of the daemon. Engine
API: `/rename`.
"""

from __future__ import annotations

from dataclasses import dataclass

from rumpel.engine.operation import Context, Json, Policy, Probe, changed
from rumpel.tasks import replace
from rumpel.tasks.world import PodAddress, World

KIND = "retire"
TITLE = "Swapping containers"
VERSION = 2
POLICY = Policy(slots=("stop",), timeout_s=180.0, retries=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    address: PodAddress
    container_id: str
    """The one that stays."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    aside: tuple[str, ...]
    """Those that are to be removed."""


def fingerprint(inputs: Inputs) -> dict[str, Json]:
    return {"container.id": inputs.container_id}


def check(world: World, inputs: Inputs, output: Output) -> Probe:
    return changed("asked for every time")


async def run(ctx: Context[World], inputs: Inputs) -> Output:
    aside = await replace.swap(ctx.world, inputs.address, inputs.container_id)
    for name in (*aside, inputs.container_id):  # two of one name could not be told apart
        await ctx.world.looked(inputs.address.host, name)
    return Output(aside=aside)


async def undo(ctx: Context[World], inputs: Inputs) -> None:
    """Nothing to do: run again, it goes on."""
