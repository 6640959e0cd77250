"""An agent did what it was asked in a pod, without a terminal, to the end.

Asked for every time, and never tried again by itself: it costs money. The prompt goes in on stdin;
what signs the agent in goes into the one exec that runs it. What it says is hostile until parsed,
and bounded.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from rumpel import agents, text
from rumpel.adapters import detached
from rumpel.adapters.docker_exec import Environment
from rumpel.adapters.stream import STDERR
from rumpel.agents import headless
from rumpel.agents.headless import Ended, Event, Headless, Usage
from rumpel.engine.operation import Context, Json, Policy, Probe, changed
from rumpel.errors import CommandFailed, HostUnreachable, RumpelError, TimedOut
from rumpel.tasks import agent_home
from rumpel.tasks.world import World

KIND = "run"
TITLE = "Running agent"
VERSION = 1
POLICY = Policy(is_reused=False)

FURNISH_TIMEOUT_S = 60.0
ENDING_S = 60.0
"""On top of the time it is given: to end what it started."""
TAIL_BYTES = 4000


class UsedUp(CommandFailed):
    """All that it was allowed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    host: str
    container_id: str
    user: str
    cwd: str
    pod: str
    agent: str
    title: str
    argv: tuple[str, ...] = field(repr=False)
    env: Environment = field(repr=False)
    """With what signs it in."""
    files: Mapping[str, bytes] = field(repr=False)
    """What has to lie in its home."""
    prompt: bytes = field(repr=False)
    token: str
    """Marks its processes: who asks writes it down first, for a daemon that is killed meanwhile."""
    timeout_s: float
    way: Headless
    tell: Callable[[Event], None] = field(repr=False, compare=False)
    """Whoever asked hears each event at once, but for the end."""
    tokens: int | None = None
    """So many, read and written, and it is ended."""
    folder: str = ""
    """It goes on without us, and is found by this again (`adapters.detached`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """What it came to. `cost_usd` and `turns` are None where the agent does not say."""

    session: str
    text: str
    turns: int | None
    cost_usd: float | None
    tokens_in: int
    tokens_cached: int
    tokens_out: int
    duration_s: float


def fingerprint(inputs: Inputs) -> dict[str, Json]:
    return {"container.id": inputs.container_id, "agent": inputs.agent}


def check(world: World, inputs: Inputs, output: Output) -> Probe:
    return changed("asked for every time")


async def run(ctx: Context[World], inputs: Inputs) -> Output:
    await _furnish(ctx.world, inputs)
    ctx.fault("furnished")
    heard = Heard(ctx, inputs)
    try:
        code = await _execute(ctx.world, inputs, heard)
    except TimedOut as error:
        heard.close()
        what = f"did not end within {text.duration(inputs.timeout_s)} in pod {inputs.pod}"
        if heard.seconds() < inputs.timeout_s:
            what = f"closed its output in pod {inputs.pod} and went on without it"
        raise TimedOut(
            f"{inputs.title} {what}: it was ended",
            hint=_goes_on(inputs, heard),
            details={"run": heard.so_far()},
        ) from error
    except HostUnreachable as error:
        heard.close()
        raise HostUnreachable(
            f"{inputs.title} was cut off in pod {inputs.pod}: {error.message}",
            hint=_goes_on(inputs, heard),
            details={"run": heard.so_far()},
        ) from error
    except UsedUp as error:
        await undo(ctx, inputs)
        heard.close()
        error.hint, error.details["run"] = _goes_on(inputs, heard), heard.so_far()
        raise
    except detached.Cut as error:
        heard.close()
        error.details["run"] = heard.so_far()
        raise
    heard.close()
    ctx.fault("ended")
    return _judged(inputs, heard, code)


async def undo(ctx: Context[World], inputs: Inputs) -> None:
    """What it did stays; nothing of it goes on."""
    host = ctx.world.host(inputs.host)
    await host.kill_tree(inputs.container_id, inputs.token, user=inputs.user)


async def _execute(world: World, inputs: Inputs, heard: Heard) -> int:
    """Its exit code. Raises TimedOut, Cut."""
    host = world.host(inputs.host)
    if inputs.folder:
        program = detached.Program(
            argv=inputs.argv,
            folder=inputs.folder,
            token=inputs.token,
            user=inputs.user,
            cwd=inputs.cwd,
            env=inputs.env,
            input=inputs.prompt,
        )
        return await detached.run(
            host,
            inputs.container_id,
            program,
            timeout_s=inputs.timeout_s,
            on_output=heard.take,
        )
    done = await host.exec_run(
        inputs.container_id,
        inputs.argv,
        user=inputs.user,
        cwd=inputs.cwd,
        env=inputs.env,
        input=inputs.prompt,
        timeout_s=inputs.timeout_s,
        max_output_bytes=0,
        on_output=heard.take,
        token=inputs.token,
    )
    return done.code


async def _furnish(world: World, inputs: Inputs) -> None:
    done = await world.host(inputs.host).exec_run(
        inputs.container_id,
        agent_home.argv("furnish", inputs.agent, *agent_home.programs(inputs.argv)),
        user=inputs.user,
        cwd="/",
        input=agent_home.packed(inputs.files),
        timeout_s=FURNISH_TIMEOUT_S,
    )
    if done.code == agent_home.NOT_INSTALLED:
        raise agent_home.NotInstalled(f"{inputs.title} is not in this pod's volume")
    if done.code != 0:
        said = done.stderr.decode("utf-8", "replace").strip()[-300:]
        raise RumpelError(f"the files of {inputs.title} could not be put into the pod: {said}")


class Heard:
    """What an agent said: told to who asked, kept as the log of the step, and summed up."""

    def __init__(self, ctx: Context[World], inputs: Inputs) -> None:
        self._ctx, self._inputs = ctx, inputs
        self._lines, self._pieces = headless.Lines(), headless.Pieces()
        self._began = time.monotonic()
        self._usage: dict[str, Usage] = {}
        self._is_over = False
        self._last = ""
        self._session = ""
        self.end: Ended | None = None
        self.tail = b""
        """Of its stderr."""

    def take(self, stream: int, data: bytes) -> None:
        if stream == STDERR:
            self.tail = (self.tail + data)[-TAIL_BYTES:]
            return
        for line in self._lines.feed(data):
            self._line(line)

    def close(self) -> None:
        """The last line may have no end; of its stderr the log has the last of it."""
        self._line(self._lines.end())
        for whole in self._pieces.end():
            self._event(whole)
        if self.tail:
            self._ctx.log(self.tail.decode("utf-8", "replace").strip())

    def seconds(self) -> float:
        return time.monotonic() - self._began

    @property
    def session(self) -> str:
        """Empty: it has not begun."""
        return self.end.session or self._session if self.end is not None else self._session

    def so_far(self) -> dict[str, Any]:
        """As `Output`, also of one that did not come to its end."""
        said = self.end or Ended(is_ok=False)
        usage = said.usage or Usage(
            input=sum(one.input for one in self._usage.values()),
            cached=sum(one.cached for one in self._usage.values()),
            output=sum(one.output for one in self._usage.values()),
        )
        result = self._last if said.text is None else said.text
        return {
            "session": self.session,
            "text": result,
            "turns": said.turns,
            "cost_usd": said.cost_usd,
            "tokens_in": usage.input,
            "tokens_cached": usage.cached,
            "tokens_out": usage.output,
            "duration_s": round(self.seconds(), 3),
        }

    def _check(self) -> None:
        """Raises UsedUp, once."""
        most, spent = self._inputs.tokens, sum(u.input + u.output for u in self._usage.values())
        if most is not None and spent > most and not self._is_over:
            self._is_over = True
            raise UsedUp(
                f"{self._inputs.title} used more than {most} tokens in pod {self._inputs.pod}:"
                " it was ended"
            )

    def _line(self, line: bytes) -> None:
        for said in self._inputs.way.events(line):
            for event in self._pieces.take(said):
                self._event(event)

    def _event(self, event: Event) -> None:
        match event:
            case headless.Began(session=session):
                self._session = session
            case headless.Text(text=said):
                self._last = said
            case headless.Spent(of=of, usage=usage) if of in self._usage or len(self._usage) < 9999:
                self._usage[of] = usage
                self._check()
            case Ended():
                self.end = event
        line = headless.shown(event)
        if line:
            self._ctx.log(line)
        if not isinstance(event, Ended):  # the end is told when all is done
            self._inputs.tell(event)


def _judged(inputs: Inputs, heard: Heard, code: int) -> Output:
    """Raises CommandFailed when it did not end well."""
    said, found = heard.end, heard.so_far()
    if code == 0 and said is not None and said.is_ok:
        return Output(**found)
    tail = heard.tail.decode("utf-8", "replace").strip()
    why, hint = f"it exited with {code}", f"rumpel logs {inputs.pod} run"
    if said is not None and not said.is_ok:
        why, tail = said.why or why, "" if said.why else tail
        hint = _goes_on(inputs, heard) or hint
    elif said is None and code == 0:
        why = "it ended without a result"
    raise CommandFailed(
        f"{inputs.title} failed in pod {inputs.pod}: {why}",
        hint=hint,
        details={
            "exit_code": code,
            "tail": tail,
            "needs_login": said is not None and said.needs_login,
            "run": found,
        },
    )


def _goes_on(inputs: Inputs, heard: Heard) -> str:
    """Empty where there is no conversation to go on with."""
    if not heard.session:
        return ""
    which = "" if inputs.agent == agents.DEFAULT else f" --agent {inputs.agent}"
    return f"rumpel run {inputs.pod}{which} --continue -p 'Go on'   goes on where it was"
