"""Seeds of repositories and their submodules: who writes them, and who follows the host's branches.

The seeds of a repository's submodules lie in the volume of the repository's own, so the same
gateway writes them all; each repository has a follower while some gateway holds a seed of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from rumpel import names
from rumpel.adapters import git_modules
from rumpel.adapters.docker_api import DockerHost
from rumpel.daemon.background import Background
from rumpel.daemon.repos import Gateway, RepoSync
from rumpel.model import RepoRef
from rumpel.tasks.world import Poured


class Gateways:
    """Lives as long as the daemon; the followers are the background's."""

    def __init__(
        self,
        *,
        background: Background,
        host: Callable[[str], DockerHost],
        gateway_filter: Callable[[RepoRef], list[str]],
        repo: Callable[[RepoRef], RepoSync],
    ) -> None:
        self._background, self._host, self._filter = background, host, gateway_filter
        self._repo = repo
        self._followers: dict[str, asyncio.Task[None]] = {}
        self._modules: dict[str, dict[str, RepoRef]] = {}
        """Of each repository, those of its submodules."""

    async def seeded(self, repo: RepoRef, host: str, poured: Poured) -> None:
        """A gateway of `repo` runs (see `tasks.world.Links`)."""
        sync = self._repo(repo)
        for state in await self._host(host).containers(self._filter(repo)):
            sync.add_gateway(Gateway(host=self._host(host), host_name=host, container_id=state.id))
        sync.mark_sent(host, poured.get(repo))
        self._follow(sync)
        known = {*self._modules.get(repo.repo_id, {}).values(), *poured} - {repo}
        self.share(repo, host, known)
        for module in known:
            self._repo(module).mark_sent(host, poured.get(module), path=_path(module))

    def share(self, repo: RepoRef, host: str, modules: Iterable[RepoRef]) -> None:
        """Repositories of submodules: the gateway of `repo` holds seeds of them too."""
        known = self._modules.setdefault(repo.repo_id, {})
        gateway = self._repo(repo).gateway(host)
        for module in modules:
            known[module.repo_id] = module
            if gateway is not None:
                sync = self._repo(module)
                sync.add_gateway(
                    Gateway(
                        host=gateway.host,
                        host_name=host,
                        container_id=gateway.container_id,
                        path=_path(module),
                    )
                )
                self._follow(sync)

    async def unseeded(self, repo: RepoRef, host: str) -> None:
        self._leave(self._repo(repo), host, names.SEED_PATH)
        for module in self._modules.get(repo.repo_id, {}).values():
            self._leave(self._repo(module), host, _path(module))

    def moved(self, repo: RepoRef) -> None:
        """It lies somewhere else: whoever follows its branches begins anew."""
        for known in self._modules.values():
            if repo.repo_id in known:
                known[repo.repo_id] = repo
        follower = self._followers.pop(repo.repo_id, None)
        if follower is not None:
            follower.cancel()
            self._follow(self._repo(repo))

    def _follow(self, sync: RepoSync) -> None:
        follower = self._followers.get(sync.repo.repo_id)
        if follower is None or follower.done():
            self._followers[sync.repo.repo_id] = self._background.spawn(
                sync.follow(), f"branches of {sync.repo.basename}"
            )

    def _leave(self, sync: RepoSync, host: str, path: str) -> None:
        sync.remove_gateway(host, path)
        if sync.has_gateways:
            return
        follower = self._followers.pop(sync.repo.repo_id, None)
        if follower is not None:
            follower.cancel()


def _path(module: RepoRef) -> str:
    return f"{names.SEED_PATH}/{git_modules.seed_folder(module)}"
