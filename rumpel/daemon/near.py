"""The main process of a pod's container in place of an exec, where it runs as the pod's user.

An exec costs an engine some 80 ms of processor time, a request over the link that is there anyway
some 5. Podman's main process cannot be talked to twice.
"""

from __future__ import annotations

from rumpel.adapters import link_pack
from rumpel.adapters.docker_api import DockerHost
from rumpel.adapters.pod_link import Ask
from rumpel.adapters.stream import Stream
from rumpel.daemon.parking import upload_packs
from rumpel.daemon.podsync import PodSync


def ask(host: DockerHost, state: PodSync | None, container_id: str) -> Ask | None:
    """None when it takes an exec."""
    if state is None or state.link is None or not state.link.is_open:
        return None
    is_main = state.is_main and host.info.kind != "podman"
    return state.link.request if is_main and state.access.container_id == container_id else None


async def upload_pack(host: DockerHost, state: PodSync, git_dir: str, *, is_idle: bool) -> Stream:
    """While graphs run, what costs least; else an exec, which serves the next import at once."""

    async def by_exec() -> Stream:
        return await upload_packs(host, state, git_dir)

    found = None if is_idle else ask(host, state, state.access.container_id)
    if found is None:
        return await by_exec()
    return await link_pack.opened(found, f"{state.pod.workspace_folder}/{git_dir}", by_exec)
