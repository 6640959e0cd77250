"""The `verify` command of a task ended with 0 in its pod, on the commit that the task came to.

A tree that was verified with the same command and variables counts, whichever task it was of. It
runs in the workspace, with all that lies there; where files are not committed, in another work
tree with nothing but the commit.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from rumpel import text
from rumpel.cache.fingerprint import digest
from rumpel.engine.operation import OK, Context, Json, Policy, Probe
from rumpel.errors import CommandFailed, TimedOut
from rumpel.tasks import batching, shell
from rumpel.tasks.batching import Seated, TaskKey
from rumpel.tasks.task_work import Lines
from rumpel.tasks.world import World

KIND = "verify"
TITLE = "Verifying"
VERSION = 2
LIMIT_S = 3600.0
POLICY = Policy(timeout_s=LIMIT_S + 60.0)
"""No slot: who verifies has the room of a pod, and of those there are so many on each host."""

# $1: the commit, $2: the command.
APART = """
tree=$(mktemp -d) || exit 97
trap 'git worktree remove -f -f "$tree/verify" >/dev/null 2>&1; rm -rf "$tree"' EXIT
git worktree add -q -f --detach "$tree/verify" "$1" || exit 97
cd "$tree/verify" && sh -c "$2"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    key: TaskKey
    command: str
    commit: str | None
    tree: str | None
    dirty: int
    around: str
    """Digest of what it sees besides the tree."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    tree: str | None
    by: str
    """The task of which the same was verified before; empty: it was run."""


def fingerprint(inputs: Inputs) -> dict[str, Json]:
    return {"verify": inputs.command, "tree": inputs.tree, "around": inputs.around}


def check(world: World, inputs: Inputs, output: Output) -> Probe:
    return OK


async def run(ctx: Context[World], inputs: Inputs) -> Output:
    return await batching.kept_up(ctx, inputs.key, None, partial(_verified, ctx, inputs))


async def _verified(ctx: Context[World], inputs: Inputs) -> Output:
    batches = batching.of(ctx.world)
    known = proof(inputs.tree, inputs.command, inputs.around)
    if by := batches.verified(inputs.key, known):
        ctx.log(f"the same tree was verified for task {by}")
        return Output(tree=inputs.tree, by=by)
    seat = await batches.shell(inputs.key)
    apart = inputs.commit if inputs.dirty else None
    if apart is not None:
        files = text.count(inputs.dirty, "file")
        ctx.log(f"{files} not committed: verified is the commit, apart from them")
    pod = inputs.key.task
    try:
        await passes(ctx.world, seat, inputs.command, apart=apart, log=ctx.log)
    except CommandFailed as error:
        error.message = f"verify of task {pod} {error.message}: {first_line(inputs.command)}"
        error.hint = f"rumpel logs {pod} verify"
        raise
    await batches.note_verified(inputs.key, known)
    return Output(tree=inputs.tree, by="")


async def passes(
    world: World,
    seat: Seated,
    command: str,
    *,
    apart: str | None,
    log: Callable[[str], None],
) -> None:
    """`apart`: a commit, in a work tree of its own; else in the workspace as it is.

    Raises CommandFailed (`exited with 1`) with the last it printed, TimedOut.
    """
    argv = ("sh", "-c", command) if apart is None else ("sh", "-c", APART, "sh", apart, command)
    lines = Lines(log)
    try:
        async with asyncio.timeout(LIMIT_S):
            code = await shell.run(
                world,
                seat.where,
                argv,
                env=seat.env,
                on_line=lambda line: lines.take(1, line.encode() + b"\n"),
                token=secrets.token_hex(8),
            )
    except TimeoutError as error:
        raise TimedOut(f"{first_line(command)} did not end within {LIMIT_S:g} s") from error
    if code != 0:
        raise CommandFailed(f"exited with {code}", details={"exit_code": code, "tail": lines.tail})


def first_line(command: str) -> str:
    return command.strip().splitlines()[0]


async def undo(ctx: Context[World], inputs: Inputs) -> None:
    """A command of the user cannot be undone; it runs again from its start."""


def proof(tree: str | None, command: str, around: str) -> str:
    """By what a verified tree is known; `around`: digest of what the command sees besides."""
    return digest([tree, command, around])
