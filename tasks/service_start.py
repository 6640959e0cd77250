"""Which service could not be started, and why, in the engine's words. No operation of its own.

Engine API: `GET /containers/{id}/json`, whose `State.Error` tells of the last start.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncIterator

from rumpel.adapters.docker_types import ContainerDetail
from rumpel.errors import CommandFailed, HostUnreachable, RumpelError, TimedOut
from rumpel.tasks.beside import LABEL_SERVICE, containers
from rumpel.tasks.world import PodAddress, World

WRAPPINGS = re.compile(
    r"(?:(?:failed to create (?:shim )?task(?: for container)?|OCI runtime create failed"
    r"|(?:runc|crun)(?: create failed)?|unable to start container process"
    r"|error during container init|starting container process caused|\w+_linux\.go:\d+): )+"
)
"""Who hands an error on says so in front of it."""


class Refused(CommandFailed):
    """In words of an engine: what a service was given may be in them."""


@contextlib.asynccontextmanager
async def explained(world: World, pod: PodAddress) -> AsyncIterator[None]:
    """What is started within: compose tells of its own end, an engine of a number."""
    try:
        yield
    except (HostUnreachable, TimedOut):
        raise
    except RumpelError as error:
        found = await _refused(world, pod, error)
        if found is None:
            raise
        raise _failed(found, error) from error


async def _refused(world: World, pod: PodAddress, error: RumpelError) -> ContainerDetail | None:
    """The one that the error names, if there are several."""
    try:
        states = await containers(world, pod)
        details = [await world.host(pod.host).inspect(one.id) for one in states]
    except RumpelError:
        return None  # its own words have to do
    refused = [one for one in details if one.error and one.state.status != "running"]
    said = f"{error.message} {error.details.get('tail', '')}"
    named = [one for one in refused if one.state.name in said or one.id[:12] in said]
    return next(iter(named or refused), None)


def _failed(detail: ContainerDetail, error: RumpelError) -> Refused:
    service = detail.state.labels.get(LABEL_SERVICE, detail.state.name)
    return Refused(
        f"service {service} could not be started: {reason(detail.error)}",
        hint=f"correct service {service} in the compose file, then try again",
        details=error.details,
    )


def reason(said: str) -> str:
    """In one line, without those that handed it on."""
    return WRAPPINGS.sub("", " ".join(said.split()), count=1).removesuffix(": unknown")
