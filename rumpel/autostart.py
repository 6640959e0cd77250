"""Start the daemon when none answers: one client spawns it, the others wait for that one."""

from __future__ import annotations

import fcntl
import json
import os
import select
import subprocess
import sys
import time
from pathlib import Path

import rumpel
from rumpel import client, paths, text
from rumpel.errors import Conflict, RumpelError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from rumpel.lean import socket

START_LIMIT_S = 30.0
SAY_AFTER_S = 0.4
RETRY_S = 0.03
TAIL_LINES = 10

KEPT_NAMES = frozenset(
    {
        "HOME",
        "LANG",
        "LANGUAGE",
        "LOGNAME",
        "NODE_EXTRA_CA_CERTS",
        "PATH",
        "SHELL",
        "SSH_AUTH_SOCK",
        "TMPDIR",
        "TZ",
        "USER",
    }
)
KEPT_PREFIXES = (
    *("LC_", "XDG_", "RUMPEL_", "DOCKER_", "SSL_CERT_", "COVERAGE_"),
    *("npm_config_", "NPM_CONFIG_"),
)
KEPT_SUFFIX = "_proxy"


class DaemonStartFailed(RumpelError):
    code = "daemon-start"


def start(path: str, say: Callable[[str], None]) -> socket.socket:
    """A socket connected to a daemon that this call, or another client, has started."""
    paths.prepare_state()
    found = elsewhere(path) or of_service(path)
    if found is not None:
        return found
    paths.ensure_private(str(Path(path).parent))
    begun, said = time.monotonic(), False
    with Path(paths.start_lock_path()).open("w") as lock:
        while time.monotonic() - begun < START_LIMIT_S:
            is_mine = _try_lock(lock.fileno())
            sock = client.try_connect(path)
            if sock is None and is_mine:
                spawn_and_wait(path, say)
                sock = client.try_connect(path)
            if sock is not None:
                return sock
            if not said and time.monotonic() - begun > SAY_AFTER_S:
                said = True
                say("waiting for the rumpel daemon to start")
            # Somebody else starts it, or an old daemon still holds the lock while it ends.
            time.sleep(RETRY_S)
    before = holder()
    raise DaemonStartFailed(
        f"no rumpel daemon answered within {text.duration(START_LIMIT_S)}"
        + (f": the one before (process {before}) has not ended yet" if before else ""),
        hint="rumpel daemon stop --force" if before else "rumpel daemon logs",
        details={"socket": path, "tail": tail(0)},
    )


def holder() -> int | None:
    """The process that has this state, whether it answers or not.

    None also when that is not known for certain: a note outlives who wrote it.
    """
    try:
        pid = int(Path(paths.pid_path()).read_text().splitlines()[0])
        with Path(paths.lock_path()).open() as lock:
            is_held = not _try_lock(lock.fileno())
        is_ours = b"rumpel.daemon" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (OSError, ValueError, IndexError):
        return None
    return pid if is_held and is_ours else None


def elsewhere(path: str) -> socket.socket | None:
    """To a daemon that has this state already, on the socket of another environment.

    Sessions of cron, su and sudo have no XDG_RUNTIME_DIR. Raises Conflict when RUMPEL_SOCKET asks
    for a second one.
    """
    try:
        pid, other = Path(paths.pid_path()).read_text().splitlines()[:2]
        with Path(paths.lock_path()).open() as lock:
            if other == path or _try_lock(lock.fileno()):
                return None
    except (OSError, ValueError):
        return None
    sock = client.try_connect(other)
    if sock is not None and os.environ.get("RUMPEL_SOCKET"):
        sock.close()
        raise Conflict(
            f"a rumpel daemon (process {pid}) already serves this state on {other}",
            hint=f"unset RUMPEL_SOCKET, or set it to {other}",
        )
    return sock


STATE_MARK = "# State of rumpel: "
"""In a unit, before the folder: of another one it would be another daemon."""


def of_service(path: str) -> socket.socket | None:
    """A service manager of this user listens for this state, on the socket of another session."""
    unit = Path(paths.config_dir()).parent / "systemd/user/rumpel.socket"
    try:
        rows = unit.read_text().splitlines()
    except (OSError, ValueError):
        return None
    if f"{STATE_MARK}{paths.state_dir()}" not in rows:
        return None
    (other, *_) = [*(row[13:] for row in rows if row.startswith("ListenStream=")), path]
    other = other.replace("%%", "%")
    if other == path or os.environ.get("RUMPEL_SOCKET"):
        return None
    return client.try_connect(other)


def spawn_and_wait(path: str, say: Callable[[str], None]) -> None:
    """Start a daemon and return when it is ready, or when it found another one running."""
    log_path = Path(paths.log_path())
    paths.ensure_private(str(log_path.parent))
    read_fd, write_fd = os.pipe()
    try:
        with log_path.open("ab") as log:
            log_offset = log.tell()
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "rumpel.daemon", "--ready-fd", str(write_fd)],
                cwd="/",
                env=daemon_env(os.environ, path),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(write_fd,),
                start_new_session=True,
            )
        os.close(write_fd)
        write_fd = -1
        answer = _read_answer(read_fd, say)
    finally:
        os.close(read_fd)
        if write_fd >= 0:
            os.close(write_fd)
    if answer == "ok" or (not answer and process.wait() == 0):
        return
    raise start_error(answer, process.poll(), log_offset)


def daemon_env(env: Mapping[str, str], socket_path: str) -> dict[str, str]:
    """Built, not inherited: the first caller's shell must not shape every later request."""
    built = {name: value for name, value in env.items() if is_kept(name)}
    built["RUMPEL_SOCKET"] = socket_path
    root = Path(rumpel.__file__).absolute().parent.parent
    if root.name not in ("site-packages", "dist-packages"):
        built["PYTHONPATH"] = str(root)  # a checkout that is run in place
    return built


def is_kept(name: str) -> bool:
    return (
        name in KEPT_NAMES or name.startswith(KEPT_PREFIXES) or name.lower().endswith(KEPT_SUFFIX)
    )


def start_error(answer: str, exit_code: int | None, log_offset: int) -> RumpelError:
    """From the line the daemon wrote, else from what it left in its log."""
    message: object = answer
    hint: str | None = None
    details: dict[str, object] = {}
    if answer.startswith("{"):
        problem = json.loads(answer)
        message, hint = problem.get("message"), problem.get("hint")
        details = problem.get("details") or {}
    elif answer:
        message = answer.removeprefix("error: ")
    else:
        message = f"it exited with code {exit_code}"
        details = {"tail": tail(log_offset)}
    return DaemonStartFailed(
        f"the rumpel daemon could not start: {message}",
        hint=hint or "rumpel daemon logs",
        details=details,
    )


def tail(offset: int, lines: int = TAIL_LINES) -> list[str]:
    """The last lines of the daemon's log behind `offset` (at most the last 64 KiB of it)."""
    try:
        with Path(paths.log_path()).open("rb") as log:
            size = log.seek(0, os.SEEK_END)
            log.seek(max(offset, size - (1 << 16)))
            data = log.read()
    except FileNotFoundError:
        return []
    return text.safe_lines(data.decode("utf-8", "surrogateescape"))[-lines:]


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read_answer(descriptor: int, say: Callable[[str], None]) -> str:
    """The line the daemon writes when it is ready; empty when it closed the pipe without one."""
    deadline = time.monotonic() + START_LIMIT_S
    data, wait_s = b"", SAY_AFTER_S
    while b"\n" not in data:
        poller = select.poll()
        poller.register(descriptor, select.POLLIN)
        if poller.poll(round(wait_s * 1000)):
            chunk = os.read(descriptor, 1 << 16)
            if not chunk:
                break
            data += chunk
        elif time.monotonic() > deadline:
            raise DaemonStartFailed(
                f"the rumpel daemon was not ready within {text.duration(START_LIMIT_S)}",
                hint="rumpel daemon logs",
                details={"tail": tail(0)},
            )
        else:
            if wait_s == SAY_AFTER_S:
                say("starting the rumpel daemon")
            wait_s = deadline - time.monotonic()
    return data.decode("utf-8", "backslashreplace").strip()
