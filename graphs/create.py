"""Pods come to be: image, tools, seed (, prebuild), container, clone (, copy-in), lifecycle, sync;
ports.

Pods of one request share the nodes they have in common, so fifty pods build one image.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from rumpel.engine.graph import Graph, Handle
from rumpel.errors import Bug
from rumpel.graphs.ids import address, feature_id, image_id, image_inputs, node_id, service_id
from rumpel.graphs.workspace import Work, add_work_and_clone
from rumpel.model import HookSpec, PodSpec, PortSpec, ServiceSpec
from rumpel.tasks import (
    container,
    feature,
    image,
    lifecycle,
    port,
    prebuild,
    seed,
    services,
    tools,
)
from rumpel.tasks.prebuilt import HOOKS

ONCE = ("onCreateCommand", "updateContentCommand", "postCreateCommand")
EACH_START = "postStartCommand"


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """Of a commit: its tree, and a digest of the files its commands depend on, if declared."""

    oid: str
    tree: str
    inputs: str = ""
    limit_s: float = prebuild.LIMIT_S
    """How long the commands are waited for."""


def create(
    specs: Iterable[PodSpec],
    *,
    bases: dict[str, tuple[str, ...]] | None = None,
    contents: Mapping[str, Content] | None = None,
    work: Mapping[str, Work] | None = None,
    files: Mapping[str, tuple[str, ...]] | None = None,
    may_replace: bool = False,
    ended: Mapping[str, Mapping[str, str]] | None = None,
) -> Graph:
    """`bases`: the `FROM` references of each Dockerfile, by path (the graph reads no file).

    `contents`: by pod id, what a new pod starts from, of those that start from a prebuild.
    `work`, `files` of this machine, and `ended` (services that came to a good end, and what they
    were made of): by pod id, too. `may_replace`: services that changed get new containers.
    """
    graph = Graph("create")
    for spec in specs:
        content, own = (contents or {}).get(spec.pod_id), (work or {}).get(spec.pod_id)
        over, more = (ended or {}).get(spec.pod_id, {}), (files or {}).get(spec.pod_id)
        _add_pod(
            graph,
            spec,
            bases or {},
            content,
            own,
            files=more,
            may_replace=may_replace,
            ended=over,
        )
    return graph


def _add_pod(
    graph: Graph,
    spec: PodSpec,
    bases: dict[str, tuple[str, ...]],
    content: Content | None,
    work: Work | None,
    *,
    files: tuple[str, ...] | None,
    may_replace: bool,
    ended: Mapping[str, str],
) -> None:
    beside = add_services(graph, spec, bases, may_replace=may_replace, ended=ended)
    inputs = made_of(graph, spec, bases, content)
    started = graph.add(container, node_id("container", spec), inputs, after=beside, pod=spec.pod)
    cloned, after = add_work_and_clone(graph, spec, started, work, files=files)
    add_hooks(graph, spec, started, cloned, after=after)
    add_ports(graph, spec, started)


def made_of(
    graph: Graph,
    spec: PodSpec,
    bases: dict[str, tuple[str, ...]],
    content: Content | None = None,
) -> container.Inputs:
    """Image, tools and seed of a pod; what its container is made of."""
    base = add_image(graph, spec, bases)
    tooled = _add_tools(graph, spec, base, add_features(graph, spec, base))
    seeded = graph.add(
        seed,
        node_id("seed", spec, shared=True),
        seed.Inputs(host=spec.host, repo=spec.repo, image_id=tooled.out("image_id")),
    )
    start_image = ""
    if content is not None:
        start_image = _add_prebuild(graph, spec, content, tooled, seeded).out("image_id")
    return container.Inputs(
        repo=spec.repo,
        host=spec.host,
        pod=spec.pod,
        pod_id=spec.pod_id,
        image_id=tooled.out("image_id"),
        image_key=tooled.out("tag"),
        image_user=base.out("user"),
        user=tooled.out("user"),
        seed_volume=seeded.out("volume"),
        spec=spec.container,
        base_branch=spec.base_branch,
        base_oid=spec.base_oid,
        asked=spec.asked,
        start_image=start_image,
        network_of=network_of(spec),
    )


def network_of(spec: PodSpec) -> Any:
    """Of its services' node, whose output says it."""
    if spec.project is None or not spec.project.shares:
        return ""
    return Handle(node_id("services", spec)).out("shared")


def add_features(graph: Graph, spec: PodSpec, base: Handle) -> Handle:
    """Each on the one before; what the rest stands on then."""
    top = base
    for number, one in enumerate(spec.image.features):
        top = graph.add(
            feature,
            feature_id(spec, one),
            feature.Inputs(
                host=spec.host,
                image_id=top.out("image_id"),
                image_user=base.out("user"),
                container_user=spec.container.container_user,
                remote_user=spec.container.remote_user,
                feature=one,
                certificates=spec.image.certificates if number == 0 else (),
            ),
            title=f"Installing feature {one.name}",
        )
    return top


def _add_tools(graph: Graph, spec: PodSpec, base: Handle, top: Handle) -> Handle:
    return graph.add(
        tools,
        image_id("tools", spec),
        tools.Inputs(
            host=spec.host,
            image_id=top.out("image_id"),
            image_user=base.out("user"),
            user=spec.container.remote_user or spec.container.container_user,
            workspace_folder=spec.container.workspace_folder,
            certificates=spec.image.certificates,
        ),
    )


def _add_prebuild(
    graph: Graph, spec: PodSpec, content: Content, tooled: Handle, seeded: Handle
) -> Handle:
    if spec.prebuild is None:
        raise Bug(f"pod {spec.pod} is not to be prebuilt")
    hooks = first_hooks(spec)
    return graph.add(
        prebuild,
        node_id("prebuild", spec, shared=True),
        prebuild.Inputs(
            host=spec.host,
            repo=spec.repo,
            image_id=tooled.out("image_id"),
            user=tooled.out("user"),
            seed_volume=seeded.out("volume"),
            spec=spec.container,
            hooks=hooks,
            remote_env=spec.remote_env,
            env_probe=spec.env_probe,
            oid=content.oid,
            tree=content.tree,
            inputs=content.inputs,
            max_age_s=spec.prebuild.max_age_s,
            least_s=spec.prebuild.least_s,
            limit_s=content.limit_s,
        ),
        title=f"Running {hooks[0].name} for all",
    )


def first_hooks(spec: PodSpec) -> tuple[HookSpec, ...]:
    """The commands that can be run before there is a pod."""
    return tuple(hook for hook in spec.hooks if hook.name in HOOKS)


def add_services(
    graph: Graph,
    spec: PodSpec,
    bases: dict[str, tuple[str, ...]],
    *,
    may_replace: bool = False,
    after: Iterable[Handle] = (),
    ended: Mapping[str, str] | None = None,
) -> list[Handle]:
    """The services of a compose project, if it is one; what the pod's container comes after."""
    project = spec.project
    if project is None:
        return []
    images = [add_service_image(graph, spec, one, bases) for one in project.services]
    inputs = services.Inputs(
        address=address(spec),
        project=project,
        image_ids=tuple(one.out("image_id") for one in images),
        may_replace=may_replace,
        hidden=spec.hidden,
        ended=dict(ended or {}),
    )
    return [graph.add(services, node_id("services", spec), inputs, after=after, pod=spec.pod)]


def add_service_image(
    graph: Graph,
    spec: PodSpec,
    one: ServiceSpec,
    bases: dict[str, tuple[str, ...]],
    **how: bool,
) -> Handle:
    """`how`: as `add_image`."""
    source = image_inputs(spec, one.image, f"{spec.repo.basename}-{one.name}", bases, **how)
    verb = "Building" if one.image.dockerfile else "Fetching"
    title = f"{verb} image of service {one.name}"
    return graph.add(image, service_id(spec, one), source, title=title)


def add_image(
    graph: Graph, spec: PodSpec, bases: dict[str, tuple[str, ...]], **how: bool
) -> Handle:
    """`how`: is_nocache, is_pull and is_anew of `image.Inputs`."""
    return graph.add(
        image,
        image_id("image", spec),
        image_inputs(spec, spec.image, spec.repo.basename, bases, **how),
        title="Building image" if spec.image.dockerfile else "Fetching image",
    )


def add_ports(
    graph: Graph, spec: PodSpec, started: Handle, *, after: Iterable[Handle] = ()
) -> None:
    for one in spec.open_ports:
        add_port(graph, spec, one, started.out("container_id"), started.out("user"), after=after)


def port_id(spec: PodSpec, one: PortSpec) -> str:
    return f"{node_id('port', spec)}/{one.key}"


def add_port(
    graph: Graph,
    spec: PodSpec,
    one: PortSpec,
    container_id: str,
    user: str,
    *,
    after: Iterable[Handle] = (),
) -> None:
    graph.add(
        port,
        port_id(spec, one),
        port.Inputs(address=address(spec), container_id=container_id, user=user, port=one),
        after=after,
        pod=spec.pod,
        title=f"Forwarding port {one.key}",
    )


def add_hooks(
    graph: Graph, spec: PodSpec, started: Handle, cloned: Handle, *, after: Iterable[Handle] = ()
) -> None:
    """The lifecycle commands, one after the other."""
    previous = cloned.out("oid")
    for hook in spec.hooks:
        if hook.name not in (*ONCE, EACH_START):
            continue
        each_start = hook.name == EACH_START
        done = graph.add(
            lifecycle,
            f"{node_id('lifecycle', spec)}/{hook.key}",
            lifecycle.Inputs(
                host=spec.host,
                container_id=started.out("container_id"),
                started_at=started.out("started_at") if each_start else None,
                hook=hook,
                user=started.out("user"),
                workspace_folder=spec.container.workspace_folder,
                remote_env=spec.remote_env,
                env_probe=spec.env_probe,
                secrets=spec.secrets,
                secrets_file=spec.secrets_file,
                hidden=spec.hidden,
                private=spec.container.private_env,
                previous=previous,
                has_moved=cloned.out("has_moved"),
            ),
            after=after,
            pod=spec.pod,
            title=f"Running {hook.name}" + (f" of {hook.by}" if hook.by else ""),
        )
        previous = done.out("ran")
