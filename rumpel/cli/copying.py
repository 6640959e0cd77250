"""What both ways of `rumpel cp` share: the stream, signals, the meter, endings and their words."""

from __future__ import annotations

import os
import sys
import time

from rumpel import text, ui
from rumpel.adapters import odd
from rumpel.cli import attach, session
from rumpel.cli.answer import show
from rumpel.cli.pod_stream import Ended, PodStream
from rumpel.errors import Conflict, HostUnreachable, Interrupted, NotFound, RumpelError
from rumpel.lean import signal, socket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType
    from typing import Any

    from rumpel.cli.cp import Side
    from rumpel.cli.options import Options
    from rumpel.client import Connection

    Explain = Callable[[int, str, str], RumpelError | None]
    Remarks = dict[str, tuple[int, list[bytes]]]

SHOW_AFTER_S, SHOW_EVERY_S = 0.4, 0.1
MAX_WORDS = 10
MISSING, DENIED, NO_FOLDER, FOLDER_THERE, FILE_THERE, CUT, NO_TAR, TAR_FAILED = range(90, 98)
ODD, OWN_GIT, WHOLE = 98, 99, 100


class Stops:
    """Ctrl-C, TERM and HUP raise Interrupted, once; what is cleaned up then is left in peace."""

    def __init__(self) -> None:
        self._holds = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Stops:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            self._before[number] = signal.signal(number, self._stop)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def hold(self) -> None:
        """From here on nothing interrupts."""
        self._holds = True

    def _stop(self, number: int, frame: FrameType | None) -> None:
        if not self._holds:
            self._holds = True
            problem = Interrupted("interrupted: nothing was copied")
            problem.exit_code = 128 + number
            raise problem


class Meter:
    """One line on a terminal: how much, how fast."""

    def __init__(self, options: Options, stream: PodStream, what: str) -> None:
        self.stream, self.what = stream, text.safe(what)
        self.begun = time.monotonic()
        self._next = self.begun + SHOW_AFTER_S
        self._has_line = False
        if ui.is_fancy() and not options.quiet:
            stream.tick = self.tick

    def tick(self) -> None:
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + SHOW_EVERY_S
        rate = size(self.stream.moved / (now - self.begun))
        line = f"{self.what}  {size(self.stream.moved)}  {rate}/s"
        room = (ui.columns(sys.stderr) or 80) - 1
        ui.write(sys.stderr, f"\r{text.clip(line, room)}\033[K")
        sys.stderr.flush()
        self._has_line = True

    def close(self) -> None:
        if self._has_line:
            ui.write(sys.stderr, "\r\033[K")
            sys.stderr.flush()
            self._has_line = False


def size(count: float) -> str:
    """`812 bytes`, `4.1 kB`, `1.2 GB`, as docker counts them."""
    if count < 1000:
        return text.count(int(count), "byte")
    units = ["kB", "MB", "GB", "TB"]
    count /= 1000
    while count >= 999.5 and len(units) > 1:
        del units[0]
        count /= 1000
    return f"{count:.3g} {units[0]}"


class Job:
    """One copy while it runs."""

    def __init__(
        self, connection: Connection, message: dict[str, Any], stops: Stops, explain: Explain
    ) -> None:
        self.sock = socket.socket(fileno=connection.descriptors.pop(0))
        self.sock.setblocking(False)
        prefix = attach.decoded(message.get("prefix") or "")
        self.stream = PodStream(self.sock.fileno(), prefix, is_framed=not message.get("tty"))
        self.stops, self.warnings = stops, list[str]()
        self._connection, self._exec = connection, str(message.get("exec") or "")
        self._explain = explain
        self.is_cut = False
        """Whether the stream ended before its time."""

    def end_input(self) -> None:
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError:
            return  # it ended already: its code will say why

    def finish(self) -> None:
        """What ran in the pod ended. Raises what went wrong with it."""
        last = attach.exit_of(self._connection, self._exec)
        if last.get("error"):
            raise _Failed(last)
        self.warnings += last.get("warnings") or ()
        words = bytes(self.stream.errors).decode("utf-8", "replace")
        result = last.get("result") or {}
        code, lost = int(result.get("exit_code", 0)), text.safe(str(result.get("lost") or ""))
        if lost and (code or self.is_cut):
            raise HostUnreachable(
                f"the connection to {lost} was lost in the middle; nothing was copied",
                hint="the same again",
            )
        path = str(result.get("path") or "")
        problem = self._explain(code, words, path) if code else None
        if problem is not None:
            raise problem
        self.warnings += text.safe_lines(words)[:MAX_WORDS]


class _Failed(Exception):
    """The daemon has said all there is to say."""


def copy(
    options: Options,
    request: dict[str, object],
    what: str,
    transfer: Callable[[Job], dict[str, object]],
    explain: Explain,
) -> int:
    """Ask for the stream, let `transfer` use it, show what came of it.

    `explain`: an exit code that is not 0, the last words, and the whole path in the pod (empty when
    that is not known), as an error; None when it is none.
    """
    with Stops() as stops:

        def attached(connection: Connection, message: dict[str, Any]) -> dict[str, Any]:
            job = Job(connection, message, stops, explain)
            meter = Meter(options, job.stream, what)
            try:
                result = _transferred(job, transfer)
            except _Failed as failed:
                return dict(failed.args[0])
            finally:
                meter.close()
                job.sock.close()
            result["elapsed_s"] = round(time.monotonic() - meter.begun, 3)
            return {"result": result, "warnings": job.warnings}

        answer = session.ask(options, "cp", request, attaching=lambda: attached)
    return show(options, "cp", answer, lambda data: _tell(data, options))


def _transferred(job: Job, transfer: Callable[[Job], dict[str, object]]) -> dict[str, object]:
    try:
        return transfer(job)
    except Ended:
        job.is_cut = True
        job.stream.drain()
        job.finish()  # it mostly says why
        raise


def of_code(code: int, words: str, shown: str, pod: str) -> RumpelError:
    """What the programs in the pod mean by a code. `shown`: the path there."""
    shown = text.safe(shown)
    details: dict[str, object] = {"exit_code": code, "tail": words}
    if code == MISSING:
        return NotFound(f"there is no {shown} in pod {pod}", hint=f"rumpel enter {pod} -- ls -la")
    if code == DENIED:
        return Denied(
            f"the user of pod {pod} may not use {shown}: permission denied",
            hint="rumpel cp -a …   does it as root in the pod",
            details=details,
        )
    if code == NO_FOLDER:
        return Conflict(f"{shown} in pod {pod} is not a folder")
    if code == FOLDER_THERE:
        return Conflict(f"{shown} in pod {pod} is a folder: a file does not replace it")
    if code == OWN_GIT:
        return Conflict(
            f"{shown} in pod {pod} is the pod's own git repository, and stays as it is: another"
            " one has other branches, remotes and hooks",
            hint=f"rumpel enter {pod} -- git fetch host   brings what is committed here",
        )
    if code == WHOLE:
        return Conflict(
            f"all of pod {pod} is not copied while it runs: in /proc and /sys is no file",
            hint=f"rumpel cp {pod}:/home …   a folder of it; or rumpel stop {pod}",
        )
    if code in (FILE_THERE, ODD):
        return _in_the_way(code, words, shown, pod)
    if code == NO_TAR:
        return RumpelError(f"the image of pod {pod} has no tar", hint="add it to the image")
    if code == 137:
        return RumpelError(f"pod {pod} was stopped in the middle; nothing was copied")
    return RumpelError(f"the copy failed in pod {pod}; nothing was copied", details=details)


def _in_the_way(code: int, words: str, shown: str, pod: str) -> Conflict:
    """`words`: what is there, and where below the destination (empty: it itself)."""
    kind, _, below = words.strip().partition("\n")[0].partition(" ")
    place = f"{text.safe(below)} in {shown} of pod {pod}" if below else f"{shown} in pod {pod}"
    if code == ODD:
        return Conflict(odd.words(place, text.safe(kind)))
    if below:
        return Conflict(f"{place} is in the way: only one of both is a folder")
    return Conflict(f"{place} is not a folder: a folder does not replace it")


class Denied(RumpelError):
    code = "permission-denied"


def told(remarks: Remarks) -> list[str]:
    """Remarks as warnings: what, and of which."""
    lines = []
    for what, (count, paths) in remarks.items():
        shown = [text.safe(os.fsdecode(path)) for path in paths]
        more = [f"{count - len(paths)} more"] if count > len(paths) else []
        lines.append(f"{what}: {text.listing([*shown, *more])}")
    return lines


def summary(source: Side, to: str, counted: Any) -> dict[str, object]:
    """`counted` has files, folders, links and bytes."""
    kinds = {kind: getattr(counted, kind) for kind in ("files", "folders", "links", "bytes")}
    return {"from": source.word, "to": to, **kinds}


def _tell(data: dict[str, Any], options: Options) -> None:
    if options.quiet:
        return
    counts = ((data[f"{kind}s"], kind) for kind in ("file", "link", "folder"))
    parts = [text.count(number, kind) for number, kind in counts if number]
    took = text.duration(data["elapsed_s"])
    ui.err(f"{text.safe(data['to'])}: {', '.join([*parts, size(data['bytes'])])} in {took}")
