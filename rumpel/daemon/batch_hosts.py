"""The hosts of a batch: which are away, since when, and until they are back."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from rumpel.daemon.batch_pool import AWAY
from rumpel.errors import HostUnreachable, RumpelError

if TYPE_CHECKING:
    from rumpel.daemon.batch_run import BatchRun

RECONNECT_S, RECONNECT_MOST_S = 1.0, 30.0


class BatchHosts:
    """One look at each that is away, for all tasks that wait for it."""

    def __init__(self, run: BatchRun) -> None:
        self._run = run
        self._away: dict[str, asyncio.Event] = {}
        """Set once it is back."""

    async def reach(self) -> None:
        """Those that answer get the tasks. Raises HostUnreachable when none does."""
        run, hosts = self._run, list(self._run.pool.load())
        tries = await asyncio.gather(*map(run.app.host, hosts), return_exceptions=True)
        problems = [one for one in tries if isinstance(one, BaseException)]
        if len(problems) == len(hosts):
            raise problems[0]
        for host, problem in zip(hosts, tries, strict=True):
            if isinstance(problem, BaseException):
                if not isinstance(problem, RumpelError):
                    raise problem
                self.lost(host, problem)
                run.asked.client.warn(f"{problem.message}: it gets no tasks")

    def lost(self, host: str, problem: RumpelError) -> None:
        """It gets no tasks until it answers again."""
        if host not in self._away:
            run = self._run
            self._away[host] = asyncio.Event()
            run.pool.close_host(host, AWAY, problem.message)
            run.app.background.spawn(self._until_back(host), f"host {host} of batch {run.name}")

    async def back(self, host: str) -> None:
        """Until it is, if it is away."""
        found = self._away.get(host)
        if found is not None:
            await found.wait()

    async def _until_back(self, host: str) -> None:
        run, pause_s = self._run, RECONNECT_S
        while not run.ended.is_set():
            await asyncio.sleep(pause_s)  # also the first time: it may fail again at once
            try:
                await run.app.host(host)
            except HostUnreachable:
                pause_s = min(2 * pause_s, RECONNECT_MOST_S)
                continue
            self._away.pop(host).set()
            run.pool.open_host(host, AWAY)
            return
