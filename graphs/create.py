"""Pods come to be: image, tools, seed (, prebuild), container, clone, lifecycle, sync; ports.

Pods of one request share the nodes they have in common, so fifty pods build one image.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from rumpel import names
from rumpel.engine.graph import Graph, Handle
from rumpel.errors import Bug
from rumpel.model import FeatureSpec, HookSpec, PodSpec, PortSpec
from rumpel.tasks import (
    clone,
    container,
    feature,
    image,
    lifecycle,
    port,
    prebuild,
    seed,
    sync,
    tools,
)
from rumpel.tasks import restore as restore_task
from rumpel.tasks.prebuilt import HOOKS
from rumpel.tasks.world import PodAddress

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What a pod is to have besides its commits."""

    oid: str | None
    """Of a snapshot; None when there was nothing to take."""
    is_new: bool
    """The pod is made for it: nobody has worked in it."""


def create(
    specs: Iterable[PodSpec],
    *,
    bases: dict[str, tuple[str, ...]] | None = None,
    contents: Mapping[str, Content] | None = None,
    work: Mapping[str, Work] | None = None,
) -> Graph:
    """`bases`: the `FROM` references of each Dockerfile, by path (the graph reads no file).

    `contents`: by pod id, what a new pod starts from, of those that start from a prebuild.
    `work`: by pod id, too.
    """
    graph = Graph("create")
    for spec in specs:
        content, own = (contents or {}).get(spec.pod_id), (work or {}).get(spec.pod_id)
        _add_pod(graph, spec, bases or {}, content, own)
    return graph


def node_id(kind: str, spec: PodSpec, *, shared: bool = False) -> str:
    """Stable: keys the records and is what `rumpel graph` shows."""
    repo = f"{kind}/{names.host_part(spec.host)}/{spec.repo.repo_id[:12]}"
    return repo if shared else f"{repo}/{spec.pod}"


def image_id(kind: str, spec: PodSpec) -> str:
    """Of `image` and `tools`. A pod with the image of another one (a fork) has nodes of its own:
    those of the repository say what its configuration asks for.
    """
    return node_id(kind, spec, shared=not spec.image.is_of_a_pod)


def feature_id(spec: PodSpec, one: FeatureSpec) -> str:
    """Of no pod: what comes after its repository is empty."""
    return f"{node_id('feature', spec, shared=True)}//{one.name}"


def address(spec: PodSpec) -> PodAddress:
    return PodAddress(
        repo=spec.repo,
        host=spec.host,
        pod=spec.pod,
        pod_id=spec.pod_id,
        workspace_folder=spec.container.workspace_folder,
    )


def _add_pod(
    graph: Graph,
    spec: PodSpec,
    bases: dict[str, tuple[str, ...]],
    content: Content | None,
    work: Work | None,
) -> None:
    inputs = made_of(graph, spec, bases, content)
    started = graph.add(container, node_id("container", spec), inputs, pod=spec.pod)
    cloned, after = add_work_and_clone(graph, spec, started, work)
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
    )


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


def add_image(
    graph: Graph,
    spec: PodSpec,
    bases: dict[str, tuple[str, ...]],
    *,
    is_nocache: bool = False,
    is_pull: bool = False,
    is_anew: bool = False,
) -> Handle:
    source = spec.image
    return graph.add(
        image,
        image_id("image", spec),
        image.Inputs(
            host=spec.host,
            name=spec.repo.basename,
            repo_id=spec.repo.repo_id,
            ref=source.ref,
            dockerfile=source.dockerfile,
            context=source.context,
            context_key=source.context_key,
            bases=bases.get(source.dockerfile or "", ()),
            args=source.args,
            target=source.target,
            cache_from=source.cache_from,
            options=source.options,
            certificates=source.certificates if source.dockerfile else (),
            is_nocache=is_nocache,
            is_pull=is_pull,
            is_anew=is_anew,
        ),
        title="Building image" if source.dockerfile else "Fetching image",
    )


def add_work_and_clone(
    graph: Graph, spec: PodSpec, started: Handle, work: Work | None
) -> tuple[Handle, list[Handle]]:
    """The clone, and what the lifecycle commands wait for besides: they are to find the same files
    as those of the pod that the work is from.
    """
    cloned, synced = add_workspace(graph, spec, started, leaves_files=work is not None)
    if work is None:
        return cloned, []
    restored = graph.add(
        restore_task,
        node_id("restore", spec),
        restore_task.Inputs(
            address=address(spec),
            container_id=started.out("container_id"),
            user=started.out("user"),
            as_main=started.out("as_main"),
            oid=work.oid,
            is_new=work.is_new,
            is_once=True,
        ),
        after=[cloned, synced],
        pod=spec.pod,
    )
    return cloned, [restored]


def _known(replaced: Handle) -> dict[str, Any]:
    return {"has_moved": replaced.out("has_moved"), "carried_files": replaced.out("files")}


def add_workspace(
    graph: Graph,
    spec: PodSpec,
    started: Handle,
    *,
    leaves_files: bool = False,
    replaced: Handle | None = None,
) -> tuple[Handle, Handle]:
    """The clone in a container that runs, and its link to the host."""
    where = address(spec)
    known = {} if replaced is None else _known(replaced)
    cloned = graph.add(
        clone,
        node_id("clone", spec),
        clone.Inputs(
            address=where,
            container_id=started.out("container_id"),
            user=started.out("user"),
            as_main=started.out("as_main"),
            base_branch=spec.base_branch,
            base_oid=spec.base_oid,
            leaves_files=leaves_files,
            **known,
        ),
        pod=spec.pod,
    )
    synced = graph.add(
        sync,
        node_id("sync", spec),
        sync.Inputs(
            address=where,
            container_id=started.out("container_id"),
            started_at=started.out("started_at"),
            user=started.out("user"),
            as_main=started.out("as_main"),
            oid=cloned.out("oid"),
        ),
        pod=spec.pod,
    )
    return cloned, synced


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
                previous=previous,
                has_moved=cloned.out("has_moved"),
            ),
            after=after,
            pod=spec.pod,
            title=f"Running {hook.name}" + (f" of {hook.by}" if hook.by else ""),
        )
        previous = done.out("ran")
