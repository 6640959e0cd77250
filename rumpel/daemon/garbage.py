"""What of ours on an engine nothing needs any more: nothing is that just nobody knows.

An object is ours by its label of this state folder and the nonce of the attempt that made it;
images, which have no nonce, by the label and a name in our part of the names. What a pod, a step
or any container stands on stays, and so does all that a database which was lost may have known.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TypeGuard

from rumpel import names
from rumpel.adapters import docker_usage
from rumpel.adapters.docker_api import DockerHost
from rumpel.adapters.docker_networks import NetworkInfo
from rumpel.adapters.docker_types import ContainerState, VolumeInfo
from rumpel.adapters.docker_usage import ImageUse, Usage
from rumpel.daemon import nodes
from rumpel.daemon.app import BORN, App
from rumpel.daemon.hosts import LOCAL
from rumpel.tasks import prebuild, stand_in

POD = "pod"
OF_REPOSITORIES = ("seed", "gateway")
OWN_NAMES = "rumpel/"
IMAGE_KINDS = ("", prebuild.IMAGE, stand_in.KIND)
"""An image that somebody made of a pod has the label of its container, and is theirs."""
REPOSITORY = "repository"
"""Kind of what holds one for pods: volume and gateway go together, when no pod is made."""
CLOCKS_S = 3600.0
"""By how much the clock of an engine that is far away may be wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """`kind`: container, volume, network, repository, image; here trash, import, feature, crash and
    database.
    """

    kind: str
    name: str
    id: str
    why: str
    size_bytes: int = 0
    """What is gained, as far as somebody knows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """What an engine has of ours, as it was just now."""

    name: str
    host: DockerHost
    usage: Usage
    containers: tuple[ContainerState, ...]
    volumes: tuple[VolumeInfo, ...]
    networks: tuple[NetworkInfo, ...] = ()


async def look(app: App, name: str) -> Engine:
    host, label = app.hosts[name], f"{names.LABEL_HOME}={app.home_id}"
    return Engine(
        name=name,
        host=host,
        containers=tuple(await host.containers(label)),
        volumes=tuple(await host.volumes(label)),
        networks=tuple(await host.networks(label)),
        usage=await docker_usage.usage(host.http),
    )


def objects(app: App, engine: Engine) -> Iterator[Item]:
    """Containers that were made for something that is over; volumes and networks of pods that
    are gone.
    """
    for state in engine.containers:
        kind = state.labels.get(names.LABEL_KIND, "")
        if kind != POD and is_over(app, engine, state.labels):
            yield Item(
                kind=REPOSITORY if kind in OF_REPOSITORIES else "container",
                name=state.name,
                id=state.id,
                why=f"the {kind} of something that is over",
                size_bytes=engine.usage.containers.get(state.id, 0),
            )
    for volume in engine.volumes:
        if is_over(app, engine, volume.labels) and is_of_this_database(app, engine, volume):
            is_seed = volume.labels.get(names.LABEL_KIND) in OF_REPOSITORIES
            what = "repository without pods" if is_seed else "pod that is not there any more"
            yield Item(
                kind=REPOSITORY if is_seed else "volume",
                name=volume.name,
                id=volume.name,
                why=f"of a {what}",
                size_bytes=engine.usage.volumes.get(volume.name, 0),
            )

    for network in engine.networks:
        if is_over(app, engine, network.labels) and is_of_this_database(app, engine, network):
            yield Item(
                kind="network",
                name=network.name,
                id=network.id,
                why="of a pod that is not there any more",
            )


def is_left(app: App, labels: Mapping[str, str]) -> bool:
    """By what it was made for; what an unknown version made is left alone."""
    kind, node = labels.get(names.LABEL_KIND, ""), labels.get(names.LABEL_NODE, "")
    if node in app.engine.flights:
        return False
    if pod_id := labels.get(names.LABEL_POD_ID):
        return app.pods.by_id(pod_id) is None and pod_id not in app.creating
    if kind in OF_REPOSITORIES:
        return not app.pods.of_repo(labels.get(names.LABEL_REPO, ""))
    return kind == "prebuild"


def is_over(app: App, engine: Engine, labels: Mapping[str, str]) -> bool:
    """Ours, and of nothing there is: no pod, no step, nor a container of a pod nobody knows."""
    if not labels.get(names.LABEL_NONCE) or not is_left(app, labels):
        return False
    same = names.LABEL_POD_ID if labels.get(names.LABEL_POD_ID) else names.LABEL_REPO
    return not any(
        state.labels.get(names.LABEL_KIND) == POD and state.labels.get(same) == labels.get(same)
        for state in engine.containers
    )


def is_of_this_database(app: App, engine: Engine, made: VolumeInfo | NetworkInfo) -> bool:
    """A pod that had it would be known: the database was there before it."""
    try:
        made_at = datetime.fromisoformat(made.created_at).timestamp()
    except ValueError:
        return False
    slack_s = 0.0 if engine.name == LOCAL else CLOCKS_S
    return made_at > float(app.store.kv_get(BORN, made_at)) + slack_s


def images(app: App, engine: Engine, *, every: bool) -> list[str]:
    """Ids. `every`: also those that repositories would only need for their next pod."""
    used = set(engine.usage.made_from) | set(stood_on(app, engine.name, every=every))
    return sorted(
        image_id
        for image_id, image in engine.usage.images.items()
        if is_own(app, image) and used.isdisjoint((image_id, *image.tags))
    )


def is_own(app: App, image: ImageUse) -> bool:
    """One to which somebody gave another name is theirs, too."""
    return (
        image.labels.get(names.LABEL_HOME) == app.home_id
        and image.labels.get(names.LABEL_KIND, "") in IMAGE_KINDS
        and all(tag.startswith(OWN_NAMES) for tag in image.tags)
    )


def stood_on(app: App, host: str, *, every: bool) -> Iterator[str]:
    """Ids and tags of images that a step or a pod goes by."""
    here = {pod.spec.repo.repo_id[: nodes.REPO_CHARS] for pod in app.pods.all()}
    for record in app.store.records.values():
        if not every or nodes.place_of(record.node_id).repo in here:
            yield from (value for value in (record.output or {}).values() if _is_name(value))
    for pod in app.pods.all():
        made = app.pods.made_of(pod.spec)
        yield from () if made is None else (made.image_id, made.image_key)
        yield pod.spec.image.ref or ""


def _is_name(value: object) -> TypeGuard[str]:
    return isinstance(value, str)


def is_busy(app: App) -> bool:
    """Something is being made: what nothing stands on now it may stand on in a moment.

    Not while its engine is away: that may be for days, and what is made there waits for it.
    """
    replaced = [pod for pod in app.pods.all() if pod.pod_id in app.replacing]
    is_replacing = any(app.world.snapshot(pod.spec.host) is not None for pod in replaced)
    return bool(app.creating or is_replacing or app.engine.flights)


async def sized(engine: Engine, image_ids: Iterable[str], kept: Iterable[str]) -> list[Item]:
    """What goes with each image: a layer that another one needs does not.

    One that others stand on as a whole stays: nothing is gained, and they may be built anew.
    """
    needed = set[str]()
    for image_id in kept:
        needed.update(await docker_usage.layers(engine.host.http, image_id))
    found, seen = [], set(needed)
    for image_id in image_ids:
        layers = await docker_usage.layers(engine.host.http, image_id)
        if needed.issuperset(layers):
            continue
        gained = sum(size for key, size in layers.items() if key not in seen)
        seen.update(layers)
        tags = engine.usage.images[image_id].tags
        name = tags[0] if tags else image_id.removeprefix("sha256:")[:12]
        found.append(
            Item(
                kind="image",
                name=name,
                id=image_id,
                why="no step stands on it, and no container",
                size_bytes=gained,
            )
        )
    return found
