"""What the base image of pods says of them: its label, read once the image is there.

Only then can a pod's commands, users and mounts be known, so it comes before the graph that makes
them; of an image that is there already it costs nothing. `rumpel.devcontainer.metadata` reads it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from rumpel.adapters import threads
from rumpel.daemon import again, image_specs, requests
from rumpel.daemon.pods import UNASKED
from rumpel.engine.graph import Graph
from rumpel.errors import NotTrusted, RumpelError
from rumpel.graphs.create import add_image
from rumpel.graphs.ids import image_id
from rumpel.names import LABEL_METADATA

if TYPE_CHECKING:
    from rumpel.daemon.app import App
    from rumpel.daemon.client import Client
    from rumpel.daemon.requests import Target
    from rumpel.devcontainer.config import DevConfig
    from rumpel.engine.execute import RunResult
    from rumpel.model import PodSpec

MOST_KEPT = 500


class Labels:
    """By host, which may lie, and image id, so never outdated; the newest ones."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], str] = {}

    async def of(self, app: App, host: str, image: str) -> str | None:
        """None: the image is not there."""
        if (host, image) not in self._known:
            found = await app.hosts[host].image(image)
            if found is None:
                return None
            if len(self._known) >= MOST_KEPT:
                del self._known[next(iter(self._known))]
            self._known[host, image] = found.labels.get(LABEL_METADATA, "")
        return self._known[host, image]


async def made(
    app: App,
    client: Client,
    where: Target,
    specs: list[PodSpec],
    devs: Mapping[str, DevConfig],
    *,
    refresh: Collection[str] = (),
) -> tuple[list[PodSpec], RunResult | None]:
    """Specs with what their images say; those are made first where they have to be.

    `devs`: by pod id, what specs were made of. `refresh`: images that are made anew. The result is
    of making images, when that failed. Raises NotTrusted.
    """
    labels, graph = await _known(app, specs, refresh)
    if graph.nodes:
        hosts, anew = {spec.host for spec in specs}, graph.nodes.keys() & set(refresh)
        result = await again.run(app, client, graph, hosts, refresh=anew)
        if not result.is_ok:
            return specs, result
        for spec in specs:
            node = image_id("image", spec)
            if node not in labels:
                image = result.outputs[node].image_id
                labels[node] = await app.labels.of(app, spec.host, image) or ""
    told = []
    for spec in specs:
        dev, label = devs[spec.pod_id], labels[image_id("image", spec)]
        try:
            told.append(await _told(app, client, where, (spec, dev), label))
        except NotTrusted:
            if _is_alone(client):
                await _mark(app, specs, is_unasked=True)
            raise
    await _mark(app, specs, is_unasked=False)
    return told, None


def _is_alone(client: Client) -> bool:
    """Nobody is there any more who could be asked."""
    return bool(client.request.args.get("no_wait"))


async def _mark(app: App, specs: list[PodSpec], *, is_unasked: bool) -> None:
    for key in [f"{UNASKED}/{spec.pod_id}" for spec in specs]:
        if bool(app.store.kv_get(key, None)) != is_unasked:
            await app.store.kv_set(key, is_unasked or None)


async def whole(
    app: App,
    client: Client,
    where: Target,
    spec: PodSpec,
    dev: DevConfig,
    *,
    refresh: Collection[str] = (),
) -> PodSpec:
    """As `made`, of one. Raises what went wrong."""
    devs = {spec.pod_id: dev}
    (found, *_), failed = await made(app, client, where, [spec], devs, refresh=refresh)
    for error in failed.errors.values() if failed else ():
        raise error
    return found


async def looked_at(app: App, where: Target, spec: PodSpec, dev: DevConfig) -> PodSpec:
    """For a plan: nothing is made, and of an image that is to be made anew the old one counts."""
    found = await of_old(app, spec, dev)
    return spec if found is dev else await _with(where, spec, found)


async def of_old(app: App, spec: PodSpec, dev: DevConfig) -> DevConfig:
    """With what the image says that was made last."""
    record = app.store.records.get(image_id("image", spec))
    image = ((record.output if record else None) or {}).get("image_id")
    try:
        label = await app.labels.of(app, spec.host, image) if image and dev.again else ""
    except (KeyError, RumpelError):  # its host is not to be had
        label = ""
    return await threads.call(dev.again, label) if label and dev.again else dev


async def _known(
    app: App, specs: list[PodSpec], refresh: Collection[str]
) -> tuple[dict[str, str], Graph]:
    """Labels by node of the image, and a graph of the nodes of which it is not known."""
    labels, graph = dict[str, str](), Graph("image")
    for spec in specs:
        node = image_id("image", spec)
        if node in labels or node in graph.nodes:
            continue
        one = Graph("image")
        add_image(one, spec, await image_specs.bases_of(spec))
        record = app.store.records.get(node)
        plan = app.engine.plan(one, refresh=one.nodes.keys() & set(refresh))
        if record is not None and record.output and plan.is_fresh:
            label = await app.labels.of(app, spec.host, str(record.output["image_id"]))
            if label is not None:
                labels[node] = label
                continue
        graph.merge(one)
    return labels, graph


async def _told(
    app: App, client: Client, where: Target, pod: tuple[PodSpec, DevConfig], label: str
) -> PodSpec:
    spec, dev = pod
    if not label or dev.again is None:  # `spec` may still have what an image before this one said
        return await _with(where, spec, dev)
    found = await threads.call(dev.again, label)
    for warning in found.warnings:
        client.warn(warning)
    own = {effect.key for effect in dev.effects}
    effects = [
        effect if effect.key in own else replace(effect, text=f"{effect.text}, as its image asks")
        for effect in found.effects
    ]
    await requests.agreed(app.store, where, client, effects, may_ask=not _is_alone(client))
    return await _with(where, spec, found)


async def _with(where: Target, spec: PodSpec, found: DevConfig) -> PodSpec:
    """The image stays: nothing that a label says is about it, and its context is not read again."""
    now = await requests.spec_now(where, found, spec, image=spec.image)
    return replace(now, prebuild=now.prebuild if spec.prebuild else None)
