"""What tells one engine from another, over restarts and by whatever name it is reached.

Docker has an id of its own (`GET /info`). Podman makes one up for each answer, and two machines
may have one name and one folder: there a volume of ours carries it.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping

from rumpel.adapters import docker_containers
from rumpel.adapters import docker_types as types
from rumpel.adapters.docker_http import HttpClient

VOLUME, LABEL = "rumpel-engine", "rumpel.engine"


async def ask(http: HttpClient, kind: str, info: Mapping[str, types.Json]) -> str:
    """The id of the engine that says `info`. Who is the first to ask a Podman gives it one."""
    if kind == "docker":
        return types.text(info, "ID", 200)
    known = await docker_containers.inspect_volume(http, VOLUME)
    if known is None:
        mark = {LABEL: uuid.uuid4().hex}
        known = await docker_containers.create_volume(http, VOLUME, mark, "local", {})
    return known.labels.get(LABEL, "")
