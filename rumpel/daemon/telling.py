"""What is told of a configuration and the machines it meets, besides what is done."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rumpel import text
from rumpel.adapters import threads
from rumpel.daemon.hosts import LOCAL
from rumpel.devcontainer import secret_values
from rumpel.tasks import carried
from rumpel.tasks.container_body import GPU_RUNTIME

if TYPE_CHECKING:
    from rumpel.adapters.docker_api import DockerHost
    from rumpel.daemon.app import App
    from rumpel.daemon.client import Client
    from rumpel.daemon.requests import Target
    from rumpel.devcontainer.config import DevConfig
    from rumpel.model import PodSpec


async def of_nobody(app: App, client: Client, where: Target) -> None:
    """Else one learns it from a commit that is refused, in the middle of something."""
    known = await app.links.repo(where.ref).carried()
    found = {"user.name": known.name, "user.email": known.email}
    if missing := [name for name, value in found.items() if not value]:
        client.warn(
            f"git has no {' and no '.join(missing)} here, nor has a pod made now: "
            f"git config --global {missing[0]} ..."
        )


async def of_host(app: App, client: Client, spec: PodSpec, dev: DevConfig, *, is_new: bool) -> None:
    """What this one makes of mounts, and for a new pod whether it is what was wished for.

    Raises ConfigError for a file of secrets that cannot be read.
    """
    await _of_mounts(client, spec.host, dev)
    if is_new:
        _of_requirements(client, app.hosts[spec.host], spec.host, dev)
        await of_secrets(client, spec)


async def of_secrets(client: Client, spec: PodSpec) -> None:
    """Which of them no command will have. Raises ConfigError for a file that cannot be read."""
    found = await threads.call(secret_values.read, spec.secrets_file, spec.secrets)
    if lacking := [name for name in spec.secrets if name not in found]:
        hint = "" if spec.secrets_file else ": rumpel create NAME --secrets-file FILE"
        client.warn(f"no value for {', '.join(lacking)} (secrets){hint}")


async def _of_mounts(client: Client, host: str, dev: DevConfig) -> None:
    """A folder of this machine is copied there; any other path means that machine's."""
    mounted = {one.value for one in dev.effects if one.kind in ("bind", "bind-read")}
    for path in sorted(mounted):
        if await threads.call(carried.is_carried, host, path):
            client.warn(f"{path} is copied to {host} once: later changes stay where they are made")
        elif host != LOCAL:
            client.warn(f"{path} is mounted from {host}, not from this machine")


def _of_requirements(client: Client, host: DockerHost, name: str, dev: DevConfig) -> None:
    """`hostRequirements` are wishes, as in the reference: a pod is made all the same."""
    wanted, there = dev.requires, host.info
    where = f"hostRequirements: {name} has"
    if wanted.cpus > there.cpus > 0:
        client.warn(f"{where} {text.count(there.cpus, 'CPU')}, {wanted.cpus} are wanted")
    # A machine of 8 GB never has all of them.
    if wanted.memory_bytes * 0.9 > there.memory_bytes > 0:
        size = text.size(there.memory_bytes)
        client.warn(f"{where} {size} of memory, {text.size(wanted.memory_bytes)} are wanted")
    if wanted.gpu == "needed" and GPU_RUNTIME not in there.runtimes:
        client.warn(f"{where} no GPU that its engine can use (no runtime {GPU_RUNTIME!r})")
