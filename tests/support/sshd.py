"""A remote host for tests: OpenSSH's server in a container with the socket of this engine."""

from __future__ import annotations

import io
import socket
import tarfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

import asyncssh

from tests.support.engine import Engine
from tests.support.home import RUN_ID, Home

LABEL = "rumpel.test-sshd"
SOCKET = "/var/run/docker.sock"
FAR = "/far"
PORTS = {"plain": 22, "strict": 2222}
"""`strict` forbids to forward sockets."""
COMMON = """\
HostKey /etc/ssh/host_key
AuthorizedKeysFile .ssh/authorized_keys
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
UsePAM no
MaxStartups 100
"""
START = (
    "/usr/sbin/sshd -f /etc/ssh/plain -E /log && exec /usr/sbin/sshd -D -f /etc/ssh/strict -E /log"
)
START_LIMIT_S = 20.0


class Far(Protocol):
    """An engine of its own, e.g. a FarEngine; its socket is docker.sock in `folder`."""

    folder: Path
    engine: Engine


class Sshd:
    """Names for `--host`: `ssh://plain`, `ssh://strict`; root is let in, dev may not use Docker.

    What they mean is in the ssh configuration of the test's home, with its only key.
    """

    def __init__(
        self,
        home: Home,
        engine: Engine,
        image: str,
        *,
        engine_socket: str | None = SOCKET,
        far: Far | None = None,
        more: str = "",
    ) -> None:
        """`far`: the engine of its own that it leads to; `more`: lines of its configuration."""
        self.home, self.engine = home, engine
        self._image, self._socket = image, engine_socket
        self.folder = home.path / "home/.ssh"
        self.host_key = asyncssh.generate_private_key("ssh-ed25519")
        self.user_key = asyncssh.generate_private_key("ssh-ed25519")
        self.container = ""
        self.far = far
        self._common = COMMON + more
        self.ports: dict[str, int] = {}

    def __enter__(self) -> Self:
        api = self.engine.api
        binds = {} if self._socket is None else {self._socket: {"bind": SOCKET, "mode": "rw"}}
        start = START
        if self.far is not None:  # started again, it has another socket of the same name
            binds = {str(self.far.folder): {"bind": FAR, "mode": "rw"}}
            start = f"mkdir -p /var/run && ln -sf {FAR}/docker.sock {SOCKET} && {START}"
        made = api.create_container(
            self._image,
            ["sh", "-c", start],
            labels={LABEL: RUN_ID},
            ports=list(PORTS.values()),
            host_config=api.create_host_config(
                init=True,
                binds=binds,
                port_bindings=dict.fromkeys(PORTS.values(), ("127.0.0.1", None)),
            ),
        )
        self.container = str(made["Id"])
        try:
            api.put_archive(self.container, "/", self._files())
            self.start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.engine.api.remove_container(self.container, force=True, v=True)

    def start(self) -> None:
        """Also again after `stop`; the ports on this machine may be others then."""
        self.engine.api.start(self.container)
        published = self.engine.inspect(self.container)["NetworkSettings"]["Ports"]
        self.ports = {
            name: int(published[f"{port}/tcp"][0]["HostPort"]) for name, port in PORTS.items()
        }
        self.configure()
        self._wait()

    def stop(self) -> None:
        self.engine.api.stop(self.container, timeout=0)

    def configure(
        self, *, key: Any = None, known: bool = True, more: Mapping[str, str] | None = None
    ) -> None:
        """The home's ssh configuration. `key`: the host's, as known_hosts has it."""
        self.folder.mkdir(mode=0o700, exist_ok=True)
        write(self.folder / "id_test", self.user_key.export_private_key())
        aliases = {"plain": "plain build"}
        lines = [
            f"Host {aliases.get(name, name)}\n  Port {port}\n" for name, port in self.ports.items()
        ]
        lines.append("Host *\n  HostName 127.0.0.1\n  User root\n")
        lines += [f"  {name} {value}\n" for name, value in (more or {}).items()]
        lines.append(f"  IdentityFile {self.folder}/id_test\n  IdentitiesOnly yes\n")
        write(self.folder / "config", "".join(lines).encode())
        public = (key or self.host_key).export_public_key().decode().strip()
        rows = [f"[127.0.0.1]:{port} {public}\n" for port in self.ports.values()]
        write(self.folder / "known_hosts", "".join(rows).encode() if known else b"")

    def sessions(self) -> list[int]:
        """Processes of sshd that hold a connection."""
        rows = self.engine.exec(self.container, "ps", "-o", "pid,args").stdout.splitlines()
        return [int(row.split()[0]) for row in rows if "sshd: root" in row or "sshd: dev" in row]

    def kill_sessions(self, signal: str = "KILL") -> int:
        """How many there were."""
        found = self.sessions()
        for pid in found:
            self.engine.exec(self.container, "kill", f"-{signal}", str(pid), check=False)
        return len(found)

    def _files(self) -> bytes:
        public = self.user_key.export_public_key()
        files = {
            "etc/ssh/host_key": (self.host_key.export_private_key(), 0o600, 0),
            "etc/ssh/plain": (f"{self._common}Port {PORTS['plain']}\n".encode(), 0o644, 0),
            "etc/ssh/strict": (
                f"{self._common}Port {PORTS['strict']}\nAllowStreamLocalForwarding no\n"
                "PidFile none\n".encode(),
                0o644,
                0,
            ),
            "root/.ssh/authorized_keys": (public, 0o600, 0),
            "home/dev/.ssh/authorized_keys": (public, 0o600, 1000),
        }
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as tar:
            for name, (content, mode, uid) in files.items():
                info = tarfile.TarInfo(name)
                info.size, info.mode, info.uid, info.gid = len(content), mode, uid, uid
                tar.addfile(info, io.BytesIO(content))
        return buffer.getvalue()

    def _wait(self) -> None:
        deadline = time.monotonic() + START_LIMIT_S
        while not all(answers(port) for port in self.ports.values()):
            if time.monotonic() > deadline:
                log = self.engine.api.logs(self.container).decode(errors="replace")
                raise AssertionError(f"sshd does not start: {log}")
            time.sleep(0.02)


def answers(port: int) -> bool:
    """The engine's own proxy accepts connections before sshd does."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as probe:
            return probe.recv(4) == b"SSH-"
    except OSError:
        return False


def write(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    path.chmod(0o600)
