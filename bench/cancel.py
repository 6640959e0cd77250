"""Cancel what runs in a pod: how long until the CLI is back, and what of it is left."""

from __future__ import annotations

import json
import signal
import statistics
import subprocess
import time
from pathlib import Path

from pods import container_of
from world import MINI, Figure, Raw, Rumpel

PROCESSES = 20
POD = "cancelled"
POLITE = f"for n in $(seq {PROCESSES}); do sleep 7777 & done; wait"
DEAF = f"trap '' TERM; {POLITE}"
COUNT = ["/bin/sh", "-c", "grep -ls '^sleep.7777' /proc/[0-9]*/cmdline | wc -l"]


def measure(rumpel: Rumpel, raw: Raw, rounds: int) -> list[Figure]:
    """In a pod that is there already: a new one would go, with all that runs in it."""
    repo = rumpel.repo("cancel", _config("true"))
    rumpel.run("create", POD, cwd=repo)
    container = container_of(rumpel, raw, POD)
    found = []
    for which, command in (("", POLITE), (" that ignore TERM", DEAF)):
        rows = []
        for number in range(rounds):
            (repo / ".devcontainer.json").write_text(_config(f"{command} # {number}"))
            rows.append(_once(rumpel, raw, repo, container))
        took = statistics.median(ms for ms, _ in rows)
        what = f"cancel {PROCESSES} processes in a pod{which}"
        found += [
            Figure(what, took, "ms", bar=1000, note="bar in ms"),
            Figure("the same, processes left", max(left for _, left in rows), "", bar=0),
        ]
    rumpel.run("delete", "--force", POD, cwd=repo)
    return found


def _config(command: str) -> str:
    return json.dumps({"image": MINI, "runArgs": ["--network=none"], "onCreateCommand": command})


def _once(rumpel: Rumpel, raw: Raw, repo: Path, container: str) -> tuple[float, int]:
    """ms from the second Ctrl-C to the end of the CLI, and processes in the pod after it."""
    cli = subprocess.Popen(
        [*rumpel.program, "create", POD],
        cwd=repo,
        env=rumpel.env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    try:
        _until_all_run(raw, container)
        cli.send_signal(signal.SIGINT)
        assert cli.stderr is not None
        while b"Ctrl-C again" not in (line := cli.stderr.readline()):
            if not line:
                raise SystemExit("create ended before it was cancelled")
        begun = time.perf_counter()
        cli.send_signal(signal.SIGINT)
        cli.communicate(timeout=30)
        took = (time.perf_counter() - begun) * 1e3
    finally:
        cli.kill()
    return took, _running(raw, container)


def _until_all_run(raw: Raw, container: str) -> None:
    end = time.monotonic() + 60
    while _running(raw, container) != PROCESSES:
        if time.monotonic() > end:
            raise SystemExit("the command did not start")


def _running(raw: Raw, container: str) -> int:
    return int(raw.wait(raw.host.exec_run(container, COUNT, user="0")).stdout or 0)
