"""A container that ended by itself: its own command did, where a pod runs that (overrideCommand).

No operation of its own: what meets it says so instead of what it could not do then.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING

from rumpel.adapters.docker_types import ContainerState, texts
from rumpel.devcontainer.secret_values import mask_cut, maskable, of
from rumpel.errors import CommandFailed, RumpelError
from rumpel.tasks.world import World

if TYPE_CHECKING:
    from rumpel.adapters.docker_api import DockerHost

LOOKS_S = 0.0, 0.1, 0.3
"""Its streams end before the engine says that it has."""


def removed(pod: str) -> RumpelError:
    return RumpelError(f"the container of pod {pod!r} was removed while it was started")


async def at_once(
    world: World, host: str, pod: str, state: ContainerState, private: Iterable[str] = ()
) -> CommandFailed:
    """`private`: variables whose values nobody is to read in what it printed."""
    return CommandFailed(
        f"the container of pod {pod!r} ended at once with {state.exit_code}",
        hint="set overrideCommand to true in devcontainer.json, or fix the image's command",
        details=await _said(world.host(host), state, private),
    )


async def _said(
    engine: DockerHost, state: ContainerState, private: Iterable[str]
) -> dict[str, object]:
    """Nothing where the container went meanwhile: which values it had, nobody can tell then."""
    try:
        tail = (await engine.logs(state.id)).decode(errors="replace")
        said = texts((await engine.inspect(state.id)).config, "Env")
    except RumpelError:
        return {}
    env = dict(pair.partition("=")[::2] for pair in said)
    return {"tail": mask_cut(tail, maskable(of(env, private)))}


async def behind(
    error: RumpelError,
    world: World,
    host: str,
    pod: str,
    container_id: str,
    *,
    private: Iterable[str] = (),
) -> RumpelError:
    """What is behind an error that an ended container would have caused; else the error."""
    for pause_s in LOOKS_S:
        await asyncio.sleep(pause_s)
        try:
            state = (await world.host(host).inspect(container_id)).state
            if state.status == "exited":
                return await at_once(world, host, pod, state, private)
        except RumpelError:
            break
    return error
