"""What a command in a pod is lent of the user's: an ssh agent, git's passwords."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rumpel.config import Settings
    from rumpel.daemon.app import App
    from rumpel.daemon.client import Client
    from rumpel.daemon.pods import Pod
    from rumpel.tasks.world import Access


async def environment(
    app: App, client: Client, pod: Pod, settings: Settings, env: Mapping[str, str | None]
) -> dict[str, str | None]:
    """`env` and what says where it is."""
    more = await app.git_passwords.environment(client, pod, settings, env)
    return {**env, **app.ssh_agents.environment(pod.pod_id), **more}


def follow(app: App, pod: Pod, access: Access) -> None:
    """The pod runs, in this container."""
    app.sockets.follow(pod, access)
    app.git_passwords.restore(pod)


def forget(app: App, pod: Pod) -> None:
    """It is deleted."""
    app.ssh_agents.forget(pod.pod_id)
    app.git_passwords.forget(pod.pod_id)
