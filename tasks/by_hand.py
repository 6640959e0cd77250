"""What somebody did by hand to a container that runs: found by its state, and put back.

No operation of its own: `container` uses it. Engine API: `/rename`, `POST /networks/{id}/connect`.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import TYPE_CHECKING

from rumpel import names
from rumpel.engine.operation import OK, Probe, changed
from rumpel.errors import Conflict, NameTaken, NotFound

if TYPE_CHECKING:
    from rumpel.adapters.docker_api import DockerHost
    from rumpel.adapters.docker_types import ContainerState
    from rumpel.model import ContainerSpec

ID = re.compile(r"[0-9a-f]{12,64}")


def check(state: ContainerState, *, name: str, networks: Collection[str]) -> Probe:
    """Has it the name and the networks that it had? An empty name is not known."""
    if name not in ("", names.own_name(state.name)):
        return changed(f"container was renamed to {state.name}")
    lost = [network for network in networks if network not in state.networks]
    return changed(f"container was disconnected from network {lost[0]}") if lost else OK


async def put_back(
    host: DockerHost, state: ContainerState, *, name: str | None, spec: ContainerSpec | None
) -> list[str] | None:
    """Answers what could not be; None when nothing had to be. Raises Conflict.

    Without `name` or `spec` nobody knows what it should be.
    """
    notes: list[str] = []
    lost = () if spec is None else lost_networks(spec, state.networks)
    is_other = name is not None and names.own_name(state.name) != name
    if not is_other and not lost:
        return None
    if is_other and name is not None:
        try:
            await host.rename(state.id, name)
        except NameTaken as error:  # a name is for people: the pod is found by its labels
            notes.append(f"the container keeps the name {state.name}: {error.message}")
    for network in lost:
        await _connect(host, state, network, spec)
    return notes


async def _connect(
    host: DockerHost, state: ContainerState, network: str, spec: ContainerSpec | None
) -> None:
    endpoints = {} if spec is None else spec.networking.get("EndpointsConfig") or {}
    try:
        await host.connect(state.id, network, endpoints.get(network))
    except NotFound as error:
        raise Conflict(
            f"the container {state.name} is not in network {network}, which is gone",
            hint=f"docker network create {network}, or another --network in runArgs",
        ) from error


def lost_networks(spec: ContainerSpec, found: Collection[str]) -> list[str]:
    """Pure. Names of those it should be in and is not; one given by its id has another name."""
    mode = str(spec.host_config.get("NetworkMode") or "default")
    if mode in ("none", "host") or ":" in mode:
        return []
    usual = [] if found else ["bridge"]  # its name is the engine's affair
    more = spec.networking.get("EndpointsConfig") or ()
    wanted = [*(usual if mode == "default" else [mode]), *more]
    return [one for one in dict.fromkeys(wanted) if one not in found and not ID.fullmatch(one)]
