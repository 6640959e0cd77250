"""What a pod's container mounts of this machine: only what was agreed to. Before each start.

No operation of its own: all that start a pod's container use it.
"""

from __future__ import annotations

from rumpel.adapters import ssh_name, threads
from rumpel.devcontainer import bound
from rumpel.errors import Conflict
from rumpel.model import ContainerSpec
from rumpel.tasks.world import PodAddress, World

LABEL = "rumpel.bound"
"""Of the container: where its bind mounts led. An image has nothing to say of it, so that it is
never left out."""


async def refuse_links(
    world: World, pod: PodAddress, container_id: str, new: ContainerSpec | None = None
) -> None:
    """Raises Conflict. On another machine paths are that one's, or copies.

    `new`: what the container was made of just now, so that it is not asked for.
    """
    if ssh_name.is_ssh(pod.host):
        return
    if new is not None:
        path = await threads.call(bound.astray, new.host_config, new.bound, new.mounts)
    else:
        found = await world.host(pod.host).inspect(container_id)
        known = found.state.labels.get(LABEL, "").split(",")
        path = await threads.call(bound.astray, found.host_config, known)
    if path:
        raise Conflict(
            f"pod {pod.pod!r} mounts {path}, which leads somewhere else by now",
            hint=f"rumpel recreate {pod.pod}   asks again",
        )
