"""A second engine for tests: a dockerd in a network namespace of its own, or Podman's service."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import docker

from tests.support import processes
from tests.support.engine import Engine

START_LIMIT_S, STOP_LIMIT_S = 30.0, 30.0
OWN_IDENTITY = "mkdir -p {0} && mount --bind {0} /etc/docker && ip link set lo up"
"""An engine's id lies in /etc/docker: two that share it could not be told apart."""
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
    """`tls`: a folder with ca.pem, cert.pem and key.pem; then it listens at `tls_port`, too."""

    def __init__(self, tls: Path | None = None) -> None:
        super().__init__()
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
            *("--bridge=none", "--iptables=false", "--ip-forward=false", "--ip-masq=false"),
        ]
        begin = OWN_IDENTITY.format(place / "etc")
        if self._tls is not None:
            # Its own network has no way to us: it gets a socket that listens here.
            begin += f" && exec 3<&{self._listening.fileno()} && export LISTEN_FDS=1 LISTEN_PID=$$"
            options += ["--host", "fd://", "--tlsverify"]
            options += [f"--tls{name}={self._tls}/{name}.pem" for name in ("cert", "key")]
            options += [f"--tlscacert={self._tls}/ca.pem"]
        script = f'{begin} && exec dockerd "$@"'
        return ["unshare", "-nm", "bash", "-c", script, "dockerd", *options]

    def fds(self) -> Sequence[int]:
        return [] if self._tls is None else [self._listening.fileno()]

    def close(self) -> None:
        super().close()
        self._listening.close()


class Podman(FarEngine):
    """As root; its containers have no more than this machine may give."""

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


def _answers(path: Path) -> bool:
    try:
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(5)
            probe.connect(str(path))
            probe.sendall(b"GET /_ping HTTP/1.1\r\nHost: d\r\n\r\n")
            return probe.recv(12).startswith(b"HTTP/1.1 200")
    except OSError:
        return False
