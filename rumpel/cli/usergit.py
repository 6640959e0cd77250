"""git as the user would run it: their configuration, hooks, signing, editor and terminal."""

from __future__ import annotations

import os
import subprocess
import sys

from rumpel import text
from rumpel.errors import RumpelError, TimedOut
from rumpel.lean import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

TIMEOUT_S = 300.0
ELSEWHERE = (
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_NAMESPACE",
    "GIT_PREFIX",
    "GIT_GRAFT_FILE",
    "GIT_SHALLOW_FILE",
    "GIT_IMPLICIT_WORK_TREE",
)
"""Would make git work in another repository than the one the daemon looked at."""


class Git:
    """In one folder. Nothing of what it reads from a pod's commits is run by `ask`."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.env = {name: value for name, value in os.environ.items() if name not in ELSEWHERE}

    def tell(
        self,
        *args: str,
        env: Mapping[str, str] | None = None,
        input: bytes = b"",
    ) -> subprocess.CompletedProcess[bytes]:
        """Its output and code, whatever that is. Raises TimedOut, RumpelError."""
        try:
            return subprocess.run(
                ["git", *args],
                cwd=self.folder,
                env={**self.env, "LC_ALL": "C", **(env or {})},
                input=input,
                capture_output=True,
                timeout=TIMEOUT_S,
                check=False,
            )
        except subprocess.TimeoutExpired as err:
            raise TimedOut(f"git {args[0]} did not end within {TIMEOUT_S:g} s") from err
        except OSError as err:
            raise RumpelError(f"git cannot be started: {err.strerror}") from err

    def ask(self, *args: str, env: Mapping[str, str] | None = None, input: bytes = b"") -> bytes:
        """What it prints, without the last newline. Raises RumpelError with its own words."""
        done = self.tell(*args, env=env, input=input)
        if done.returncode:
            raise RumpelError(f"git {verb_of(args)} failed: {reason(done)}")
        return done.stdout.removesuffix(b"\n")

    def line(self, *args: str) -> str | None:
        """What it prints, None when it fails."""
        done = self.tell(*args)
        return None if done.returncode else os.fsdecode(done.stdout).removesuffix("\n")

    def says(self, *args: str) -> bool:
        """Does it end with 0?"""
        return self.tell(*args).returncode == 0

    def attached(
        self, args: Sequence[str], *, env: Mapping[str, str], is_quiet: bool
    ) -> tuple[int, str]:
        """Run on the user's terminal; (code, what it said if `is_quiet`).

        With `is_quiet` nothing reaches stdout and nobody is asked. Ctrl-C is git's to handle: a
        git that is killed leaves locks.
        """
        before = signal.signal(signal.SIGINT, lambda number, frame: None)
        try:
            done = subprocess.run(
                ["git", *args],
                env={**self.env, **env},
                stdin=subprocess.DEVNULL if is_quiet else None,
                stdout=subprocess.PIPE if is_quiet else None,
                stderr=subprocess.STDOUT if is_quiet else None,
                check=False,
            )
        except OSError as err:
            raise RumpelError(f"git cannot be started: {err.strerror}") from err
        finally:
            signal.signal(signal.SIGINT, before)
        return done.returncode, os.fsdecode(done.stdout or b"")


def here() -> Git:
    """For the working tree the current folder lies in. Raises RumpelError when there is none."""
    top = Git(os.curdir).ask("rev-parse", "--show-toplevel")
    return Git(os.fsdecode(top))


def has_terminal() -> bool:
    """As git decides whether to open an editor for a merge."""
    try:
        return sys.stdin.isatty() and sys.stdout.isatty()
    except (ValueError, AttributeError):
        return False


def verb_of(args: Sequence[str]) -> str:
    return next((word for word in args if not word.startswith("-")), "")


def reason(done: subprocess.CompletedProcess[bytes]) -> str:
    """Git's own words, as one line for a message."""
    lines = text.safe_lines(done.stderr.decode("utf-8", "replace"))
    telling = [line for line in lines if line.startswith(("fatal: ", "error: "))] or lines
    return "; ".join(telling[:3]) or f"exit code {done.returncode}"
