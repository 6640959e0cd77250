"""The terminal in raw mode, and always back."""

from __future__ import annotations

import os
import termios

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

STDIN, STDOUT = 0, 1
IFLAG, OFLAG, CFLAG, LFLAG, CC = 0, 1, 2, 3, 6

RESET_SCREEN = (
    b"\x1b[?1049l"  # leave the alternate screen
    b"\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1006l"  # no mouse reports
    b"\x1b[?2004l\x1b[?25h\x1b[0m\r\n"  # no bracketed paste, cursor shown, plain colours
)


class RawMode:
    """Context manager; None as descriptor does nothing (no terminal is involved)."""

    def __init__(self, descriptor: int | None) -> None:
        self._descriptor = descriptor
        self._before: list[Any] | None = None

    def __enter__(self) -> RawMode:
        if self._descriptor is not None:
            self._before = termios.tcgetattr(self._descriptor)
            self.again()
        return self

    def __exit__(self, *_: object) -> None:
        if self._descriptor is not None and self._before is not None:
            try:
                termios.tcsetattr(self._descriptor, termios.TCSANOW, self._before)
            except termios.error:
                return  # the terminal is gone, nothing to restore

    def again(self) -> None:
        """Make it raw; also after a stop and continue, where the shell had changed it."""
        if self._descriptor is not None and self._before is not None:
            # TCSANOW, not TCSAFLUSH: what was typed while the pod started is kept.
            termios.tcsetattr(self._descriptor, termios.TCSANOW, raw_of(self._before))

    def reset_screen(self) -> None:
        """After an end in the middle: the program there could not put the screen back."""
        if self._descriptor is not None:
            os.write(STDOUT, RESET_SCREEN)


def raw_of(mode: list[Any]) -> list[Any]:
    """cfmakeraw(3)."""
    raw: list[Any] = [list(part) if isinstance(part, list) else part for part in mode]
    raw[IFLAG] &= ~(
        termios.IGNBRK
        | termios.BRKINT
        | termios.PARMRK
        | termios.INPCK
        | termios.ISTRIP
        | termios.INLCR
        | termios.IGNCR
        | termios.ICRNL
        | termios.IXON
    )
    raw[OFLAG] &= ~termios.OPOST
    raw[LFLAG] &= ~(termios.ECHO | termios.ECHONL | termios.ICANON | termios.ISIG | termios.IEXTEN)
    raw[CFLAG] = raw[CFLAG] & ~(termios.CSIZE | termios.PARENB) | termios.CS8
    raw[CC][termios.VMIN], raw[CC][termios.VTIME] = 1, 0
    return raw


def size() -> tuple[int, int] | None:
    """Rows and columns of the terminal on stdout."""
    try:
        columns, rows = os.get_terminal_size(STDOUT)
    except OSError:
        return None
    return rows, columns
