"""What stands for the client in the requests that a batch makes for its tasks."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable, Mapping
from typing import Any

from rumpel import protocol
from rumpel.daemon.client import Client
from rumpel.engine.events import Event

Hear = Callable[[Mapping[str, object]], None]


class TaskClient(Client):
    """Nobody is asked, and what it is told goes to the batch. Whoever began that may be gone."""

    def __init__(
        self,
        origin: Client,
        verb: str,
        args: Mapping[str, Any],
        *,
        hear: Hear,
        on_event: Callable[[Event], None],
        cancelled: asyncio.Event,
    ) -> None:
        request = copy.copy(origin.request)
        request.verb, request.args = verb, protocol.arguments(verb, args)
        request.ask = request.tty = False
        super().__init__(origin.connection, request, origin.places)
        self.cancelled = cancelled
        self._hear, self._on_event = hear, on_event

    def send(self, message: Mapping[str, object]) -> None:
        self._hear(message)

    def on_event(self, event: Event) -> None:
        self._on_event(event)
