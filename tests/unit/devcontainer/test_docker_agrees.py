"""runArgs against the docker command line itself, which talks to an engine that only listens."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socket import socket
from socketserver import ThreadingMixIn, UnixStreamServer
from typing import Any

import pytest

from rumpel.devcontainer import runargs
from rumpel.devcontainer.body import HostSide, side_file
from rumpel.devcontainer.positions import FieldError

DOCKER = shutil.which("docker")
ENV = {"HOME": "/nonexistent", "SHOWN": "s"}


def docker_version() -> int:
    if DOCKER is None:
        return 0
    text = subprocess.run([DOCKER, "--version"], capture_output=True, text=True).stdout
    found = re.search(r"version (\d+)", text)
    return int(found[1]) if found else 0


pytestmark = pytest.mark.skipif(docker_version() < 28, reason="needs the docker client 28 or newer")


class Request(BaseHTTPRequestHandler):
    """Answers `ping` and `create`, and keeps the create body."""

    protocol_version = "HTTP/1.1"
    server: Engine

    def do_HEAD(self) -> None:
        self.answer(200, b"")

    def do_GET(self) -> None:
        self.answer(200, b"{}")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        if "/containers/create" in self.path:
            self.server.bodies.append(json.loads(body))
        self.answer(201, json.dumps({"Id": "a" * 64, "Warnings": []}).encode())

    def answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Api-Version", "1.50")
        self.send_header("Ostype", "linux")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""


class Engine(ThreadingMixIn, UnixStreamServer):
    daemon_threads = True

    def __init__(self, path: str) -> None:
        super().__init__(path, Request)
        self.bodies: list[dict[str, Any]] = []

    def get_request(self) -> tuple[socket, tuple[str, int]]:
        connection, _ = super().get_request()
        return connection, ("pod", 0)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """The client hangs up without a word when it is done."""


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with tempfile.TemporaryDirectory() as folder, Engine(f"{folder}/s") as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def side(tmp_path: Path) -> HostSide:
    (tmp_path / "env").write_text('# c\nA=1\n  B= two words \nSHOWN\nUNSET\nC=a=b#c\n\nQ="q"\r\n')
    (tmp_path / "badenv").write_text("A B=1\n")
    (tmp_path / "labels").write_text("x=1\ny\n")
    (tmp_path / "seccomp.json").write_text('{ "a":\n "<é" }')
    return HostSide(root=str(tmp_path), local_env=ENV, read_file=side_file)


def asked(words: list[str], engine: Engine, side: HostSide) -> dict[str, Any] | str:
    """The body docker would send, or what it complains of."""
    assert DOCKER is not None
    engine.bodies.clear()
    done = subprocess.run(
        [DOCKER, "-H", f"unix://{engine.server_address!s}", "create", *words, "img"],
        cwd=side.root,
        env=ENV | {"PATH": os.environ["PATH"], "DOCKER_CONFIG": side.root},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    return engine.bodies[-1] if engine.bodies else done.stderr


def bare(value: Any) -> Any:
    """Without empty members, which mean nothing to the engine."""
    if isinstance(value, dict):
        kept = {key: bare(inner) for key, inner in value.items()}
        return {key: inner for key, inner in kept.items() if inner not in (None, "", 0, [], {})}
    if isinstance(value, list):  # docker keeps several of its lists in no order
        return sorted((bare(inner) for inner in value), key=repr)
    return value


def difference(body: dict[str, Any], base: dict[str, Any]) -> dict[str, Any]:
    host, plain = body["HostConfig"], base["HostConfig"]
    changed = {key: value for key, value in body.items() if value != base.get(key)}
    changed.pop("Volumes", None)
    changed["HostConfig"] = {key: host[key] for key in host if host[key] != plain.get(key)}
    return dict(bare(changed))


EVERY_OPTION = """
--add-host a:1.2.3.4 --add-host b=::1 --annotation a=b --blkio-weight 300
--blkio-weight-device /dev/sda:200 --cap-add sys_ptrace --cap-drop ALL --cgroup-parent /x
--cgroupns private --cpu-period 1000 --cpu-quota 500 --cpu-rt-period 10 --cpu-rt-runtime 10
-c 512 --cpus=1.5 --cpuset-cpus 0-1 --cpuset-mems=0 --device /dev/fuse --device /dev/a:/dev/b:rw
--device vendor.com/gpu=0 --device-cgroup-rule "c 42:* rmw" --device-read-bps /dev/sda:1mb
--device-read-iops /dev/sda:5 --device-write-bps /dev/sda:2k --device-write-iops /dev/sda:6
--dns 8.8.8.8 --dns-opt ndots:1 --dns-search a.b --domainname d -e A=1 -eB=a=b --env SHOWN
--env UNSET --expose 90-91/udp --group-add video
--health-cmd "a b" --health-interval 1m30s --health-retries 3 --health-start-period 500ms
--health-timeout 1h --health-start-interval 2s -h host --init --ipc host -l a=b=c --label d
--label-file labels --log-driver json-file --log-opt max-size=10m -m 1.5g
--memory-reservation 64MiB --memory-swap -1 --memory-swappiness 10
--mount type=bind,src=/a,dst=/b,ro,bind-propagation=rshared,consistency=cached
--mount type=volume,source=vol,target=/c,volume-nocopy,volume-opt=x=y,volume-label=l
--mount type=tmpfs,target=/t,tmpfs-size=64m,tmpfs-mode=1770
--mount "type=bind,\\"source=/q,r\\",target=/q"
--mount type=bind,source=./rel,target=/rel --network n --network name=m,alias=z,driver-opt=o=p
--net-alias al --ip 10.0.0.2 --ip6 ::2 --link-local-ip 169.254.1.1 --oom-kill-disable
--oom-score-adj -5 --pid container:x --pids-limit 100 --privileged -p 8080:80 -p 127.0.0.1::81/udp
-p [::1]:7000-7001:70-71 -p target=5,published=6 -P --read-only --restart on-failure:3
--runtime crun --security-opt no-new-privileges --security-opt seccomp=seccomp.json
--security-opt label:disable --shm-size 64m --stop-signal SIGINT --stop-timeout 5
--storage-opt size=1g --sysctl net.core.somaxconn=1 --tmpfs /run:size=1m --ulimit nofile=5:6
--ulimit core=0 --ulimit core=-1 -u 1000:100 --userns host --uts host -v /h:/i:ro -v vol:/j
-v ./k:/l --volume-driver dr --volumes-from c:ro -w /ws
"""


def test_every_option_gives_the_body_docker_sends(engine: Engine, side: HostSide) -> None:
    words = shlex.split(EVERY_OPTION)
    base, body = asked([], engine, side), asked(words, engine, side)
    assert isinstance(base, dict)
    assert isinstance(body, dict), body
    expected = difference(body, base)
    found = runargs.apply(words, side)
    environment = [k if v is None else f"{k}={v}" for k, v in found.env.items()]
    host = {
        **found.host_config,
        "Mounts": [mount for _, mount in found.mounts],
        "Binds": [bind for _, bind in found.binds],
    }
    ours = {
        **found.config,
        "Env": environment,
        "HostConfig": host,
        "NetworkingConfig": found.networking,
    }
    assert bare(ours) == expected


@pytest.mark.parametrize(
    "text",
    [
        "--gpus all",
        "--gpus '\"device=0,1\",driver=nvidia'",
        "--gpus 2",
        "--no-healthcheck",
        "--env-file env",
        "--network host",
        "--network container:x",
        "--init=0",
        "--cpus 1/2",
        "--security-opt systempaths=unconfined",
    ],
)
def test_more_options(text: str, engine: Engine, side: HostSide) -> None:
    words = shlex.split(text)
    base, body = asked([], engine, side), asked(words, engine, side)
    assert isinstance(base, dict)
    assert isinstance(body, dict), body
    expected = difference(body, base)
    expected.pop("NetworkingConfig", None)
    found = runargs.apply(words, side)
    environment = [f"{key}={value}" for key, value in found.env_files.items()]
    ours = {**found.config, "Env": environment, "HostConfig": dict(found.host_config)}
    assert bare(ours) == expected


@pytest.mark.parametrize(
    "text",
    [
        "--foo", "-z", "--memory", "-m 1x", "--init=x", "--cpus 0.1234567891", "--pids-limit x",
        "--env-file missing", "--env-file badenv", "-e =x", "--add-host a", "--add-host a:b",
        "--dns x", "--device a", "--device /dev/a:rr", "--device-cgroup-rule x",
        "--device-read-bps sda:1", "--blkio-weight-device /dev/sda:5", "--gpus x",
        "--health-interval 5", "--no-healthcheck --health-cmd x",
        "--label =x", "--log-driver none --log-opt a=b", "--mac-address x",
        "--memory-swappiness 101", "--mount type=bind,source=/a", "--mount foo",
        "--mount type=bind,source=/a,target=/b,volume-nocopy", "--mount target=/b,x=y",
        "--mount type=bind,source=/a,target=/b,bind-recursive=x",
        "'--mount=type=bind, source=/a,target=/b'", "--network n --network n", "--network-alias a",
        "--network host --network n", "--network name=n,ip=1.2.3.4 --ip 1.2.3.5",
        "--network name=n,foo=1", "--pid bad", "--userns bad", "--uts bad", "--cgroupns bad",
        "-p 70000", "-p localhost:80:80", "-p 1-2:1-3", "-p 80/icmp", "-p 82-80",
        "--restart on-failure:x", "--security-opt foo", "--security-opt seccomp=missing",
        "--security-opt seccomp=env", "--shm-size x", "--stop-timeout x", "--sysctl a",
        "--ulimit foo=1", "--ulimit nofile", "--ulimit nofile=2:1", "-v :/b", "-v /a:/b:ro:x",
    ],
)  # fmt: skip
def test_what_docker_refuses_is_refused(text: str, engine: Engine, side: HostSide) -> None:
    words = shlex.split(text)
    assert isinstance(asked(words, engine, side), str)
    with pytest.raises(FieldError):
        runargs.apply(words, side)
