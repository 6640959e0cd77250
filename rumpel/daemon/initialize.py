"""initializeCommand, before a pod is made or made anew: once for a request."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rumpel.daemon import requests
from rumpel.graphs.initialize import initialize
from rumpel.model import HookSpec

if TYPE_CHECKING:
    from rumpel.daemon.app import App
    from rumpel.daemon.client import Client
    from rumpel.daemon.requests import Target


async def before(
    app: App, client: Client, where: Target, pod: str, *, config_file: str | None = None
) -> None:
    """Of the configuration of `pod`. The file is read again after: it may be another one then.

    Raises NotTrusted, CommandFailed.
    """
    dev = await requests.dev_config(
        where, client, pod=pod, pod_id="initialize", config_file=config_file
    )
    if not dev.initialize:
        return
    await requests.consented(app.store, where, client, dev)
    steps = tuple((step.name, tuple(step.argv)) for step in dev.initialize)
    hook = HookSpec(name="initializeCommand", steps=steps)
    graph = initialize(where.ref, hook, cwd=where.root, env=client.request.env)
    result = await app.runner.run(graph, client)
    for error in result.errors.values():
        raise error
