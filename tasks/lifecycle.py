"""One lifecycle command of devcontainer.json ran in the pod, as the workspace's user.

onCreate, updateContent and postCreate run once per container, postStart once per start. A
failed command stays failed, stops those after it, and is where the next request goes on. One
that outlived its daemon is ended before it runs again. Stale
when the command, the user, the folder or the environment given to it changes, or the container
is another one. Spec: containers.dev/implementors/json_reference, "Lifecycle scripts".
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from dataclasses import dataclass

from rumpel.devcontainer.variables import running_stage
from rumpel.engine.operation import OK, Context, Json, Policy, Probe
from rumpel.errors import CommandFailed
from rumpel.model import HookSpec
from rumpel.tasks import shell
from rumpel.tasks.world import World

KIND = "lifecycle"
TITLE = "Running lifecycle command"
VERSION = 1
POLICY = Policy(slots=("lifecycle",), timeout_s=3600.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    host: str
    container_id: str
    started_at: str | None
    """Set for postStartCommand only: it belongs to a start, the others to the container."""
    hook: HookSpec
    user: str
    workspace_folder: str
    remote_env: dict[str, str | None]
    env_probe: str
    previous: str
    """Incarnation of what comes before: when that runs again, so does this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    container_id: str
    ran: str


def fingerprint(inputs: Inputs) -> dict[str, Json]:
    return {
        inputs.hook.name: inputs.hook.steps,
        "container.id": inputs.container_id,
        "container.startedAt": inputs.started_at,
        "remoteUser": inputs.user,
        "workspaceFolder": inputs.workspace_folder,
        "remoteEnv": _digest(inputs.remote_env),
        "previous": inputs.previous,
    }


def check(world: World, inputs: Inputs, output: Output) -> Probe:
    state = world.container(inputs.host, output.container_id)
    return state if isinstance(state, Probe) else OK


async def run(ctx: Context[World], inputs: Inputs) -> Output:
    """All steps of an object start at once and are awaited, also when one fails."""
    where = shell.Where(
        host=inputs.host,
        container_id=inputs.container_id,
        user=inputs.user,
        cwd=inputs.workspace_folder,
    )
    env = await shell.environment(
        ctx.world, where, probe=inputs.env_probe, remote_env=inputs.remote_env
    )
    steps = await _steps(ctx, where, inputs.hook)
    token = _token(ctx.node_id, inputs.container_id)
    if ctx.node_id in ctx.world.crashed:
        await ctx.world.host(inputs.host).kill_tree(inputs.container_id, token, user=inputs.user)
    results = await asyncio.gather(
        *(_step(ctx, where, env, token=token, name=name, argv=argv) for name, argv in steps),
        return_exceptions=True,
    )
    for result in results:
        if isinstance(result, BaseException):
            raise result
    ctx.world.crashed.discard(ctx.node_id)
    return Output(container_id=inputs.container_id, ran=ctx.nonce)


async def undo(ctx: Context[World], inputs: Inputs) -> None:
    """A user's command cannot be undone; it stays failed and runs again from its start."""


async def _steps(
    ctx: Context[World], where: shell.Where, hook: HookSpec
) -> list[tuple[str, tuple[str, ...]]]:
    """`${containerEnv:...}` can be replaced only now."""
    if not any("${containerEnv:" in word for _, argv in hook.steps for word in argv):
        return list(hook.steps)
    env = await shell.container_env(ctx.world, where)
    return [(name, tuple(running_stage(list(argv), env))) for name, argv in hook.steps]


async def _step(
    ctx: Context[World],
    where: shell.Where,
    env: dict[str, str],
    *,
    token: str,
    name: str,
    argv: tuple[str, ...],
) -> None:
    tail: list[str] = []

    def on_line(line: str) -> None:
        del tail[:-30]
        tail.append(line)
        ctx.log(line)

    code = await shell.run(ctx.world, where, argv, env=env, on_line=on_line, token=token)
    if code != 0:
        label = name or "command"
        raise CommandFailed(
            f"{ctx.node_id.rsplit('/', 1)[-1]} failed: {label!r} exited with {code}"
            if name
            else f"{ctx.node_id.rsplit('/', 1)[-1]} failed: it exited with {code}",
            hint="fix the command, then run the same again: it goes on here; "
            f"rumpel enter {ctx.node_id.split('/')[-2]} --ignore-failed   goes in to look",
            details={"argv": list(argv), "exit_code": code, "tail": "\n".join(tail)},
        )


def _token(node_id: str, container_id: str) -> str:
    """The same for each attempt, so that the next daemon can end what a killed one left."""
    return hashlib.blake2b(f"{node_id} {container_id}".encode(), digest_size=12).hexdigest()


def _digest(env: dict[str, str | None]) -> dict[str, str | None]:
    """Values may be secrets: only their digests are stored."""
    return {
        name: None
        if value is None
        else hashlib.blake2b(json.dumps(value).encode(), digest_size=8).hexdigest()
        for name, value in env.items()
    }
