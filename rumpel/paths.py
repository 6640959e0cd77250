"""Where things live: state, cache, runtime socket, logs. Standard library, cheap to import.

XDG folders, each replaceable by the environment; `RUMPEL_SOCKET` names another daemon.
"""

from __future__ import annotations

import os
import stat

from rumpel.errors import ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

SOCKET_LIMIT_BYTES = 104
"""Shortest `sun_path` of the systems we run on (macOS 104, Linux 108), with its final NUL."""

STATE_README = """\
This folder belongs to rumpel (its daemon's database, logs and locks).
Losing it costs time, never a pod: Docker and git hold the truth.
Stop the daemon first (rumpel daemon stop) if you want to delete it.
"""


def state_dir(env: Mapping[str, str] | None = None) -> str:
    return _xdg(env, "XDG_STATE_HOME", ".local/state")


def cache_dir(env: Mapping[str, str] | None = None) -> str:
    return _xdg(env, "XDG_CACHE_HOME", ".cache")


def config_dir(env: Mapping[str, str] | None = None) -> str:
    return _xdg(env, "XDG_CONFIG_HOME", ".config")


def user_config_path(env: Mapping[str, str] | None = None) -> str:
    return config_dir(env) + "/config.json"


def socket_path(env: Mapping[str, str] | None = None) -> str:
    """The daemon's socket. Raises ConfigError when the path does not fit a socket address."""
    env = os.environ if env is None else env
    path = env.get("RUMPEL_SOCKET", "")
    name = "RUMPEL_SOCKET"
    if path:
        path = os.path.abspath(path)
    elif _is_usable(env.get("XDG_RUNTIME_DIR", "")):
        name = "XDG_RUNTIME_DIR"
        path = env["XDG_RUNTIME_DIR"] + "/rumpel/daemon.sock"
    else:
        name = "XDG_STATE_HOME"
        path = state_dir(env) + "/run/daemon.sock"
    size = len(os.fsencode(path)) + 1
    if size > SOCKET_LIMIT_BYTES:
        raise ConfigError(
            f"the socket path is too long ({size} of at most {SOCKET_LIMIT_BYTES} bytes): {path}",
            hint=f"set {'RUMPEL_SOCKET' if name == 'XDG_STATE_HOME' else name} to a shorter path",
        )
    return path


def runtime_dir(env: Mapping[str, str] | None = None) -> str:
    return os.path.dirname(socket_path(env))


def log_path(env: Mapping[str, str] | None = None) -> str:
    return state_dir(env) + "/log/daemon.log"


def crash_dir(env: Mapping[str, str] | None = None) -> str:
    return state_dir(env) + "/crash"


def lock_path(env: Mapping[str, str] | None = None) -> str:
    """Who holds this lock is the daemon of the state folder."""
    return state_dir(env) + "/daemon.lock"


def pid_path(env: Mapping[str, str] | None = None) -> str:
    """Two lines: the process that was the daemon last, and the socket it listened on."""
    return state_dir(env) + "/daemon.pid"


def start_lock_path(env: Mapping[str, str] | None = None) -> str:
    """Held by the client that is starting a daemon, so that others wait instead of racing."""
    return state_dir(env) + "/start.lock"


def ensure_private(path: str) -> str:
    """Make `path` a folder of ours that nobody else can enter; refuse one that is not ours."""
    if not os.path.lexists(path):
        os.makedirs(path, mode=0o700, exist_ok=True)
    info = os.lstat(path)
    if not stat.S_ISDIR(info.st_mode):
        raise ConfigError(f"{path} is not a folder (a link or a file is in its place)")
    if info.st_uid != os.getuid():
        raise ConfigError(f"{path} belongs to user {info.st_uid}, not to you")
    # Never chmod what we did not make: RUMPEL_SOCKET=/tmp/x.sock as root must not close /tmp.
    if info.st_mode & 0o077:
        is_shared = info.st_mode & stat.S_ISVTX  # as /tmp
        hint = "use a folder of your own" if is_shared else f"chmod 700 {path}"
        raise ConfigError(f"{path} is open to other users", hint=hint)
    return path


def prepare_state(env: Mapping[str, str] | None = None) -> str:
    """The state folder, made private, with a note for whoever stumbles on it."""
    folder = ensure_private(state_dir(env))
    readme = folder + "/README"
    if not os.path.exists(readme):
        with open(readme, "w", encoding="utf-8") as file:
            file.write(STATE_README)
    return folder


def _xdg(env: Mapping[str, str] | None, name: str, default: str) -> str:
    env = os.environ if env is None else env
    base = env.get(name, "")
    # The XDG specification: a relative path in these variables is invalid and ignored.
    if not base.startswith("/"):
        home = env.get("HOME") or os.path.expanduser("~")
        base = f"{home}/{default}"
    return base.rstrip("/") + "/rumpel"


def _is_usable(folder: str) -> bool:
    """Sessions started by `su` keep the runtime folder of somebody else; containers a lost one."""
    if not folder.startswith("/"):
        return False
    try:
        info = os.stat(folder)
    except OSError:
        return False
    return info.st_uid == os.getuid() and bool(info.st_mode & stat.S_IWUSR)
