"""What containers of services are made of, as their labels say it. Pure, no operation of its own.

`made_of`: the services of a pod, each with its image.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from rumpel.adapters.docker_types import ContainerState
from rumpel.model import ProjectSpec, ServiceSpec
from rumpel.tasks.beside import LABEL_SERVICE
from rumpel.tasks.container import LABEL_SPEC

MadeOf = Sequence[tuple[ServiceSpec, str]]


def digest(one: ServiceSpec, image_id: str) -> str:
    """On its container: made of this."""
    text = json.dumps([one.sealed_body, image_id], sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def model(project: ProjectSpec, made_of: MadeOf, labels: Mapping[str, str]) -> dict[str, Any]:
    """What compose is given. `labels`: of every container."""
    done = {}
    for one, image in made_of:
        own = {LABEL_SERVICE: one.name, LABEL_SPEC: digest(one, image)}
        given = {**one.body.get("labels", {}), **labels, **own}
        done[one.name] = {**one.body, "image": image, "labels": given}

    def external(given: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
        return {key: {"external": True, "name": one["name"]} for key, one in given.items()}

    return {
        "services": done,
        "networks": external(project.networks),
        "volumes": external(project.volumes),
    }


def is_whole(made_of: MadeOf, found: Sequence[ContainerState]) -> bool:
    """Is each there once, made of what it should be made of, and nothing else?"""
    wanted = {one.name: digest(one, image) for one, image in made_of}
    there = {state.labels.get(LABEL_SERVICE): state.labels.get(LABEL_SPEC) for state in found}
    is_single = len(found) == len(there)
    return there == wanted and is_single and all(state.status != "dead" for state in found)


def changed(made_of: MadeOf, found: Sequence[ContainerState]) -> list[str]:
    """Services whose containers are not made of what they should be made of."""
    wanted = {one.name: digest(one, image) for one, image in made_of}
    there = [(state.labels.get(LABEL_SERVICE, ""), state.labels) for state in found]
    return [name for name, labels in there if wanted.get(name) != labels.get(LABEL_SPEC)]
