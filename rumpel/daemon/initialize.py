"""initializeCommand, before a pod is made or made anew: once for a request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rumpel.adapters import threads
from rumpel.daemon import requests
from rumpel.devcontainer.locate import SeveralConfigs
from rumpel.graphs.initialize import initialize
from rumpel.model import HookSpec

if TYPE_CHECKING:
    from rumpel.daemon.app import App
    from rumpel.daemon.client import Client
    from rumpel.daemon.requests import Target


async def before(
    app: App, client: Client, where: Target, *, config_file: str | None = None
) -> None:
    """The rest of the file is read after it: it may be another one then.

    Raises ConfigError, NotTrusted, CommandFailed.
    """
    try:
        command, effects = await threads.call(
            _load,
            where.root,
            config_path=client.request.args.get("config") or config_file,
            local_env=client.request.env,
            repo_basename=where.ref.basename,
        )
    except SeveralConfigs as error:
        await requests.choose(client, error)
        return await before(app, client, where)
    if not command:
        return None
    await requests.agreed(app.store, where, client, effects)
    steps = tuple((step.name, tuple(step.argv)) for step in command)
    hook = HookSpec(name="initializeCommand", steps=steps)
    graph = initialize(where.ref, hook, cwd=where.root, env=client.request.env)
    result = await app.runner.run(graph, client)
    for failure in result.errors.values():
        raise failure
    return None


def _load(*args: Any, **more: Any) -> Any:
    """Models are not loaded at the daemon's start."""
    from rumpel.devcontainer import initial

    return initial.load(*args, **more)
