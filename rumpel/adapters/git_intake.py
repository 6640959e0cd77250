"""Fetching a pod's branches into a quarantine, so that one bad branch spoils no other.

First all together. When git refuses that, or a limit is passed, the branches that moved are
fetched in halves until the bad ones are alone: over the same server while it goes on, else over
new ones. What was refused once is not fetched again before it moves.
"""

from __future__ import annotations

import contextlib
import math
import os
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from rumpel.adapters import git_direct, git_files, git_run, git_whole, proc, threads
from rumpel.adapters.git_limits import Limits, Refused
from rumpel.adapters.git_quarantine import HEADS, OBJECTS, Quarantine
from rumpel.adapters.git_wire import FetchReport, Server
from rumpel.adapters.stream import Stream
from rumpel.errors import RumpelError

ALL = f"{HEADS}*"
MAX_REFUSED = 32
MAX_FETCHES = 200
MAX_SERVERS = 32
"""Of one import."""
MAX_SKIPPED = 500
NEVER = ("never", "")
NOT_FATAL = (0, 1)
"""Exit codes of a fetch whose objects all arrived and passed fsck."""
INCOMPLETE = "its history is not complete: the pod did not send all necessary objects"
POINTS_NOWHERE = "it points at no commit"
TOO_MANY = "too many other branches were refused"
CHECK_TIMEOUT_S = 120.0

Reopen = Callable[[], Awaitable[Stream]]
Judge = Callable[[FetchReport], Awaitable[None]]
"""Looks at what a fetch brought; raises Refused."""
Refusals = Mapping[str, tuple[str, str]]
"""Ref -> (oid, why)."""


@dataclass(slots=True, kw_only=True)
class Intake:
    """One import. `claims`, `arrived` and `refused` tell how it went; refs are full names."""

    quarantine: Quarantine
    server: Server
    judge: Judge
    limits: Limits
    reopen: Reopen | None = None
    known_refused: Refusals = field(default_factory=dict)
    claims: dict[bytes, str] = field(default_factory=dict)
    """As the pod lists them, without refs/heads/; git would not allow every name."""
    arrived: dict[str, str] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    _ends_at: float = 0.0
    _fetches: int = 0
    _opened: list[Stream] = field(default_factory=list)

    async def run(self) -> None:
        """Raises RumpelError when not even the list of branches came, or nobody can go on."""
        # The first fetch counts its own time: it may have to wait for a beginning.
        self._ends_at = math.inf
        self.arrived.update(self.quarantine.haves)
        try:
            why = await self._all()
            waiting = self._wanted()
            is_final = why not in (None, git_direct.HUNG_UP)  # maybe it was killed: once more
            if why is not None and is_final and len(waiting) == 1 and not self.refused:
                self.refused[waiting[0]] = why
            elif waiting:
                # Together they have just failed, unless there were too many to be listed.
                is_tried = why is not None and ALL not in self.refused
                await self._halve(_halves(waiting) if is_tried else [waiting])
        finally:
            for stream in self._opened:
                await stream.close()

    async def _all(self) -> str | None:
        """All branches but those that were refused before; None, or why not."""
        skipped = [f"^{ref}" for ref in self.known_refused if _is_branch(ref)]
        try:
            why = await self._attempt((f"+{ALL}:{ALL}", *skipped[:MAX_SKIPPED]), prune=True)
        except Refused as err:
            if not self.claims:
                raise
            why = _reason(err)
            if err.details.get("limit") == "branches":
                # The list is cut off: what is known can still be asked for by name.
                self.refused[ALL] = why
                known = self.quarantine.known
                self.claims = {os.fsencode(name): "" for name in known}
        if why is not None and not await self._has_server():
            kind = RumpelError if why == git_direct.HUNG_UP else Refused
            raise kind(f"import failed: {why}", details={"refused": why})
        return why

    def _wanted(self) -> list[str]:
        """Branches that moved and are not here yet, those of the last import first."""
        refs = {HEADS + os.fsdecode(raw): oid for raw, oid in self.claims.items()}
        for ref, oid in refs.items():
            if oid and not oid.strip("0"):
                self.refused[ref] = POINTS_NOWHERE
        found = [
            ref
            for ref, oid in refs.items()
            if self.arrived.get(ref) != oid and ref not in self.refused and _is_branch(ref)
        ]
        found = [ref for ref in found if self.known_refused.get(ref, NEVER)[0] != refs[ref]]
        known = {HEADS + name for name in self.quarantine.known}
        return sorted(found, key=lambda ref: (ref not in known, ref))

    async def _halve(self, groups: list[list[str]]) -> None:
        while groups:
            group = groups.pop()
            is_over = self._fetches >= MAX_FETCHES or len(self.refused) >= MAX_REFUSED
            if is_over or time.monotonic() > self._ends_at or not await self._has_server():
                self.refused.update(dict.fromkeys(group, TOO_MANY))
                continue
            try:
                why = await self._attempt([f"+{ref}:{ref}" for ref in group], refs=group)
            except Refused as err:
                why = _reason(err)
            if why is None:
                continue
            if len(group) > 1:
                groups += _halves(group)
            else:
                self.refused[group[0]] = why

    async def _has_server(self) -> bool:
        """One that waits for a request: this one, or a new one."""
        left = max(1.0, min(self.limits.idle_seconds, self._ends_at - time.monotonic()))
        if self.server.can_go_on:
            with contextlib.suppress(RumpelError):
                await self.server.drain(left)
                if self.server.can_go_on:
                    return True
        return await self._has_another()

    async def _has_another(self) -> bool:
        if self.reopen is None or len(self._opened) >= MAX_SERVERS:
            return False
        stream = await self.reopen()
        self._opened.append(stream)
        self.server = Server(stream)
        return True

    async def _attempt(
        self, refspecs: Sequence[str], *, refs: Sequence[str] | None = None, prune: bool = False
    ) -> str | None:
        """One fetch; None, or why nothing of it was taken. Raises Refused for a passed limit."""
        self._fetches += 1
        left_s = min(self.limits.seconds, self._ends_at - time.monotonic())
        left = replace(self.limits, seconds=max(1.0, left_s))
        quarantine = self.quarantine
        try:
            report = await self._fetch(refspecs, left, prune=prune)
            self._ends_at = min(self._ends_at, time.monotonic() + self.limits.seconds)
            self.claims.update(report.claims)
            if report.code and not self.claims:
                raise _failed(report)
            if report.code not in NOT_FATAL:
                await threads.call(quarantine.discard)
                if git_run.is_hosts_fault(report.code, report.said):
                    raise _failed(report)
                return report.said or f"git fetch ended with {report.code}"
            await self.judge(report)
        except Refused:
            self._ends_at = min(self._ends_at, time.monotonic() + self.limits.seconds)
            self.claims.update(self.server.claims)
            await threads.call(quarantine.discard)
            raise
        await self._take(report, refs)
        return None

    async def _fetch(self, refspecs: Sequence[str], left: Limits, *, prune: bool) -> FetchReport:
        quarantine = self.quarantine
        if self._fetches == 1 and not self.known_refused:
            report = await git_direct.fetch(self.server, quarantine, left)
            if report is not None:
                return report
            await threads.call(quarantine.clear)
            if self.server.went_at is not None:
                left_s = self.server.went_at + left.seconds - time.monotonic()
                left = replace(left, seconds=max(1.0, left_s))
            is_halfway = self.server.can_go_on and not self.server.is_at_rest
            if is_halfway and not await self._has_another():
                raise RumpelError("import failed: the pod lists something else than branches")
        return await self.server.fetch(
            quarantine.path,
            refspecs,
            limits=left,
            env=quarantine.env(),
            prune=prune,
            oid_bytes=quarantine.oid_bytes,
        )

    async def _take(self, report: FetchReport, refs: Sequence[str] | None) -> None:
        """What arrived of a fetch that git and we are content with."""
        claims = {HEADS + os.fsdecode(raw): oid for raw, oid in report.claims.items()}
        asked = {ref: oid for ref, oid in claims.items() if refs is None or ref in refs}
        arrived = await threads.call(self._arrived, report, asked)
        waiting = {
            ref: oid
            for ref, oid in asked.items()
            if ref not in arrived and (refs is not None or ref not in self.known_refused)
        }
        arrived |= await _without_ref(self.quarantine, waiting)
        self.arrived |= arrived
        for ref in waiting.keys() - arrived.keys():
            self.refused[ref] = report.said or INCOMPLETE
        await threads.call(self.quarantine.accept)

    def _arrived(self, report: FetchReport, asked: Mapping[str, str]) -> dict[str, str]:
        """Those of which git or our own proof says that they are complete."""
        quarantine = self.quarantine
        if report.held is None:
            heads = quarantine.heads()
            return {ref: oid for ref, oid in asked.items() if heads.get(ref) == oid}
        fresh = str(quarantine.path / OBJECTS)
        whole = git_whole.proven(fresh, quarantine.lender, asked.values(), report.held)
        return {ref: oid for ref, oid in asked.items() if oid in whole}


def _halves(refs: list[str]) -> list[list[str]]:
    """The first one last: it is taken from the end."""
    middle = len(refs) // 2
    return [half for half in (refs[middle:], refs[:middle]) if half]


def _is_branch(ref: str) -> bool:
    return git_files.is_branch_name(os.fsencode(ref.removeprefix(HEADS)))


def _reason(err: RumpelError) -> str:
    return err.message.removeprefix("refused: ")


def _failed(report: FetchReport) -> RumpelError:
    return RumpelError(
        f"import failed: {report.said or f'git fetch ended with {report.code}'}",
        details={"exit_code": report.code},
    )


async def _without_ref(quarantine: Quarantine, waiting: Mapping[str, str]) -> dict[str, str]:
    """Branches that came whole, though no file can have their name (too long, letter case)."""
    if not waiting:
        return {}
    oids = sorted(set(waiting.values()))
    kinds = await _git(
        quarantine, "cat-file", "--batch-check=%(objectname) %(objecttype)", oids=oids
    )
    commits = {
        line.split()[0] for line in kinds.stdout.decode().split("\n") if line.endswith(" commit")
    }
    whole: set[str] = set()
    for group in ([*commits], *([oid] for oid in sorted(commits)[:MAX_REFUSED])):
        if group and not whole.issuperset(group):
            command = ("rev-list", "--objects", "--quiet", "--stdin", "--not", "--all")
            done = await _git(quarantine, *command, oids=group)
            whole.update(group if done.code == 0 else ())
    return {ref: oid for ref, oid in waiting.items() if oid in whole}


async def _git(quarantine: Quarantine, *args: str, oids: Iterable[str]) -> proc.Completed:
    return await git_run.run(
        str(quarantine.path),
        *args,
        env=quarantine.env(),
        input="".join(f"{oid}\n" for oid in oids).encode(),
        timeout_s=CHECK_TIMEOUT_S,
        codes=(0, 1, 128),
    )
