"""An image that this machine has already is brought to another host, instead of made twice.

No operation of its own: `image` uses it. Only from this machine's own engine, reached by its
socket, and only outwards. An engine elsewhere may hand out whatever it likes and tell whatever it
likes of it: that an image has the id it was asked for says that it arrived whole, not what was
built into it. So what a far engine made is used by the pods there, which are in its hands anyway,
and goes nowhere else. Outwards nothing is given away: the host gets the context, and what is
built from it, in any case.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from rumpel import text
from rumpel.adapters import docker_move
from rumpel.adapters.docker_api import DockerHost
from rumpel.adapters.docker_types import ImageInfo
from rumpel.engine.operation import OK, Context, Probe
from rumpel.errors import HostUnreachable, RumpelError
from rumpel.tasks.world import World

HERE = "local"
"""The host whose engine is this machine's."""
Holds = Callable[[Mapping[str, Any]], Probe]


async def brought(
    ctx: Context[World], host_name: str, record: tuple[int, Mapping[str, Any]], holds: Holds
) -> ImageInfo | None:
    """The image that the same step has made here; None when there is none, or it cannot be had.

    `record`: version and fingerprint, which have to be the same. `holds`: does what is recorded
    still hold?
    """
    host = ctx.world.host(host_name)
    if host_name == HERE:
        return None
    output = await ctx.world.made_here(ctx.node_id, *record)
    here = ctx.world.hosts.get(HERE)
    if output is None or here is None or not is_own_engine(here):
        return None
    if (probe := holds(output)) != OK:
        ctx.log(f"this machine's image does not count: {probe.detail or probe.state}")
        return None
    found = await here.image(str(output["image_id"]))
    if found is None or (found.os, found.architecture) != (host.info.os, host.info.architecture):
        return None
    ctx.log(f"bringing {output['tag']} from this machine, {text.size(found.size_bytes)}")
    try:
        arrived = await docker_move.move(here.http, host.http, found.id)
        await host.tag(arrived.id, str(output["tag"]))
    except HostUnreachable:
        raise
    except RumpelError as error:
        ctx.log(f"it could not be brought: {error.message}")
        return None
    ctx.fault("brought")
    return arrived


def is_own_engine(host: DockerHost) -> bool:
    """`local` may be far away, too, by DOCKER_HOST or a context."""
    return host.url.startswith("unix:")
