"""Pods that were to be deleted and are still there: what was stopped for it goes on."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable

from rumpel.daemon.app import App
from rumpel.engine.events import DONE
from rumpel.engine.execute import RunResult
from rumpel.errors import RumpelError
from rumpel.graphs.ids import address, node_id
from rumpel.model import PodSpec
from rumpel.tasks import stand_in
from rumpel.tasks.world import Access

log = logging.getLogger(__name__)

LASTING = ("created", "running", "paused", "restarting", "exited")
"""The engine is not removing it."""


async def go_on(app: App, specs: Iterable[PodSpec], result: RunResult | None) -> None:
    """After a run of the delete graph, whatever became of it (None: it was cancelled)."""
    states = {} if result is None else result.states
    left = [spec for spec in specs if states.get(node_id("remove", spec)) not in DONE]
    await asyncio.gather(*(_one(app, spec) for spec in left))


async def _one(app: App, spec: PodSpec) -> None:
    """`keep` undoes what it did when it fails itself; not so when what comes after it fails."""
    access = app.pods.access(spec)
    try:
        await stand_in.dismiss(app.world, address(spec))
    except RumpelError as error:  # the next start of the daemon sweeps it
        log.warning("what stood in for pod %s is still there: %s", spec.pod, error.message)
    if access is None or app.pods.record("keep", spec) is None:
        return
    try:
        await _thaw(app, spec, access)
    except RumpelError as error:
        log.warning("pod %s may be left stopped: %s", spec.pod, error.message)
    try:
        # Asked again: a removal that was cancelled may go on in the engine.
        found = await app.world.host(spec.host).find(access.container_id)
        if found is not None and found.state.status in LASTING:
            await app.world.works.unbury(address(spec))
    except RumpelError as error:
        log.warning("pod %s may be in the trash, too: %s", spec.pod, error.message)


async def _thaw(app: App, spec: PodSpec, access: Access) -> None:
    found = await app.world.host(spec.host).find(access.container_id)
    if found is None or found.state.status != "running":
        return
    await app.world.works.thaw(address(spec), access)
    if access.is_set_up:
        app.links.follow(address(spec), access)
