"""The first commands of new pods ran once, in an image that the pods of a repo start from.

onCreateCommand and updateContentCommand run in a builder, a container like a pod's that tells of
none: its labels are neutral, and the environment is given with each command, for a commit keeps
both. What cannot be had again from an image (a process that goes on, a commit, a ref) makes it
unfit, and so does a command that fails: then pods run the commands themselves. Stale when the base
image, a command, its user, folder or environment, or the content it depends on changes, and after
a while. Engine API: `POST /commit`.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass

from rumpel import names
from rumpel.adapters.docker_exec import Environment
from rumpel.adapters.docker_types import ImageInfo
from rumpel.cache.fingerprint import digest
from rumpel.engine.operation import OK, Context, Json, Policy, Probe, changed
from rumpel.errors import CommandFailed, Conflict, HostUnreachable, NotFound, RumpelError
from rumpel.model import ContainerSpec, HookSpec, RepoRef
from rumpel.tasks import builder, lifecycle, prebuilt
from rumpel.tasks.builder import Unfit
from rumpel.tasks.prebuilt import Prebuilt
from rumpel.tasks.shell import Where
from rumpel.tasks.world import World

KIND = "prebuild"
TITLE = "Prebuilding"
VERSION = 1
POLICY = Policy(slots=("lifecycle",), timeout_s=7200.0)

IMAGE = "prebuilt"
"""The kind in the labels of an image; KIND is that of a builder."""
KEPT = 3
"""Images of one repository on one host."""
MAX_LAYERS = 120
"""An engine takes 127 at most, and a prebuild adds two."""
MANY_FILES = 1000
"""A pod looks through so many in some hundredths of a second."""
HOUR_S = 3600.0
LIMIT_S = HOUR_S
"""As long as one command may take in a pod."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    host: str
    repo: RepoRef
    image_id: str
    user: str
    seed_volume: str
    spec: ContainerSpec
    hooks: tuple[HookSpec, ...]
    remote_env: dict[str, str | None]
    env_probe: str
    oid: str
    """Commit that is checked out; only its content counts."""
    tree: str
    inputs: str = ""
    """Digest of the declared inputs; without any the tree counts."""
    max_age_s: float
    least_s: float
    limit_s: float
    """Commands that take longer are given up: pods that wait for them run them themselves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    image_id: str
    """What pods start from: without a prebuild the image that there was."""
    key: str = ""
    unfit: str = ""
    """Why nothing was kept."""
    has_failed: bool = False
    made_at: float = 0.0
    elapsed_s: float = 0.0
    """Of the commands."""
    has_changes: bool = False
    """They left files in the workspace that git does not ignore."""


def fingerprint(inputs: Inputs) -> dict[str, Json]:
    spec = inputs.spec
    return {
        "image.id": inputs.image_id,
        "remoteUser": inputs.user,
        "workspaceFolder": spec.workspace_folder,
        **{hook.key: hook.steps for hook in inputs.hooks},
        "containerEnv": lifecycle.digests(spec.env),
        "remoteEnv": lifecycle.digests(inputs.remote_env),
        "userEnvProbe": inputs.env_probe,
        "runArgs": {
            "config": spec.config,
            "host": spec.host_config,
            "networking": spec.networking,
            "platform": spec.platform,
        },
        **({"prebuild.inputs": inputs.inputs} if inputs.inputs else {"tree": inputs.tree}),
    }


def check(world: World, inputs: Inputs, output: Output) -> Probe:
    there = world.has_image(inputs.host, output.image_id)
    if there is not OK:
        return there
    if output.has_failed:
        return changed("the command failed")
    if output.key and is_old(output.made_at, inputs):
        return changed(f"it is older than {inputs.max_age_s / HOUR_S:g} h")
    return OK


async def run(ctx: Context[World], inputs: Inputs) -> Output:
    host = ctx.world.host(inputs.host)
    await remove_builders(ctx.world, inputs.host, node_id=ctx.node_id)
    key = digest([inputs.repo.repo_id, fingerprint(inputs)])
    found = await host.image(tag(inputs.repo, key))
    if found is not None and (known := _adopted(ctx, inputs, found, key)) is not None:
        ctx.log("found the image of an earlier run")
        return known
    base = await host.image(inputs.image_id)
    if base is None:
        raise NotFound(f"image {inputs.image_id} is gone")
    try:
        return await _make(ctx, inputs, base, key)
    except HostUnreachable:
        raise
    except RumpelError as error:  # nothing of this may keep a pod from being made
        ctx.log(f"each pod runs the commands itself: {error.message}")
        is_final = isinstance(error, Unfit) and not error.may_go_another_time
        return Output(image_id=inputs.image_id, unfit=error.message, has_failed=not is_final)
    finally:
        await remove_builders(ctx.world, inputs.host, node_id=ctx.node_id)


async def undo(ctx: Context[World], inputs: Inputs) -> None:
    """The builder goes, and all that ran in it; an image is only tagged when it is whole."""
    await remove_builders(ctx.world, inputs.host, node_id=ctx.node_id)


def tag(repo: RepoRef, key: str) -> str:
    return f"rumpel/{names.slug(repo.basename)}-prebuild:{key[:16]}"


def is_old(made_at: float, inputs: Inputs) -> bool:
    return bool(inputs.max_age_s) and time.time() - made_at > inputs.max_age_s


async def remove_builders(world: World, host_name: str, *, node_id: str | None = None) -> None:
    """All of this state folder, or those of one node; what a kill left is found by its labels."""
    host = world.host(host_name)
    for state in await host.containers(world.label_filter(KIND)):
        if node_id in (None, state.labels.get(names.LABEL_NODE)):
            await host.remove(state.id, force=True, volumes=True)


def _adopted(ctx: Context[World], inputs: Inputs, found: ImageInfo, key: str) -> Output | None:
    made = prebuilt.read(found.labels, ctx.world.home_id)
    if made is None or made.key != key or is_old(made.made_at, inputs):
        return None
    return _output(found.id, made)


def _output(image_id: str, made: Prebuilt) -> Output:
    return Output(
        image_id=image_id,
        key=made.key,
        made_at=made.made_at,
        elapsed_s=made.elapsed_s,
        has_changes=made.has_changes,
    )


async def _make(ctx: Context[World], inputs: Inputs, base: ImageInfo, key: str) -> Output:
    """Raises Unfit when pods have to run the commands themselves."""
    _check(base)
    setting = builder.Setting(
        host=inputs.host,
        repo=inputs.repo,
        user=inputs.user,
        seed_volume=inputs.seed_volume,
        spec=inputs.spec,
        remote_env=inputs.remote_env,
        env_probe=inputs.env_probe,
    )
    begun_at = time.time()
    box = await builder.start(ctx, setting, inputs.image_id)
    _, (where, env) = await asyncio.gather(
        builder.set_up(ctx, setting, box, inputs.oid), builder.environment(ctx, setting, box)
    )
    ctx.fault("builder-ready")
    elapsed_s = await run_commands(ctx, inputs, where, env)
    ctx.fault("commands-ran")
    words = [key, inputs.tree, inputs.oid]
    state = await builder.look(ctx, setting, box, words)
    config = builder.judge(state, inputs.oid)
    if not state.is_same:
        await builder.leave(ctx, setting, box, [*words, config])
    made = Prebuilt(
        key=key,
        tree=inputs.tree,
        has_inputs=bool(inputs.inputs),
        commands={hook.key: _command(inputs, hook) for hook in inputs.hooks},
        made_at=begun_at,
        elapsed_s=elapsed_s,
        has_changes=state.has_changes,
        first=inputs.hooks[0].key,
    )
    is_large = state.files > MANY_FILES
    image_id = await _commit(ctx, setting, box, base, made, is_large=is_large)
    await ctx.world.saw_image(inputs.host)
    await _forget_old(ctx.world, setting, image_id)
    return _output(image_id, made)


def _check(base: ImageInfo) -> None:
    if base.volumes:
        raise Unfit(f"the image keeps {base.volumes[0]} in a volume, which no image can hold")
    if base.layers >= MAX_LAYERS:
        raise Unfit(f"the image has {base.layers} layers already")


async def run_commands(
    ctx: Context[World], inputs: Inputs, where: Where, env: Environment
) -> float:
    """Seconds they took."""
    begun, name = time.monotonic(), ""
    try:
        async with asyncio.timeout(inputs.limit_s):
            for hook in inputs.hooks:
                name = hook.key
                await lifecycle.run_hook(ctx, where, hook, env=env, token=builder.token(ctx))
    except CommandFailed as error:
        code = error.details.get("exit_code")
        raise Unfit(f"{name} exited with {code}", may_go_another_time=True) from error
    except TimeoutError as error:
        raise Unfit(
            f"{name} had not ended after {inputs.limit_s:.0f} s", may_go_another_time=True
        ) from error
    elapsed_s = time.monotonic() - begun
    if elapsed_s < inputs.least_s:
        raise Unfit(f"the commands took {elapsed_s:.1f} s only")
    return elapsed_s


def _command(inputs: Inputs, hook: HookSpec) -> str:
    return prebuilt.command_digest(
        hook,
        user=inputs.user,
        folder=inputs.spec.workspace_folder,
        remote_env=inputs.remote_env,
        probe=inputs.env_probe,
    )


async def _commit(
    ctx: Context[World],
    setting: builder.Setting,
    box: str,
    base: ImageInfo,
    made: Prebuilt,
    *,
    is_large: bool,
) -> str:
    """git's index knows a file by what is settled in the image only, such as its inode.

    Of many files that is put right in a second layer, else in each pod.
    """
    host, ref = ctx.world.host(setting.host), tag(setting.repo, made.key)
    label = {prebuilt.LABEL: prebuilt.label(made, ctx.world.home_id)}
    final = _image_config(ctx, setting, base, label)
    if is_large:
        first = await host.commit(box, "", _image_config(ctx, setting, base, {}))
        ctx.fault("half-committed")
        box, _ = await asyncio.gather(
            builder.start(ctx, setting, first), host.remove(box, force=True, volumes=True)
        )
        await builder.refresh(ctx, setting, box)
    image_id = await host.commit(box, ref, final)
    ctx.fault("committed")
    return image_id


def _image_config(
    ctx: Context[World], setting: builder.Setting, base: ImageInfo, more: dict[str, str]
) -> dict[str, Json]:
    """What the builder was started with goes; empty lists are said, or they would come from it."""
    labels = {
        **ctx.world.image_labels(),
        names.LABEL_KIND: IMAGE,
        names.LABEL_REPO: setting.repo.repo_id,
        names.LABEL_NODE: "",
        names.LABEL_NONCE: "",
        **more,
    }
    return {"Entrypoint": list(base.entrypoint), "Cmd": list(base.cmd), "Labels": labels}


async def _forget_old(world: World, setting: builder.Setting, newest: str) -> None:
    """The newest of a repository are kept, and those that a container was made of."""
    host = world.host(setting.host)
    found = await host.images(world.label_filter(IMAGE, repo=setting.repo.repo_id))
    infos = [info for ref in found if (info := await host.image(ref)) is not None]
    tagged = sorted(
        (info for info in infos if info.tags and info.id != newest),
        key=lambda info: info.created_at,
        reverse=True,
    )
    untagged = [info for info in infos if not info.tags and info.id != newest]
    for info in (*tagged[KEPT - 1 :], *untagged):
        with contextlib.suppress(Conflict):  # a container uses it
            await host.remove_image(info.tags[0] if info.tags else info.id)
