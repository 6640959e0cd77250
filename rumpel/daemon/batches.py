"""The batches that run, and what their steps ask for: `tasks.batching.Batches`."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING

from rumpel.errors import Interrupted, RumpelError

if TYPE_CHECKING:
    from rumpel.daemon.app import App
    from rumpel.daemon.batch_run import BatchRun
    from rumpel.engine.operation import Context
    from rumpel.tasks.batching import Ready, Seated, TaskKey
    from rumpel.tasks.world import World


VERIFIED = "verified/"
"""`verified/<repo>/<proof>` in the store: the task for which a tree was verified."""


class Batches:
    """By repository and name, each once. What a seat needs is loaded with the first one."""

    def __init__(self, app: App) -> None:
        self._app = app
        self.runs: dict[tuple[str, str], BatchRun] = {}

    def find(self, repo_id: str, batch: str) -> BatchRun | None:
        return self.runs.get((repo_id, batch))

    async def make(self, key: TaskKey, oid: str | None) -> Ready:
        from rumpel.daemon import batch_pods

        return await batch_pods.make(self._run(key), key.task, oid)

    async def back(self, key: TaskKey, oid: str | None, problem: RumpelError) -> None:
        from rumpel.daemon import batch_pods

        await batch_pods.back(self._run(key), key.task, oid, problem)

    def is_cancelled(self, key: TaskKey) -> bool:
        run = self.find(key.repo_id, key.batch)
        return run is not None and run.cancelled.is_set()

    def verified(self, key: TaskKey, proof: str) -> str:
        return str(self._app.store.kv_get(f"{VERIFIED}{key.repo_id}/{proof}", ""))

    async def note_verified(self, key: TaskKey, proof: str) -> None:
        await self._app.store.kv_set(f"{VERIFIED}{key.repo_id}/{proof}", key.task)

    async def leave(self, key: TaskKey) -> None:
        from rumpel.daemon import batch_pods

        await batch_pods.leave(self._run(key), key.task)

    async def shell(self, key: TaskKey) -> Seated:
        from rumpel.daemon import batch_seat

        return await batch_seat.shell_of(self._app, self._run(key), key.task)

    def seat(
        self,
        ctx: Context[World],
        key: TaskKey,
        *,
        token: str,
        folder: str,
        goes_on: bool,
        is_anew: bool = False,
    ) -> AbstractAsyncContextManager[Seated]:
        from rumpel.daemon import batch_seat

        return batch_seat.seat(
            self._app,
            self._run(key),
            key.task,
            token=token,
            folder=folder,
            goes_on=goes_on,
            is_anew=is_anew,
        )

    def _run(self, key: TaskKey) -> BatchRun:
        run = self.find(key.repo_id, key.batch)
        if run is None:
            raise Interrupted(f"batch {key.batch} does not run any more")
        return run
