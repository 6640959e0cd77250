"""Ports of pods on this machine: real services, real TCP (notes/original.md, specs 64-66)."""

from __future__ import annotations

import socket

from tests.support.engine import DEV_IMAGE
from tests.support.project import Project, ProjectFactory

NETLESS = ("--network=none",)

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


def test_forward_ports(rumpel_project: ProjectFactory, dev_image: str) -> None:
    project = rumpel_project(
        config={
            "image": DEV_IMAGE,
            "runArgs": [*NETLESS],
            "forwardPorts": [39300],
            "portsAttributes": {"39300": {"label": "web"}},
        }
    )
    project.run("create", "a", "b").assert_ok()
    serve(project, "a", 39300)
    local = rows(project, "a")["39300"]["local_port"]
    assert isinstance(local, int)
    assert ask(local) == b"HELLO\nend 6"
