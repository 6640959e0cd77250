"""What `doctor` finds that is ours and belongs to nothing any more: on engines, and here."""

from __future__ import annotations

import functools
import shlex
from collections.abc import Mapping, Sequence

from rumpel import names, text
from rumpel.daemon import gc, gc_here
from rumpel.daemon.app import App
from rumpel.daemon.finding import Finding
from rumpel.daemon.garbage import POD, is_left
from rumpel.daemon.hosts import LOCAL

CHECK = "leftovers"
SHOWN = 5
HERE = {
    "crash": ("crash-old", "crash report", "older than a week"),
    "database": ("database-aside", "database", "that could not be read, older than a week"),
    "import": ("import-left", "import folder", "of no pod"),
    "trash": ("trash-over", "deleted pod", "whose time in the trash is over"),
}
"""By the kind gc knows it by: code, noun, which."""


async def leftovers(app: App, host_name: str) -> list[Finding]:
    host, label = app.hosts[host_name], f"{names.LABEL_HOME}={app.home_id}"
    there = await host.containers(label)
    left = [state for state in there if is_left(app, state.labels)]
    lost = [state.name for state in left if state.labels.get(names.LABEL_KIND) == POD]
    containers = [state.name for state in left if state.name not in lost]
    volumes = [one.name for one in await host.volumes(label) if is_left(app, one.labels)]
    networks = [one.name for one in await host.networks(label) if is_left(app, one.labels)]
    images = old_images(app, await host.images(label), {state.image_id for state in there})
    place = "" if host_name == LOCAL else f" on {host_name}"
    found: list[Finding] = []
    if lost:  # with work in them, perhaps: a daemon that starts takes them in
        words = f"{text.count(len(lost), 'container')} of pods that are not in the list{place}"
        words, hint = f"{words}: {text.listing(lost[:SHOWN])}", "rumpel daemon restart"
        adopt = functools.partial(app.take_in, host_name) if host_name == LOCAL else None
        found.append(Finding(CHECK, "warning", words, hint, "left-pods", adopt))
    clean = functools.partial(_clean, app, host_name)
    for listed, noun, command in (
        (containers, "container", "docker rm -f -v"),
        (volumes, "volume", "docker volume rm"),
        (networks, "network", "docker network rm"),
    ):
        if listed:
            words = f"{text.count(len(listed), noun)} of no pod{place}"
            hint = _typed(command, listed) if not place else f"rumpel gc --host {host_name}"
            found.append(Finding(CHECK, "warning", words, hint, f"left-{noun}s", clean))
    if not found:
        found.append(Finding(CHECK, "ok", f"no container or volume of ours without a pod{place}"))
    if images:
        words = f"{text.count(len(images), 'image')} of earlier builds, as a cache{place}"
        found.append(Finding(CHECK, "ok", words, "rumpel gc"))
    return found


async def here(app: App) -> list[Finding]:
    """On this machine."""
    items = await gc_here.items(app)
    found = []
    for kind, (code, noun, which) in HERE.items():
        those = [item for item in items if item.kind == kind]
        if those:
            words = f"{text.count(len(those), noun)} {which}"
            clean = functools.partial(_clean_here, app, kind)
            found.append(Finding(CHECK, "warning", words, "rumpel gc", code, clean))
    return found


async def _clean(app: App, host_name: str) -> None:
    await gc.remove_objects(app, host_name)


async def _clean_here(app: App, kind: str) -> None:
    for item in await gc_here.items(app):
        if item.kind == kind:
            await gc_here.remove(app, item)


def old_images(app: App, made: Mapping[str, Sequence[str]], used: set[str]) -> list[str]:
    """Those of ours (id -> tags) that no step stands on and no container was made from."""
    for record in app.store.records.values():
        used.update(str(value) for value in (record.output or {}).values())
    return sorted(
        tags[0] if tags else image_id.removeprefix("sha256:")[:12]
        for image_id, tags in made.items()
        if used.isdisjoint((image_id, *tags))
    )


def _typed(command: str, found: list[str]) -> str:
    shown = found[:SHOWN]
    rest = "" if len(found) == len(shown) else f"   and {len(found) - len(shown)} more"
    return shlex.join([*command.split(), *shown]) + rest
