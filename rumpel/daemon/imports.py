"""Importing what a pod has: over its parked upload-pack, within limits, at a bearable pace.

What was refused is remembered per pod: for `list`, for the pod itself (which is told, see
pod_control.sh), and so that it is not fetched again before it moves.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import time
from collections.abc import Callable, Mapping

from rumpel import text
from rumpel.adapters import git_door, git_judge, git_wire, threads
from rumpel.adapters.git_limits import Refused
from rumpel.adapters.stream import Stream
from rumpel.cache.events import EventLog
from rumpel.daemon.doors import Doors
from rumpel.daemon.large_files import LargeFiles
from rumpel.daemon.modules import SUBMODULE, Modules
from rumpel.daemon.nodes import subject
from rumpel.daemon.podsync import PodSync
from rumpel.daemon.ready import ReadyImport
from rumpel.daemon.repos import RepoSync
from rumpel.errors import RumpelError
from rumpel.model import RepoRef
from rumpel.tasks.world import PodAddress, SyncReport

log = logging.getLogger(__name__)

TELL_TIMEOUT_S = 30.0
HEAD_TIMEOUT_S = 5.0
GOODBYE_S = 5.0
MAX_TOLD = 5
MAX_WHY_CHARS = 300
MAX_PATH_CHARS = 150
MAX_BRANCHES = 20
ALL = "*"


class Pace:
    """How long to wait before the next import of a pod that gives notice again and again."""

    FREE, FIRST_S, MOST_S = 4, 0.05, 2.0

    def __init__(self) -> None:
        self._idle = 0
        self._ended_at = 0.0

    def note(self, *, is_new: bool) -> None:
        self._idle = 0 if is_new else self._idle + 1
        self._ended_at = time.monotonic()

    def rest_s(self) -> float:
        if self._idle <= self.FREE:
            return 0.0
        gap = min(self.MOST_S, self.FIRST_S * 2.0 ** min(self._idle - self.FREE, 10))
        return max(0.0, self._ended_at + gap - time.monotonic())


class Imports:
    """Of all pods; `refused` is by pod id: (branch, why), branch `*` for all of them."""

    def __init__(
        self,
        *,
        doors: Doors,
        repo: Callable[[RepoRef], RepoSync],
        modules: Modules,
        large: LargeFiles,
        events: EventLog,
    ) -> None:
        self.doors, self._repo, self._modules, self._large = doors, repo, modules, large
        self.refused: dict[str, tuple[tuple[str, str], ...]] = {}
        self._events = events

    async def run(self, state: PodSync, *, is_asked_for: bool) -> SyncReport:
        """Import everything and publish it. `is_asked_for`: also what was refused before."""
        async with state.importing:
            state.noticed.clear()
            pod = state.pod
            if is_asked_for and state.refused:
                state.refused.clear()
                await self.unready(state)
            before = self._repo(pod.repo).branches.get(pod.pod_id)
            try:
                imported = await self._fetched(state)
                others = await self._modules.sync(state, everything=is_asked_for)
            except Refused as error:
                others = await self._modules.sync(state, everything=is_asked_for)
                await self._note(state, ((ALL, _reason(error)), *others))
                raise
            except BaseException:
                state.noticed.set()  # whoever asked has given up; the loop has not
                raise
            now = time.monotonic()
            if imported.branches != before:
                state.moved_at = now
                if before is not None:
                    self._tell(pod, before, imported.branches)
            state.refused = {
                ref: (*found, state.refused[ref][2] if ref in state.refused else now)
                for ref, found in imported.refusals.items()
            }
            rejected = (*await self._with_files(state, imported.rejected), *others)
            await self._note(state, rejected)
            return SyncReport(imported.branches, rejected, self._large.unsaved(pod.pod_id))

    async def _with_files(
        self, state: PodSync, rejected: tuple[tuple[str, str], ...]
    ) -> tuple[tuple[str, str], ...]:
        """Where a file is too large: which one, by the word of the pod."""
        if rejected == state.rejected[0]:
            return state.rejected[1]
        found = list(rejected)
        limits = await threads.call(self.doors.limits, state.pod.repo) if rejected else None
        for number, (branch, why) in enumerate(rejected[:MAX_TOLD]):
            if (
                limits is None
                or state.link is None
                or git_judge.LARGEST not in why
                or branch == ALL
            ):
                continue
            words = (state.pod.workspace_folder, branch, str(limits.object_bytes))
            with contextlib.suppress(RumpelError):
                path = await state.link.request("large", *words, timeout_s=TELL_TIMEOUT_S)
                found[number] = (branch, f"{why}: {text.safe(path)[:MAX_PATH_CHARS]}")
        state.rejected = (rejected, tuple(found))
        return state.rejected[1]

    def _tell(self, pod: PodAddress, before: Mapping[str, str], now: Mapping[str, str]) -> None:
        """That commits are here, in the log of events; of very many branches only some."""
        moved = {name: oid for name, oid in now.items() if before.get(name) != oid}
        gone = sorted(before.keys() - now.keys())
        self._events.note(
            0,
            "commits",
            subject=subject(pod.repo.repo_id, pod.pod),
            branches=dict(sorted(moved.items())[:MAX_BRANCHES]),
            gone=gone[:MAX_BRANCHES],
            more=max(0, len(moved) - MAX_BRANCHES) + max(0, len(gone) - MAX_BRANCHES),
        )

    async def catch_up(self, state: PodSync) -> bool:
        """Import unless the pod's HEAD is where the host has it, and nothing was noticed.

        Whether HEAD is where the host has it now.
        """
        link, pod = state.link, state.pod
        if link is None:
            return False
        words = (pod.workspace_folder,)
        answer = (await link.request("head", *words, timeout_s=HEAD_TIMEOUT_S)).split()
        async with state.importing:
            pass  # one that runs may bring it
        known = self._repo(pod.repo).branches.get(pod.pod_id, {})
        moved, oid, *branch = answer if len(answer) > 1 else ("1", "-")
        is_known = not branch or known.get(branch[0]) == oid
        if moved != "0" or not is_known or state.noticed.is_set():
            await self.run(state, is_asked_for=False)
            known = self._repo(pod.repo).branches.get(pod.pod_id, {})
        return bool(branch) and known.get(branch[0]) == oid

    async def _fetched(self, state: PodSync) -> git_door.Imported:
        """Over the parked upload-pack; one that died meanwhile is replaced."""
        ready, state.ready = state.ready, None
        parked, state.parked = state.parked, None
        if ready is not None:
            if parked is not None:
                await parked.close()
            parked = ready.stream
        if parked is not None:
            try:
                return await self._over(state, parked, ready)
            except Refused:
                raise
            except RumpelError as error:
                log.info("pod %s: parked fetch: %s", state.pod.pod, error.message)
        return await self._over(state, await self.doors.upload_pack(state))

    async def _over(
        self, state: PodSync, stream: Stream, ready: ReadyImport | None = None
    ) -> git_door.Imported:
        """Over this stream, which is parked again if it can be: an exec less for the next one."""
        is_free = False
        try:
            imported = await (ready.finish() if ready else self._through_door(state, stream))
            is_free = imported.is_stream_free
            return imported
        finally:
            if is_free and await said_goodbye(stream) and state.is_live and state.parked is None:
                state.parked = stream
            else:
                await stream.close()

    async def _show(self, state: PodSync, imported: git_door.Imported) -> None:
        pod, doors = state.pod, self.doors
        await self._large.bring(
            pod, state.access, door=doors.path(pod), pending=imported.lfs, limits=doors.limits
        )
        async with state.current():
            await self._repo(pod.repo).publish(pod.pod_id, pod.pod, imported.branches)

    def make_ready(self, state: PodSync) -> None:
        """Begin the next import over the stream that was parked just now."""
        parked, state.parked = state.parked, None
        if parked is not None:
            state.ready = ReadyImport(parked, lambda go: self._through_door(state, parked, go))

    async def unready(self, state: PodSync) -> None:
        ready, state.ready = state.ready, None
        if ready is not None:
            await ready.close()

    async def _through_door(
        self, state: PodSync, stream: Stream, go: asyncio.Event | None = None
    ) -> git_door.Imported:
        show = functools.partial(self._show, state)
        return await self.doors.import_from(state, stream, state.refused, go=go, publish=show)

    async def _note(self, state: PodSync, refused: tuple[tuple[str, str], ...]) -> None:
        """To the log, for `list`, and into the pod; once for each change."""
        pod = state.pod
        refused = tuple((name, why[:MAX_WHY_CHARS]) for name, why in refused)
        if refused == self.refused.get(pod.pod_id, ()) and state.is_told:
            return
        for name, why in refused:
            log.warning("pod %s: branch %s refused: %s", pod.pod, text.safe(name), text.safe(why))
        had_some = self.refused.pop(pod.pod_id, None) is not None
        if refused:
            self.refused[pod.pod_id] = refused
        state.is_told = True
        if (refused or had_some) and state.link is not None:
            with contextlib.suppress(RumpelError):
                await state.link.request(
                    "refused",
                    pod.workspace_folder,
                    "\n".join(lines(refused)),
                    timeout_s=TELL_TIMEOUT_S,
                )


async def said_goodbye(stream: Stream) -> bool:
    """The server ends, and the next one starts over the same stream (see `Links`)."""
    try:
        async with asyncio.timeout(GOODBYE_S):
            await stream.write(git_wire.GOODBYE)
    except (RumpelError, OSError):  # a TimeoutError, too
        return False
    return True


def lines(refused: tuple[tuple[str, str], ...]) -> list[str]:
    """What was refused, as people read it."""
    shown = [
        f"no further branch reaches the host: {text.safe(why)}"
        if name == ALL
        else f"{_subject(name)} does not reach the host: {text.safe(why)}"
        for name, why in refused[:MAX_TOLD]
    ]
    more = len(refused) - MAX_TOLD
    return shown + (
        [f"nor do {text.count(more, 'other branch', 'other branches')}"] if more > 0 else []
    )


def _subject(name: str) -> str:
    return text.safe(name if name.startswith(SUBMODULE) else f"branch {name}")


def _reason(error: Refused) -> str:
    return error.message.removeprefix("refused: ").removeprefix("import failed: ")
