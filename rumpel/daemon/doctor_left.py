"""What `doctor` finds on an engine that is ours and belongs to nothing any more."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence

from rumpel import names, text
from rumpel.daemon.app import App

SHOWN = 5
Row = tuple[str, str, str | None]
"""State, text, hint."""
POD = "pod"
OF_REPOSITORIES = ("seed", "gateway")


async def leftovers(app: App, host_name: str) -> list[Row]:
    host, label = app.hosts[host_name], f"{names.LABEL_HOME}={app.home_id}"
    there = await host.containers(label)
    left = [state for state in there if is_left(app, state.labels)]
    lost = [state.name for state in left if state.labels.get(names.LABEL_KIND) == POD]
    containers = [state.name for state in left if state.name not in lost]
    volumes = [one.name for one in await host.volumes(label) if is_left(app, one.labels)]
    images = old_images(app, await host.images(label), {state.image_id for state in there})
    found: list[Row] = []
    if lost:  # with work in them, perhaps: a daemon that starts takes them in
        words = f"{text.count(len(lost), 'container')} of pods that are not in the list"
        found.append(("warning", f"{words}: {text.listing(lost[:SHOWN])}", "rumpel daemon restart"))
    if containers:
        found.append(_row(containers, "container", "docker rm -f -v"))
    if volumes:
        found.append(_row(volumes, "volume", "docker volume rm"))
    if not found:
        found.append(("ok", "no container or volume of ours without a pod", None))
    if images:
        _, words, hint = _row(images, "image", "docker image rm", "of earlier builds, as a cache")
        found.append(("ok", words, hint))
    return found


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


def old_images(app: App, made: Mapping[str, Sequence[str]], used: set[str]) -> list[str]:
    """Those of ours (id -> tags) that no step stands on and no container was made from."""
    for record in app.store.records.values():
        used.update(str(value) for value in (record.output or {}).values())
    return sorted(
        tags[0] if tags else image_id.removeprefix("sha256:")[:12]
        for image_id, tags in made.items()
        if used.isdisjoint((image_id, *tags))
    )


def _row(found: list[str], noun: str, command: str, which: str = "of no pod") -> Row:
    shown = found[:SHOWN]
    hint = shlex.join([*command.split(), *shown])
    rest = "" if len(found) == len(shown) else f"   and {len(found) - len(shown)} more"
    return "warning", f"{text.count(len(found), noun)} {which}", hint + rest
