"""A second engine for tests: a dockerd in a network namespace of its own, or Podman's service."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

import docker

from tests.support import processes
from tests.support.engine import Engine

START_LIMIT_S, STOP_LIMIT_S = 30.0, 30.0
OWN_IDENTITY = "mkdir -p {0} && mount --bind {0} /etc/docker && ip link set lo up"
"""An engine's id lies in /etc/docker: two that share it could not be told apart."""
CLONE_NEWNET = 0x40000000
AS_USER = """
cd "$0"
mkdir -p etc home run root
cp /etc/passwd /etc/group etc
echo "far:x:61234:61234::$0/home:/bin/sh" >>etc/passwd
echo far:x:61234: >>etc/group
echo far:600000:65536 | tee etc/subuid >etc/subgid
for file in passwd group subuid subgid; do
    mount --bind "etc/$file" "/etc/$file"
done
for device in fuse,229 net/tun,200; do  # of everybody, as on a machine of users
    name=${device%,*} own=${device#*,}
    if [ -e "/dev/$name" ]; then
        mknod -m 666 "$own" c 10 "$own"
        mount --bind "$own" "/dev/$name"
    fi
done
chown 61234:61234 . home run root
export HOME="$0/home" XDG_RUNTIME_DIR="$0/run" PATH="$PATH:/usr/sbin:/sbin"
unset DBUS_SESSION_BUS_ADDRESS
cd home
exec setpriv --reuid 61234 --regid 61234 --clear-groups "$@"
"""
"""`$0`: the folder of the engine, which becomes the user's own."""
WITHOUT_LIMITS = '''#!/usr/bin/python3
"""runc without resource limits: who may not raise them could start no container of Podman's."""
import json, os, sys
args = sys.argv[1:]
for flag, tail in (("--bundle", "/config.json"), ("-b", "/config.json"),
                   ("--process", ""), ("-p", "")):
    if flag in args:
        path = args[args.index(flag) + 1] + tail
        with open(path) as file:
            spec = json.load(file)
        (spec.get("process") or spec).pop("rlimits", None)
        with open(path, "w") as file:
            json.dump(spec, file)
os.execvp("runc", ["runc", *args])
'''


class FarEngine:
    """Ended, with all that is in it, by `close`; `engine` looks at it without rumpel."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="rf-", dir="/tmp"))  # a short socket path
        self.socket = self.folder / "docker.sock"
        self.engine: Engine
        self._process: subprocess.Popen[bytes] | None = None

    @classmethod
    def missing(cls) -> str:
        """What this machine lacks to run it; empty when it can."""
        return ""

    @property
    def url(self) -> str:
        return f"unix://{self.socket}"

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def argv(self) -> Sequence[str]:
        raise NotImplementedError

    def start(self) -> None:
        """Also again after `stop`, with the images and containers it had."""
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self.argv(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=self.fds()
            )
        deadline = time.monotonic() + START_LIMIT_S
        while not _answers(self.socket):
            if time.monotonic() > deadline or self._process.poll() is not None:
                said = (self.folder / "log").read_text(errors="replace")[-3000:]
                raise AssertionError(f"{type(self).__name__} does not start: {said}")
            time.sleep(0.02)
        self.engine = Engine(docker.APIClient(base_url=self.url, version="auto", timeout=60))

    def fds(self) -> Sequence[int]:
        return ()

    @contextlib.contextmanager
    def shares_port(self, port: int) -> Iterator[None]:
        """What listens on 127.0.0.1 on this machine does so in the engine's network, too."""
        yield

    def load(self, source: Engine, *refs: str) -> None:
        """Images of another engine, under their names."""
        for ref in refs:
            self.engine.api.load_image(b"".join(source.api.get_image(ref)))

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def stop(self) -> None:
        if self._process is None:
            return
        self._process.send_signal(signal.SIGCONT)
        self._process.terminate()
        try:
            self._process.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def close(self) -> None:
        is_up = self._process is not None and self._process.poll() is None
        if is_up and hasattr(self, "engine"):
            for container in self.engine.containers():
                self.engine.api.remove_container(container["Id"], force=True, v=True)
            self.engine.close()
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


class Dockerd(FarEngine):
    """`tls`: a folder with ca.pem, cert.pem and key.pem; then it listens at `tls_port`, too.

    `disk_mb`: its data lie on a file system of that size, which ends with it.
    """

    def __init__(self, tls: Path | None = None, *, disk_mb: int | None = None) -> None:
        super().__init__()
        self._disk_mb = disk_mb
        self._tls = tls
        self._listening = socket.socket()
        self.tls_port = 0
        if tls is not None:
            self._listening.bind(("127.0.0.1", 0))
            self._listening.listen(64)
            self.tls_port = int(self._listening.getsockname()[1])

    def argv(self) -> Sequence[str]:
        place = self.folder
        options = [
            *("--data-root", f"{place}/data", "--exec-root", f"{place}/exec"),
            *("--pidfile", f"{place}/pid", "--host", self.url),
            *("--iptables=false", "--ip-forward=false", "--ip-masq=false"),
        ]
        begin = OWN_IDENTITY.format(place / "etc")
        if self._disk_mb is not None:
            begin += f" && mkdir -p {place}/data"
            begin += f" && mount -t tmpfs -o size={self._disk_mb}m tmpfs {place}/data"
        if self._tls is not None:
            # Its own network has no way to us: it gets a socket that listens here.
            begin += f" && exec 3<&{self._listening.fileno()} && export LISTEN_FDS=1 LISTEN_PID=$$"
            options += ["--host", "fd://", "--tlsverify"]
            options += [f"--tls{name}={self._tls}/{name}.pem" for name in ("cert", "key")]
            options += [f"--tlscacert={self._tls}/ca.pem"]
        script = f'{begin} && exec dockerd "$@"'
        return ["unshare", "-nm", "bash", "-c", script, "dockerd", *options]

    @property
    def disk(self) -> Path:
        """Its data, as seen from outside of its own mounts."""
        assert self._process is not None
        return Path(f"/proc/{self._process.pid}/root{self.folder}/data")

    def fds(self) -> Sequence[int]:
        return [] if self._tls is None else [self._listening.fileno()]

    @contextlib.contextmanager
    def shares_port(self, port: int) -> Iterator[None]:
        assert self._process is not None
        with ThreadPoolExecutor(1) as thread:  # a network is a thread's, and this one ends
            there = thread.submit(_listen_in, self._process.pid, port).result()
        with there, contextlib.ExitStack() as open_ones:
            threading.Thread(target=_carry_all, args=(there, port, open_ones), daemon=True).start()
            try:
                yield
            finally:
                there.shutdown(socket.SHUT_RDWR)  # wakes who waits in accept

    def close(self) -> None:
        super().close()
        self._listening.close()


class Podman(FarEngine):
    """As root; its containers have no more than this machine may give."""

    @classmethod
    def missing(cls) -> str:
        return "" if shutil.which("podman") else "podman is not installed"

    def argv(self) -> Sequence[str]:
        runtime = self.folder / "runtime"
        runtime.write_text(WITHOUT_LIMITS)
        runtime.chmod(0o755)
        return [
            *("podman", "--root", f"{self.folder}/root", "--runroot", f"{self.folder}/run"),
            *("--cgroup-manager=cgroupfs", "--events-backend=file", "--runtime", str(runtime)),
            *("system", "service", "-t", "0", self.url),
        ]

    def stop(self) -> None:
        super().stop()
        # Who watched over an exec stays for five minutes.
        processes.kill(processes.mentioning(self.folder))
        # It leaves its storage mounted upon itself, which no folder's removal gets through.
        place = self.folder / "root/overlay"
        if place.exists():
            subprocess.run(["umount", "-l", str(place)], check=False, stderr=subprocess.DEVNULL)


class RootlessPodman(Podman):
    """By a user without privileges, who is in no file of this machine: only its own view has it."""

    @classmethod
    def missing(cls) -> str:
        for name, package in (("newuidmap", "uidmap"), ("setpriv", "util-linux")):
            if shutil.which(name) is None:
                return f"{package} is not installed"
        return super().missing()

    def start(self) -> None:
        self.folder.chmod(0o755)  # what the user runs is in it
        super().start()

    def argv(self) -> Sequence[str]:
        podman, *rest = super().argv()
        argv = [podman, "--storage-driver=overlay", *rest]
        return ["unshare", "-m", "bash", "-ec", AS_USER, str(self.folder), *argv]


def _listen_in(pid: int, port: int) -> socket.socket:
    """In the network of a process."""
    here = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY)
    try:
        if ctypes.CDLL(None, use_errno=True).setns(here, CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "setns")
    finally:
        os.close(here)
    return socket.create_server(("127.0.0.1", port))


def _carry_all(there: socket.socket, port: int, open_ones: contextlib.ExitStack) -> None:
    with contextlib.suppress(OSError):  # it was shut down
        while True:
            far = open_ones.enter_context(there.accept()[0])
            near = open_ones.enter_context(socket.create_connection(("127.0.0.1", port)))
            for source, sink in ((far, near), (near, far)):
                threading.Thread(target=_carry, args=(source, sink), daemon=True).start()


def _carry(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(1 << 16):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)


def _answers(path: Path) -> bool:
    try:
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(5)
            probe.connect(str(path))
            probe.sendall(b"GET /_ping HTTP/1.1\r\nHost: d\r\n\r\n")
            return probe.recv(12).startswith(b"HTTP/1.1 200")
    except OSError:
        return False
