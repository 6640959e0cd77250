"""Ports of pods on this machine: real services, real TCP (notes/original.md, specs 64-66)."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from tests.support.engine import DEV_IMAGE
from tests.support.project import DEFAULT_CONFIG, Project, ProjectFactory

# Answers each line with the same in capitals; after the client's end says how many bytes came.
SERVICE = """
use strict; use Socket; $SIG{CHLD} = 'IGNORE'; $| = 1;
socket(my $listener, PF_INET, SOCK_STREAM, 0) or die;
setsockopt($listener, SOL_SOCKET, SO_REUSEADDR, 1);
bind($listener, pack_sockaddr_in($ARGV[0], INADDR_LOOPBACK)) or die "bind: $!";
listen($listener, 50);
while (accept(my $client, $listener)) {
    next if fork; my $count = 0;
    while (my $line = <$client>) { $count += length $line; syswrite $client, uc $line }
    syswrite $client, "end $count"; exit;
}
"""


def serve(project: Project, pod: str, port: int) -> None:
    """Start it in the pod and wait until it listens."""
    api = project.docker.api
    made = api.exec_create(project.container_id(pod), ["perl", "-e", SERVICE, str(port)])
    api.exec_start(made["Id"], detach=True)
    listens = ["grep", "-q", f":{port:04X} 00000000:0000 0A", "/proc/net/tcp"]
    is_up = lambda: project.exec(pod, *listens, check=False).code == 0  # noqa: E731 - its name
    project.wait_until(is_up, "the service listens")


def ask(local: int, text: bytes = b"hello\n") -> bytes:
    with socket.create_connection(("127.0.0.1", local), timeout=10) as client:
        client.sendall(text)
        client.shutdown(socket.SHUT_WR)
        received = b""
        while piece := client.recv(65536):
            received += piece
        return received


def rows(project: Project, pod: str) -> dict[str, dict[str, object]]:
    found = project.run("ports", pod, "--json").assert_ok().data
    return {str(row["key"]): row for row in found}


CONFIG = {
    "image": DEV_IMAGE,
    "runArgs": ["--network=none"],
    "forwardPorts": [39300, 80],
    "portsAttributes": {"39300": {"label": "web", "protocol": "http", "onAutoForward": "ignore"}},
    "otherPortsAttributes": {"label": "other"},
}


def local(project: Project, pod: str, key: str = "39300") -> int:
    found = rows(project, pod)[key]["local_port"]
    assert isinstance(found, int)
    return found


def listeners() -> dict[int, str]:
    """Port -> hexadecimal address of everything that listens on this machine by IPv4."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    pairs = [line[1].split(":") for line in lines if line[3] == "0A"]
    return {int(port, 16): address for address, port in pairs}


def configure(project: Project, **changes: object) -> None:
    project.write({".devcontainer/devcontainer.json": {**CONFIG, **changes}})


@pytest.mark.timeout(180)
def test_ports_of_two_pods(rumpel_project: ProjectFactory, dev_image: str) -> None:
    project = rumpel_project(config=CONFIG)
    created = project.run("create", "a").assert_ok()
    assert "forwardPorts" not in created.stderr, "it is honoured"
    beside = project.run("create", "b").assert_ok()
    container = project.container_id("a")
    first, second = local(project, "a"), local(project, "b")
    assert first != second
    assert "belongs to" not in beside.stderr + project.run("ports").assert_ok().stderr
    refused = project.run("forward-port", "b:39399", str(first))
    refused.assert_error(4, f"local port {first} belongs to port 39300 of pod 'a'")
    row = rows(project, "a")["39300"]
    assert (row["label"], row["state"], row["container_port"]) == ("web", "open", 39300)
    assert row["address"] == f"http://127.0.0.1:{first}"
    listed = {row["name"]: row["ports"] for row in project.run("list", "--json").assert_ok().data}
    web = {"container_port": 39300, "local_port": second, "label": "web", "state": "open"}
    assert listed["b"][0].items() >= web.items()
    assert local(project, "a", "80") >= 1024
    assert rows(project, "a")["80"]["label"] == "other"
    assert {listeners()[port] for port in (first, second)} == {"0100007F"}, "loopback only"
    serve(project, "a", 39300)
    assert ask(first) == b"HELLO\nend 6"
    with pytest.raises(ConnectionResetError):
        ask(second)
    assert "refused" in str(rows(project, "b")["39300"]["reason"])

    # A new port in the configuration changes that node and nothing else.
    configure(project, forwardPorts=[39300, 80, 39305])
    plan = project.run("graph", "a", "--json").assert_ok().data["nodes"]
    assert [node["id"].rsplit("/", 1)[-1] for node in plan if node["state"] != "cached"] == [
        "39305"
    ]
    project.run("create", "a").assert_ok()
    added = local(project, "a", "39305")
    configure(project, forwardPorts=[39300, 80])
    project.run("enter", "a", "--", "true").assert_ok()
    assert added not in listeners()
    assert set(rows(project, "a")) == {"39300", "80"}
    assert project.container_id("a") == container

    # A dead daemon takes nothing with it that does not come back.
    project.home.kill_daemon()
    project.run("list").assert_ok()
    project.wait_until(lambda: first in listeners(), "the port is open again")
    assert ask(first) == b"HELLO\nend 6"

    # Stopped, it is closed; running again, it is where it was.
    project.run("stop", "a").assert_ok()
    assert first not in listeners()
    assert rows(project, "a")["39300"]["state"] == "closed"
    assert local(project, "a") == first
    project.run("enter", "a", "--", "true").assert_ok()
    assert local(project, "a") == first
    serve(project, "a", 39300)
    assert ask(first) == b"HELLO\nend 6"

    # Another container, or one that could not be made: the port stays where it is.
    configure(project, image="no-such-image:1")
    assert project.run("recreate", "a").code != 0
    assert ask(first) == b"HELLO\nend 6"
    configure(project, containerEnv={"NEW": "1"})
    project.run("recreate", "a").assert_ok()
    assert project.container_id("a") != container
    assert local(project, "a") == first
    serve(project, "a", 39300)
    assert ask(first) == b"HELLO\nend 6"

    stalled_and_killed(project, first)
    project.run("delete", "--force", "a", "b").assert_ok()
    assert not {first, second} & listeners().keys()


def send_until_full(conn: socket.socket) -> None:
    for _ in range(1000):
        conn.sendall(b"x" * 65535 + b"\n")


def read_to_the_end(conn: socket.socket) -> None:
    while conn.recv(1 << 16):
        pass


def stalled_and_killed(project: Project, port: int) -> None:
    """One that reads nothing holds up nobody; a container that dies breaks off what it carried."""
    with socket.create_connection(("127.0.0.1", port)) as stalled:
        stalled.settimeout(1.0)
        with pytest.raises(TimeoutError):
            send_until_full(stalled)
        assert ask(port) == b"HELLO\nend 6"
        project.docker.kill(project.container_id("a"))
        stalled.settimeout(20)
        with pytest.raises(ConnectionError):  # what was cut off must not look complete
            read_to_the_end(stalled)
    project.wait_until(lambda: port not in listeners(), "the port is closed")


@pytest.mark.timeout(180)
def test_forward_port(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    project.run("create", "p").assert_ok()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = int(taken.getsockname()[1])
        moved = project.run("forward-port", f"p:{number}").assert_ok()
        address = moved.stdout.strip()
        assert address.startswith("127.0.0.1:")
        assert address != f"127.0.0.1:{number}"
        assert "taken by another program" in moved.stderr
        refused = project.run("forward-port", "p:39801", str(number))
        refused.assert_error(4, "taken by another program")
    assert set(rows(project, "p")) == {str(number)}
    again = project.run("forward-port", f"p:{number}", "--label", "mine").assert_ok()
    assert again.stdout.strip() == address
    assert rows(project, "p")[str(number)]["label"] == "mine"
    project.home.kill_daemon()
    project.run("list").assert_ok()
    project.wait_until(
        lambda: int(address.rsplit(":", 1)[1]) in listeners(), "the port is open again"
    )
    project.run("forward-port", "--remove", f"p:{number}").assert_ok()
    assert rows(project, "p") == {}
    project.run("forward-port", "--remove", f"p:{number}").assert_error(3, "not forwarded")
    project.run("forward-port", "p").assert_error(2, "POD:PORT")
    project.run("forward-port", "p:x").assert_error(2, "not a port")
    project.run("forward-port", "nobody:80").assert_error(3, "nobody")

    # One that has to be had, and is not there to be had, fails alone: the pod can be entered.
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = int(taken.getsockname()[1])
        wanted = {str(number): {"requireLocalPort": True}}
        config = {**DEFAULT_CONFIG, "forwardPorts": [number], "portsAttributes": wanted}
        project.write({".devcontainer/devcontainer.json": config})
        project.run("create", "p").assert_error(4, "taken by another program")
        entered = project.run("enter", "p", "--", "echo", "in").assert_ok()
        assert entered.stdout == "in\n"
        assert "taken by another program" in entered.stderr
        assert rows(project, "p")[str(number)]["state"] == "failed"
    project.run("create", "p").assert_ok()
    assert local(project, "p", str(number)) == number
    project.run("stop", "p").assert_ok()
    project.run("forward-port", "p:39802").assert_error(4, "stopped", "rumpel enter p")


@pytest.mark.near("the network is this machine's")
def test_a_pod_on_the_network_of_the_host(rumpel_project: ProjectFactory, dev_image: str) -> None:
    """The port of the service is taken by the service itself."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        number = int(free.getsockname()[1])
    config = {"image": DEV_IMAGE, "runArgs": ["--network=host"]}
    project = rumpel_project(config=config)
    project.run("create", "p", "--trust").assert_ok()
    serve(project, "p", number)
    address = project.run("forward-port", f"p:{number}").assert_ok().stdout.strip()
    port = int(address.rsplit(":", 1)[1])
    assert port != number
    assert ask(port) == b"HELLO\nend 6"
    project.run("delete", "--force", "p").assert_ok()


def test_app_port_is_forwarded_at_the_port_that_is_written(rumpel_project: ProjectFactory) -> None:
    """Published, the second pod could not start."""
    config = {"image": DEV_IMAGE, "runArgs": ["--network=none"], "appPort": ["39480:39481"]}
    project = rumpel_project({".devcontainer.json": config})
    project.run("create", "a", "b").assert_ok()
    ports = sorted(local(project, pod, "39481") for pod in ("a", "b"))
    assert ports[0] == 39480
    assert ports[1] != 39480
    serve(project, "a", 39481)
    assert ask(local(project, "a", "39481")) == b"HELLO\nend 6"
