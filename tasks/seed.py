"""The repository behind the remote `host` of all pods of one repo on one host.

A volume holds a bare repository, written by one small gateway container without a network and
mounted read-only in every pod. It is born whole: one tar of a packed repository goes into the
created, not yet started gateway, so a pod's creation does not grow with history. It is proven to
hold nothing but the branches while it is poured: no pod sees a volume before its gateway started.
Stale when the volume is gone or what lies in it is damaged: then it is poured once more, over what
is left while pods use it; a stopped or lost gateway is only replaced. Engine API:
`PUT /containers/{id}/archive`.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from rumpel import names
from rumpel.adapters import git, git_modules, git_seed, git_seed_packs, pod_link, threads
from rumpel.adapters.docker_api import DockerHost
from rumpel.engine import faults
from rumpel.engine.operation import OK, Context, Json, Policy, Probe, changed, gone, unknown
from rumpel.errors import Conflict
from rumpel.model import RepoRef
from rumpel.tasks.world import Poured, Tips, World

log = logging.getLogger(__name__)

KIND = "seed"
TITLE = "Seeding repository"
VERSION = 1
POLICY = Policy(slots=("create",), timeout_s=1800.0, retries=1)

GATEWAY = "gateway"
"""The kind in the labels of its container; the volume's is KIND."""
GATEWAY_LOOP = "trap 'exit 0' TERM INT; while :; do sleep 86400 & wait $!; done"


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    host: str
    repo: RepoRef
    image_id: str
    """Any image with git: runs the gateway, and is no part of the fingerprint."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    volume: str
    gateway_id: str


def fingerprint(inputs: Inputs) -> dict[str, Json]:
    return {"repo": inputs.repo.repo_id, "objectFormat": inputs.repo.object_format}


def check(world: World, inputs: Inputs, output: Output) -> Probe:
    snapshot = world.snapshot(inputs.host)
    if snapshot is None:
        return unknown(f"Docker on {inputs.host} does not answer")
    if output.volume not in snapshot.volumes:
        return gone("volume removed")
    state = snapshot.containers.get(output.gateway_id)
    if state is None:
        return gone("gateway removed")
    if state.status != "running":
        return changed(f"gateway is {state.status}")
    damage = world.by_hand.seed(inputs.repo, inputs.host)
    return OK if damage is None else changed(damage)


async def run(ctx: Context[World], inputs: Inputs) -> Output:
    world, repo = ctx.world, inputs.repo
    host = world.host(inputs.host)
    volume = names.seed_volume_name(repo.basename, repo.repo_id, world.home_id)
    is_damaged = world.by_hand.seed(repo, inputs.host) is not None
    if is_damaged:  # by the last look, which may be old: what follows is not for a mistake
        is_damaged = await world.by_hand.look_at_seed(repo, inputs.host) is not None
    if is_damaged:
        await _dismiss(world, inputs)
    poured: Poured = {}
    gateway_id = await _started(ctx, inputs)
    if gateway_id is None:
        is_new = await _cleared(host, volume)
        try:
            gateway_id, poured = await _seeded(ctx, inputs, volume, is_bold=is_new)
        except git_seed_packs.Unclean as error:
            log.info("seed of %s: %s", repo.basename, error.message)
            await undo(ctx, inputs)
            await host.remove_volume(volume)
            gateway_id, poured = await _seeded(ctx, inputs, volume, is_bold=False)
        # In a volume that was there, branches that were sent earlier lie over those just poured.
        if not (is_new or is_damaged):
            poured = {}
    await world.snapshots[inputs.host].refresh_volumes()
    world.saw(inputs.host, await host.inspect(gateway_id))
    await world.links.seeded(repo, inputs.host, poured)
    if is_damaged:
        await world.by_hand.mend_seed(repo, inputs.host)
    return Output(volume=volume, gateway_id=gateway_id)


async def undo(ctx: Context[World], inputs: Inputs) -> None:
    """A half-seeded gateway was never started; it goes, the next run makes it anew."""
    host = ctx.world.host(inputs.host)
    for state in await host.containers(_gateways(ctx.world, inputs.repo.repo_id)):
        if state.status == "created":
            await host.remove(state.id, force=True, volumes=True)


async def remove(world: World, *, repo_id: str, host_name: str) -> None:
    """The last pod of the repo went: gateway and volume go, by label only."""
    host = world.host(host_name)
    for state in await host.containers(_gateways(world, repo_id)):
        await host.remove(state.id, force=True, volumes=True)
        await faults.reach(f"{KIND}.gateway-removed")
    for volume in await host.volumes(world.label_filter(KIND, repo=repo_id)):
        await host.remove_volume(volume.name)


async def _dismiss(world: World, inputs: Inputs) -> None:
    """The next gateway gets all of the repository once more, over what is left in the volume."""
    await world.links.unseeded(inputs.repo, inputs.host)
    for state in await world.host(inputs.host).containers(_gateways(world, inputs.repo.repo_id)):
        await world.host(inputs.host).remove(state.id, force=True, volumes=True)


async def _started(ctx: Context[World], inputs: Inputs) -> str | None:
    """A gateway that ran before; one that never did goes."""
    host = ctx.world.host(inputs.host)
    for state in await host.containers(_gateways(ctx.world, inputs.repo.repo_id)):
        if state.status == "running":
            return state.id
        if state.status in ("exited", "paused"):
            await host.start(state.id)
            return state.id
        await host.remove(state.id, force=True, volumes=True)
    return None


async def _cleared(host: DockerHost, volume: str) -> bool:
    """There is no such volume now. One that pods use stays: it was seeded in full once.

    Any other may hold half a seed, or a pack that nobody has proven to be clean.
    """
    try:
        await host.remove_volume(volume)
    except Conflict:
        return False
    return True


async def _seeded(
    ctx: Context[World], inputs: Inputs, volume: str, *, is_bold: bool
) -> tuple[str, Poured]:
    host, repo = ctx.world.host(inputs.host), inputs.repo
    labels = ctx.world.labels(KIND, ctx.node_id, ctx.nonce)
    labels |= {names.LABEL_REPO: repo.repo_id, names.LABEL_REPO_PATH: repo.work_tree}
    await host.create_volume(volume, labels)
    ctx.fault("volume-created")
    name = names.gateway_name(repo.basename, repo.repo_id, ctx.world.home_id)
    labels |= {names.LABEL_KIND: GATEWAY}
    gateway_id = await host.create_container(name, gateway_body(inputs, volume, labels))
    ctx.fault("gateway-created")
    poured = await _pour(ctx, host, inputs, gateway_id, is_bold=is_bold)
    ctx.fault("seeded")
    await host.start(gateway_id)
    return gateway_id, poured


async def _pour(
    ctx: Context[World], host: DockerHost, inputs: Inputs, gateway_id: str, *, is_bold: bool
) -> Poured:
    """Tips are read before the pack is made: what moves meanwhile is sent again."""
    repo, poured, extras = await threads.call(_read, inputs.repo)
    version, text = pod_link.program(pod_link.DEFAULTS)
    files = {pod_link.program_file(version): text.encode()}
    scratch = ctx.world.scratch_dir
    async with git_seed.seed(repo, scratch, files, extras, is_bold=is_bold) as tar:
        await host.put_archive(gateway_id, names.SEED_PATH, tar)
    return poured


def _read(ref: RepoRef) -> tuple[git.Repo, Poured, list[git_seed.Extra]]:
    """The repository with the submodules that its HEAD has."""
    repo = git.reopen(ref.work_tree, ref.common_dir)
    poured, extras = {ref: _tips(repo)}, []
    for module in git_modules.find(repo, poured[ref][0].oid).modules:
        opened = git.reopen(module.repo.work_tree, module.repo.common_dir)
        poured[module.repo] = _tips(opened)
        folder = git_modules.seed_folder(module.repo)
        extras.append(git_seed.Extra(repo=opened, folder=folder, wanted=(module.oid,)))
    return repo, poured, extras


def _tips(repo: git.Repo) -> Tips:
    return git.head(repo), git.refs(repo, "refs/heads/")


def gateway_body(inputs: Inputs, volume: str, labels: dict[str, str]) -> dict[str, Json]:
    return {
        "Image": inputs.image_id,
        "User": "0",
        "Entrypoint": ["/bin/sh", "-c", GATEWAY_LOOP],
        "Cmd": [],
        "Labels": labels,
        "WorkingDir": "/",
        "HostConfig": {
            "NetworkMode": "none",
            "Init": True,
            "PidsLimit": 256,
            "LogConfig": {"Type": "json-file", "Config": {"max-size": "1m", "max-file": "1"}},
            "Mounts": [{"Type": "volume", "Source": volume, "Target": names.SEED_PATH}],
        },
    }


def _gateways(world: World, repo_id: str) -> list[str]:
    return world.label_filter(GATEWAY, repo=repo_id)
