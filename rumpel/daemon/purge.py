"""`purge`, for `system-uninstall --purge`: all pods, the trash, and every object of ours.

What somebody made of such a one by hand (a container of an image of ours, an image of a pod, a
name of theirs for one) has our label, too, and stays.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rumpel import config as settings_module
from rumpel import names, text
from rumpel.adapters import docker_images, git, git_trash, threads
from rumpel.adapters.docker_api import DockerHost
from rumpel.daemon import gc, stop, trash
from rumpel.daemon.app import App
from rumpel.daemon.client import Client
from rumpel.daemon.garbage import IMAGE_KINDS, OWN_NAMES
from rumpel.daemon.pods import Pod, repo_ref
from rumpel.daemon.requests import Target
from rumpel.errors import Conflict, HostUnreachable, Partial, RumpelError
from rumpel.model import RepoRef
from rumpel.tasks import beside

KINDS = ("containers", "volumes", "images")


async def run(app: App, client: Client) -> dict[str, object]:
    """What goes, or with `dry_run` would. Nothing but pods goes while one of them is refused."""
    force = bool(client.request.args["force"])
    hosts = await _reached(app, client, force=force)
    if not force:
        await _look_for_strange(app, hosts)
    found = [entry async for entry in _trash(app)]
    data: dict[str, Any] = {
        "pods": [{"name": pod.name, "repo": pod.spec.repo.work_tree} for pod in app.pods.all()],
        "trash": [entry.pod for _, entries in found for entry in entries],
        **dict.fromkeys(KINDS, 0),
    }
    for host in hosts:
        for kind, count in zip(KINDS, map(len, await _objects(app, host)), strict=True):
            data[kind] += count
    if not client.request.args["dry_run"]:
        await _delete(app, client, force=force)
        async for repo, entries in _trash(app):
            await git_trash.expire(repo, entries)
        for host in hosts:
            if left := await _remove(app, host):
                client.warn(f"still there, something else stands on it: {text.listing(left)}")
    return {"result": data, "warnings": client.warnings, "exit_code": 0}


async def _reached(app: App, client: Client, *, force: bool) -> list[DockerHost]:
    """Raises HostUnreachable: what is there stays for ever when nobody knows of it any more."""
    found = []
    for name in gc.hosts(app):
        try:
            found.append(await app.host(name))
        except HostUnreachable as error:
            if not force:
                error.hint = "rumpel system-uninstall --purge --force   leaves what is there"
                raise
            client.warn(f"what is on {name} stays there: {error.message}")
    return found


async def _delete(app: App, client: Client, *, force: bool) -> None:
    """As `delete` does. Raises the error of a pod that was refused."""
    errors: dict[str, RumpelError] = {}
    for repo, pods in _by_repo(app):
        here = [pod for pod in pods if pod.spec.host in app.hosts]
        where = Target(
            repo=app.opened(repo),
            ref=repo,
            root=repo.work_tree,
            settings=settings_module.resolve(flags={}, env={}),
        )
        failed: dict[str, RumpelError] = {}
        await stop.deleted(app, client, where, here, errors=failed, force=force)
        errors |= {f"{repo.basename}/{name}": error for name, error in failed.items()}
    if errors:
        (name, first), *more = errors.items()
        hint = "rumpel system-uninstall --purge --force"
        if more:
            said = "; ".join(f"{name}: {error.message}" for name, error in errors.items())
            kind = type(first) if len({*map(type, errors.values())}) == 1 else Partial
            raise kind(f"{len(errors)} pods stay, and with them the rest: {said}", hint=hint)
        first.message, first.hint = f"{name} stays, and with it the rest: {first.message}", hint
        raise first


def _by_repo(app: App) -> Iterator[tuple[RepoRef, list[Pod]]]:
    for repo_id in sorted({pod.spec.repo.repo_id for pod in app.pods.all()}):
        pods = app.pods.of_repo(repo_id)
        yield pods[0].spec.repo, pods


async def _trash(app: App) -> Any:
    """Repositories with what of ours is in their trash."""
    for key, where in list(app.store.kv.items()):
        if key.startswith(trash.KNOWN):
            try:
                opened = await threads.call(git.reopen, where["work_tree"], where["common_dir"])
                yield opened, await trash.in_trash(app, repo_ref(opened))
            except RumpelError:  # a repository that is gone took its trash along
                continue


async def _look_for_strange(app: App, hosts: list[DockerHost]) -> None:
    """Raises Conflict: what is in a pod that nobody knows was not looked at."""
    label = f"{names.LABEL_HOME}={app.home_id}"
    for host in hosts:
        found = await host.containers([label, f"{names.LABEL_KIND}={names.POD}"])
        known = {pod.pod_id for pod in app.pods.all()}
        strange = [one.name for one in found if one.labels.get(names.LABEL_POD_ID) not in known]
        if strange:
            raise Conflict(
                f"there may be work in {text.listing(strange)}, which is in no list of pods",
                hint="rumpel system-uninstall --purge --force",
            )


async def _objects(app: App, host: DockerHost) -> tuple[list[str], list[str], dict[str, list[str]]]:
    """Ids of containers, names of volumes; ids of images with their names."""
    label = f"{names.LABEL_HOME}={app.home_id}"
    containers = await host.containers([label, names.LABEL_NONCE])
    return (
        [state.id for state in containers],
        [name for one in await host.volumes(label) for name in beside.volumes_of(one)],
        await _images(host, label),
    )


async def _images(host: DockerHost, label: str) -> dict[str, list[str]]:
    """As garbage.is_own has it."""
    found, of_kinds = await host.images(label), set(await host.images([label, names.LABEL_KIND]))
    for kind in filter(None, IMAGE_KINDS):
        of_kinds -= set(await host.images([label, f"{names.LABEL_KIND}={kind}"]))
    return {
        image_id: list(tags)
        for image_id, tags in found.items()
        if image_id not in of_kinds and all(tag.startswith(OWN_NAMES) for tag in tags)
    }


async def _remove(app: App, host: DockerHost) -> list[str]:
    """Images last, and those that another one stands on after it; what somebody else holds."""
    containers, volumes, images = await _objects(app, host)
    for container in containers:
        await host.remove(container, force=True, volumes=True)
    for network in await host.networks([f"{names.LABEL_HOME}={app.home_id}", names.LABEL_NONCE]):
        await host.remove_network(network.id)
    held = []
    for volume in volumes:
        try:
            await host.remove_volume(volume)
        except Conflict:
            held.append(f"volume {volume}")
    while images:
        for image_id, tags in images.items():
            for ref in tags or [image_id]:
                try:
                    await docker_images.remove(host.http, ref, force=False)
                except RumpelError:  # something stands on it, perhaps one that goes after it
                    continue
        left = (await _objects(app, host))[2]
        if len(left) >= len(images):
            break
        images = left
    return [*held, *(f"image {tags[0] if tags else image}" for image, tags in images.items())]
