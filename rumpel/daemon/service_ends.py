"""Services of a pod that ended though they are there to run, as the warm view has them.

`doctor` finds them; who makes the pod, enters or recreates it is told of those that failed.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from rumpel.engine.events import DONE, NodeState
from rumpel.graphs.ids import address, node_id
from rumpel.tasks import beside

if TYPE_CHECKING:
    from rumpel.adapters.docker_types import ContainerState
    from rumpel.daemon.app import App
    from rumpel.daemon.client import Client
    from rumpel.engine.execute import RunResult
    from rumpel.model import PodSpec

AT_ONCE_S = 0.4
"""So long a service that was started last of all may take to fail at once."""
ENDED = ("exited", "dead")


def of(app: App, spec: PodSpec) -> Iterator[tuple[str, ContainerState]]:
    """Containers of its services, each with the name of its service."""
    snapshot = app.world.snapshot(spec.host)
    if snapshot is not None and spec.project is not None:
        for state in beside.of_pod(snapshot.containers.values(), address(spec)):
            yield state.labels.get(beside.LABEL_SERVICE, state.name), state


async def tell(
    app: App, client: Client, specs: list[PodSpec], result: RunResult | None = None
) -> None:
    """Of those that failed; one that ended with 0 has done its work.

    `result`: of what was done now. Where services could not be had that is an error, told already.
    """
    states = {} if result is None else result.states
    here = [one for one in specs if one.project is not None]
    here = [one for one in here if states.get(node_id("services", one), NodeState.OK) in DONE]
    last = [one for one in here if _came_last(states, one)]
    if last and (view := app.world.snapshot(last[0].host)) is not None:  # all are on one host
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(AT_ONCE_S):
                await view.until(lambda: any(_failed(app, one) for one in last))
    for spec in here:
        if client.request.verb != "enter":
            _tell_kept(app, client, spec)
        for service, state in _failed(app, spec):
            again = ", and is started again" if state.status == "restarting" else ""
            client.warn(
                f"service {service} of pod {spec.pod} exited with {state.exit_code}{again}: "
                f"rumpel logs {spec.pod} {service}"
            )


def _tell_kept(app: App, client: Client, spec: PodSpec) -> None:
    """Volumes of its services are never made anew: what is in them would be lost."""
    record = app.pods.record("services", spec)
    output = (record.output if record else None) or {}
    if others := output.get("other_volumes"):
        client.warn(
            f"volumes of pod {spec.pod} are as they were made, with other settings than their "
            f"compose file has now: {', '.join(others)}; to make them anew, empty: "
            f"rumpel delete {spec.pod}, rumpel create {spec.pod}"
        )


def _came_last(states: dict[str, NodeState], spec: PodSpec) -> bool:
    """Services were started, and nothing after them that takes its time."""
    done = [states.get(node_id(kind, spec)) for kind in ("services", "container")]
    return done[0] is NodeState.OK and done[1] is not NodeState.OK


def _failed(app: App, spec: PodSpec) -> list[tuple[str, ContainerState]]:
    over = (*ENDED, "restarting")
    return sorted(
        (pair for pair in of(app, spec) if pair[1].exit_code and pair[1].status in over),
        key=lambda pair: pair[0],
    )
