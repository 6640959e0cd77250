"""Which services are there to run, which may come to a good end, and who waits for one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest

from rumpel.model import ImageSpec, PortSpec, ProjectSpec, ServiceSpec
from rumpel.tasks.beside import HEALTHY, serving, until


def service(needs: dict[str, str] | None = None, **body: Any) -> ServiceSpec:
    return ServiceSpec(name="one", image=ImageSpec(ref="i"), body=body, needs=needs or {})


@pytest.mark.parametrize(
    ("project", "found"),
    [
        (ProjectSpec(service="app", services=(service(),)), set()),
        (ProjectSpec(service="app", services=(service(expose=["80"]),)), set()),
        (ProjectSpec(service="app", services=(service(restart="on-failure"),)), set()),
        (ProjectSpec(service="app", services=(service(restart="always"),)), {"one"}),
        (ProjectSpec(service="app", services=(service({"db": "service_healthy"}),)), {"db"}),
        (ProjectSpec(service="app", waits={"db": "service_healthy"}), {"db"}),
        (ProjectSpec(service="app", waits={"db": "service_started"}), set()),
        (ProjectSpec(service="app", ports=(PortSpec(port=1, host="db"),)), {"db"}),
        (
            ProjectSpec(
                service="app",
                ports=(PortSpec(port=1, host="one"),),
                services=(service(restart="always"),),
                waits={"one": "service_completed_successfully"},
            ),
            set(),
        ),
    ],
)
def test_services_that_are_there_to_run(project: ProjectSpec, found: set[str]) -> None:
    assert serving(project) == found


class Engine:
    """One service, which is never healthy; `tells`: something happened."""

    def __init__(self) -> None:
        self.tells, self.looks = asyncio.Event(), 0

    async def containers(self, _labels: object) -> list[Any]:
        self.looks += 1
        return [SimpleNamespace(id="x", status="running")]

    async def inspect(self, _container: str) -> Any:
        return SimpleNamespace(health="starting")

    async def events(self, _filters: object, **_more: object) -> AsyncIterator[None]:
        await self.tells.wait()
        yield
        await asyncio.Event().wait()


@pytest.mark.parametrize("steps", range(6))
async def test_a_cancel_is_not_lost_when_something_happens(steps: int) -> None:
    """In whatever step it comes after the event: `asyncio.wait_for` of Python 3.11 loses one."""
    engine = Engine()
    world: Any = SimpleNamespace(host=lambda _: engine, label_filter=lambda *_, **__: [])
    pod: Any = SimpleNamespace(host="local", pod="a", pod_id="1")
    waiting = asyncio.ensure_future(until(world, pod, "web", HEALTHY, log=lambda _: None))
    for _ in range(20):
        await asyncio.sleep(0)
    assert engine.looks == 1
    engine.tells.set()
    for _ in range(steps):
        await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait({waiting}, timeout=2)
    was_lost = not waiting.done()
    waiting.cancel()
    await asyncio.wait({waiting})
    assert not was_lost
    assert waiting.cancelled()
