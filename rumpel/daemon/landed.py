"""Pods whose commits are all on the host under other names: squashed, rebased, cherry-picked.

`list` asks, in the background, for those that are ahead of a base that has moved since. Any branch
of the host's can change that, so an answer holds for a while; the last one is told meanwhile.
"""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Callable, Iterable

from rumpel.adapters import git, git_merged
from rumpel.daemon.background import Background

MOST = 10_000
HOLDS_S = 60.0

Pair = tuple[str, str]
"""(base, commit)."""
UNKNOWN = (False, float("-inf"))


class Landed:
    """Reads are from memory."""

    def __init__(
        self, background: Background, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._background, self._clock = background, clock
        self._known: dict[Pair, tuple[bool, float]] = {}
        """And until when."""
        self._asking: dict[Pair, asyncio.Task[None]] = {}
        self._one_by_one = asyncio.Lock()

    def is_known(self, pair: Pair) -> bool:
        """Nothing of it would be lost with the pod."""
        return self._known.get(pair, UNKNOWN)[0]

    async def look(self, pairs: Iterable[tuple[git.Repo, Pair]], *, within_s: float) -> bool:
        """Was there news? Those that are not answered in time go on."""
        now = self._clock()
        wanted = [(repo, pair) for repo, pair in pairs if self._known.get(pair, UNKNOWN)[1] <= now]
        before = {pair: self.is_known(pair) for _, pair in wanted}
        for repo, pair in wanted:
            if pair not in self._asking:
                task = self._background.spawn(self._ask(repo, pair), "merged commits")
                self._asking[pair] = task
                task.add_done_callback(functools.partial(self._done, pair))
        if wanted:
            asked = {self._asking[pair] for _, pair in wanted}
            await asyncio.wait(asked, timeout=within_s)
        return any(self.is_known(pair) != told for pair, told in before.items())

    def _done(self, pair: Pair, task: asyncio.Task[None]) -> None:
        self._asking.pop(pair, None)

    async def _ask(self, repo: git.Repo, pair: Pair) -> None:
        async with self._one_by_one:
            if len(self._known) > MOST:
                self._known.clear()
            is_landed = False  # also when it cannot be told
            try:
                is_landed = not await git_merged.unmerged(repo, [pair[1]])
            finally:
                self._known[pair] = is_landed, self._clock() + HOLDS_S
