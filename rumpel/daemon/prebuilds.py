"""Which new pods start from a prebuild, and what is left of one when a daemon was killed.

A prebuild is worth it when its image is there, when one request makes several pods, or when the
commands are known to take long. The very first pod of a repository runs them itself, as it always
did: nobody waits for an image that may never be used again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from rumpel import names
from rumpel.adapters import git, git_content, threads
from rumpel.daemon.pods import find_container
from rumpel.engine.events import NodeState
from rumpel.engine.execute import RunResult
from rumpel.engine.plan import Verdict
from rumpel.graphs.create import Content, create, first_hooks, node_id
from rumpel.model import PodSpec
from rumpel.tasks import prebuild, prebuilt

if TYPE_CHECKING:
    from rumpel.daemon.app import App

SEVERAL = 2
MAX_KNOWN = 16

Bases = dict[str, tuple[str, ...]]


async def contents(app: App, specs: Sequence[PodSpec], bases: Bases) -> dict[str, Content]:
    """By pod id, of those that start from a prebuild."""
    fresh = [spec for spec in specs if _may(app, spec)]
    if not fresh:
        return {}
    found = await threads.call(_contents, fresh)
    alike = _largest_group([spec for spec in fresh if spec.pod_id in found], found)
    chosen = {spec.pod_id: found[spec.pod_id] for spec in alike}
    return chosen if alike and _pays(app, alike, chosen, bases) else {}


def _may(app: App, spec: PodSpec) -> bool:
    """It is wanted, possible, and there is no container yet that the pod is in."""
    wish = spec.prebuild
    return (
        wish is not None
        and not wish.barrier
        and bool(first_hooks(spec))
        and spec.base_oid is not None
        and find_container(app.snapshots[spec.host].containers.values(), spec.pod_id) is None
        and not app.links.branches(spec.pod_id)
    )


def _contents(specs: Iterable[PodSpec]) -> dict[str, Content]:
    """Blocking. A commit with submodules has none: their repositories are not in an image."""
    known: dict[str, Content | None] = {}
    for spec in specs:
        if spec.base_oid is not None and spec.base_oid not in known:
            known[spec.base_oid] = _content(spec, spec.base_oid)
    found = {spec.pod_id: known[spec.base_oid] for spec in specs if spec.base_oid is not None}
    return {pod_id: content for pod_id, content in found.items() if content is not None}


def _content(spec: PodSpec, oid: str) -> Content | None:
    repo = git.reopen(spec.repo.work_tree, spec.repo.common_dir)
    if git.tree_entry(repo, oid, ".gitmodules") is not None:
        return None
    patterns = () if spec.prebuild is None else spec.prebuild.inputs
    return Content(
        oid=oid,
        tree=git_content.tree_of(repo, oid),
        inputs=git_content.digest_of(repo, oid, patterns) if patterns else "",
    )


def _largest_group(specs: list[PodSpec], found: dict[str, Content]) -> list[PodSpec]:
    """Pods of one request mostly agree; a prebuild is for those that do."""
    groups: list[list[PodSpec]] = []
    for spec in specs:
        for group in groups:
            if _agree(group[0], spec) and found[group[0].pod_id] == found[spec.pod_id]:
                group.append(spec)
                break
        else:
            groups.append([spec])
    return max(groups, key=len, default=[])


def _agree(one: PodSpec, other: PodSpec) -> bool:
    """In everything but who they are."""
    same = replace(
        other,
        pod=one.pod,
        pod_id=one.pod_id,
        base_branch=one.base_branch,
        shares_branches=one.shares_branches,
        ports=one.ports,
        forwards=one.forwards,
    )
    return same == one


def _pays(app: App, specs: list[PodSpec], chosen: dict[str, Content], bases: Bases) -> bool:
    first = specs[0]
    is_always = first.prebuild is not None and not first.prebuild.least_s
    if is_always or len(specs) >= SEVERAL or _key(first) in _known(app, first):
        return True
    plan = app.engine.plan(create([first], bases=bases, contents=chosen))
    return plan[node_id("prebuild", first, shared=True)].verdict is Verdict.FRESH


async def learn(app: App, specs: Iterable[PodSpec], result: RunResult) -> None:
    """Commands that took long are run beforehand the next time."""
    for spec in specs:
        wish, hooks = spec.prebuild, first_hooks(spec)
        if wish is None or wish.barrier or not hooks or _key(spec) in _known(app, spec):
            continue
        own = [f"{node_id('lifecycle', spec)}/{hook.name}" for hook in hooks]
        if any(result.states.get(name) is not NodeState.OK for name in own):
            continue
        ran = [app.store.records[name] for name in own if name in app.store.records]
        if sum(record.elapsed_s for record in ran) >= wish.least_s:
            known = [*_known(app, spec), _key(spec)][-MAX_KNOWN:]
            await app.store.kv_set(_slow(spec), known)


def _known(app: App, spec: PodSpec) -> list[str]:
    found: list[str] = app.store.kv_get(_slow(spec), [])
    return found


def _slow(spec: PodSpec) -> str:
    return f"slow-commands/{spec.host}/{spec.repo.repo_id}"


def _key(spec: PodSpec) -> str:
    """Of the commands, whatever they run on."""
    digests = [
        prebuilt.command_digest(
            hook,
            user=spec.container.remote_user or "",
            folder=spec.container.workspace_folder,
            remote_env=spec.remote_env,
            probe=spec.env_probe,
        )
        for hook in first_hooks(spec)
    ]
    return "-".join(digests)


async def sweep(app: App, host: str) -> None:
    """The engine answers (again): builders that nobody runs go."""
    for state in list(app.snapshots[host].containers.values()):
        labels = state.labels
        if labels.get(names.LABEL_KIND) != prebuild.KIND:
            continue
        node = labels.get(names.LABEL_NODE, "")
        if node not in app.engine.flights:
            await prebuild.remove_builders(app.world, host, node_id=node)
