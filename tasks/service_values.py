"""Values that nobody is to read in what services print. No operation of its own.

A pod that is entered is made of what is stored, which has digests in their stead; the containers
themselves have them. Engine API: `GET /containers/{id}/json`.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterable
from typing import TYPE_CHECKING, Any

from rumpel.adapters.docker_types import ContainerDetail, texts
from rumpel.devcontainer.secret_values import mask, mask_cut, maskable
from rumpel.errors import RumpelError
from rumpel.model import ProjectSpec, ServiceSpec
from rumpel.sealing import is_sealed
from rumpel.tasks import beside, service_digest
from rumpel.tasks.service_start import Refused
from rumpel.tasks.world import World

if TYPE_CHECKING:
    from rumpel.tasks import services


@contextlib.asynccontextmanager
async def unsaid(world: World, inputs: services.Inputs) -> AsyncIterator[None]:
    """An error that comes out has none of them; where they cannot be known, nothing printed."""
    try:
        yield
    except RumpelError as error:
        private, tail = known(inputs.project, inputs.hidden), error.details.pop("tail", None)
        is_stored = inputs.as_is or any(is_sealed(one.body) for one in inputs.project.services)
        if is_stored and (
            tail is not None or type(error) in (RumpelError, Refused)
        ):  # words of an engine
            try:
                private = maskable([*private, *await _asked(world, inputs)])
            except RumpelError:
                tail = None
        error.message = str(mask(error.message, private))
        error.details = mask(error.details, private)
        if tail is not None:
            error.details["tail"] = mask_cut(str(tail), private)
        raise


def known(project: ProjectSpec, hidden: Iterable[str]) -> tuple[str, ...]:
    """Without asking an engine: digests are none."""
    said = (text for one in project.services for text in one.private_texts)
    return maskable([*hidden, *(text for text in said if not is_sealed(text))])


async def _asked(world: World, inputs: services.Inputs) -> list[str]:
    """What the containers have at the places of such values. Raises RumpelError.

    One that is not what the pod is made of (a recreate failed) may have others: all its variables.
    """
    host, found = world.host(inputs.address.host), await beside.containers(world, inputs.address)
    known_services = {one.name: one for one in inputs.project.services}
    others = {*service_digest.changed(inputs.made_of, found)}
    said = list[str]()
    for state in found:
        name = state.labels.get(beside.LABEL_SERVICE, "")
        detail = await host.inspect(state.id)
        if name in known_services:
            said += _at_places(known_services[name], detail)
        if name in others:
            said += _variables(detail).values()
    return said


def _at_places(service: ServiceSpec, detail: ContainerDetail) -> list[str]:
    """Those of a service's entry, by what they are called in the engine's."""
    config = detail.config
    entry = {
        "environment": _variables(detail),
        "command": config.get("Cmd"),
        "entrypoint": config.get("Entrypoint"),
        "labels": config.get("Labels"),
        "healthcheck": {"test": (config.get("Healthcheck") or {}).get("Test")},
    }
    return [text for place in service.private for text in _texts(entry, place)]


def _texts(value: Any, place: tuple[str | int, ...]) -> list[str]:
    """At the place; all that are below where it cannot be followed to its end."""
    for key in place:
        if isinstance(value, dict):
            value = value.get(key)
        elif isinstance(value, list) and isinstance(key, int) and key < len(value):
            value = value[key]
    found = value if isinstance(value, list) else [value]
    return [one for one in found if isinstance(one, str)]


def _variables(detail: ContainerDetail) -> dict[str, str]:
    return dict(pair.partition("=")[::2] for pair in texts(detail.config, "Env"))
