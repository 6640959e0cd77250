"""The control link into a pod: requests, their answers, and notices that a branch moved.

Over any stream to `pod_boot.sh`, which is the container's main process or an exec. Whatever
else the pod writes there is ignored: a pod is untrusted, so lines are bounded, the numbers of
requests cannot be guessed, and an answer is text to be judged by the caller.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import hashlib
import re
import secrets
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from rumpel import names
from rumpel.adapters.stream import STDOUT, Stream
from rumpel.errors import Conflict, HostUnreachable, RumpelError, TimedOut
from rumpel.resources import resource_text

MAX_LINE_BYTES = 64 << 10
MAX_REQUEST_BYTES = 16 << 20
MARK = b"@rumpel "
NOTICES = (b"notice", b"notice modules")
OPEN_TIMEOUT_S = 30.0
OnAgent = Callable[[str, str], object]
"""(agent, what it is doing)."""
AGENT = re.compile(rb"agent ([a-z]{1,20}) (working|waiting|failed|ended)")
CONFLICT = "conflict: "
MORE = "more"
"""Answer of a verb that takes MORE_PROGRAM, because the pod has submodules."""
MORE_VERBS = ("large", "loose", "modules")
MORE_PROGRAM = resource_text("pod_modules.sh")
NEAR_VERBS = ("probe", "task", "pack")
NEAR_PROGRAM = resource_text("pod_near.sh")

_QUOTED_NEWLINE = "'\"$rp_nl\"'"


class Ask(Protocol):
    """`PodLink.request` of a link through the main process, which runs as the pod's user."""

    async def __call__(self, verb: str, *args: str, timeout_s: float) -> str: ...


@dataclass(frozen=True, slots=True)
class PodSettings:
    """What the program is told about the pod it runs in."""

    seed_path: str = names.SEED_PATH
    mountinfo: str = "/proc/self/mountinfo"
    look_s: float = 2.0
    """Seconds between two looks for commits made without our hook."""

    def program_path(self, version: str) -> str:
        """Where the program lies in a pod whose seed brought it along."""
        return f"{self.seed_path}/{program_file(version)}"


def program_file(version: str) -> str:
    """Relative to the seed, which a pod cannot write."""
    return f"rumpel/pod-{version}.sh"


@functools.cache
def program(settings: PodSettings) -> tuple[str, str]:
    """Version and text of what a pod is told to evaluate."""
    variables = (
        ("rp_seed", settings.seed_path),
        ("rp_mountinfo", settings.mountinfo),
        ("rp_look_s", f"{settings.look_s:g}"),
        ("rp_hook", resource_text("pod_hook.sh")),
    )
    text = "".join(f"{name}={shlex.quote(value)}\n" for name, value in variables)
    text += resource_text("pod_control.sh")
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest(), text


DEFAULTS = PodSettings()


def quote(argument: str) -> str:
    """One shell word on one line, whatever it holds. Raises RumpelError for a NUL byte."""
    if "\0" in argument:
        raise RumpelError(f"a NUL byte cannot be sent into a pod: {argument[:80]!r}")
    return "'" + argument.replace("'", "'\"'\"'").replace("\n", _QUOTED_NEWLINE) + "'"


class Lines:
    """Cuts what arrives into lines; a line that is too long is dropped, however it goes on."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._dropping = False

    def feed(self, data: bytes) -> list[bytes]:
        *done, rest = data.split(b"\n")
        lines = []
        for piece in done:
            if not self._dropping and len(self._held) + len(piece) <= MAX_LINE_BYTES:
                lines.append(bytes(self._held) + piece)
            self._held.clear()
            self._dropping = False
        if len(self._held) + len(rest) > MAX_LINE_BYTES:
            self._held.clear()
            self._dropping = True
        elif not self._dropping:
            self._held += rest
        return lines


class PodLink:
    """One link. Made by `open`; ended by `close`, or when the stream ends (`wait_closed`)."""

    def __init__(
        self, stream: Stream, on_notice: Callable[[], object], on_agent: OnAgent | None
    ) -> None:
        self.has_submodules = False
        """As the last notice said."""
        self._stream = stream
        self._on_notice, self._on_agent = on_notice, on_agent
        self._waiting: dict[int, asyncio.Future[str]] = {}
        # Several links can share one process; no answer for one may fit a request of another.
        self._seq = secrets.randbelow(1 << 48) + 1
        self._writing = asyncio.Lock()
        self._closed = asyncio.Event()
        self._reader: asyncio.Task[None] | None = None

    @classmethod
    async def open(
        cls,
        stream: Stream,
        on_notice: Callable[[], object],
        on_agent: OnAgent | None = None,
        *,
        timeout_s: float = OPEN_TIMEOUT_S,
        settings: PodSettings = DEFAULTS,
    ) -> PodLink:
        """Say hello; send the program if the pod does not have this version of it, nor its seed.

        `on_notice` and `on_agent` are called in the event loop and must not block. Raises
        HostUnreachable when the pod does not answer in time; the stream is closed then.
        """
        link = cls(stream, on_notice, on_agent)
        link._reader = asyncio.create_task(link._read(), name="link into a pod")
        version, text = program(settings)
        load = f"@load {version} {settings.program_path(version)}\n"
        try:
            async with asyncio.timeout(timeout_s):
                # The first newline ends what an earlier daemon may have left half written.
                if await link._ask(lambda seq: f"\n{load}@hello {seq}\n") != version:
                    sent = f"@program {version}\n{text}\n.\n"
                    await link._ask(lambda seq: f"{sent}@hello {seq}\n")
        except TimeoutError as err:
            await link.close()
            raise HostUnreachable(f"the pod did not answer within {timeout_s:g} s") from err
        except BaseException:
            await link.close()
            raise
        return link

    @property
    def is_open(self) -> bool:
        return not self._closed.is_set()

    async def wait_closed(self) -> None:
        """Until the link ended, for whatever reason."""
        await self._closed.wait()

    async def request(self, verb: str, *args: str, timeout_s: float) -> str:
        """Ask for `rp_VERB` and return what the pod answered.

        Requests run side by side in the pod, except set-ups. One that timed out goes on there.
        Raises RumpelError (Conflict) with the pod's words when it failed, TimedOut,
        HostUnreachable when the link is or gets closed.
        """
        words = " ".join(quote(arg) for arg in args)
        is_near = verb in NEAR_VERBS
        more = f"{quote(NEAR_PROGRAM if is_near else MORE_PROGRAM)} {verb}"
        try:
            async with asyncio.timeout(timeout_s):
                if verb not in MORE_VERBS and not is_near:
                    answer = await self._ask(lambda seq: f"rp_{verb} {seq} {words}\n.\n")
                    if answer != MORE:
                        return answer
                return await self._ask(lambda seq: f"rp_with {seq} {more} {words}\n.\n")
        except TimeoutError as err:
            raise TimedOut(f"the pod did not answer {verb!r} within {timeout_s:g} s") from err

    async def close(self) -> None:
        """End the link; requests that wait fail. What runs as the container's main goes on."""
        reader = self._reader
        if reader is not None and not reader.done():
            reader.cancel()
            await asyncio.wait({reader})
        await self._end("the link into the pod was closed")

    async def _ask(self, block: Callable[[int], str]) -> str:
        if self._closed.is_set():
            raise HostUnreachable("no link into the pod")
        seq, self._seq = self._seq, self._seq + 1
        answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._waiting[seq] = answer
        try:
            await self._write(block(seq).encode("utf-8", "surrogateescape"))
            return await answer
        finally:
            del self._waiting[seq]
            if answer.done() and not answer.cancelled():
                answer.exception()  # seen, also when the write failed first

    async def _write(self, data: bytes) -> None:
        if len(data) > MAX_REQUEST_BYTES:
            raise RumpelError(f"a request of {len(data)} bytes is too long for a pod")
        async with self._writing:
            try:
                await self._stream.write(data)
            except BaseException:
                # A request that was cut off would run into the next one.
                await self._end("the link into the pod broke")
                raise

    async def _read(self) -> None:
        lines = Lines()
        why = "the pod ended the link"
        try:
            while (piece := await self._stream.read()) is not None:
                kind, data = piece
                if kind == STDOUT:
                    for line in lines.feed(data):
                        self._take(line)
                await asyncio.sleep(0)  # a pod that floods us shall not hold up the others
        except (RumpelError, OSError) as err:
            why = f"the link into the pod broke: {err}"
        await self._end(why)

    def _take(self, line: bytes) -> None:
        if not line.startswith(MARK):
            return
        number, _, answer = line[len(MARK) :].partition(b" ")
        if not number.isdigit() or len(number) > 20:
            return
        if int(number) == 0:
            if answer in NOTICES:
                self.has_submodules = answer != NOTICES[0]
                self._on_notice()
            elif self._on_agent is not None and (said := AGENT.fullmatch(answer)):
                self._on_agent(said[1].decode(), said[2].decode())
            return
        waiting = self._waiting.get(int(number))
        if waiting is None or waiting.done():
            return
        outcome, _, text = answer.decode("utf-8", "replace").strip().partition(" ")
        if outcome == "ok":
            waiting.set_result(text)
        elif text.startswith(CONFLICT):
            waiting.set_exception(Conflict(text.removeprefix(CONFLICT)))
        else:
            waiting.set_exception(RumpelError(f"in the pod: {text}"))

    async def _end(self, why: str) -> None:
        if self._closed.is_set():
            return
        self._closed.set()
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(HostUnreachable(why))
        with contextlib.suppress(RumpelError, OSError):
            await self._stream.close()
