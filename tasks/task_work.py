"""A task of a batch was done in its pod, by an agent or a command, and its commits are on the host.

It is begun once: whoever comes after a daemon that was killed finds it at work, or what came of
it, and gives no prompt a second time. An agent whose pod was stopped meanwhile goes on with its
conversation. Stale when the task says something else, starts from another commit, or is to be
tried again (`attempt`). What it says is hostile until parsed, and bounded.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

from rumpel import text as words
from rumpel.adapters import detached, git, git_content, threads
from rumpel.adapters.stream import STDERR
from rumpel.engine.operation import OK, Context, Json, Policy, Probe
from rumpel.errors import CommandFailed, RumpelError, TimedOut
from rumpel.tasks import agent_home, batching, headless
from rumpel.tasks.batching import Seated, TaskKey
from rumpel.tasks.world import World

KIND = "work"
TITLE = "Working"
VERSION = 1
POLICY = Policy(timeout_s=30 * 86400.0)

ENDS = ("command-failed", "timeout")
"""Errors of work that came to a bad end: it is not begun again unless somebody says so."""
MOST_CUTS = 5
ADDED = ("turns", "cost_usd", "tokens_in", "tokens_cached", "tokens_out", "duration_s")
Said = dict[str, Any]
"""As `headless.Output`, as far as it is known."""
TAIL_BYTES = 4000
LINE_BYTES = 16 << 10
FOLDER = ".git/rumpel/tasks"
"""In the workspace: as lasting as that, and nothing that git sees."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    key: TaskKey
    digest: str
    """Of what the task says and how: prompt or command, agent, model, variables, limits."""
    oid: str | None
    attempt: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    commit: str | None
    """Of the pod's own branch; None in a repository without commits."""
    tree: str | None
    commits: int
    """New ones."""
    dirty: int
    """Files that are not committed."""
    session: str = ""
    text: str = ""
    turns: int | None = None
    cost_usd: float | None = None
    tokens_in: int = 0
    tokens_cached: int = 0
    tokens_out: int = 0
    duration_s: float = 0.0


def fingerprint(inputs: Inputs) -> dict[str, Json]:
    return {"task": inputs.digest, "base": inputs.oid, "attempt": inputs.attempt}


def check(world: World, inputs: Inputs, output: Output) -> Probe:
    return OK


async def run(ctx: Context[World], inputs: Inputs) -> Output:
    token, parts, is_anew = _token(inputs), list[Said](), False
    while len(parts) < MOST_CUTS:
        try:
            work = partial(_worked, ctx, inputs, token, parts=parts, is_anew=is_anew)
            return await batching.kept_up(ctx, inputs.key, inputs.oid, work)
        except detached.Cut as error:
            ctx.log(f"{error.message}; it goes on where it was")
            parts.append(dict(error.details.get("run") or {}))  # type: ignore[call-overload]  # ours
        except agent_home.NotInstalled as error:  # the record says it is there, and it is not
            if is_anew:
                raise
            ctx.log(f"{error.message}: it is installed again")
            is_anew = True
    raise CommandFailed(f"it was killed from outside {MOST_CUTS} times")


async def undo(ctx: Context[World], inputs: Inputs) -> None:
    """Only its user ends it: a daemon that stops, or an SSH connection, does not."""
    batches = batching.of(ctx.world)
    if batches.is_cancelled(inputs.key):
        seat = await batches.shell(inputs.key)
        host = ctx.world.host(seat.where.host)
        await host.kill_tree(seat.where.container_id, _token(inputs), user=seat.where.user)


def _token(inputs: Inputs) -> str:
    """The same for each daemon that asks for this very work."""
    key = inputs.key
    facts = (key.repo_id, key.batch, key.task, inputs.digest, inputs.oid, inputs.attempt)
    return hashlib.blake2b(repr(facts).encode(), digest_size=12).hexdigest()


async def _worked(
    ctx: Context[World], inputs: Inputs, token: str, *, parts: list[Said], is_anew: bool
) -> Output:
    """`parts`: what the ones took that were cut before."""
    folder, goes_on = f"{FOLDER}/{token}-{len(parts)}", bool(parts)
    seats = batching.of(ctx.world).seat(
        ctx, inputs.key, token=token, folder=folder, goes_on=goes_on, is_anew=is_anew
    )
    async with seats as seat:
        if seat.agent is None:
            began = time.monotonic()
            text = await _command(ctx, seat, token=token, folder=folder)
            said = {"text": text, "duration_s": round(time.monotonic() - began, 3)}
        else:
            try:
                done = await headless.run(ctx, seat.agent)
            except detached.Cut:
                raise
            except RumpelError as error:
                if isinstance(run := error.details.get("run"), dict):
                    error.details["run"] = _whole(run, parts)
                raise
            said = {name: getattr(done, name) for name in headless.Output.__dataclass_fields__}
            said = _whole(said, parts)
        ctx.fault("worked")
        return await _arrived(ctx.world, inputs, seat, said)


def _whole(said: Said, parts: Iterable[Said]) -> Said:
    """With what the parts of it took. What one is not known of is not made up."""
    found = dict(said)
    for part in parts:
        for name in ADDED:
            if part.get(name) is not None and found.get(name) is not None:
                found[name] += part[name]
    return found


async def _arrived(world: World, inputs: Inputs, seat: Seated, said: dict[str, object]) -> Output:
    pod = seat.address
    if not await world.links.catch_up(pod):  # its own branch is not checked out, or was refused
        report = await world.links.sync(pod)
        refused = dict(report.rejected).get(pod.pod)
        if refused is not None:
            raise CommandFailed(f"its commits were refused: {refused}")
    dirty = await world.links.refresh_dirty(pod)
    commit = world.links.branches(pod.pod_id).get(pod.pod)
    tree, commits = None, 0
    if commit is not None:
        repo = await threads.call(git.reopen, pod.repo.work_tree, pod.repo.common_dir)
        tree = await threads.call(git_content.tree_of, repo, commit)
        if inputs.oid is not None:
            commits = (await threads.call(git.ahead_behind, repo, commit, inputs.oid))[0]
    return Output(commit=commit, tree=tree, commits=commits, dirty=dirty, **said)  # type: ignore[arg-type]  # by their names


async def _command(ctx: Context[World], seat: Seated, *, token: str, folder: str) -> str:
    """The last of what it printed. Raises CommandFailed."""
    lines = Lines(ctx.log)
    where = seat.where
    program = detached.Program(
        argv=seat.argv,
        folder=f"{where.cwd}/{folder}",
        token=token,
        user=where.user,
        cwd=where.cwd,
        env=seat.env,
    )
    pod = seat.address.pod
    try:
        code = await detached.run(
            ctx.world.host(where.host),
            where.container_id,
            program,
            timeout_s=seat.timeout_s,
            on_output=lines.take,
            ask=where.ask,
        )
    except TimedOut as error:
        lines.close()
        raise TimedOut(
            f"the command of task {pod} did not end within {words.duration(seat.limit_s)}:"
            " it was ended",
            hint="limits: {time: ...} in the batch file gives it more",
            details={"tail": lines.tail},
        ) from error
    lines.close()
    if code != 0:
        raise CommandFailed(
            f"the command of task {pod} exited with {code}",
            hint=f"rumpel logs {pod} work",
            details={"exit_code": code, "tail": lines.tail},
        )
    return lines.tail


class Lines:
    """What a command prints: into the log of the step, line by line, and the last of it."""

    def __init__(self, log: Callable[[str], None]) -> None:
        self._log = log
        self._open = b""
        self._tail = b""

    def take(self, stream: int, data: bytes) -> None:
        self._tail = (self._tail + data)[-TAIL_BYTES:]
        *whole, self._open = (self._open + data).split(b"\n")
        for line in whole:
            self._log(line[:LINE_BYTES].decode("utf-8", "replace"))
        if len(self._open) > LINE_BYTES or stream == STDERR:
            self.close()

    def close(self) -> None:
        if self._open:
            self._log(self._open[:LINE_BYTES].decode("utf-8", "replace"))
            self._open = b""

    @property
    def tail(self) -> str:
        return self._tail.decode("utf-8", "replace").strip()


def unfit(error: RumpelError) -> bool:
    """The work itself came to a bad end: trying again is a decision."""
    return error.code in ENDS
