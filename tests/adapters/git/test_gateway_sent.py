"""What a gateway is sent: a seed that was made anew has nothing of what the last one had."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from rumpel.adapters import git, threads
from rumpel.adapters.docker_api import DockerHost
from rumpel.daemon.repos import Gateway, RepoSync
from rumpel.model import RepoRef
from tests.adapters.git.conftest import Pair


class Sync(RepoSync):
    """Only remembers which commits were pushed beside the branches."""

    def __init__(self, repo: RepoRef) -> None:
        super().__init__(repo, on_pushed=lambda *_: None, on_published=lambda _: None)
        self.pushed: list[list[str]] = []

    async def _push(
        self, repo: git.Repo, seat: tuple[str, str], tips: Any, extra: Sequence[str] = ()
    ) -> None:
        self.pushed.append(list(extra))
        self._sent[seat] = tips


async def test_a_new_gateway_is_sent_what_the_last_one_had(pair: Pair) -> None:
    loose = pair.host.git("commit-tree", "HEAD^{tree}", "-m", "restored")
    sync = Sync(RepoRef.at(pair.repo.common_dir, str(pair.host.root)))
    restore: Mapping[str, str] = {"refs/heads/x": loose}
    head = await threads.call(git.head, pair.repo)
    tips = (head, await threads.call(git.refs, pair.repo, "refs/heads/"))
    for container in ("one", "two"):
        gateway = Gateway(host=cast(DockerHost, None), host_name="local", container_id=container)
        sync.add_gateway(gateway)
        sync.mark_sent("local", tips)
        await sync.ensure("local", None, restore)
        await sync.ensure("local", None, restore)
    assert sync.pushed == [[loose], [loose]]
