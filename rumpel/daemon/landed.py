"""Pods whose commits are all on the host under other names: squashed, rebased, cherry-picked.

`list` asks, in the background, for those that are ahead of a base that has moved since; two commits
never change that, so each pair is asked for once.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Iterable

from rumpel.adapters import git, git_merged
from rumpel.daemon.background import Background

MOST = 10_000

Pair = tuple[str, str]
"""(base, commit)."""


class Landed:
    """Reads are from memory."""

    def __init__(self, background: Background) -> None:
        self._background = background
        self._known: dict[Pair, bool] = {}
        self._asking: dict[Pair, asyncio.Task[None]] = {}
        self._one_by_one = asyncio.Lock()

    def is_known(self, pair: Pair) -> bool:
        """Nothing of it would be lost with the pod."""
        return self._known.get(pair, False)

    async def look(self, pairs: Iterable[tuple[git.Repo, Pair]], *, within_s: float) -> bool:
        """Was there news? Those that are not answered in time go on."""
        wanted = [(repo, pair) for repo, pair in pairs if pair not in self._known]
        for repo, pair in wanted:
            if pair not in self._asking:
                task = self._background.spawn(self._ask(repo, pair), "merged commits")
                self._asking[pair] = task
                task.add_done_callback(functools.partial(self._done, pair))
        if wanted:
            asked = {self._asking[pair] for _, pair in wanted}
            await asyncio.wait(asked, timeout=within_s)
        return any(self.is_known(pair) for _, pair in wanted)

    def _done(self, pair: Pair, task: asyncio.Task[None]) -> None:
        self._asking.pop(pair, None)

    async def _ask(self, repo: git.Repo, pair: Pair) -> None:
        async with self._one_by_one:
            if len(self._known) > MOST:
                self._known.clear()
            self._known[pair] = False  # also when it cannot be told
            self._known[pair] = not await git_merged.unmerged(repo, [pair[1]])
