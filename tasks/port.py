"""A port of the pod can be reached at a port of 127.0.0.1 on this machine.

Nothing is published and the container is not touched: the daemon listens, and every connection
is carried by an exec stream into the pod, so a service is reached that is bound to the pod's own
127.0.0.1, with any network or none. The local port is kept for this port of this pod. Stale when
the container is another one, or when the daemon does not listen.
"""

from __future__ import annotations

from dataclasses import dataclass

from rumpel.engine.operation import OK, Context, Json, Policy, Probe, changed, gone
from rumpel.model import PortSpec
from rumpel.tasks.world import Access, PodAddress, World

KIND = "port"
TITLE = "Forwarding port"
VERSION = 1
POLICY = Policy(timeout_s=60.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    address: PodAddress
    container_id: str
    user: str
    port: PortSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    local: int
    note: str | None
    """Why it is not the local port one would expect."""


def fingerprint(inputs: Inputs) -> dict[str, Json]:
    """A label changes nothing, so it is not in here."""
    port = inputs.port
    return {
        "container.id": inputs.container_id,
        "port": port.key,
        "localPort": port.local,
        **({"wish": port.wish} if port.wish else {}),
        "mayBeLow": port.may_be_low,
    }


def check(world: World, inputs: Inputs, output: Output) -> Probe:
    stopped = world.running(inputs.address.host, inputs.container_id)
    if stopped is not None:
        return stopped
    pod_id, key = inputs.address.pod_id, inputs.port.key
    local = world.ports.local(pod_id, key, inputs.container_id)
    if local == output.local:
        return OK
    why = world.ports.why(pod_id, key)
    if local is None:
        return gone(why or "not forwarded")
    return changed(why or f"local port is {local} now")


async def run(ctx: Context[World], inputs: Inputs) -> Output:
    access = Access(container_id=inputs.container_id, user=inputs.user, as_main=False)
    opened = await ctx.world.ports.open(inputs.address, access, inputs.port)
    ctx.fault("opened")
    ctx.log(f"127.0.0.1:{opened.local}")
    return Output(local=opened.local, note=opened.note)


async def undo(ctx: Context[World], inputs: Inputs) -> None:
    """Nothing to do: a listener without a pod behind it is closed with the pod."""
