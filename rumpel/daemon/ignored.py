"""Ignored files of a pod that is recreated: which stay, which go, and saying so."""

from __future__ import annotations

import logging
from typing import Any

from rumpel import text
from rumpel.adapters.named import cleaned
from rumpel.daemon.app import App
from rumpel.daemon.client import Client
from rumpel.daemon.pods import Pod
from rumpel.daemon.requests import Target
from rumpel.errors import RumpelError
from rumpel.model import PodSpec
from rumpel.tasks import carry, replace

log = logging.getLogger(__name__)


def named(client: Client) -> tuple[str, ...]:
    """Patterns of `--keep`; a folder may have a slash at its end."""
    return cleaned(client.request.args["keep"])


def kept(where: Target, client: Client, spec: PodSpec) -> tuple[str, ...]:
    """What it was given of the host's files is its own, and stays.

    So does what `copyIn` names now: a pod that was rebuilt from its container does not know.
    """
    if client.request.args["clean"]:
        return ()
    wanted = [*where.settings.get("keepIgnored"), *where.settings.get("copyIn")]
    return tuple(dict.fromkeys((*cleaned(wanted), *spec.copy_in, *named(client))))


async def would_go(app: App, where: Target, client: Client, pod: Pod) -> dict[str, Any]:
    """For `--plan`; "gone" is None where only a look by another container could tell."""
    access = app.access_if_running(pod)
    if access is None:
        return {"gone": None, "more_gone": 0}
    place = carry.Place(
        host=app.hosts[pod.spec.host],
        container_id=access.container_id,
        folder=pod.spec.container.workspace_folder,
        user=access.user,
    )
    try:
        found = await carry.going(place, kept(where, client, pod.spec))
    except RumpelError as error:
        log.info("pod %s: its ignored files: %s", pod.name, error.message)
        return {"gone": None, "more_gone": 0}
    listed = [{"path": path.decode("utf-8", "replace"), "files": None} for path in found]
    return {"gone": listed[: replace.TOLD], "more_gone": max(0, len(found) - replace.TOLD)}


def went(client: Client, done: replace.Output | None) -> dict[str, Any]:
    """What the answer says of it; warns of a `--keep` that kept nothing."""
    if done is None:
        return {"gone": [], "more_gone": 0}
    for pattern in done.unmatched:
        client.warn(f"--keep {text.safe(pattern)}: nothing in the workspace has that name")
    listed = [{"path": path, "files": files} for path, files in done.gone]
    return {"gone": listed, "more_gone": done.more_gone}
