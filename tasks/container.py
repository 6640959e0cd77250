"""The pod's container exists and runs.

Its main process is a small shell loop that takes requests on its standard input (unless the
image's own command is wanted), so that setting up a pod needs no exec. Stale when the image or
anything in the create body changes; a stopped container is started again, never replaced: what
is in it may exist nowhere else. Engine API: `POST /containers/create`, `/attach`, `/start`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field

from rumpel import names
from rumpel.adapters.docker_types import ContainerState
from rumpel.engine.operation import Context, Json, Policy, Probe, changed
from rumpel.errors import Conflict, NameTaken, RumpelError
from rumpel.model import ContainerSpec, RepoRef
from rumpel.sealing import is_sealed, sealed
from rumpel.tasks import by_hand, carried, container_body, ended, mountpoint, pod_binds
from rumpel.tasks.world import Access, PodAddress, World

KIND = "container"
TITLE = "Starting container"
VERSION = 1
POLICY = Policy(slots=("create",), timeout_s=300.0, retries=1)

LABEL_SPEC = "rumpel.spec"
LABEL_MEMO = "rumpel.memo"
NETWORK_OF = "network.of"
"""A component of the fingerprint, and of no label: that network may go, the work in the container
stays.
"""
ASKED = "asked."
"""What a pod is rebuilt from when the database is lost; nothing secret."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    repo: RepoRef
    host: str
    pod: str
    pod_id: str
    image_id: str
    image_key: str
    """What the image was made from: made once more, it is the same image with another id."""
    user: str
    """User of the workspace."""
    image_user: str
    seed_volume: str
    spec: ContainerSpec
    base_branch: str | None = None
    base_oid: str | None = None
    """What the pod was made from: only for the memo."""
    asked: dict[str, str] = field(default_factory=dict)
    """Settings it was given by flags: only for the memo."""
    spec_label: str | None = None
    """What the container was made of, when its label is all that is known (daemon.adopt)."""
    start_image: str = ""
    """`image_id` with the result of a prebuild; no part of what makes a container stale."""
    network_of: str = ""
    """The container whose network it is in, of a service beside it."""
    service_images: tuple[str, ...] = ()
    """Ids, of the services beside it: no part of what it is made of, but known with it."""
    ended_services: dict[str, str] = field(default_factory=dict)
    """Those of them that came to a good end, and what they were made of, likewise."""
    made: str = ""
    """The container that `replace` made for it: it is this one, or none is known yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    container_id: str
    started_at: str
    user: str
    as_main: bool
    name: str = ""
    """Its own one, as it was then; unknown of older ones."""
    networks: tuple[str, ...] = ()
    """Those it was in."""


def fingerprint(inputs: Inputs) -> dict[str, Json]:
    spec = inputs.spec
    return {
        # A name is used again: what is in flight for a deleted pod is not for the new one.
        "pod": inputs.pod_id,
        "image": inputs.image_key,
        "seed.volume": inputs.seed_volume,
        "workspaceFolder": spec.workspace_folder,
        "containerUser": spec.container_user,
        "remoteUser": spec.remote_user,
        "containerEnv": sealed(spec.env, spec.private_env),
        "mounts": spec.mounts,
        "runArgs": {
            "config": spec.sealed_parts["config"],
            "host": spec.sealed_parts["host_config"],
            "networking": spec.networking,
            "platform": spec.platform,
        },
        "overrideCommand": spec.override_command,
        **({"entrypoints": spec.entrypoints} if spec.entrypoints else {}),
        **({"gpu": True} if spec.gpu else {}),
        **({"bound": spec.bound} if spec.bound else {}),
        **({NETWORK_OF: inputs.network_of} if inputs.network_of else {}),
        "init": spec.init,
        "limits": {"memory": spec.memory, "cpus": spec.cpus, "pids": spec.pids_limit},
    }


def check(world: World, inputs: Inputs, output: Output) -> Probe:
    state = world.container(inputs.host, output.container_id)
    if isinstance(state, Probe):
        return state
    if state.status != "running":
        return changed(f"container is {state.status}")
    if state.started_at != output.started_at:
        return changed("container was restarted")
    return by_hand.check(state, name=output.name, networks=output.networks)


async def run(ctx: Context[World], inputs: Inputs) -> Output:
    host = ctx.world.host(inputs.host)
    found = await _find(ctx.world, inputs) if _may_exist(ctx.world, inputs) else None
    if found is not None and not await _usable(ctx, inputs, found):
        found = None
    if found is None:
        container_id, found = await _create(ctx, inputs)
        ctx.fault("created")
    else:
        container_id = found.id
    if found is None or found.status != "running":
        if found is not None and found.status == "paused":
            await host.unpause(container_id)
        else:
            is_new = found is None or found.status == "created"
            await begin(ctx.world, inputs, container_id, is_new=is_new)
    ctx.fault("started")
    state = await ctx.world.started(inputs.host, container_id)
    if state is None:
        raise ended.removed(inputs.pod)
    if state.status != "running":
        raise await ended.at_once(
            ctx.world, inputs.host, inputs.pod, state, inputs.spec.private_env
        )
    if found is not None:
        state = await _put_back(ctx, inputs, state)
    if found is None or found.status in ("created", "running"):  # not one of old
        await _furnish(ctx, inputs, container_id)
    return Output(
        container_id=container_id,
        started_at=state.started_at,
        user=inputs.user,
        as_main=access(inputs, container_id).as_main,
        name=names.own_name(state.name),
        networks=tuple(sorted(state.networks)),
    )


async def _furnish(ctx: Context[World], inputs: Inputs, container_id: str) -> None:
    host = ctx.world.host(inputs.host)
    try:
        await mountpoint.give(host, container_id, inputs.spec, inputs.user)
        copied = await carried.found(inputs.spec, inputs.pod_id, inputs.host)
        await carried.settle(host, container_id, copied, inputs.user)
    except Conflict as error:
        if inputs.spec.override_command:
            raise
        where = ctx.world, inputs.host, inputs.pod, container_id
        raise await ended.behind(error, *where, private=inputs.spec.private_env) from error


async def begin(world: World, inputs: Inputs, container_id: str, *, is_new: bool) -> None:
    """Start it; what is copied into it comes before."""
    host = world.host(inputs.host)
    if is_new:
        copied = await carried.found(inputs.spec, inputs.pod_id, inputs.host)
        await carried.put_files(host, container_id, copied, inputs.user)
    new = inputs.spec if is_new and not inputs.spec_label else None  # of an adopted one not all
    await pod_binds.refuse_links(world, address(inputs), container_id, new)
    await world.links.prepare(address(inputs), access(inputs, container_id))
    await host.start(container_id)


async def undo(ctx: Context[World], inputs: Inputs) -> None:
    """A container that never started holds no work: it goes. A started one stays."""
    found = await _find(ctx.world, inputs)
    if found is not None and found.status == "created":
        await ctx.world.host(inputs.host).remove(found.id, force=True, volumes=True)


async def _put_back(ctx: Context[World], inputs: Inputs, state: ContainerState) -> ContainerState:
    """The one that was made just now (`made`) has another name for a while; of an adopted one
    only its label is known."""
    name = names.container_name(inputs.repo.basename, inputs.pod, inputs.pod_id)
    notes = await by_hand.put_back(
        ctx.world.host(inputs.host),
        state,
        name=None if inputs.made else name,
        spec=None if inputs.spec_label or inputs.network_of else inputs.spec,
    )
    if notes is None:
        return state
    for note in notes:
        ctx.log(note)
    await ctx.world.looked(inputs.host, state.id)
    now = ctx.world.container(inputs.host, state.id)
    return state if isinstance(now, Probe) else now


def address(inputs: Inputs) -> PodAddress:
    return PodAddress(
        repo=inputs.repo,
        host=inputs.host,
        pod=inputs.pod,
        pod_id=inputs.pod_id,
        workspace_folder=inputs.spec.workspace_folder,
    )


def access(inputs: Inputs, container_id: str) -> Access:
    return Access(
        container_id=container_id,
        user=inputs.user,
        as_main=inputs.spec.override_command and main_user(inputs) == inputs.user,
    )


def main_user(inputs: Inputs) -> str:
    return (inputs.spec.container_user or inputs.image_user).split(":")[0] or "root"


def spec_digest(inputs: Inputs) -> str:
    return inputs.spec_label or _digest(inputs)


def _digest(inputs: Inputs, **more: Json) -> str:
    parts = {key: value for key, value in fingerprint(inputs).items() if key != NETWORK_OF}
    text = json.dumps({**parts, **more}, sort_keys=True, default=list)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


async def is_right(world: World, inputs: Inputs, found: ContainerState) -> bool:
    """Is it made of what it should be made of, and in the network where it should be?"""
    network = await _network_of(world, inputs, found.id)
    return is_made_of(inputs, found, network) and network == inputs.network_of


async def _network_of(world: World, inputs: Inputs, container_id: str) -> str:
    """The container in whose network it is, where one of a service is asked for."""
    if not inputs.network_of:
        return ""
    found = await world.host(inputs.host).inspect(container_id)
    return str(found.host_config.get("NetworkMode", "")).removeprefix("container:")


def is_made_of(inputs: Inputs, found: ContainerState, network: str) -> bool:
    """As far as its label says. In labels of older versions `network_of` is, too."""
    labels = (spec_digest(inputs), _digest(inputs, **{NETWORK_OF: network}))
    return found.labels.get(LABEL_SPEC) in labels


def _labels(ctx: Context[World], inputs: Inputs) -> dict[str, str]:
    return {
        **ctx.world.labels("pod", ctx.node_id, ctx.nonce),
        names.LABEL_REPO: inputs.repo.repo_id,
        names.LABEL_REPO_PATH: inputs.repo.work_tree,
        names.LABEL_POD: inputs.pod,
        names.LABEL_POD_ID: inputs.pod_id,
        LABEL_SPEC: spec_digest(inputs),
        LABEL_MEMO: _memo(inputs),
        pod_binds.LABEL: ",".join(inputs.spec.bound),
    }


def _memo(inputs: Inputs) -> str:
    found = {
        "common_dir": inputs.repo.common_dir,
        "object_format": inputs.repo.object_format,
        "workspace_folder": inputs.spec.workspace_folder,
        "user": inputs.user,
        "image_user": inputs.image_user,
        "seed_volume": inputs.seed_volume,
        "base_branch": inputs.base_branch,
        "base_oid": inputs.base_oid,
        **{f"{ASKED}{key}": value for key, value in inputs.asked.items()},
    }
    return json.dumps(found, sort_keys=True)


async def _create(ctx: Context[World], inputs: Inputs) -> tuple[str, ContainerState | None]:
    """(id, the container that was there after all: of a request whose answer was never read)."""
    name = names.container_name(inputs.repo.basename, inputs.pod, inputs.pod_id)
    try:
        made = await make(ctx, inputs, name)
    except NameTaken:
        found = await _find(ctx.world, inputs)
        if found is None or not await _usable(ctx, inputs, found):
            raise
        return found.id, found
    return made, None


async def make(ctx: Context[World], inputs: Inputs, name: str) -> str:
    """Create, not start; the id. Raises NameTaken."""
    _refuse_sealed(inputs)
    host = ctx.world.host(inputs.host)
    image = await host.image(inputs.start_image or inputs.image_id)
    body = container_body.create(inputs, _labels(ctx, inputs), image, host.info)
    declared = () if image is None else image.volumes
    kept = mountpoint.of_image(inputs.spec, inputs.pod_id, declared)
    body["HostConfig"]["Mounts"] += [
        {"Type": "volume", "Source": volume, "Target": folder} for folder, volume in kept.items()
    ]
    agents = mountpoint.of_agents(ctx.world, inputs.pod, inputs.pod_id)
    body["HostConfig"]["Mounts"] += agents
    if host.info.kind == "podman":  # it takes no labels with a mount
        for mount in agents:
            await host.create_volume(mount["Source"], mount["VolumeOptions"]["Labels"])
    copied = await carried.found(inputs.spec, inputs.pod_id, inputs.host)
    carried.instead(body, copied)
    own = [*kept.values(), *carried.volumes(copied)]
    await _volumes(ctx, inputs, [*inputs.spec.volumes, *own])
    await carried.fill(ctx, address(inputs), body["Image"], inputs.user, copied)
    later = container_body.later(body, host.info)
    container_id = await host.create_container(name, body, platform=inputs.spec.platform)
    try:
        for network, endpoint in later.items():
            await host.connect(container_id, network, endpoint)
    except RumpelError:
        await host.remove(container_id, force=True, volumes=True)
        raise
    return container_id


def _refuse_sealed(inputs: Inputs) -> None:
    """What the database remembers has private values as digests only: not to be run with."""
    spec = inputs.spec
    if is_sealed(spec.env) or is_sealed([spec.config, spec.host_config]):
        raise Conflict(
            f"the container of pod {inputs.pod!r} is gone, and its private values are not kept",
            hint=f"rumpel create {inputs.pod}   makes it again from the configuration",
        )


async def _volumes(ctx: Context[World], inputs: Inputs, wanted: Iterable[str]) -> None:
    """The pod's own volumes carry its labels, so that they are found and go with it."""
    labels = {
        **ctx.world.labels("volume", ctx.node_id, ctx.nonce),
        names.LABEL_POD: inputs.pod,
        names.LABEL_POD_ID: inputs.pod_id,
    }
    for name in wanted:
        await ctx.world.host(inputs.host).create_volume(name, labels)


def _may_exist(world: World, inputs: Inputs) -> bool:
    """False when the warm view has none: that saves a listing for each new pod.

    One that the view has not seen yet has the name this one would get.
    """
    view = world.snapshot(inputs.host)
    return view is None or any(
        state.labels.get(names.LABEL_POD_ID) == inputs.pod_id for state in view.containers.values()
    )


async def _find(world: World, inputs: Inputs) -> ContainerState | None:
    found = await world.host(inputs.host).containers(
        world.label_filter("pod", pod_id=inputs.pod_id)
    )
    if inputs.made:
        found = [state for state in found if state.id == inputs.made]
    return min(found, key=lambda state: names.place_in_line(state.name), default=None)


async def _usable(ctx: Context[World], inputs: Inputs, found: ContainerState) -> bool:
    """May the container that is there be kept? One that never ran may be replaced silently."""
    network = await _network_of(ctx.world, inputs, found.id)
    is_same = is_made_of(inputs, found, network) and found.status != "dead"
    if is_same and network == inputs.network_of:
        return True
    if found.status == "created":
        await ctx.world.host(inputs.host).remove(found.id, force=True, volumes=True)
        return False
    if is_same:
        raise Conflict(
            f"the service in whose network pod {inputs.pod!r} is has another container by now; "
            "the pod's own was kept",
            hint=f"rumpel recreate {inputs.pod}   makes a new one with all work in it",
        )
    raise Conflict(
        f"the configuration of pod {inputs.pod!r}, or what its image is made of, changed since "
        "its container was made; the container was kept",
        hint=f"rumpel recreate {inputs.pod}   makes a new one with all work in it; "
        f"rumpel recreate --plan {inputs.pod}   shows what changed",
    )
