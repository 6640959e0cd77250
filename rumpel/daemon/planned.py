"""What `recreate` will do, as its plan tells it."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from rumpel.daemon import graph as graph_verb
from rumpel.engine.events import NodeState
from rumpel.engine.operation import Probe, ReasonKind
from rumpel.engine.plan import NodePlan, Plan, Verdict, as_recorded
from rumpel.engine.why import input_reasons
from rumpel.graphs.ids import feature_id, image_id, node_id
from rumpel.model import PodSpec, ProjectSpec
from rumpel.tasks import lifecycle

if TYPE_CHECKING:
    from rumpel.daemon.app import App
    from rumpel.daemon.pods import Pod
    from rumpel.engine.execute import RunResult
    from rumpel.tasks.world import Access

LATER = (
    "remote_env",
    "env_probe",
    "waits_for",
    "secrets",
    "secrets_file",
    "shares_branches",
    "ports",
    "hooks",
)
"""Parts of a pod that are used, some of them, by no node but by what is run in it next."""
OF_COMMANDS = ("hooks", "remote_env", "env_probe", "secrets", "secrets_file")
UNDER_WAY = {ReasonKind.UPSTREAM, ReasonKind.NEVER_RAN, ReasonKind.FAILED}
"""Reasons of commands that wait for one that runs; of itself no more is known than that it does."""
NOTHING, LATER_ON = "nothing", "later"
NEW_IMAGE, NEW_CONTAINER = "new image", "new container"


def planned(
    app: App, plan: Plan, pod: Pod, spec: PodSpec, *, is_forced: bool, goes_on: bool
) -> dict[str, Any]:
    """`action`, and why: what the row says before or after."""
    later = [name for name in LATER if getattr(spec, name) != getattr(pod.spec, name)]
    found = graph_verb.describe(app, plan)
    reasons = [
        {"node": node["id"], **reason}
        for node in found["nodes"]
        for reason in node["reasons"]
        if reason["kind"] not in (ReasonKind.UPSTREAM, ReasonKind.PROBE)
        and not (goes_on and node["kind"] == lifecycle.KIND)
    ]
    todo = _action(app, plan, spec, is_forced=is_forced, goes_on=goes_on)
    return {"action": todo or (LATER_ON if later else NOTHING), "later": later, "reasons": reasons}


def _action(app: App, plan: Plan, spec: PodSpec, *, is_forced: bool, goes_on: bool) -> str:
    """The greatest thing that is to be done; empty when nothing is."""
    steps = [image_id("image", spec), *(feature_id(spec, one) for one in spec.image.features)]
    if any(plan[name].verdict is not Verdict.FRESH for name in steps):
        return NEW_IMAGE
    if is_forced or needs_container(app, plan, spec):
        return NEW_CONTAINER
    stale = {
        item.partition("/")[0]
        for item, found in plan.nodes.items()
        if found.verdict is not Verdict.FRESH
    }
    if goes_on:
        stale.discard(lifecycle.KIND)
    if not stale:
        return ""
    if "services" in stale:
        return "services"
    return "lifecycle" if "lifecycle" in stale else "ports" if stale == {"port"} else "start"


def goes_on(app: App, plan: Plan, pod: Pod, spec: PodSpec, refresh: Collection[str]) -> bool:
    """Are the commands that are not done at work for nobody (`later`), as they are to be run?"""
    if pod.pod_id not in app.later:
        return False
    left = [
        one
        for name, one in plan.nodes.items()
        if plan.graph.nodes[name].operation is lifecycle and one.verdict is not Verdict.FRESH
    ]
    is_same = all(getattr(spec, name) == getattr(pod.spec, name) for name in OF_COMMANDS)
    is_same = is_same and not any(one.id in refresh for one in left)
    kinds = {reason.kind for one in left for reason in one.reasons}
    return bool(left) and is_same and kinds <= UNDER_WAY


def after_all(
    done: dict[str, Any], spec: PodSpec, old: Access | None, result: RunResult
) -> dict[str, str]:
    """What was done, where another container was not needed in the end."""
    kept = result.outputs.get(node_id("replace", spec))
    is_kept = kept is not None and old is not None and kept.container_id == old.container_id
    if not is_kept or done["action"] != NEW_CONTAINER:
        return {}
    ran = result.states.get(node_id("services", spec)) is NodeState.OK
    return {"action": "services" if ran else "start"}


def needs_container(app: App, plan: Plan, spec: PodSpec) -> bool:
    """May the container be another one afterwards? One that is only stopped is started."""
    found = plan[node_id("container", spec)]
    if found.verdict is Verdict.FRESH:
        return False
    same = _same(app, plan, spec)
    others = [one for one in found.reasons if one.kind is not ReasonKind.PROBE]
    if any(reason.subject not in same for reason in others):
        return True
    return bool(others) and _differs(app, plan, spec, same)


def _same(app: App, plan: Plan, spec: PodSpec) -> set[str]:
    """Nodes that are to run, whose output is afterwards what it was, as far as it matters."""
    seed, beside = node_id("seed", spec, shared=True), node_id("services", spec)
    same = set[str]()
    if all(reason.kind is ReasonKind.PROBE for reason in plan[seed].reasons):
        same.add(seed)
    if spec.project is not None and not (
        spec.project.shares and _remakes(app, plan[beside], spec, spec.project)
    ):
        same.add(beside)
    return same


def _remakes(app: App, found: NodePlan, spec: PodSpec, project: ProjectSpec) -> bool:
    """May the service in whose network the pod is get another container?"""
    record = app.pods.record("services", spec)
    output = {} if record is None else record.output or {}
    meant = _with_needs(project, project.shares)
    parts = ("networks", "volumes", *(f"service.{name}" for name in meant))
    for reason in found.reasons:
        if reason.kind not in (ReasonKind.PROBE, ReasonKind.INPUT):
            return True
        if reason.kind is ReasonKind.INPUT and f"{reason.subject}.".startswith(
            tuple(f"{part}." for part in parts)
        ):
            return True
    is_gone = isinstance(app.world.container(spec.host, output.get("shared", "")), Probe)
    return is_gone or not meant.isdisjoint(output.get("differs", ()))


def _with_needs(project: ProjectSpec, service: str) -> set[str]:
    """And all it needs: compose may make it anew with one of them."""
    needs, found, left = {one.name: one.needs for one in project.services}, set[str](), [service]
    while left:
        name = left.pop()
        if name not in found:
            found.add(name)
            left += needs.get(name, ())
    return found


def _differs(app: App, plan: Plan, spec: PodSpec, same: set[str]) -> bool:
    """What it is made of was not compared while those nodes have no output: they keep theirs."""
    node, record = plan.graph.nodes[node_id("container", spec)], app.pods.record("container", spec)
    outputs = {name: found.output for name, found in plan.nodes.items() if found.output is not None}
    for name in same:
        kept = app.store.records.get(name)
        found = None if kept is None else as_recorded(plan.graph.nodes[name], kept)[0]
        if found is not None:
            outputs[name] = found.output
    if any(ref.node_id not in outputs for ref in node.refs):
        return True
    return bool(input_reasons(record, node.operation.fingerprint(node.resolve(outputs))))
