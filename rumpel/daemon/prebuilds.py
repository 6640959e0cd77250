"""Which pods start from a prebuild, and what is left of one when a daemon was killed.

A prebuild is worth it when its image is there, when one request makes several pods, when a pod of
the same content was made before and its commands took a while, or when they take so long that an
image more is nothing. The first pod of a repository runs them itself, as it always did: nobody
waits for an image that may never be used again.

A pod that gets a new container is itself one that was made before. Its files are its own by now,
so that it has to be asked whether those that the commands depend on are still a commit's of the
host: of that one the prebuild is, and never of a pod's, which would bring its work into others.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from rumpel import names
from rumpel.adapters import git, git_content, git_diff, threads
from rumpel.cache.fingerprint import digest
from rumpel.daemon.pods import Pod, find_container
from rumpel.engine.events import NodeState
from rumpel.engine.execute import RunResult
from rumpel.engine.plan import Verdict
from rumpel.errors import RumpelError
from rumpel.graphs.create import Content, create, first_hooks
from rumpel.graphs.ids import node_id
from rumpel.model import PodSpec
from rumpel.tasks import alike, carry, prebuild, prebuilt

if TYPE_CHECKING:
    from rumpel.daemon.app import App

log = logging.getLogger(__name__)

SEVERAL = 2
LONG_S = 20.0
"""An image costs one or two seconds."""
MAX_KNOWN = 16
MAX_SEEN = 16
MAX_MIXED = 256
MIN_LIMIT_S, LIMIT_FACTOR = 300.0, 10.0

Bases = dict[str, tuple[str, ...]]


async def contents(
    app: App, specs: Sequence[PodSpec], bases: Bases, *, crowd: int = 0
) -> dict[str, Content]:
    """By pod id, of those that start from a prebuild. `crowd`: how many more are to come."""
    fresh = [spec for spec in specs if _may(app, spec)]
    if not fresh:
        return {}
    found = await threads.call(_contents, fresh)
    alike = _largest_group([spec for spec in fresh if spec.pod_id in found], found)
    chosen = {spec.pod_id: found[spec.pod_id] for spec in alike}
    if not alike:
        return {}
    is_many = len(alike) + crowd >= SEVERAL
    return chosen if is_many or _pays(app, alike, chosen, bases) else {}


async def content_again(
    app: App, pod: Pod, spec: PodSpec, bases: Bases, *, kept: tuple[str, ...]
) -> Content | None:
    """What a pod that is to get a new container starts from, if it does from a prebuild.

    Only one that ran the same commands: what they left in `.git` comes along with it.
    `kept`: patterns of the ignored files that come along.
    """
    wish, access = spec.prebuild, app.access_if_running(pod)
    if wish is None or wish.barrier or access is None or not _has_run(app, pod.spec, spec):
        return None
    based = replace(spec, base_oid=await _stands_on(app, spec))
    found = (await threads.call(_contents, [based])).get(spec.pod_id)
    if found is None or not _pays_again(app, spec, found, bases):
        return None
    if app.store.kv_get(_mixed(spec), {}).get(spec.pod_id) == _try(spec, found, kept):
        return None  # they did not go together the last time
    place = carry.Place(
        host=app.hosts[spec.host],
        container_id=access.container_id,
        folder=pod.spec.container.workspace_folder,
        user=access.user,
    )
    try:
        names = await alike.differing(place, found.tree)
    except RumpelError as error:
        log.info("pod %s: its files are not compared: %s", spec.pod, error.message)
        return None
    fits = alike.is_fit(names, wish.inputs)
    return replace(found, limit_s=_limit_s(app, spec)) if fits else None


def _limit_s(app: App, spec: PodSpec) -> float:
    """The pod can run them itself, and is held up for no command that hangs in the builder only."""
    records = [app.store.records[name] for name in _own(spec)]
    known, _ = _known(app, spec).get(_key(spec), (0.0, ()))
    is_own = not any((record.output or {}).get("by") for record in records)
    seconds = max(known, sum(record.elapsed_s for record in records) if is_own else 0.0)
    return max(MIN_LIMIT_S, LIMIT_FACTOR * seconds) if seconds else prebuild.LIMIT_S


async def note_mixed(app: App, spec: PodSpec, content: Content, kept: tuple[str, ...]) -> None:
    """The pod's files and what the commands leave do not go together: it is not tried again."""
    known = dict(app.store.kv_get(_mixed(spec), {}))
    known.pop(spec.pod_id, None)
    known[spec.pod_id] = _try(spec, content, kept)
    await app.store.kv_set(_mixed(spec), dict(list(known.items())[-MAX_MIXED:]))


def _mixed(spec: PodSpec) -> str:
    return f"mixed/{spec.host}/{spec.repo.repo_id}"


def _try(spec: PodSpec, content: Content, kept: tuple[str, ...]) -> str:
    """What makes one more try another one."""
    return digest([_key(spec), _name(content), list(kept)])


def _has_run(app: App, old: PodSpec, new: PodSpec) -> bool:
    records = [app.store.records.get(name) for name in _own(new)]
    is_done = all(record is not None and record.failure is None for record in records)
    return bool(records) and is_done and _key(old) == _key(new)


def _own(spec: PodSpec) -> list[str]:
    """The nodes of the commands, where the pod runs them itself."""
    return [f"{node_id('lifecycle', spec)}/{hook.key}" for hook in first_hooks(spec)]


async def _stands_on(app: App, spec: PodSpec) -> str | None:
    """The newest commit of the host's branch that the pod has: it may have taken in more."""
    tip = app.links.branches(spec.pod_id).get(spec.pod)
    if tip is None or spec.base_branch is None:
        return spec.base_oid
    repo = await threads.call(git.reopen, spec.repo.work_tree, spec.repo.common_dir)
    try:
        base = await git_diff.merge_base(repo, tip, f"refs/heads/{spec.base_branch}")
    except RumpelError:  # the branch is gone
        return spec.base_oid
    return base or spec.base_oid


def note(app: App, specs: Sequence[PodSpec]) -> str | None:
    """Why several new pods each run a command that is known to take a while, to be told."""
    for spec in specs if len(specs) >= SEVERAL else ():
        is_slow = _key(spec) in _known(app, spec)
        if spec.prebuild is not None and spec.prebuild.barrier and first_hooks(spec) and is_slow:
            return f"each pod runs {first_hooks(spec)[0].name} itself: {spec.prebuild.barrier}"
    return None


def _may(app: App, spec: PodSpec) -> bool:
    """It is wanted, possible, and there is no container yet that the pod is in."""
    wish, view = spec.prebuild, app.world.snapshot(spec.host)
    return (
        view is not None
        and wish is not None
        and not wish.barrier
        and bool(first_hooks(spec))
        and spec.base_oid is not None
        and find_container(view.containers.values(), spec.pod_id) is None
        and not app.links.branches(spec.pod_id)
    )


def _contents(specs: Iterable[PodSpec]) -> dict[str, Content]:
    """Blocking. A commit with submodules has none: their repositories are not in an image.

    Nor has one that is a pod's only: its work would be in the image for all others.
    """
    known: dict[str, Content | None] = {}
    for spec in specs:
        if spec.base_oid is not None and spec.base_oid not in known:
            try:
                known[spec.base_oid] = _content(spec, spec.base_oid)
            except RumpelError as error:  # pods can be made without
                log.warning("no prebuild of %s: %s", spec.base_oid, error.message)
                known[spec.base_oid] = None
    found = {spec.pod_id: known[spec.base_oid] for spec in specs if spec.base_oid is not None}
    return {pod_id: content for pod_id, content in found.items() if content is not None}


def _content(spec: PodSpec, oid: str) -> Content | None:
    repo = git.reopen(spec.repo.work_tree, spec.repo.common_dir)
    if git.tree_entry(repo, oid, ".gitmodules") is not None or not git_content.is_of_host(
        repo, oid
    ):
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


def _pays_again(app: App, spec: PodSpec, found: Content, bases: Bases) -> bool:
    """Not when commands like these are known to leave what no pod could take over."""
    record = app.store.records.get(node_id("prebuild", spec, shared=True))
    if record is not None and (record.output or {}).get("has_changes"):
        return False
    is_always = spec.prebuild is not None and not spec.prebuild.least_s
    return is_always or _key(spec) in _known(app, spec) or _is_there(app, spec, found, bases)


def _pays(app: App, specs: list[PodSpec], chosen: dict[str, Content], bases: Bases) -> bool:
    first = specs[0]
    is_always = first.prebuild is not None and not first.prebuild.least_s
    if is_always:
        return True
    seconds, seen = _known(app, first).get(_key(first), (0.0, ()))
    if seconds >= LONG_S or _name(chosen[first.pod_id]) in seen:
        return True
    return _is_there(app, first, chosen[first.pod_id], bases)


def _is_there(app: App, spec: PodSpec, found: Content, bases: Bases) -> bool:
    plan = app.engine.plan(create([spec], bases=bases, contents={spec.pod_id: found}))
    return plan[node_id("prebuild", spec, shared=True)].verdict is Verdict.FRESH


async def learn(app: App, specs: Sequence[PodSpec], result: RunResult) -> None:
    """Commands that took a while are run beforehand the next time."""
    slow = [
        spec
        for spec in specs
        if spec.prebuild is not None and _took_s(app, spec, result) >= spec.prebuild.least_s > 0
    ]
    for spec in slow[:1]:
        known = _known(app, spec)
        content = (await threads.call(_contents, [spec])).get(spec.pod_id)
        _, seen = known.pop(_key(spec), (0.0, ()))
        names_seen = dict.fromkeys([*seen, *([_name(content)] if content else [])])
        known[_key(spec)] = (_took_s(app, spec, result), list(names_seen)[-MAX_SEEN:])
        await app.store.kv_set(_slow(spec), dict(list(known.items())[-MAX_KNOWN:]))


def _took_s(app: App, spec: PodSpec, result: RunResult) -> float:
    """Of the commands in this request, wherever they ran; 0 when they did not, or failed."""
    made = node_id("prebuild", spec, shared=True)
    if result.states.get(made) is NodeState.OK:
        return float(result.outputs[made].elapsed_s)
    own = _own(spec)
    if any(result.states.get(name) is not NodeState.OK for name in own):
        return 0.0
    return sum(app.store.records[name].elapsed_s for name in own if name in app.store.records)


def _known(app: App, spec: PodSpec) -> dict[str, tuple[float, Sequence[str]]]:
    """Commands that took a while: how long, and on which contents."""
    found: dict[str, tuple[float, Sequence[str]]] = app.store.kv_get(_slow(spec), {})
    return dict(found)


def _name(content: Content) -> str:
    return content.inputs or content.tree


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
