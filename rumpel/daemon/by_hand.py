"""What somebody did by hand where no event tells: refs of the host, the repository of a seed.

Looked at when a graph is asked for, and where something failed of it; probes read the last look.
Implements `tasks.world.ByHand`.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterable

from rumpel.daemon.repos import Gateway, RepoSync
from rumpel.errors import RumpelError
from rumpel.model import PodSpec, RepoRef
from rumpel.resources import resource_text
from rumpel.tasks.world import PodAddress, Tips

log = logging.getLogger(__name__)

LOOK_TIMEOUT_S = 5.0
MEND_TIMEOUT_S = 300.0


class ByHandLook:
    """Lives as long as the daemon."""

    def __init__(self, repo: Callable[[RepoRef], RepoSync]) -> None:
        self._repo = repo
        self._seeds: dict[tuple[str, str], str] = {}
        self._branches: dict[str, str] = {}

    def seed(self, repo: RepoRef, host: str) -> str | None:
        return self._seeds.get((repo.repo_id, host))

    def branches(self, pod_id: str) -> str | None:
        return self._branches.get(pod_id)

    async def look(self, specs: Iterable[PodSpec]) -> None:
        """At all that these pods have to do with. What cannot be looked at is as it was."""
        pods = list(specs)
        for repo in {spec.repo.repo_id: spec.repo for spec in pods}.values():
            await self._look_at_branches(repo)
        for key in {(spec.repo.repo_id, spec.host): spec for spec in pods}.values():
            if (
                not self._repo(key.repo).push_lock(key.host).locked()
            ):  # a push takes as long as it takes
                await self.look_at_seed(key.repo, key.host)

    async def look_at_seed(self, repo: RepoRef, host: str) -> str | None:
        gateway = self._repo(repo).gateway(host)
        if gateway is not None:
            try:
                await self._look_at_seed(repo, host, gateway)
            except RumpelError as error:
                log.info("seed of %s: %s", repo.basename, error.message)
        return self.seed(repo, host)

    async def mend_seed(self, repo: RepoRef, host: str) -> None:
        """Also what only pods have of it: their branches of the host that the host moved."""
        sync = self._repo(repo)
        gateway = sync.gateway(host)
        if gateway is None:
            raise RumpelError(f"nobody writes the seed of {repo.basename}")
        async with sync.push_lock(host):
            await gateway.host.exec_run(
                gateway.container_id,
                ["/bin/sh", "-c", resource_text("seed_mend.sh"), "sh", gateway.path],
                user="0",
                timeout_s=MEND_TIMEOUT_S,
            )
            sync.mark_sent(host, None)  # what was pushed since it was poured is gone with that
        held = {oid: oid for known in sync.branches.values() for oid in known.values()}
        await sync.ensure(host, None, held)
        await self._look_at_seed(repo, host, gateway)
        damage = self.seed(repo, host)
        if damage is not None:
            raise RumpelError(
                f"{damage}, also after it was made anew",
                hint="delete all pods of the repository, then rumpel undelete them",
            )

    async def mend_branches(self, pod: PodAddress) -> None:
        await self._repo(pod.repo).check()
        await self._look_at_branches(pod.repo)

    async def _look_at_branches(self, repo: RepoRef) -> None:
        sync = self._repo(repo)
        try:
            moved = await sync.moved_by_hand()
        except RumpelError as error:
            log.info("branches of %s: %s", repo.basename, error.message)
            return
        for pod_id in sync.pod_names:
            self._branches.pop(pod_id, None)
        self._branches |= moved

    async def _look_at_seed(self, repo: RepoRef, host: str, gateway: Gateway) -> None:
        sync = self._repo(repo)
        async with sync.push_lock(host):
            tips = sync.sent(host)
            damage = await _look(gateway, "" if tips is None else _blob(tips, repo.object_format))
        if damage is None:
            self._seeds.pop((repo.repo_id, host), None)
        else:
            self._seeds[repo.repo_id, host] = damage


async def _look(gateway: Gateway, wanted: str) -> str | None:
    """In the words of a reason; None when a clone of it would go well, as far as one look tells."""
    done = await gateway.host.exec_run(
        gateway.container_id,
        ["/bin/sh", "-c", resource_text("seed_look.sh"), "sh", gateway.path, wanted],
        user="0",
        timeout_s=LOOK_TIMEOUT_S,
        max_output_bytes=1 << 16,
    )
    said = " ".join(done.stdout.decode("utf-8", "replace").split())[:200]
    if not done.code and not said:
        return None
    return f"host.git is damaged: {said or 'git does not read it'}"


def _blob(tips: Tips, object_format: str) -> str:
    """Id of the list of branches, as git would make it."""
    refs = sorted((ref.encode(), oid.encode()) for ref, oid in tips[1].items())
    text = b"".join(b"%b %b\n" % (oid, ref) for ref, oid in refs)
    return hashlib.new(object_format, b"blob %d\0%b" % (len(text), text)).hexdigest()
