"""One lifecycle command of devcontainer.json ran in the pod, as the workspace's user.

onCreate, updateContent and postCreate run once per container, postStart once per start. A
failed command stays failed, stops those after it, and is where the next request goes on. One
that outlived its daemon is ended before it runs again. What the prebuild of the pod's image did
is not done again. Stale
when the command, the user, the folder or the environment given to it changes, or the container
is another one. Spec: containers.dev/implementors/json_reference, "Lifecycle scripts".
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial

from rumpel.adapters import threads
from rumpel.adapters.docker_exec import Environment
from rumpel.devcontainer import secret_values
from rumpel.devcontainer.variables import running_stage
from rumpel.engine.operation import OK, Context, Json, Policy, Probe
from rumpel.errors import CommandFailed
from rumpel.model import HookSpec
from rumpel.tasks import prebuilt, shell
from rumpel.tasks.prebuilt import Prebuilt, command_digest
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
    secrets: tuple[str, ...] = ()
    secrets_file: str = ""
    """On this machine, with values of variables that only commands have."""
    hidden: tuple[str, ...] = field(default=(), repr=False)
    """Masked in what it prints: no part of the fingerprint."""
    private: tuple[str, ...] = ()
    """Variables of which the same holds: their values are known when `hidden` no longer is."""
    has_moved: bool = False
    """The content is another than when the image was prebuilt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    container_id: str
    ran: str
    by: str = ""
    """Who ran it, when it was not this pod."""


def fingerprint(inputs: Inputs) -> dict[str, Json]:
    return {
        inputs.hook.key: inputs.hook.steps,
        "container.id": inputs.container_id,
        "container.startedAt": inputs.started_at,
        "remoteUser": inputs.user,
        "workspaceFolder": inputs.workspace_folder,
        "remoteEnv": digests(inputs.remote_env),
        "previous": inputs.previous,
    }


def check(world: World, inputs: Inputs, output: Output) -> Probe:
    state = world.container(inputs.host, output.container_id)
    return state if isinstance(state, Probe) else OK


async def run(ctx: Context[World], inputs: Inputs) -> Output:
    token = _token(ctx.node_id, inputs.container_id)
    if ctx.node_id in ctx.world.crashed:
        await ctx.world.host(inputs.host).kill_tree(inputs.container_id, token, user=inputs.user)
    made = None if ctx.is_again else _prebuilt(ctx.world, inputs)
    if made is not None:
        by = f"prebuild {made.key[:12]}, in {made.elapsed_s:.1f} s"
        ctx.log(f"done by {by}")
        ctx.world.crashed.discard(ctx.node_id)
        return Output(container_id=inputs.container_id, ran=_ran_before(made), by=by)
    where = shell.Where(
        host=inputs.host,
        container_id=inputs.container_id,
        user=inputs.user,
        cwd=inputs.workspace_folder,
    )
    env = await shell.environment(
        ctx.world, where, probe=inputs.env_probe, remote_env=inputs.remote_env
    )
    secrets = await threads.call(secret_values.read, inputs.secrets_file, inputs.secrets)
    hidden = secret_values.maskable(
        [*secrets.values(), *inputs.hidden, *secret_values.of(env, inputs.private)]
    )
    await run_hook(ctx, where, inputs.hook, env={**env, **secrets}, token=token, hidden=hidden)
    ctx.world.crashed.discard(ctx.node_id)
    return Output(container_id=inputs.container_id, ran=ctx.nonce)


async def undo(ctx: Context[World], inputs: Inputs) -> None:
    """A user's command cannot be undone; it stays failed and runs again from its start."""


async def run_hook(
    ctx: Context[World],
    where: shell.Where,
    hook: HookSpec,
    *,
    env: Environment,
    token: str,
    hidden: tuple[str, ...] = (),
) -> None:
    """All steps of an object start at once and are awaited, also when one fails.

    `hidden`: what nobody is to read in their output. Raises CommandFailed.
    """
    steps, run = await _steps(ctx, where, hook), partial(_step, ctx, where, env, token=token)
    results = await asyncio.gather(
        *(run(name=name, argv=argv, hidden=hidden) for name, argv in steps),
        return_exceptions=True,
    )
    for result in results:
        if isinstance(result, BaseException):
            raise result


def _prebuilt(world: World, inputs: Inputs) -> Prebuilt | None:
    """The prebuild that ran this very command, with all before it, on this content."""
    made = prebuilt.of_container(world, inputs.host, inputs.container_id)
    if made is None or made.commands.get(inputs.hook.key) != command_digest(
        inputs.hook,
        user=inputs.user,
        folder=inputs.workspace_folder,
        remote_env=inputs.remote_env,
        probe=inputs.env_probe,
    ):
        return None
    before = prebuilt.HOOKS[: prebuilt.HOOKS.index(inputs.hook.name)]
    is_first = made.first == inputs.hook.key
    if not made.first:
        is_first = not any(name in made.commands for name in before)
    if not is_first and inputs.previous != _ran_before(made):
        return None  # one before it ran again
    is_outdated = not made.has_inputs or inputs.hook.name == "updateContentCommand"
    return None if inputs.has_moved and is_outdated else made


def _ran_before(made: Prebuilt) -> str:
    return f"prebuild:{made.key}"


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
    env: Environment,
    *,
    token: str,
    name: str,
    argv: tuple[str, ...],
    hidden: tuple[str, ...],
) -> None:
    tail: list[str] = []

    def on_line(line: str) -> None:
        line = str(secret_values.mask(line, hidden))
        del tail[:-30]
        tail.append(line)
        ctx.log(line)

    code = await shell.run(ctx.world, where, argv, env=env, on_line=on_line, token=token)
    if code != 0:
        *_, pod, hook = ctx.node_id.split("/")
        raise CommandFailed(
            f"{hook} failed: {name!r} exited with {code}"
            if name
            else f"{hook} failed: it exited with {code}",
            hint=f"fix the command, then rumpel create {pod}   goes on there; "
            f"rumpel enter {pod} --ignore-failed   goes in to look",
            details={"argv": list(argv), "exit_code": code, "tail": "\n".join(tail)},
        )


def _token(node_id: str, container_id: str) -> str:
    """The same for each attempt, so that the next daemon can end what a killed one left."""
    return hashlib.blake2b(f"{node_id} {container_id}".encode(), digest_size=12).hexdigest()


def digests(env: Mapping[str, str | None]) -> dict[str, str | None]:
    """Values may be secrets: only their digests are stored."""
    return {
        name: None
        if value is None
        else hashlib.blake2b(json.dumps(value).encode(), digest_size=8).hexdigest()
        for name, value in env.items()
    }
