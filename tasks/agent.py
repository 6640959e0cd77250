"""The program of an agent lies in the engine's volume of agents, from where each pod runs it.

One copy for an engine, package, version and platform, as npm packages it: with `npm` where the
host has it (its registries, credentials and cache count), else read from the registry that npm's
own variables name. A file that is written last says that a copy is whole. Engine API: `POST
/containers/create` (never started), `PUT /containers/{id}/archive`.
"""

from __future__ import annotations

import posixpath
import shutil
from dataclasses import dataclass

from rumpel import names
from rumpel.adapters import npm, threads
from rumpel.engine.operation import OK, Context, Json, Policy, Probe, gone, unknown
from rumpel.errors import NotFound
from rumpel.tasks import mountpoint
from rumpel.tasks.world import World

KIND = "agent"
TITLE = "Installing agent"
VERSION = 1
POLICY = Policy(slots=("build",), timeout_s=1800.0, retries=1)

DONE = ".whole"


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    host: str
    package: str
    version: str
    folder: str
    """In the volume."""
    program: str
    """In the package, which may hold it compressed (`.br`)."""
    image_id: str
    """Any image: its container only holds the volume, and is never started."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    volume: str
    folder: str


def fingerprint(inputs: Inputs) -> dict[str, Json]:
    return {"package": inputs.package, "version": inputs.version, "folder": inputs.folder}


def check(world: World, inputs: Inputs, output: Output) -> Probe:
    snapshot = world.snapshot(inputs.host)
    if snapshot is None:
        return unknown(f"Docker on {inputs.host} does not answer")
    return OK if output.volume in snapshot.volumes else gone("volume removed")


async def run(ctx: Context[World], inputs: Inputs) -> Output:
    host, volume = ctx.world.host(inputs.host), names.agents_volume_name(ctx.world.home_id)
    holder = await _holder(ctx, inputs, volume)
    try:
        if await _is_whole(ctx, holder, inputs):
            ctx.log("found the copy of an earlier run")
        else:
            await _copy(ctx, holder, inputs)
    finally:
        await host.remove(holder, force=True)
    await ctx.world.snapshots[inputs.host].refresh_volumes()
    return Output(volume=volume, folder=inputs.folder)


async def undo(ctx: Context[World], inputs: Inputs) -> None:
    """What was copied in part has no mark, and is written over by the next run."""


async def _holder(ctx: Context[World], inputs: Inputs, volume: str) -> str:
    """A container that has the volume and never runs; that of a killed daemon goes first."""
    host, name = ctx.world.host(inputs.host), f"{volume}-{inputs.folder.replace('/', '-')}"
    for state in await host.containers(ctx.world.label_filter(KIND)):
        if state.name == name and state.status == "created":
            await host.remove(state.id, force=True)
    labels = ctx.world.labels(mountpoint.AGENTS, ctx.node_id, ctx.nonce)
    await host.create_volume(volume, labels)
    body = {
        "Image": inputs.image_id,
        "Entrypoint": ["/rumpel"],
        "Labels": ctx.world.labels(KIND, ctx.node_id, ctx.nonce),
        "NetworkDisabled": True,
        "HostConfig": {
            "NetworkMode": "none",
            "Mounts": [{"Type": "volume", "Source": volume, "Target": names.AGENTS_PATH}],
        },
    }
    return await host.create_container(name, body)


async def _is_whole(ctx: Context[World], holder: str, inputs: Inputs) -> bool:
    path = posixpath.join(names.AGENTS_PATH, inputs.folder, DONE)
    try:
        async with ctx.world.host(inputs.host).get_archive(holder, path) as pieces:
            return bool([piece async for piece in pieces])
    except NotFound:
        return False


async def _copy(ctx: Context[World], holder: str, inputs: Inputs) -> None:
    scratch = ctx.world.scratch_dir / f"agent-{ctx.attempt}-{ctx.nonce[:8]}"
    await threads.call(scratch.mkdir)
    try:
        ctx.log(f"{inputs.package} {inputs.version}")
        packed = await npm.fetch(inputs.package, inputs.version, scratch)
        ctx.fault("fetched")
        tar = scratch / "agent.tar"
        await threads.call(
            npm.unpack, packed, tar, folder=inputs.folder, program=inputs.program, mark=DONE
        )
        await ctx.world.host(inputs.host).put_archive(holder, names.AGENTS_PATH, tar)
        ctx.fault("copied")
    finally:
        await threads.call(shutil.rmtree, scratch, ignore_errors=True)
