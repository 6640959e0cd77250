"""Named fault points: where a test can kill, break or stop the daemon.

`RUMPEL_FAULT=container.effect-after:1:kill` acts at the first hit of that point; several are
separated by commas. `kill` is SIGKILL to ourselves, `raise` an error as if the effect had failed,
`hang` waits until somebody kills or cancels, `hold` until there is a file `<FILE>.<point>` beside
the log. With `RUMPEL_FAULT_LOG=FILE` the name of each point
that is hit is appended to the file, so a sweep over all of them can be generated.

The engine hits `<kind>.intent-before`, `.intent-after`, `.effect-before`, `.effect-after` and
`.record-after` for every node, and `.undo-before`, `.undo-after` around an undo; an operation adds
its own with `ctx.fault`.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NoReturn, get_args

from rumpel.errors import RumpelError, UsageError

Action = Literal["kill", "raise", "hang", "hold"]
HOLD_POLL_S = 0.01


@dataclass(slots=True)
class Faults:
    """What is armed: the n-th hit of a point does the action."""

    armed: dict[str, tuple[int, Action]] = field(default_factory=dict)
    log: Path | None = None
    hits: dict[str, int] = field(default_factory=dict)


_faults: Faults | None = None


def parse(text: str) -> dict[str, tuple[int, Action]]:
    """Raises UsageError for anything but `NAME:N:kill|raise|hang|hold`, separated by commas."""
    armed: dict[str, tuple[int, Action]] = {}
    for item in filter(None, text.split(",")):
        name, _, rest = item.partition(":")
        count, _, action = rest.partition(":")
        if not count.isdigit() or action not in get_args(Action):
            raise UsageError(f"RUMPEL_FAULT item {item!r} is not NAME:N:kill|raise|hang|hold")
        armed[name] = (int(count), action)  # type: ignore[assignment] # just checked
    return armed


def configure(text: str | None = None, log: str | None = None) -> None:
    """Arm the faults of `text`; without arguments, switch everything off."""
    global _faults
    _faults = Faults(parse(text or ""), Path(log) if log else None) if text or log else None


def configure_from_environment() -> None:
    configure(os.environ.get("RUMPEL_FAULT"), os.environ.get("RUMPEL_FAULT_LOG"))


def is_on() -> bool:
    """Is a fault armed or a log wanted? Else nobody needs to `reach` anything."""
    return _faults is not None


def seen() -> tuple[str, ...]:
    """The points hit so far, in order of the first hit; empty when nothing is armed or logged."""
    return () if _faults is None else tuple(_faults.hits)


def point(name: str) -> None:
    """A fault point in code that cannot await; `hang` stops the whole process."""
    match _due(name):
        case None:
            return
        case "hang":
            while True:
                time.sleep(3600)
        case "hold":
            _hold(name)
        case action:
            _act(name, action)


async def reach(name: str) -> None:
    """A fault point in the engine; `hang` stops this node alone and can be cancelled."""
    match _due(name):
        case None:
            return
        case "hang":
            await asyncio.Event().wait()
        case "hold":
            await asyncio.to_thread(_hold, name)
        case action:
            _act(name, action)


def _due(name: str) -> Action | None:
    if _faults is None:
        return None
    hits = _faults.hits.get(name, 0) + 1
    _faults.hits[name] = hits
    if _faults.log is not None:
        with _faults.log.open("a") as file:
            file.write(f"{name}\n")
    count, action = _faults.armed.get(name, (0, None))
    return action if hits == count else None


def _hold(name: str) -> None:
    log = None if _faults is None else _faults.log
    while log is not None and not log.with_name(f"{log.name}.{name}").exists():
        time.sleep(HOLD_POLL_S)


def _act(name: str, action: str) -> NoReturn:
    if action == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
        signal.pause()  # never returns: the signal ends the process, this only waits for it
    raise RumpelError(f"fault injected at {name}", details={"fault": name})


configure_from_environment()
