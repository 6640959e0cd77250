"""All imported branches of a pod are held under refs/rumpel/keep/ before anything is removed.

Without it a `git gc` of the user could drop commits that only the deleted pod's refs reached.
"""

from __future__ import annotations

from dataclasses import dataclass

from rumpel.engine.operation import Context, Json, Policy, Probe, changed
from rumpel.tasks.world import PodAddress, World

KIND = "keep"
TITLE = "Keeping branches"
VERSION = 1
POLICY = Policy(slots=("sync",), timeout_s=60.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    address: PodAddress


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    kept: int


def fingerprint(inputs: Inputs) -> dict[str, Json]:
    return {"pod": inputs.address.pod_id}


def check(world: World, inputs: Inputs, output: Output) -> Probe:
    return changed("asked for every time")


async def run(ctx: Context[World], inputs: Inputs) -> Output:
    return Output(kept=await ctx.world.links.keep(inputs.address))


async def undo(ctx: Context[World], inputs: Inputs) -> None:
    """Nothing to do: a keep ref too many harms nobody."""
