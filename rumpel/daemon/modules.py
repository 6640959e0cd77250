"""Submodules of pods: each is one more repository, with a seed, a door and published refs.

Which ones a pod has is decided when its workspace is made (`adapters.git_modules` says how), and
written down before anything is made. Everything after that is what `links` does with the main
repository, once for each: a submodule's door is `doors/<its repository>/<pod>`, and its refs are
published by the `RepoSync` of its repository, where the pod is a guest. A notice from the pod does
not say which repository moved, so the pod is asked for a digest of each, in one request.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import posixpath
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from rumpel.adapters import git, git_door, git_merged, git_modules, git_refs, threads
from rumpel.adapters.git_limits import Refused
from rumpel.adapters.git_modules import Module
from rumpel.adapters.git_trash import DeletedModule
from rumpel.adapters.pod_link import MORE_PROGRAM
from rumpel.cache.store import Store
from rumpel.daemon import setups
from rumpel.daemon.doors import Doors
from rumpel.daemon.gateways import Gateways
from rumpel.daemon.large_files import LargeFiles
from rumpel.daemon.places import Places
from rumpel.daemon.podsync import PodSync
from rumpel.daemon.repos import RepoSync
from rumpel.errors import HostUnreachable, RumpelError
from rumpel.model import RepoRef
from rumpel.tasks.world import ModuleWork, PodAddress, Setup

log = logging.getLogger(__name__)

REQUEST_TIMEOUT_S = 60.0
KNOWN = re.compile(r"([0-9]{1,3})=([0-9a-z]{1,64})")
UNKNOWN = re.compile(r"\+([0-9]{1,9})=modules/([A-Za-z0-9._/?-]{1,100})")
GONE = "gone"
BACK = "modules-back/"
SUBMODULE = "submodule "
NOT_THERE = "the host has no such submodule"
MAX_UNKNOWN = 20
MAX_ASKED = 10


class Modules:
    """Reads are from memory; what a pod has is in the database before it has it."""

    def __init__(
        self,
        *,
        store: Store,
        doors: Doors,
        repo: Callable[[RepoRef], RepoSync],
        gateways: Gateways,
        large: LargeFiles,
    ) -> None:
        self._large = large
        self._store, self._doors, self._repo, self._gateways = store, doors, repo, gateways
        self._left_out: dict[str, tuple[str, ...]] = {}

    def of(self, pod_id: str) -> list[Module]:
        found = self._store.kv_get(f"modules/{pod_id}", [])
        return [Module.from_json(item) for item in found or []]

    async def set_up(self, pod: PodAddress, setup: Setup) -> list[str]:
        """What the pod's set-up is told of them; their seeds have what it needs then."""
        repo = await threads.call(git.reopen, pod.repo.work_tree, pod.repo.common_dir)
        found = await threads.call(git_modules.find, repo, setup.oid)
        places = Places(self._store)
        found.modules = [
            replace(module, repo=places.known(module.repo)) for module in found.modules
        ]
        self._left_out[pod.pod_id] = tuple(found.notes)
        before = self.of(pod.pod_id)
        if not found.modules and not before:
            return []
        # One that this commit does not have may be on another branch of the pod: it stays known.
        keys = {module.key for module in found.modules}
        known = [*found.modules, *(module for module in before if module.key not in keys)]
        await self._store.kv_set(f"modules/{pod.pod_id}", [item.to_json() for item in known])
        self._gateways.share(pod.repo, pod.host, [module.repo for module in found.modules])
        arguments = [f"code={MORE_PROGRAM}", *_submodules(found.modules, "")]
        for module in found.modules:
            arguments += await self._arguments(pod, setup, module)
            arguments += _submodules(found.modules, module.key)
        return arguments

    async def _arguments(self, pod: PodAddress, setup: Setup, module: Module) -> list[str]:
        restore = self.branches(pod, module)
        oid = restore.get(setup.branch, module.oid)
        sync = self._repo(module.repo)
        await sync.ensure(pod.host, oid, restore, path=module.seed_path)
        repo = await threads.call(_reopen, module)
        head = await threads.call(git.head, repo)
        whole = replace(setup, leaves_files=False)
        own = replace(whole, oid=oid, upstream=head.branch, restore=restore)
        folder = posixpath.join("/", module.path)
        git_dir = posixpath.join("/.git", module.key)
        return [
            f"module={module.key}",
            f"path={module.path}",
            f"gitdir={posixpath.relpath(git_dir, folder)}",
            f"worktree={posixpath.relpath(folder, git_dir)}",
            f"seed={module.seed_path}",
            *setups.words(own, await sync.carried()),
        ]

    def branches(self, pod: PodAddress, module: Module) -> Mapping[str, str]:
        """As imported last; of a pod that was in the trash, as it was deleted."""
        imported = self._repo(module.repo).branches.get(pod.pod_id)
        if imported is not None:
            return imported
        back: Mapping[str, Mapping[str, str]] = self._store.kv_get(f"{BACK}{pod.pod_id}", {})
        return back.get(module.key, {})

    async def bring_back(self, pod_id: str, branches: Mapping[str, Mapping[str, str]]) -> None:
        """Branches by key of the submodules of a pod that comes out of the trash."""
        await self._store.kv_set(f"{BACK}{pod_id}", {key: dict(of) for key, of in branches.items()})

    def of_trash(self, pod: PodAddress) -> tuple[DeletedModule, ...]:
        return tuple(
            DeletedModule(
                key=module.key,
                work_tree=module.repo.work_tree,
                common_dir=module.repo.common_dir,
                branches=dict(self.branches(pod, module)),
            )
            for module in self.of(pod.pod_id)
        )

    async def publish_fresh(self, pod: PodAddress, branch: str) -> None:
        """The host has the commits they were made from: no transfer."""
        for module in self.of(pod.pod_id):
            if self._repo(module.repo).branches.get(pod.pod_id) is None:
                known = self.branches(pod, module)
                await self._publish(pod, module, known or {branch: module.oid})

    async def restore(self, pod: PodAddress) -> None:
        """At start: what the doors hold is what the host knows of the pod's submodules."""
        for module in self.of(pod.pod_id):
            sync = self._repo(module.repo)
            sync.pod_names[pod.pod_id] = pod.pod
            sync.guests.add(pod.pod_id)
            branches = await threads.call(git_door.branches, self._doors.path(pod, module.repo))
            known = branches or self.branches(pod, module) or {pod.pod: module.oid}
            sync.branches[pod.pod_id] = dict(known)
            self._gateways.share(pod.repo, pod.host, [module.repo])

    async def sync(self, state: PodSync, *, everything: bool) -> tuple[tuple[str, str], ...]:
        """Import what moved, or `everything`; what could not be imported, with the reason.

        One that is refused holds up none of the others. Raises RumpelError, in the end, for what
        may be had later; HostUnreachable when the pod cannot be asked.
        """
        modules = self.of(state.pod.pod_id)
        link = state.link
        if link is None or not (modules or everything or link.has_submodules):
            return ()
        words = [state.pod.workspace_folder, *(module.key for module in modules)]
        answer = (await link.request("modules", *words, timeout_s=REQUEST_TIMEOUT_S)).split()
        digests = {int(item[1]): item[2] for word in answer if (item := KNOWN.fullmatch(word))}
        failure: RumpelError | None = None
        for number, module in enumerate(modules):
            digest = digests.get(number)
            is_known = digest is not None and state.digests.get(module.key) == digest
            if digest == GONE or (is_known and not everything):
                continue
            if everything:
                state.refused_in.pop(module.key, None)
            try:
                state.rejected_in[module.key] = await self._import(state, module)
                state.digests[module.key] = digest or ""
            except HostUnreachable:
                raise
            except RumpelError as error:
                failure = failure or error
        if failure is not None:
            raise failure
        known = tuple(item for module in modules for item in state.rejected_in.get(module.key, ()))
        return known + _unknown(answer)

    async def _import(self, state: PodSync, module: Module) -> tuple[tuple[str, str], ...]:
        """What was refused, with the reason."""
        name = f"{SUBMODULE}{module.path}"
        if not await threads.call(Path(module.repo.common_dir).is_dir):
            return ((name, NOT_THERE),)
        refused = state.refused_in.get(module.key, {})
        git_dir = f".git/{module.key}"
        stream = await self._doors.upload_pack(state, git_dir)
        try:
            imported = await self._doors.import_from(
                state,
                stream,
                refused,
                module=module.repo,
                git_dir=git_dir,
                publish=functools.partial(self._show, state, module),
            )
        except Refused as error:
            return ((name, error.message.removeprefix("refused: ")),)
        finally:
            await stream.close()
        now = time.monotonic()
        state.refused_in[module.key] = {
            ref: (*found, refused[ref][2] if ref in refused else now)
            for ref, found in imported.refusals.items()
        }
        return tuple((f"{name}, branch {branch}", why) for branch, why in imported.rejected)

    async def _show(self, state: PodSync, module: Module, imported: git_door.Imported) -> None:
        pod, doors = state.pod, self._doors
        await self._large.bring(
            pod,
            state.access,
            door=doors.path(pod, module.repo),
            pending=imported.lfs,
            limits=doors.limits,
            module=module,
        )
        async with state.current():
            await self._publish(pod, module, imported.branches)

    async def _publish(self, pod: PodAddress, module: Module, branches: Mapping[str, str]) -> None:
        sync = self._repo(module.repo)
        sync.guests.add(pod.pod_id)
        await sync.publish(pod.pod_id, pod.pod, branches)

    async def fetch(self, state: PodSync, repo_id: str) -> None:
        """New branches of the host's submodule lie behind `host` in the pod's."""
        for module in self.of(state.pod.pod_id):
            if module.repo.repo_id == repo_id and state.link is not None:
                words = (state.pod.workspace_folder, module.key, module.seed_path)
                await state.link.request("fetch", *words, timeout_s=REQUEST_TIMEOUT_S)

    def has(self, pod_id: str, repo_id: str) -> bool:
        return any(module.repo.repo_id == repo_id for module in self.of(pod_id))

    def notes(self, pod_id: str) -> list[str]:
        return [
            *self._left_out.get(pod_id, ()),
            *(note for module in self.of(pod_id) for note in self._repo(module.repo).notes),
        ]

    async def unmerged(self, pod: PodAddress) -> list[ModuleWork]:
        """What only pods have. Raises RumpelError when nobody can tell."""
        found: list[ModuleWork] = []
        for module in self.of(pod.pod_id):
            branches = self.branches(pod, module)
            tips = sorted(set(branches.values()))
            repo = await threads.call(_reopen, module)
            head = await threads.call(git.head, repo)
            # A submodule's HEAD is on no branch as a rule, and what it has is the user's.
            safe = [module.oid, *([head.oid] if head.oid else [])]
            commits = await git_merged.unmerged(repo, tips, safe)
            if not commits:
                continue
            # The pod's own branch before others; of many only some are asked.
            for branch in sorted(branches, key=lambda name: (name != pod.pod, name))[:MAX_ASKED]:
                if await git_merged.unmerged(repo, [branches[branch]], safe):
                    break
            name = self._repo(module.repo).shown_name(pod.pod_id)
            found.append(
                ModuleWork(
                    path=module.path,
                    work_tree=module.repo.work_tree,
                    shown=f"rumpelpod/{name if branch == pod.pod else f'{branch}@{name}'}",
                    commits=commits,
                )
            )
        return found

    async def keep(self, pod: PodAddress) -> int:
        """Hold their branches in their repositories, as `git_refs.keep` does."""
        kept = 0
        for module in self.of(pod.pod_id):
            if not await threads.call(Path(module.repo.common_dir).is_dir):
                continue  # with its repository all that was imported went, by the user's hand
            branches = self.branches(pod, module)
            kept += await git_refs.keep(await threads.call(_reopen, module), pod.pod_id, branches)
        return kept

    async def forget(self, pod: PodAddress) -> None:
        for module in self.of(pod.pod_id):
            with contextlib.suppress(RumpelError):
                await self._repo(module.repo).withdraw(pod.pod_id)
            await git_door.remove(self._doors.path(pod, module.repo))
        self._left_out.pop(pod.pod_id, None)


def _unknown(answer: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Made in the pod, and with commits that are nowhere else."""
    found = [item for word in answer if (item := UNKNOWN.fullmatch(word))]
    names = [item[2] for item in found if int(item[1])]
    return tuple((f"{SUBMODULE}{name}", NOT_THERE) for name in names[:MAX_UNKNOWN])


def _reopen(module: Module) -> git.Repo:
    """The host's repository. Raises RumpelError when it is gone."""
    if not Path(module.repo.common_dir).is_dir():
        raise RumpelError(f"submodule {module.path}: {NOT_THERE}")
    return git.reopen(module.repo.work_tree, module.repo.common_dir)


def _submodules(modules: list[Module], parent: str) -> list[str]:
    """Those of one repository, for its configuration."""
    own = [module for module in modules if module.parent == parent]
    return [word for item in own for word in (f"submodule={item.name}", f"url={item.url}")]
