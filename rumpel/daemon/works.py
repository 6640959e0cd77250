"""Uncommitted work of pods, brought onto the host and back.

A snapshot is made in the pod, comes in through the door like everything a pod sends (quarantine,
fsck, limits), and is held by a ref that was written and read again before anybody relies on it.
So is the work of each submodule the host has, in the submodule's own repository there; what ties
them together is the main one, which tells them by name.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from rumpel.adapters import git, git_door, git_push, git_snapshot, git_trash, pod_work, threads
from rumpel.adapters.docker_api import DockerHost
from rumpel.adapters.git_limits import Limits, Refused
from rumpel.adapters.git_modules import Module
from rumpel.adapters.git_trash import Deleted
from rumpel.adapters.pod_work import Place
from rumpel.errors import RumpelError
from rumpel.model import RepoRef
from rumpel.tasks.world import Access, PodAddress, Taken

log = logging.getLogger(__name__)

BRANCH = "snapshot"
"""In the scratch repository of the pod."""
DOOR = "work"
PUSH_TIMEOUT_S = 600.0
MOST_TIPS = 20


class WorkKeeper:
    """Implements `tasks.world.Works`."""

    def __init__(
        self,
        host: Callable[[str], DockerHost],
        doors_dir: Path,
        limits: Callable[[RepoRef], Limits],
        modules: Callable[[str], Iterable[Module]] = lambda _: (),
        branches: Callable[[str], Mapping[str, str]] = lambda _: {},
    ) -> None:
        """`modules`: the submodules a pod has, by its id; `branches`: what the host has of it."""
        self._host, self._doors_dir, self._limits = host, doors_dir, limits
        self._modules, self._branches = modules, branches
        self._locks: dict[str, asyncio.Lock] = {}

    async def freeze(self, pod: PodAddress, access: Access) -> None:
        # Else it could stop the script of a `take`, for which the next one would wait.
        async with self._lock(pod):
            is_own = await pod_work.freeze(self._place(pod, access))
        if not is_own:
            log.info("pod %s shares its processes with others: nothing was stopped", pod.pod)

    async def thaw(self, pod: PodAddress, access: Access) -> None:
        await pod_work.thaw(self._place(pod, access))

    async def take(self, pod: PodAddress, access: Access, kind: str) -> Taken | None:
        async with self._lock(pod):
            limits = await threads.call(self._limits, pod.repo)
            try:
                return await self._take(pod, access, kind, limits=limits)
            except Refused as error:
                tips = _tips(pod, self._branches(pod.pod_id))
                if not tips:
                    raise
                # One bad commit must not take everything else with it.
                log.info("pod %s: without its last commits: %s", pod.pod, error.message)
                taken = await self._take(pod, access, kind, limits=limits, apart_from=tips)
                why = error.message.removeprefix("import failed: ").removeprefix("refused: ")
                return taken and replace(taken, left=(why, *taken.left))

    async def _take(
        self,
        pod: PodAddress,
        access: Access,
        kind: str,
        *,
        limits: Limits,
        apart_from: Sequence[str] = (),
    ) -> Taken | None:
        place = self._place(pod, access)
        modules = await self._known(pod)
        found = await pod_work.take(
            place,
            pod.pod,
            max_file_bytes=limits.object_bytes,
            modules=[(key, module.path) for key, module in modules.items()],
            apart_from=apart_from,
        )
        if found is None:
            return None
        closing: asyncio.Task[None] | None = None
        try:
            left = await self._hold_modules(pod, place, found, kind=kind, limits=limits)
            repo = await _opened(pod)
            await self._fetch(repo, pod, place, oid=found.oid, limits=limits)
            closing = asyncio.create_task(_close(place, found))
            snapshot = await git_trash.hold(
                repo, pod.pod_id, found.oid, kind=kind, at=int(time.time())
            )
            own = await git_snapshot.left_out(repo, found.oid) if found.left else ()
        finally:
            await (_close(place, found) if closing is None else closing)
        every = (found, *(item for _, item in found.modules))
        return Taken(
            snapshot=snapshot,
            is_work=any(item.is_work for item in every) or bool(left),
            files=sum(item.files for item in every),
            left=(*own, *left),
        )

    async def _hold_modules(
        self, pod: PodAddress, place: Place, found: pod_work.Taken, *, kind: str, limits: Limits
    ) -> list[str]:
        """Before the main one, which must not promise what is not there; what could not be held."""
        left, by_key = list[str](), await self._known(pod)
        for key, item in found.modules:
            module = by_key[key]
            try:
                repo = await _opened(module)
                await self._fetch(repo, pod, place, oid=item.oid, limits=limits, module=module)
                await git_trash.hold(repo, pod.pod_id, item.oid, kind=kind, at=int(time.time()))
                inside = await git_snapshot.left_out(repo, item.oid) if item.left else ()
                left += [f"{line} (in submodule {module.path})" for line in inside]
            except RumpelError as error:  # the rest of the work shall not go with it
                left.append(f"submodule {module.path}: {error.message}")
        return left

    async def _known(self, pod: PodAddress) -> dict[str, Module]:
        """Its submodules by key; one whose repository the host lost is like one it never had."""
        modules = await threads.call(_there, self._modules(pod.pod_id))
        return {module.key: module for module in modules}

    async def put(self, pod: PodAddress, access: Access, oid: str) -> tuple[str, ...]:
        place = self._place(pod, access)
        async with self._lock(pod):
            repo = await _opened(pod)  # before there is a stream that nobody would close
            wanted = await git_snapshot.modules_of(repo, oid)
            await _send(repo, place, oid)
            await pod_work.put(place, oid, pod.pod)
            by_key, left = await self._known(pod), list[str]()
            # Of another pod only where this one is made from its snapshot.
            owners = await git_trash.holders(repo, oid) if wanted else set[str]()
            owners = {pod.pod_id} if pod.pod_id in owners else owners
            for key, of_module in wanted.items():
                module = by_key.get(key)
                why = "the host does not have it any more"
                if module is not None:
                    why = await _why_not_held(module, owners, of_module)
                if module is not None and not why:
                    why = await self._put_module(pod, place, module, of_module)
                if why:
                    left.append(f"submodule {key.removeprefix('modules/')}: {why}")
            return tuple(left)

    async def _put_module(self, pod: PodAddress, place: Place, module: Module, oid: str) -> str:
        """Nothing, or why not."""
        if not await pod_work.has(place, (module.key, module.path)):
            return "the pod has it not checked out"
        await _send(await _opened(module), place, oid, module.key)
        await pod_work.put(place, oid, pod.pod, (module.key, module.path))
        return ""

    async def bury(self, pod: PodAddress, entry: Deleted, *, was_seen: bool) -> None:
        repo = await _opened(pod)
        if entry.snapshot is None:
            entry = await git_trash.with_known_work(repo, entry, was_seen=was_seen)
        await git_trash.bury(repo, entry)

    async def unbury(self, pod: PodAddress) -> None:
        await git_trash.unbury(await _opened(pod), pod.pod_id)

    async def _fetch(
        self,
        repo: git.Repo,
        pod: PodAddress,
        place: Place,
        *,
        oid: str,
        limits: Limits,
        module: Module | None = None,
    ) -> None:
        """Through a door of its own: it knows no earlier state, and the pod's keeps its own."""
        owner = pod.repo if module is None else module.repo
        door = self._doors_dir / owner.repo_id / pod.pod_id / DOOR
        await git_door.remove(door)
        scratch = place.scratch("" if module is None else module.key)
        stream = await place.host.exec_stream(
            place.container_id,
            ["git", "upload-pack", "--strict", scratch],
            user=place.user,
            cwd="/",
            env={"GIT_PROTOCOL": "version=2"},
        )
        try:
            imported = await git_door.import_pod(repo, door, stream, limits)
        finally:
            await stream.close()
            await git_door.remove(door)
        if imported.branches.get(BRANCH) != oid:
            why = dict(imported.rejected).get(BRANCH, "the pod sent another one")
            raise Refused(f"the snapshot could not be imported: {why}")

    def _lock(self, pod: PodAddress) -> asyncio.Lock:
        return self._locks.setdefault(pod.pod_id, asyncio.Lock())

    def _place(self, pod: PodAddress, access: Access) -> Place:
        return Place(
            host=self._host(pod.host),
            container_id=access.container_id,
            user=access.user,
            folder=pod.workspace_folder,
        )


async def _close(place: Place, found: pod_work.Taken) -> None:
    with contextlib.suppress(RumpelError):  # the next one removes it, too
        await pod_work.close(place, [key for key, _ in found.modules])


def _tips(pod: PodAddress, branches: Mapping[str, str]) -> list[str]:
    """Of its own branch first; of many only some."""
    own_first = sorted(branches, key=lambda name: (name != pod.pod, name))
    return list(dict.fromkeys(branches[name] for name in own_first))[:MOST_TIPS]


async def _why_not_held(module: Module, owners: Iterable[str], oid: str) -> str:
    """What a snapshot says is a pod's word: only what is held of these pods counts."""
    repo = await _opened(module)
    for owner in owners:
        if any(item.oid == oid for item in await git_trash.snapshots(repo, owner)):
            return ""
    return "its work is not held on the host"


async def _send(repo: git.Repo, place: Place, oid: str, key: str = "") -> None:
    """A snapshot into the pod, at RESTORE_REF."""
    config = ("-c", "core.hooksPath=/dev/null", "-c", "receive.shallowUpdate=true")
    stream = await place.host.exec_stream(
        place.container_id,
        ["git", *config, "receive-pack", place.git_dir(key)],
        user=place.user,
        cwd="/",
    )
    refspecs = [f"+{oid}:{pod_work.RESTORE_REF}"]
    await git_push.push_from(repo, stream, refspecs, prune=False, timeout_s=PUSH_TIMEOUT_S)


def _there(modules: Iterable[Module]) -> list[Module]:
    return [module for module in modules if Path(module.repo.common_dir).is_dir()]


async def _opened(owner: PodAddress | Module) -> git.Repo:
    return await threads.call(git.reopen, owner.repo.work_tree, owner.repo.common_dir)
