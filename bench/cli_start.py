"""How long the command line takes, whole processes, against the bare interpreter.

`python bench/cli_start.py [rounds] [pods]`: a daemon in this process answers `list`; prints a
table and one JSON line. Every figure is a ratio to `python -c pass` of the same rounds.
"""

from __future__ import annotations

import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from rumpel import protocol

ROOT = Path(__file__).parents[1]

ROUNDS, PODS = 30, 50
BAR = 4.0


def pods(number: int) -> list[dict[str, object]]:
    return [
        {
            "name": f"pod-{index}",
            "repo": "/src/app",
            "host": "local",
            "status": "running",
            "branch": f"pod-{index}",
            "commit": f"{index:040x}",
            "git": {"ahead": index, "behind": 0, "dirty": None},
            "agent": None,
            "created_at": "2026-01-01T00:00:00+00:00",
            "container_id": f"{index:064x}",
        }
        for index in range(number)
    ]


def serve(server: socket.socket, listed: bytes) -> None:
    """Answers `list`; for `enter`, passes a stream that ends at once, as `true` would."""
    attach = protocol.encode(protocol.attach("e", tty=False))
    ended = protocol.encode(protocol.result({"exit_code": 0}))
    while True:
        sock, _ = server.accept()
        with sock:
            if b'"verb":"enter"' not in sock.recv(1 << 16):
                sock.sendall(listed)
                continue
            ours, theirs = socket.socketpair()
            socket.send_fds(sock, [attach], [theirs.fileno()])
            theirs.close()
            ours.close()
            sock.recv(1 << 16)
            sock.sendall(ended)


def measure(cases: dict[str, list[str]], env: dict[str, str], rounds: int) -> dict[str, float]:
    """Median milliseconds of each case; rounds are interleaved, so that load hits all alike."""
    times: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(rounds):
        for name, argv in cases.items():
            begun = time.perf_counter()
            subprocess.run(argv, env=env, check=True, stdout=subprocess.DEVNULL)
            times[name].append((time.perf_counter() - begun) * 1000)
    return {name: statistics.median(found) for name, found in times.items()}


def main() -> int:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    number = int(sys.argv[2]) if len(sys.argv) > 2 else PODS
    with tempfile.TemporaryDirectory(prefix="rp-", dir="/tmp") as folder:
        path = f"{folder}/d.sock"
        server = socket.socket(socket.AF_UNIX)
        server.bind(path)
        server.listen(10)
        answer = protocol.encode(protocol.result(pods(number)))
        threading.Thread(target=serve, args=(server, answer), daemon=True).start()
        env = {**os.environ, "RUMPEL_SOCKET": path, "PYTHONPATH": str(ROOT)}
        python = [sys.executable]
        cases = {
            "pass": [*python, "-c", "pass"],
            "list": [*python, "-m", "rumpel", "list"],
            "list --json": [*python, "-m", "rumpel", "list", "--json"],
            "enter a -- true": [*python, "-m", "rumpel", "enter", "a", "--", "true"],
            "--version": [*python, "-m", "rumpel", "--version"],
        }
        found = measure(cases, env, rounds)
    for name, milliseconds in found.items():
        print(f"{name:<16} {milliseconds:7.1f} ms   {milliseconds / found['pass']:5.2f}x")
    ratio = found["list"] / found["pass"]
    print(json.dumps({"bench": "cli_start", "ms": found, "list_ratio": ratio, "bar": BAR}))
    return 0 if ratio <= BAR else 1


if __name__ == "__main__":
    sys.exit(main())
