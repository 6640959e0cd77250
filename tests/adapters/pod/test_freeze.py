"""Only a pod that has its processes to itself is ever frozen: a signal to all is a sharp tool."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any, cast

import pytest

from rumpel.adapters import pod_work
from rumpel.adapters.docker_api import DockerHost
from rumpel.adapters.docker_types import Completed, ContainerDetail, ContainerState


class Engine:
    """Answers inspects, remembers what it was asked to run."""

    def __init__(self, pid_mode: str | None) -> None:
        self.pid_mode = pid_mode
        self.ran: list[list[str]] = []

    async def inspect(self, container: str) -> ContainerDetail:
        state = ContainerState(
            id=container,
            name="p",
            labels={},
            status="running",
            image_id="",
            started_at="",
            networks={},
        )
        return ContainerDetail(
            state=state,
            created_at="",
            finished_at="",
            error="",
            pid=1,
            mounts=(),
            config={},
            host_config={} if self.pid_mode is None else {"PidMode": self.pid_mode},
        )

    async def exec_run(self, container: str, argv: list[str], **_: Any) -> Completed:
        self.ran.append(argv)
        return Completed(code=0, stdout=b"", stderr=b"")


@pytest.mark.parametrize(
    ("pid_mode", "is_own"),
    [(None, True), ("", True), ("private", True), ("host", False), ("container:abc", False)],
)
async def test_who_is_frozen(pid_mode: str | None, is_own: bool) -> None:
    engine = Engine(pid_mode)
    place = pod_work.Place(
        host=cast(DockerHost, engine),  # a fake with the two calls that count
        container_id="c",
        user="dev",
        folder="/w",
    )
    assert await pod_work.freeze(place) is is_own
    await pod_work.thaw(place)
    assert [argv[-1] for argv in engine.ran] == ([pod_work.FREEZE, pod_work.THAW] if is_own else [])


# The first program is a starting exec as the engine's own runtime shows it.
WORLD = """
"$1/runc:[2:INIT]" & starting=$!
sleep 1000 & own=$!
for pid in $starting:runc $own:sleep; do
    name=
    until case $name in "${pid#*:}"*) ;; *) false ;; esac; do
        read -r name </proc/${pid%:*}/comm
    done
done
sh -c "$2"
for wanted in "$starting:$3" "$own:(sleep) T"; do
    tries=0  # a signal is not there at once
    until
        read -r number name state rest </proc/${wanted%%:*}/stat
        [ "$name $state" = "${wanted#*:}" ] || [ $((tries += 1)) -gt 100 ]
    do
        sleep 0.05
    done
    echo "$name $state"
done
"""


@pytest.mark.parametrize(
    ("program", "shown"),
    [
        ("while :; do :; done", "(runc:[2:INIT]) R"),
        ("i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done; exec sleep 1000", "(sleep) T"),
    ],
)
def test_an_exec_that_is_just_starting_is_not_left_stopped(
    tmp_path: Path, program: str, shown: str
) -> None:
    """The engine waits for it: `docker inspect` and `docker rm` would hang."""
    apart = ["unshare", "-rpf", "--mount-proc"]
    if subprocess.run([*apart, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no name space of processes can be made here")
    starting = tmp_path / "runc:[2:INIT]"
    starting.write_text(f"#!/bin/sh\n{program}\n")
    starting.chmod(0o755)
    done = subprocess.run(
        [*apart, "sh", "-c", WORLD, "sh", str(tmp_path), pod_work.FREEZE, shown],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.splitlines() == [shown, "(sleep) T"]
