"""Only a pod that has its processes to itself is ever frozen: a signal to all is a sharp tool."""

from __future__ import annotations

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
    assert [argv[-1] for argv in engine.ran] == (["STOP", "CONT"] if is_own else [])
