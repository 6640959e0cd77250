"""The seat of the built-in agent in a pod, as the daemon holds it for this process."""

from __future__ import annotations

import base64
import signal
import time

from rumpel.builtin.model import Ran
from rumpel.cli.held import Held
from rumpel.errors import RumpelError, TimedOut

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from rumpel.client import Connection

STOP_S = 40.0
GRACE_S = 30.0
"""Behind a tool's own time, for its end."""
LEAVE_S = 60.0


class Left(KeyboardInterrupt):
    """A second Ctrl-C: not even the end of the tool is waited for; the daemon ends it."""


class Over(KeyboardInterrupt):
    """The time of the whole run is over. No Exception: nobody on the way may take it for one."""


class Seat:
    """Is a `builtin.model.Pod`."""

    def __init__(self, connection: Connection, message: dict[str, Any]) -> None:
        """`message`: the daemon's `seat`."""
        self.connection = connection
        self.name = str(message["name"])
        self.pod_id = str(message["pod_id"])
        self.workspace = str(message["workspace"])
        self.about = str(message["about"])
        self.notices: list[dict[str, Any]] = []
        self._last: dict[str, Any] | None = None
        self._number = 0

    def say(self, state: str) -> None:
        """`working` or `waiting`."""
        self.connection.send({"do": "state", "state": state})

    def run(self, argv: Sequence[str], *, input: bytes | None, timeout_s: float, keep: int) -> Ran:
        self._number += 1
        data = None if input is None else base64.b64encode(input).decode()
        asked = {"id": self._number, "argv": list(argv), "input": data}
        with Held() as held:
            self.connection.send({"do": "tool", **asked, "timeout_s": timeout_s, "keep": keep})
            answer = self._answer(timeout_s + GRACE_S, held) or self._stop(held)
        if answer.get("error"):
            raise _error(answer["error"])
        if answer.get("stopped"):
            raise RumpelError(f"a tool in pod {self.name} was ended from elsewhere")
        return Ran(
            code=answer["code"],
            out=base64.b64decode(answer["out"]),
            err=base64.b64decode(answer["err"]),
            left_out=int(answer["left_out"]),
        )

    def leave(self, state: str) -> dict[str, Any]:
        """The daemon's last message."""
        if self._last is None:
            self.connection.send({"do": "leave", "state": state})
        until = time.monotonic() + LEAVE_S
        while self._last is None:
            self._receive(until)
        return self._last

    def _stop(self, held: Held) -> dict[str, Any]:
        """Nothing of the tool runs when this returns. Raises Left at a Ctrl-C after the first."""
        before = min(held.came.count(signal.SIGINT), 1)
        self.connection.send({"do": "stop"})
        until = time.monotonic() + STOP_S
        while held.came.count(signal.SIGINT) == before:
            answer = self._answer(until - time.monotonic(), held)
            if answer is not None:
                return answer
        raise Left

    def _answer(self, within_s: float, held: Held) -> dict[str, Any] | None:
        """None: a signal came."""
        until = time.monotonic() + within_s
        while True:
            message = self._receive(until, held)
            if message is None:
                return None
            if message.get("event") == "tool" and message.get("id") == self._number:
                return message
            if self._last is not None:
                raise _error(self._last.get("error") or {})

    def _receive(self, until: float, held: Held | None = None) -> dict[str, Any] | None:
        """None: a signal came. Raises TimedOut, DaemonGone."""
        left_s = max(0.0, until - time.monotonic())
        others = () if held is None else (held.fileno(),)
        woken = self.connection.poll(left_s, *others)
        if not woken:
            raise TimedOut(
                "the rumpel daemon does not answer", hint="rumpel daemon restart --force"
            )
        if self.connection.fileno() not in woken:
            if held is not None:
                held.drain()
            return None
        message = self.connection.receive()
        if message.get("event") == "notice":
            self.notices.append(message)
        elif "event" not in message:
            self._last = message
        return message


def _error(told: dict[str, Any]) -> RumpelError:
    """An error of the daemon's, to be raised here."""
    error = RumpelError(
        str(told.get("message") or "the seat in the pod was lost"), hint=told.get("hint")
    )
    error.code = str(told.get("code") or error.code)
    error.exit_code = int(told.get("exit_code") or error.exit_code)
    return error
