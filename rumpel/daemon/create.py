"""`create`: pods are announced, made by one graph, and reported one by one."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rumpel import names
from rumpel.adapters import git_worktree, threads
from rumpel.adapters.docker_images import BUILD
from rumpel.daemon import (
    again,
    copied_in,
    forward,
    image_label,
    image_specs,
    initialize,
    later,
    outside,
    pending,
    prebuilds,
    remembering,
    replacing,
    requests,
    seeds,
    service_ends,
    spared,
    telling,
)
from rumpel.daemon.app import App
from rumpel.daemon.client import Client
from rumpel.daemon.nodes import is_own, place_of
from rumpel.daemon.pods import Pod, new_pod_id
from rumpel.daemon.requests import Base, Target
from rumpel.daemon.view import listing, status
from rumpel.engine import faults
from rumpel.engine.events import DONE, NodeState
from rumpel.engine.execute import RunResult
from rumpel.engine.graph import Graph
from rumpel.errors import (
    ConfigError,
    Conflict,
    Interrupted,
    NotFound,
    NotTrusted,
    RumpelError,
    UsageError,
)
from rumpel.graphs.create import create
from rumpel.graphs.delete import delete
from rumpel.graphs.ids import node_id
from rumpel.graphs.workspace import Work
from rumpel.model import PodSpec
from rumpel.text import count

if TYPE_CHECKING:
    from rumpel.devcontainer.config import DevConfig

MAX_COUNT = 1000
MOST_NAMED = 500
"""So many files of `copyIn` at most git is told not to count as changes of the host."""


async def run(app: App, client: Client) -> dict[str, object]:
    """The result line of the request: one row a pod, errors inside the rows and as a whole."""
    where = await requests.target(client)
    wanted = pod_names(client.request.args["names"], client.request.args["count"])
    outcome = await make(app, client, where, wanted)
    rows = await asyncio.to_thread(lambda: [row(app, outcome, name) for name in wanted])
    error = next((outcome.errors[name] for name in wanted if name in outcome.errors), None)
    if error is None:
        return {"result": rows, "warnings": client.warnings, "exit_code": 0}
    return {"error": error.to_json(), "data": rows, "warnings": client.warnings}


def pod_names(given: tuple[str, ...], count: int | None) -> list[str]:
    """`--count 3` with NAME: NAME-1 to NAME-3. Raises UsageError."""
    found = list(given)
    if count is not None:
        if len(found) != 1 or not 1 <= count <= MAX_COUNT:
            raise UsageError(f"--count takes one name and a number from 1 to {MAX_COUNT}")
        found = [f"{found[0]}-{number}" for number in range(1, count + 1)]
    if not found:
        raise UsageError("create needs the name of a pod", hint="rumpel create my-task")
    for name in found:
        names.check_pod_name(name)
    if len(set(found)) < len(found):
        raise UsageError("the same name was given twice")
    return found


class Outcome:
    """What became of each pod of one request."""

    def __init__(self, where: Target) -> None:
        self.where = where
        self.pods: dict[str, Pod] = {}
        self.made: set[str] = set()
        self.errors: dict[str, RumpelError] = {}
        self.result: RunResult | None = None
        self.start: Base | None = None
        self.crowd = 0
        self.work: pending.Taken | None = None
        self.wanted = copied_in.Wanted()
        self.devs: dict[str, DevConfig] = {}
        """By pod id: what their specs were made of."""
        self.is_done = False
        """Not left to the background."""


async def make(
    app: App,
    client: Client,
    where: Target,
    wanted: list[str],
    *,
    start: Base | None = None,
    crowd: int = 0,
    work: pending.Taken | None = None,
) -> Outcome:
    """Make or finish the pods named; errors of single pods are in the outcome.

    `start`: what new ones start from, when the request does not say. `crowd`: how many more like
    these are to come, so that what they share pays. `work`: what new ones have besides commits.
    """
    outcome = Outcome(where)
    outcome.start, outcome.crowd, outcome.work = start, crowd, work
    pods = [app.pods.find(where.ref.repo_id, name) for name in wanted]
    await _reach(app, client, where, pods)
    for host in {where.host, *(pod.spec.host for pod in pods if pod is not None)}:
        await outside.note(app, client, where.settings, host)
    if None in pods:
        await threads.call(git_worktree.check_writable, where.repo)
        if start is None:  # else who says it has seen to that
            await initialize.before(app, client, where)
        outcome.wanted = await copied_in.wanted(app, client, where)
    specs = await _specs(app, client, where, wanted, outcome)
    if not specs:
        return outcome
    if client.request.args.get("no_prebuild"):
        specs = [replace(spec, prebuild=None) for spec in specs]
    for spec in specs:
        app.creating[spec.pod_id] = app.creating.get(spec.pod_id, 0) + 1
    if client.request.args.get("no_wait"):
        app.background.spawn(realize(app, client, specs, outcome), f"create {wanted[0]}")
    else:
        await _realize_here(app, client, where, specs, outcome)
    return outcome


async def _realize_here(
    app: App, client: Client, where: Target, specs: list[PodSpec], outcome: Outcome
) -> None:
    """And say what of the host is not in the pods, unless somebody else chose what they have."""
    if outcome.start is not None:
        await realize(app, client, specs, outcome)
        outcome.is_done = True
        return
    # Of these what lies there is used, committed or not.
    files = (requests.REPO_CONFIG, *(spec.config_file or "" for spec in specs))
    used = {path for path in files if path and not path.startswith(("/", ".."))}
    used |= {*outcome.wanted.found.names[:MOST_NAMED]}
    looking = asyncio.ensure_future(git_worktree.uncommitted(where.repo, besides=sorted(used)))
    try:
        await realize(app, client, specs, outcome)
        outcome.is_done = True
        if outcome.made and (changes := await looking):
            text = count(changes, "uncommitted change")
            client.warn(f"{text} of the host: pods have what is committed")
        if outcome.made:
            await telling.of_nobody(app, client, where)
    finally:
        looking.cancel()


async def _reach(app: App, client: Client, where: Target, pods: list[Pod | None]) -> None:
    """The hosts of the pods that are there, and the one for those that are not."""
    hosts = {pod.spec.host for pod in pods if pod is not None}
    if None in pods:
        hosts.add(await requests.consented_host(app.store, where, client, may_ask=True))
    elif client.request.host and where.host not in hosts:
        client.warn(f"pods stay on their host: --host {where.host} was not used")
    for host in sorted(hosts):
        await app.host(host)
    for pod in pods:
        if pod is not None:
            await replacing.made_good(app, pod)


async def realize(
    app: App,
    client: Client,
    specs: list[PodSpec],
    outcome: Outcome,
    *,
    work: Mapping[str, Work] | None = None,
) -> None:
    """Make what was announced. The pods are in `app.creating`; here they leave it.

    `work`: by pod id, what pods get besides what is pending for them.
    """
    try:
        specs, outcome.result = await image_label.made(
            app, client, outcome.where, specs, outcome.devs
        )
        if outcome.result is None:
            await _make(app, client, specs, outcome, work or {})
        await _reap(app, client, specs, outcome)
    except (ConfigError, Interrupted, NotTrusted) as error:
        if isinstance(error, Interrupted) or not client.request.args.get("no_wait"):
            await _roll_back(app, client, outcome)
        raise
    finally:
        for spec in specs:
            app.creating[spec.pod_id] -= 1
            if not app.creating[spec.pod_id]:
                del app.creating[spec.pod_id]
    _collect_errors(specs, outcome, outcome.result)
    came = [spec for spec in specs if spec.pod not in outcome.errors]
    if begun := later.go_on(app, came, is_asked=True):
        which = f" of {count(len(begun), 'pod')}" if len(begun) > 1 else ""
        client.notice(f"commands{which} go on: rumpel logs -f {begun[0]}")


async def _make(
    app: App, client: Client, specs: list[PodSpec], outcome: Outcome, work: Mapping[str, Work]
) -> None:
    now = [later.awaited(spec) for spec in specs]
    if text := prebuilds.note(app, now):
        client.notice(text)
    graph = await _graph(app, now, outcome, work)
    if app.engine.plan(graph).is_fresh:
        await pending.forget(app, specs)
        await service_ends.tell(app, client, specs)
        return await forward.settle(app, client, specs)
    result = outcome.result = await again.run(app, client, graph, {spec.host for spec in specs})
    await faults.reach("create.made")
    await remembering.fill(app, specs)
    await remembering.remember(app, specs, result)
    await prebuilds.learn(app, now, result)
    copied_in.tell(client, specs, result)
    outcome.errors |= await pending.settle(app, client, specs, result)
    await forward.settle(app, client, specs, result)
    await service_ends.tell(app, client, specs, result)
    return remembering.warn_of_lfs(client, specs, result)


async def _graph(
    app: App, specs: list[PodSpec], outcome: Outcome, work: Mapping[str, Work]
) -> Graph:
    bases = await image_specs.bases_of(specs[0])
    contents = await prebuilds.contents(app, specs, bases, crowd=outcome.crowd)
    graph = Graph("create")
    owed = pending.add(app, graph, specs, outcome.made)
    ended = {spec.pod_id: app.pods.ended(spec) for spec in specs}
    files = outcome.wanted.files_of(spec for spec in specs if spec.pod in outcome.made)
    owed |= work
    made = create(specs, bases=bases, contents=contents, work=owed, files=files, ended=ended)
    graph.merge(made)
    return graph


async def _specs(
    app: App, client: Client, where: Target, wanted: list[str], outcome: Outcome
) -> list[PodSpec]:
    """Specs of all pods; new ones are announced in the database before anything is made."""
    there = {name: app.pods.find(where.ref.repo_id, name) for name in wanted}
    ids = {name: pod.pod_id if pod else new_pod_id() for name, pod in there.items()}
    devs: dict[str, DevConfig] = {}
    for name in wanted:
        devs[name] = await requests.dev_config(where, client, pod=name, pod_id=ids[name])
        for warning in (*where.settings.warnings, *devs[name].warnings):
            client.warn(warning)
        # What was agreed to is what is used: the file is not read again.
        await requests.consented(app.store, where, client, devs[name])
    async with app.gate(where.ref.repo_id, where.host):
        for name in wanted:
            known = app.pods.find(where.ref.repo_id, name)
            if known is not None:
                outcome.pods[name] = known
        start = outcome.start or await requests.base(where, client.request.args.get("from"))
        specs = []
        for name in wanted:
            known = outcome.pods.get(name)
            if known is not None and known.pod_id != ids[name]:
                ids[name] = known.pod_id  # announced by another request just now
                devs[name] = await requests.dev_config(where, client, pod=name, pod_id=ids[name])
                await requests.consented(app.store, where, client, devs[name], may_ask=False)
            spec = await _spec(outcome, devs[name], name, ids[name], known=known, start=start)
            specs.append(spec)
            outcome.devs[ids[name]] = devs[name]
            await telling.of_host(app, client, spec, devs[name], is_new=known is None)
        fresh = [spec for spec in specs if spec.pod not in outcome.pods]
        if outcome.work is not None:  # before the pod: one that is there would stay without it
            for spec in fresh:
                await pending.note_taken(app, spec, outcome.work)
        made = await asyncio.gather(*(app.pods.put(spec) for spec in fresh))
    await app.places.note(where.ref)
    await faults.reach("create.announced")
    outcome.pods |= {pod.name: pod for pod in made}
    outcome.made |= {pod.name for pod in made}
    return specs


async def _spec(
    outcome: Outcome, dev: DevConfig, name: str, pod_id: str, *, known: Pod | None, start: Base
) -> PodSpec:
    """A pod that is there keeps its host, where it was made from, and what it was given."""
    where = outcome.where
    if known is None:
        spec = await requests.pod_spec(where, dev, pod=name, pod_id=pod_id, start=start)
        return outcome.wanted.given(spec)
    return await requests.spec_now(where, dev, known.spec)


def _collect_errors(specs: list[PodSpec], outcome: Outcome, result: RunResult | None) -> None:
    if result is None:
        return
    for spec in specs:
        for name, error in result.errors.items():
            if _concerns(spec, name) and result.states[name] in (
                NodeState.FAILED,
                NodeState.BLOCKED,
            ):
                point_to_log(error, spec.pod, name)
                outcome.errors.setdefault(spec.pod, error)


def point_to_log(error: RumpelError, pod: str, node: str = "image") -> None:
    """Of a build that failed: it is shared by pods, so its node knows none."""
    if error.hint is None and error.details.get("argv") == BUILD:
        error.hint = f"rumpel logs {pod} {place_of(node).name}   shows all of it"


def _concerns(spec: PodSpec, name: str) -> bool:
    return place_of(name).pod is None or is_own(name, spec.repo.repo_id, spec.pod)


async def _roll_back(app: App, client: Client, outcome: Outcome) -> None:
    """Cancelled: pods that this request made, and that nobody could have used, go again."""
    made = [outcome.pods[name] for name in sorted(outcome.made)]
    # Another request that wants the same pod keeps it, and one that has made it meanwhile.
    fresh = [
        pod
        for pod in made
        if app.creating.get(pod.pod_id, 0) <= 1 and app.pods.made_of(pod.spec) is None
    ]
    if not fresh:
        return
    client.cancelled.clear()
    pairs = [(pod.spec, app.pods.access(pod.spec)) for pod in fresh]
    result: RunResult | None = None
    try:
        result = await app.runner.run(delete(pairs, force=True, keep_s=0), client)
    finally:
        await spared.go_on(app, [pod.spec for pod in fresh], result)
    for pod in fresh:
        if result.states[node_id("remove", pod.spec)] in DONE:
            await app.pods.remove(pod)
    await seeds.release(app, fresh[0].spec.repo, fresh[0].spec.host)


async def _reap(app: App, client: Client, specs: list[PodSpec], outcome: Outcome) -> None:
    """Pods deleted while they were made: what was made after that goes too."""
    lost = [spec for spec in specs if app.pods.by_id(spec.pod_id) is None]
    if not lost:
        return
    await app.runner.run(delete([(spec, None) for spec in lost], force=True, keep_s=0), client)
    for spec in lost:
        outcome.errors[spec.pod] = Conflict(f"pod {spec.pod!r} was deleted while it was created")
        if app.pods.find(spec.repo.repo_id, spec.pod) is None:
            await app.store.forget(app.pods.node_ids(spec))
        await seeds.release(app, spec.repo, spec.host)


def _was_changed(outcome: Outcome, pod: Pod) -> bool:
    states = {} if outcome.result is None else outcome.result.states
    return any(state is NodeState.OK for name, state in states.items() if _concerns(pod.spec, name))


def row(app: App, outcome: Outcome, name: str) -> dict[str, Any]:
    pod = outcome.pods.get(name)
    if pod is None:
        raise NotFound(f"pod {name!r} was not made")
    shown = listing(app, [pod])[0]
    if outcome.is_done:  # another request for it may be a moment behind
        shown["status"] = status(app, pod, is_busy=False)[0]
    error = outcome.errors.get(name)
    return {
        **shown,
        "created": name in outcome.made,
        "updated": name not in outcome.made and _was_changed(outcome, pod),
        "error": None if error is None else error.to_json(),
    }
