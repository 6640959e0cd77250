"""`purge`, for `system-uninstall --purge`: all pods, the trash, and every object with our label."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rumpel import config as settings_module
from rumpel import names
from rumpel.adapters import git, git_trash, threads
from rumpel.adapters.docker_api import DockerHost
from rumpel.daemon import gc, stop, trash
from rumpel.daemon.app import App
from rumpel.daemon.client import Client
from rumpel.daemon.pods import Pod, repo_ref
from rumpel.daemon.requests import Target
from rumpel.errors import HostUnreachable, Partial, RumpelError
from rumpel.model import RepoRef

KINDS = ("containers", "volumes", "images")


async def run(app: App, client: Client) -> dict[str, object]:
    """What goes, or with `dry_run` would. Nothing but pods goes while one of them is refused."""
    force = bool(client.request.args["force"])
    hosts = await _reached(app, client, force=force)
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
            await _remove(app, host)
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


async def _objects(app: App, host: DockerHost) -> tuple[list[str], list[str], list[str]]:
    label = f"{names.LABEL_HOME}={app.home_id}"
    return (
        [state.id for state in await host.containers(label)],
        [volume.name for volume in await host.volumes(label)],
        list(await host.images(label)),
    )


async def _remove(app: App, host: DockerHost) -> None:
    """Images last, and those that another one stands on after it."""
    containers, volumes, images = await _objects(app, host)
    for container in containers:
        await host.remove(container, force=True, volumes=True)
    for volume in volumes:
        await host.remove_volume(volume)
    while images:
        for image in images:
            try:
                await host.remove_image(image, force=True)
            except RumpelError:  # it is stood upon by one that goes after it
                continue
        left = (await _objects(app, host))[2]
        if len(left) >= len(images):
            raise Partial(f"{len(left)} images are still there: something else uses them")
        images = left
