"""How rumpel calls git: no hook, no user configuration, no prompt, a deadline.

One place, because a repository (or the pod whose objects are read) may otherwise decide what
runs on the host: hooks, fsmonitor, credential helpers, replace refs, lazy fetches.
"""

from __future__ import annotations

import errno
import os
import re
import signal
from collections.abc import Sequence

from rumpel.adapters import proc
from rumpel.errors import RumpelError

PINNED = (
    "safe.directory=*",  # whoever asks has found the repository with git's own ownership check
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.logAllRefUpdates=false",
    "gc.auto=0",
    "maintenance.auto=false",
    "protocol.fd.allow=always",
)
ERROR_LINES = 3
DIED = re.compile(r"died of signal (\d+)")
OF_ITS_INPUT = frozenset(
    {signal.SIGXFSZ, signal.SIGXCPU, signal.SIGSEGV, signal.SIGABRT, signal.SIGFPE, signal.SIGILL}
)
"""Signals that git brings upon itself by what it reads; the others come from this machine."""
NOT_OF_ITS_INPUT = tuple(
    os.strerror(number)
    for number in (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EMFILE, errno.ENFILE, errno.EAGAIN)
)


def isolated_env() -> dict[str, str]:
    """For everything that touches what a pod sent: the user's configuration plays no part."""
    return proc.clean_env(
        {
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_OPTIONAL_LOCKS": "0",
            "GIT_NO_REPLACE_OBJECTS": "1",
            "GIT_ALLOW_PROTOCOL": "fd",
            "GIT_ATTR_NOSYSTEM": "1",
        }
    )


def own_env() -> dict[str, str]:
    """For reading the user's own objects: a partial clone may have to fetch what is missing."""
    return proc.clean_env({"GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0"})


def argv(git_dir: str, *args: str) -> list[str]:
    pinned = [word for entry in PINNED for word in ("-c", entry)]
    return ["git", *place(git_dir), *pinned, *args]


def place(git_dir: str) -> list[str]:
    """Where git is to work, without a work tree.

    The configuration of a submodule's repository names one, and git refuses when that is gone.
    """
    found = [f"--git-dir={git_dir}"]
    return [*found, f"--work-tree={git_dir}"] if "/modules/" in git_dir else found


async def run(
    git_dir: str,
    *args: str,
    input: bytes | None = None,
    timeout_s: float,
    env: dict[str, str] | None = None,
    cwd: str | None = None,
    codes: Sequence[int] = (0,),
    max_output_bytes: int = proc.MAX_OUTPUT_BYTES,
) -> proc.Completed:
    """Raises RumpelError with what git said for any other exit code, TimedOut."""
    done = await proc.run(
        argv(git_dir, *args),
        env=isolated_env() if env is None else env,
        cwd=cwd,
        input=input,
        timeout_s=timeout_s,
        max_output_bytes=max_output_bytes,
    )
    if done.code not in codes:
        raise failed(args, done)
    return done


def failed(args: Sequence[str], done: proc.Completed) -> RumpelError:
    words = [word for before, word in zip(("", *args), args, strict=False) if before != "-c"]
    verb = next((word for word in words if not word.startswith("-")), "")
    return RumpelError(
        f"git {verb} failed: {summary(done.error_text) or f'exit code {done.code}'}",
        details={"exit_code": done.code, "stderr": done.error_text[-4000:]},
    )


def is_hosts_fault(code: int, said: str) -> bool:
    """Whether a git failed that may do better another time: killed, or nowhere to write to.

    A pod that makes its server say so only keeps its own branches from coming.
    """
    died = DIED.search(said)
    number = int(died[1]) if died and code > 0 else max(0, -code)
    is_killed = number != 0 and number not in OF_ITS_INPUT
    return code != 0 and (is_killed or any(text in said for text in NOT_OF_ITS_INPUT))


def summary(text: str) -> str:
    """The lines of git's stderr that say what failed, as one line."""
    lines = [line.strip() for line in text.replace("\0", "").splitlines() if line.strip()]
    telling = [line for line in lines if line.startswith(("fatal: ", "error: ", "! "))]
    return "; ".join((telling or lines)[:ERROR_LINES])
