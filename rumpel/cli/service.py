"""The daemon as a service of the user: systemd units with a socket, or a launchd agent."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

from rumpel import autostart, paths
from rumpel.errors import RumpelError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

SOCKET_UNIT, SERVICE_UNIT = "rumpel.socket", "rumpel.service"
LABEL = "rumpel.daemon"
LIMIT_S = 30.0
SYSTEMD, LAUNCHD = "systemd", "launchd"
NOT_KEPT = frozenset({"SSH_AUTH_SOCK", "TMPDIR"})
"""Of a session: a service outlives it, and gets those that its manager has."""


class NoManager(RumpelError):
    code = "no-service-manager"


def manager() -> str:
    """What runs services of this user. Raises NoManager."""
    if sys.platform == "darwin" and shutil.which("launchctl"):
        return LAUNCHD
    if shutil.which("systemctl"):
        done = _run(["systemctl", "--user", "show", "--property=Version"], check=False)
        if done.returncode == 0:
            return SYSTEMD
    raise NoManager(
        "there is neither a systemd of yours nor launchd here; none is needed: "
        "every command starts the daemon by itself",
        hint="rumpel daemon status",
    )


def files(kind: str, env: Mapping[str, str]) -> dict[str, bytes]:
    """Path -> content of what an installation has."""
    path = paths.socket_path(env)
    argv = [sys.executable, "-P", "-m", "rumpel.daemon"]
    kept = environment(env, path)
    folder = folder_of(kind, env)
    if kind == LAUNCHD:
        return {f"{folder}/{LABEL}.plist": plist(argv, kept, paths.log_path(env))}
    return {
        f"{folder}/{SOCKET_UNIT}": socket_unit(path, paths.state_dir(env)).encode(),
        f"{folder}/{SERVICE_UNIT}": service_unit(argv, kept).encode(),
    }


def folder_of(kind: str, env: Mapping[str, str]) -> str:
    if kind == LAUNCHD:
        return f"{env.get('HOME') or os.path.expanduser('~')}/Library/LaunchAgents"
    return f"{paths.config_dir(env).removesuffix('/rumpel')}/systemd/user"


def environment(env: Mapping[str, str], socket_path: str) -> dict[str, str]:
    """As a daemon that a command starts has it; no password of a proxy gets into a file."""
    return {
        name: value
        for name, value in autostart.daemon_env(env, socket_path).items()
        if name not in NOT_KEPT
        and value.isprintable()
        and not (name.lower().endswith("_proxy") and "@" in value)
    }


def quoted(word: str) -> str:
    """One word of a unit."""
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{escaped}"'


def socket_unit(path: str, state: str) -> str:
    return (
        f"{autostart.STATE_MARK}{state}\n[Unit]\nDescription=Socket of the rumpel daemon\n\n"
        f"[Socket]\nListenStream={path.replace('%', '%%')}\nSocketMode=0600\nDirectoryMode=0700\n"
        "RemoveOnStop=yes\n\n"
        "[Install]\nWantedBy=sockets.target\n"
    )


def service_unit(argv: list[str], env: Mapping[str, str]) -> str:
    words = " ".join(quoted(word).replace("$", "$$") for word in argv)
    rows = "".join(f"Environment={quoted(f'{name}={env[name]}')}\n" for name in sorted(env))
    return (
        "[Unit]\nDescription=The rumpel daemon\n"
        f"Requires={SOCKET_UNIT}\nAfter={SOCKET_UNIT}\n\n"
        f"[Service]\nType=simple\nExecStart={words}\nWorkingDirectory=/\n{rows}"
        "UMask=0077\nTimeoutStopSec=90\nLimitNOFILE=65536\n"
    )


def plist(argv: list[str], env: Mapping[str, str], log: str) -> bytes:
    """It binds its socket itself; launchd keeps it there after a crash."""
    import plistlib

    return plistlib.dumps(
        {
            "Label": LABEL,
            "ProgramArguments": argv,
            "EnvironmentVariables": dict(env),
            "WorkingDirectory": "/",
            "RunAtLoad": True,
            "KeepAlive": {"SuccessfulExit": False},
            "ProcessType": "Background",
            "StandardErrorPath": log,
            "Umask": 0o077,
        }
    )


def differ(wanted: Mapping[str, bytes]) -> list[str]:
    """Those that are not there, or not like that."""
    return [path for path, content in wanted.items() if _content(path) != content]


def write(wanted: Mapping[str, bytes]) -> None:
    """Each whole or not at all. Raises RumpelError."""
    for path, content in wanted.items():
        fresh = f"{path}.rumpel-new"
        try:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
            os.replace(fresh, path)
        except OSError as error:
            raise RumpelError(f"{path} cannot be written: {error.strerror}") from error


def remove(wanted: Mapping[str, bytes]) -> list[str]:
    """Those that were there."""
    found = [path for path in wanted if os.path.lexists(path)]
    for path in found:
        os.unlink(path)
    return found


def enable(kind: str, wanted: Mapping[str, bytes]) -> None:
    """Raises RumpelError with what the manager said."""
    if kind == LAUNCHD:
        (path,) = wanted
        _run(["launchctl", "bootout", f"gui/{os.getuid()}/{LABEL}"], check=False)
        _run(["launchctl", "bootstrap", f"gui/{os.getuid()}", path])
        return
    _run(["systemctl", "--user", "daemon-reload"])
    _run(["systemctl", "--user", "enable", "--quiet", SOCKET_UNIT])
    _run(["systemctl", "--user", "reset-failed", SOCKET_UNIT, SERVICE_UNIT], check=False)
    _run(["systemctl", "--user", "restart", SOCKET_UNIT])


def is_active(kind: str) -> bool:
    if kind == LAUNCHD:
        argv = ["launchctl", "print", f"gui/{os.getuid()}/{LABEL}"]
    else:
        argv = ["systemctl", "--user", "is-active", "--quiet", SOCKET_UNIT]
    return _run(argv, check=False).returncode == 0


def disable(kind: str) -> None:
    """Before its files go."""
    if kind == LAUNCHD:
        _run(["launchctl", "bootout", f"gui/{os.getuid()}/{LABEL}"], check=False)
        return
    _run(["systemctl", "--user", "disable", "--quiet", "--now", SOCKET_UNIT], check=False)
    _run(["systemctl", "--user", "stop", SERVICE_UNIT], check=False)


def forget(kind: str) -> None:
    """After its files went."""
    if kind == SYSTEMD:
        _run(["systemctl", "--user", "daemon-reload"], check=False)
        _run(["systemctl", "--user", "reset-failed", SOCKET_UNIT, SERVICE_UNIT], check=False)


def _content(path: str) -> bytes | None:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return None


def _run(argv: list[str], *, check: bool = True) -> subprocess.CompletedProcess[str]:
    try:
        done = subprocess.run(
            argv, capture_output=True, text=True, errors="replace", timeout=LIMIT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise RumpelError(f"{' '.join(argv)} failed: {error}") from error
    if check and done.returncode != 0:
        said = (done.stderr or done.stdout).strip().split("\n")[-1]
        raise RumpelError(f"{' '.join(argv)} failed: {said}", hint="systemctl --user status")
    return done
