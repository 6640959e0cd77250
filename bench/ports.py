"""Forwarded ports: what a connection costs, and how much goes through one."""

from __future__ import annotations

import contextlib
import json
import socket
import statistics
import subprocess
import time
from collections.abc import Iterator

from both_ways import container_of_repo
from world import DEV, Figure, Raw, Rumpel, timed

PORT = 39_400
CONFIG = '{"image": "%s", "runArgs": ["--network=none"], "forwardPorts": [%d]}'
BULK = 256 << 20
MOST_MS = 10.0
LEAST_MB_S = 150.0
SETTLE_S = 0.4
"""Between connections: as many are parked again as before."""

# One line says what is wanted: `echo`, `down BYTES`, or `up`, until the client's end.
SERVICE = """
use strict; use Socket; $SIG{CHLD} = 'IGNORE';
socket(my $listener, PF_INET, SOCK_STREAM, 0) or die;
setsockopt($listener, SOL_SOCKET, SO_REUSEADDR, 1);
bind($listener, pack_sockaddr_in($ARGV[0], INADDR_LOOPBACK)) or die;
listen($listener, 50);
while (accept(my $client, $listener)) {
    next if fork; my $block = 'x' x 65536; my $count = 0;
    sysread $client, my $wish, 100;
    if ($wish =~ /^down (\\d+)/) {
        for (my $left = $1; $left > 0;) {
            $left -= syswrite $client, $block, $left < 65536 ? $left : 65536;
        }
    } elsif ($wish =~ /^up/) {
        while (my $got = sysread $client, $block, 65536) { $count += $got }
        syswrite $client, $count;
    } else { syswrite $client, $wish }
    exit;
}
"""


def measure(rumpel: Rumpel, raw: Raw, rounds: int) -> list[Figure]:
    repo = rumpel.repo("ports", CONFIG % (DEV, PORT))
    rumpel.run("create", "p", cwd=repo)
    container = str(container_of_repo(rumpel, raw, repo, "p"))
    argv = ["perl", "-e", SERVICE, str(PORT)]
    subprocess.run(["docker", "exec", "-d", container, *argv], check=True)
    (row,) = json.loads(rumpel.run("ports", "p", "--json", cwd=repo))["data"]
    ours = int(row["local_port"])
    with here(argv[:-1]) as direct:
        time.sleep(2)
        found = [_round_trip(ours, direct, container, rounds), *_bulk(ours, direct, container)]
    rumpel.run("delete", "--force", "p", cwd=repo)
    return found


@contextlib.contextmanager
def here(argv: list[str]) -> Iterator[int]:
    """The same service on this machine."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    process = subprocess.Popen([*argv, str(port)])
    try:
        yield port
    finally:
        process.kill()
        process.wait()


def _round_trip(ours: int, direct: int, container: str, rounds: int) -> Figure:
    mine, theirs, execs = [], [], []
    for _ in range(rounds):
        theirs.append(timed(lambda: ask(direct, b"echo\n")))
        execs.append(timed(lambda: docker_exec(container, b"echo\n")))
        time.sleep(SETTLE_S)
        mine.append(timed(lambda: ask(ours, b"echo\n")))
    own, loopback, exec_ms = map(statistics.median, (mine, theirs, execs))
    note = f"bar in ms; direct {loopback:.1f} ms, docker exec of a relay {exec_ms:.0f} ms"
    return Figure("port: connect and round trip", own, "ms", bar=MOST_MS, note=note)


def _bulk(ours: int, direct: int, container: str) -> list[Figure]:
    """As ms for 100 MB, since a bar is the most a figure may be."""
    down = f"down {BULK}\n".encode()
    found: dict[str, list[float]] = {"down": [], "exec": [], "direct": [], "up": []}
    for _ in range(3):
        found["exec"].append(timed(lambda: docker_exec(container, down)))
        time.sleep(SETTLE_S)
        found["down"].append(timed(lambda: ask(ours, down)))
        found["direct"].append(timed(lambda: ask(direct, down)))
        time.sleep(SETTLE_S)
        found["up"].append(timed(lambda: send(ours)))
    per_100 = {name: statistics.median(ms) * 1e8 / BULK for name, ms in found.items()}
    rates = ", ".join(f"{name} {1e5 / ms:.0f}" for name, ms in per_100.items())
    note = f"bar in ms ({LEAST_MB_S:g} MB/s); MB/s: {rates}"
    bar = 1e5 / LEAST_MB_S
    return [
        Figure("port: 100 MB from a pod", per_100["down"], "ms", bar=bar, note=note),
        Figure("port: 100 MB into a pod", per_100["up"], "ms", bar=bar, note=note),
        Figure(
            "port: 100 MB from a pod",
            *(per_100["down"], "ms", per_100["exec"], "docker exec of the same relay"),
        ),
    ]


def ask(port: int, wish: bytes) -> int:
    """How many bytes came back."""
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(wish)
        if wish == b"echo\n":
            return len(client.recv(100))
        count, buffer = 0, bytearray(1 << 18)
        while got := client.recv_into(buffer):
            count += got
        if count != BULK:
            raise SystemExit(f"{count} bytes came instead of {BULK}")
        return count


def send(port: int) -> None:
    block = bytes(1 << 16)
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(b"up\n")
        time.sleep(0.01)  # the wish is one read of the service
        for _ in range(BULK // len(block)):
            client.sendall(block)
        client.shutdown(socket.SHUT_WR)
        if int(client.recv(100)) != BULK:
            raise SystemExit("not all of it arrived")


def docker_exec(container: str, wish: bytes) -> None:
    """One connection as one would carry it by hand."""
    script = f"exec 3<>/dev/tcp/127.0.0.1/{PORT}; cat <&3 & cat >&3; wait"
    argv = ["docker", "exec", "-i", container, "bash", "-c", script]
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(wish)
    process.stdin.flush()
    wanted = len(wish) if wish == b"echo\n" else BULK
    while wanted > 0:
        wanted -= len(process.stdout.read1(1 << 18)) or wanted
    process.stdin.close()
    process.wait()
    process.stdout.close()
