"""One request in progress: its events to the client, the client's control messages to it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from typing import Any, TypeVar

from rumpel import protocol
from rumpel.daemon.connection import Connection
from rumpel.daemon.places import Places
from rumpel.engine.events import Event, EventKind, reason_json
from rumpel.errors import UsageError

Result = TypeVar("Result")
ANSWER_TIMEOUT_S = 600.0

NODE_STATES = {
    EventKind.CACHED: "cached",
    EventKind.WAITING: "waiting",
    EventKind.RUNNING: "running",
    EventKind.OK: "ok",
    EventKind.FAILED: "failed",
    EventKind.UPSTREAM_FAILED: "upstream-failed",
    EventKind.CANCELLED: "cancelled",
    EventKind.BLOCKED: "blocked",
}


class Client:
    """Sends never wait; what the client says later arrives through `controls`."""

    def __init__(self, connection: Connection, request: protocol.Request, places: Places) -> None:
        self.connection = connection
        self.request = request
        self.places = places
        self.warnings: list[str] = []
        self.cancelled = asyncio.Event()
        self.gone = asyncio.Event()
        self.wants_exit = asyncio.Event()
        self.signalled = asyncio.Event()
        self.asked: asyncio.Queue[Mapping[str, Any]] = asyncio.Queue(maxsize=16)
        """What the built-in agent wants done."""
        self.resizes: asyncio.Queue[tuple[int, int]] = asyncio.Queue(maxsize=16)
        self._answer: asyncio.Future[object] | None = None

    def send(self, message: Mapping[str, object]) -> None:
        self.connection.send(message)

    def warn(self, text: str) -> None:
        if text not in self.warnings:
            self.warnings.append(text)

    def notice(self, text: str) -> None:
        self.send(protocol.notice(text))

    def tell_warnings(self) -> None:
        """Now: what comes next may take the terminal for hours."""
        for warning in self.warnings:
            self.send(protocol.notice(warning, level="warning"))
        self.warnings.clear()

    def on_event(self, event: Event) -> None:
        """An engine event as a line of the protocol."""
        if event.kind is EventKind.RUN_PLANNED:
            self.send(protocol.planned(event.run_id, event.nodes))
        elif event.kind is EventKind.LOG:
            self.send(protocol.log(event.node_id, event.text, pod=event.pod))
        elif event.kind in NODE_STATES:
            self.send(
                protocol.node(
                    event.node_id,
                    NODE_STATES[event.kind],
                    title=event.title,
                    pod=event.pod,
                    elapsed_s=round(event.elapsed_s, 3),
                    reasons=[reason_json(reason) for reason in event.reasons],
                    error=None if event.error is None else event.error.to_json(),
                )
            )

    async def controls(self) -> None:
        """Read control messages until the client is gone."""
        try:
            while (message := await self.connection.receive()) is not None:
                self._control(message)
        except UsageError:
            pass  # garbage after a good request: treat it as gone
        self.gone.set()
        self._answered(None)

    async def while_there(self, work: Awaitable[Result]) -> Result | None:
        """Wait for `work`, for as long as the client is there: None when it goes.

        Then `work` has ended, too: what it used can be closed.
        """
        doing = asyncio.ensure_future(work)
        gone = asyncio.ensure_future(self.gone.wait())
        try:
            await asyncio.wait([doing, gone], return_when=asyncio.FIRST_COMPLETED)
            return doing.result() if doing.done() else None
        finally:
            gone.cancel()
            doing.cancel()
            await asyncio.wait({doing})

    async def ask_consent(self, repo: str, items: Sequence[Mapping[str, str]]) -> bool:
        """The person's answer; False when nobody answers."""
        return await self._ask(protocol.consent(repo, items)) is True

    async def ask_choice(self, what: str, items: Sequence[str]) -> str | None:
        """The one of them that the person wants; None when nobody answers."""
        answer = await self._ask(protocol.choice(what, items))
        return next((item for item in items if item == answer), None)

    async def _ask(self, message: Mapping[str, object]) -> object:
        self._answer = asyncio.get_running_loop().create_future()
        self.send(message)
        if self.gone.is_set():
            return None
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                return await self._answer
        except TimeoutError:
            return None

    def _answered(self, answer: object) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(answer)

    def _control(self, message: Mapping[str, Any]) -> None:
        match message.get("do"):
            case "cancel":
                self.cancelled.set()
                self._answered(None)
            case "detach":
                self.gone.set()
            case "signal":
                self.signalled.set()
            case "exit":
                self.wants_exit.set()
            case "tool" | "stop" | "state" | "leave":
                if not self.asked.full():
                    self.asked.put_nowait(message)
            case "consent":
                self._answered(message.get("granted"))
            case "choose":
                self._answered(message.get("item"))
            case "resize":
                rows, cols = message.get("rows"), message.get("cols")
                if type(rows) is int and type(cols) is int and not self.resizes.full():
                    self.resizes.put_nowait((rows, cols))
