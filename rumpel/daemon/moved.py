"""A repository that was moved gets its pods back.

Looked for before every request about a repository, when one that has pods is not where it was.
The same folder with the same published refs is taken over at once. What only has the refs may be
a copy, so it is offered: until `rumpel adopt` has decided, no pod is made there.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace

from rumpel import text
from rumpel.adapters import git, threads
from rumpel.adapters.git_modules import Module
from rumpel.adapters.git_refs import KEEP, PUBLISHED
from rumpel.daemon import trash, view
from rumpel.daemon.app import App
from rumpel.daemon.client import Client
from rumpel.daemon.pods import Pod, repo_ref
from rumpel.errors import Conflict, NotFound, RumpelError, UsageError
from rumpel.graphs.ids import address
from rumpel.model import RepoRef

MAKING = frozenset({"create", "enter", "fork", "undelete"})
ABOUT_A_REPOSITORY = MAKING | {
    *("list", "merge", "review", "stop", "delete", "prune", "snapshot", "restore", "graph"),
    *("cp", "recreate", "ports", "forward-port", "events", "logs", "doctor"),
}


async def settle(app: App, client: Client) -> None:
    """Before a request is run. Raises Conflict when it would make a pod in a place on offer."""
    request = client.request
    if request.verb not in ABOUT_A_REPOSITORY or request.args.get("all"):
        return
    gone = await _gone(app)
    here = await threads.call(_here, request.cwd) if gone else None
    if here is None:
        return
    async with app.places.moving:
        for old in await _gone(app):
            await _settle_one(app, client, old, here)


async def _settle_one(app: App, client: Client, old: RepoRef, here: RepoRef) -> None:
    known, pods = app.places.known(here), _of(app, old)
    if old.repo_id == known.repo_id:
        await _back(app, old, here)
        return
    if not await threads.call(_has_refs, app, here, pods):
        return
    is_taken = bool(app.pods.of_repo(known.repo_id))
    if not is_taken and await threads.call(app.places.is_same, old, here.common_dir):
        await adopt(app, old, here)
        verb = "is" if len(pods) == 1 else "are"
        client.warn(f"this repository was at {old.work_tree}: {_told(pods)} {verb} found again")
        return
    verb = "belongs" if len(pods) == 1 else "belong"
    offer = f"{_told(pods)} {verb} to this repository as it was at {old.work_tree}"
    if not is_taken and client.request.verb in MAKING:
        raise Conflict(offer, hint="rumpel adopt   takes them over; then run this again")
    client.warn(f"{offer}: rumpel adopt")


async def run(app: App, client: Client) -> dict[str, object]:
    """`adopt`: take over the pods of a repository that was moved, or was copied and deleted."""
    here = await threads.call(_here, client.request.cwd)
    if here is None:
        git.discover(client.request.cwd)  # says what is wrong
        raise NotFound("this is no repository")
    known = app.places.known(here)
    async with app.places.moving:
        old = await _chosen(app, here, known, client.request.args["old"])
        own = app.pods.of_repo(known.repo_id)
        if own and known.repo_id != old.repo_id:
            raise Conflict(
                f"this repository has pods of its own ({_names(own)})",
                hint="delete them first, or run this in another clone",
            )
        pods = await adopt(app, old, here)
    rows = await threads.call(view.listing, app, pods)
    return {"result": rows, "warnings": client.warnings, "exit_code": 0}


async def adopt(app: App, old: RepoRef, here: RepoRef) -> list[Pod]:
    """All pods of `old`, which is where `here` was found now. Done again when it was killed."""
    new = replace(
        old, common_dir=here.common_dir, work_tree=here.work_tree, first_name=old.basename
    )
    pods = _of(app, old)
    for pod in pods:
        await app.links.close(pod.pod_id)
    await app.places.move(old, new)
    for pod in pods:
        await _move_modules(app, pod, old, new)
        await app.pods.put(replace(pod.spec, repo=new), created_at=pod.created_at)
    if app.store.kv_get(f"{trash.KNOWN}{new.repo_id}") is not None:
        await trash.remember(app, new)
    app.forget_places()
    _tell_links(app, new)
    moved = app.pods.of_repo(new.repo_id)
    for pod in moved:
        await app.links.close(pod.pod_id)  # a daemon that starts may have linked it meanwhile
        await app.links.restore(address(pod.spec))
    await app.links.repo(new).check()
    for pod in moved:
        app.link_up(pod)
    return moved


async def _move_modules(app: App, pod: Pod, old: RepoRef, new: RepoRef) -> None:
    """Its submodules lie in the repository's git dir and have moved along."""
    key = f"modules/{pod.pod_id}"
    before = [Module.from_json(item) for item in app.store.kv_get(key, []) or []]
    after = []
    for module in before:
        repo = module.repo
        if not repo.common_dir.startswith(f"{old.common_dir}/"):
            after.append(module)
            continue
        moved = replace(
            repo,
            common_dir=new.common_dir + repo.common_dir.removeprefix(old.common_dir),
            work_tree=new.work_tree + repo.work_tree.removeprefix(old.work_tree),
            first_name=repo.basename,
        )
        await app.places.move(repo, moved)
        _tell_links(app, moved)
        after.append(replace(module, repo=moved))
    if after != before:
        await app.store.kv_set(key, [module.to_json() for module in after])


def _tell_links(app: App, repo: RepoRef) -> None:
    app.links.repo(repo).moved(repo)
    app.links.gateways.moved(repo)


async def _back(app: App, old: RepoRef, here: RepoRef) -> None:
    """The id says it is the same one."""
    if old.common_dir != here.common_dir:
        await adopt(app, old, here)  # as far as a killed daemon had not
    elif await threads.call(_has_refs, app, here, _of(app, old)):
        await app.places.note(old, anew=True)  # restored from a copy, in its old place


async def tell_gone(app: App, client: Client) -> None:
    """Pods of repositories that are not where they were: how to get at them."""
    for old in await _gone(app):
        if not await threads.call(os.path.exists, old.common_dir):
            where = f"the repository of {_told(_of(app, old))} is gone from {old.work_tree}"
            client.warn(f"{where}: rumpel adopt {old.work_tree}, in a clone of it")


async def _gone(app: App) -> list[RepoRef]:
    repos = {pod.spec.repo for pod in app.pods.all()}
    return await threads.call(app.places.gone, repos) if repos else []


async def _chosen(app: App, here: RepoRef, known: RepoRef, wanted: str | None) -> RepoRef:
    """Raises NotFound, UsageError, Conflict."""
    if wanted is None:
        found = [
            old
            for old in await _gone(app)
            if await threads.call(_has_refs, app, here, _of(app, old))
        ]
        if len({old.repo_id for old in found}) > 1:
            places = ", ".join(sorted(old.work_tree for old in found))
            raise UsageError(f"it may have been at {places}", hint="rumpel adopt OLD-PATH")
        if not found:
            raise NotFound("no pods are known that this repository had in another place")
        return found[0]
    path = await threads.call(os.path.realpath, wanted)
    every = {pod.spec.repo for pod in app.pods.all()}
    for old in every:
        if path not in (old.work_tree, old.common_dir):
            continue
        if old not in await _gone(app):
            raise Conflict(f"{old.work_tree} is still there: its pods are its own")
        if not await threads.call(_shares_commits, here, _of(app, old)):
            raise Conflict(f"this repository has no commit of the pods of {old.work_tree}")
        return old
    others = sorted({repo.work_tree for repo in every} - {known.work_tree})
    raise NotFound(f"no pods are known of a repository at {wanted}", details={"known": others})


def _here(cwd: str) -> RepoRef | None:
    try:
        return repo_ref(git.discover(cwd))
    except RumpelError:
        return None  # the request itself says so


def _of(app: App, repo: RepoRef) -> list[Pod]:
    return [pod for pod in app.pods.of_repo(repo.repo_id) if pod.spec.repo == repo]


def _has_refs(app: App, here: RepoRef, pods: Sequence[Pod]) -> bool:
    """Does it have what we wrote for one of these pods? Blocking."""
    repo = git.reopen(here.work_tree, here.common_dir)
    shown = git.refs(repo, PUBLISHED)
    for pod in pods:
        tips = set(app.links.branches(pod.pod_id).values())
        if shown.get(f"{PUBLISHED}{pod.name}") in tips or git.refs(repo, f"{KEEP}{pod.pod_id}/"):
            return True
    return False


def _shares_commits(here: RepoRef, pods: Sequence[Pod]) -> bool:
    """Could it be a clone of the one they were made from? Blocking."""
    repo = git.reopen(here.work_tree, here.common_dir)
    begun = {pod.spec.base_oid for pod in pods if pod.spec.base_oid is not None}
    return not begun or git.missing(repo, sorted(begun)) != begun


def _told(pods: Sequence[Pod]) -> str:
    return f"{'pod' if len(pods) == 1 else 'pods'} {_names(pods)}"


def _names(pods: Sequence[Pod]) -> str:
    return text.listing(sorted(pod.name for pod in pods))
