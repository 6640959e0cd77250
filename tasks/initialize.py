"""initializeCommand of devcontainer.json ran on this machine, before a pod is made from the rest.

It is the user's own command on the user's own machine, with the environment of who asked, in the
work tree; nobody gets here without consent. It runs each time: what it does nobody can look at.
Spec: containers.dev/implementors/json_reference, "Lifecycle scripts".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from rumpel.adapters import proc, task_group
from rumpel.cache.fingerprint import digest
from rumpel.engine.operation import Context, Json, Policy, Probe, changed
from rumpel.errors import CommandFailed, RumpelError
from rumpel.model import HookSpec
from rumpel.tasks.task_work import Lines
from rumpel.tasks.world import World

KIND = "initialize"
TITLE = "Running initializeCommand"
VERSION = 1
LIMIT_S = 3600.0
POLICY = Policy(timeout_s=LIMIT_S + 60.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    hook: HookSpec
    cwd: str
    env: Mapping[str, str] = field(repr=False)
    """Of who asked: no part of what is stored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    ran: str


def fingerprint(inputs: Inputs) -> dict[str, Json]:
    # Digests: there may be values of the caller's environment in both.
    env = sorted(inputs.env.items())
    return {
        inputs.hook.name: digest([repr(step) for step in inputs.hook.steps]),
        "folder": inputs.cwd,
        "environment": digest([repr(pair) for pair in env]),
    }


def check(world: World, inputs: Inputs, output: Output) -> Probe:
    return changed("it runs each time")


async def run(ctx: Context[World], inputs: Inputs) -> Output:
    """All at once, where there are several; the first that fails ends the others."""
    steps = [_step(ctx, inputs, name, argv) for name, argv in inputs.hook.steps]
    try:
        async with task_group.opened() as group:
            for step in steps:
                group.create_task(step)
    except ExceptionGroup as failed:  # `except*` wraps what is raised in it, on some Python 3.11
        known, _ = failed.split(RumpelError)
        if known is None:
            raise
        raise known.exceptions[0] from None
    return Output(ran=ctx.nonce)


async def undo(ctx: Context[World], inputs: Inputs) -> None:
    """A user's command cannot be undone; what is left of it was ended."""


async def _step(ctx: Context[World], inputs: Inputs, name: str, argv: tuple[str, ...]) -> None:
    lines = Lines(ctx.log)

    def heard(data: bytes) -> None:
        lines.take(1, data)

    async with proc.Child(argv, cwd=inputs.cwd, env=inputs.env, on_output=heard) as child:
        done = await child.ended(LIMIT_S)
    lines.close()
    if done.code != 0:
        label = f" {name!r}" if name else ""
        raise CommandFailed(
            f"initializeCommand{label} failed on this machine: it exited with {done.code}",
            hint="fix it in devcontainer.json, then say the same again",
            details={"exit_code": done.code, "tail": lines.tail},
        )
