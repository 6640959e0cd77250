"""The seed of a repository goes with the last pod, also when a killed daemon left it behind."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from rumpel import names
from rumpel.daemon import prebuilds
from rumpel.engine import faults
from rumpel.errors import Conflict
from rumpel.tasks import seed

if TYPE_CHECKING:
    from rumpel.daemon.app import App
    from rumpel.model import RepoRef

log = logging.getLogger(__name__)


def record_id(repo_id: str, host: str) -> str:
    return f"{seed.KIND}/{names.host_part(host)}/{repo_id[:12]}"


def is_known(app: App) -> bool:
    """Was any repository seeded, as far as the database knows?"""
    return any(record.kind == seed.KIND for record in app.store.records.values())


async def release(app: App, repo: RepoRef, host: str) -> None:
    """With the last pod of a repo its gateway and seed go; a create waits for that.

    The record goes last: it tells the next daemon that something may be left.
    """
    async with app.gate(repo.repo_id, host):
        if _has_pods(app, repo.repo_id, host):
            return
        await app.links.unseeded(repo, host)
        await prebuilds.sweep(app, host)  # a builder that a kill has left holds the volume
        try:
            await _remove(app, repo.repo_id, host)
        except (
            Conflict
        ) as error:  # a container that is in no list: the pods are deleted all the same
            log.warning("the seed of %s stays: %s", repo.work_tree, error.message)


async def sweep(app: App, host: str) -> None:
    """The engine answers (again): seeds of repositories without pods go.

    A pod the database does not know (it was lost) still borrows the seed's objects.
    """
    for repo_id in sorted(_on_engine(app, host)):
        async with app.gate(repo_id, host):
            if not _has_pods(app, repo_id, host) and not _has_containers(app, repo_id, host):
                await _remove(app, repo_id, host)
    used = {record_id(pod.spec.repo.repo_id, pod.spec.host) for pod in app.pods.all()}
    here = record_id("", host)  # what another host holds was not looked at
    known = [item.node_id for item in app.store.records.values() if item.kind == seed.KIND]
    await app.store.forget(item for item in known if item not in used and item.startswith(here))


async def _remove(app: App, repo_id: str, host: str) -> None:
    await faults.reach("delete.pod-gone")
    await seed.remove(app.world, repo_id=repo_id, host_name=host)
    await faults.reach("delete.seed-gone")
    await app.store.forget([record_id(repo_id, host)])


def _has_pods(app: App, repo_id: str, host: str) -> bool:
    return any(pod.spec.host == host for pod in app.pods.of_repo(repo_id))


def _has_containers(app: App, repo_id: str, host: str) -> bool:
    return any(
        item.labels.get(names.LABEL_KIND) == "pod" and item.labels.get(names.LABEL_REPO) == repo_id
        for item in app.snapshots[host].containers.values()
    )


def _on_engine(app: App, host: str) -> set[str]:
    view = app.snapshots[host]
    labels = [item.labels for item in view.containers.values()]
    labels += [item.labels for item in view.volumes.values()]
    kinds = (seed.KIND, seed.GATEWAY)
    return {
        found.get(names.LABEL_REPO, "") for found in labels if found.get(names.LABEL_KIND) in kinds
    }
