"""The base image of a pod exists on its host: pulled, or built from a Dockerfile.

Stale when the reference, the Dockerfile, its context (.dockerignore honoured) or the build
settings change, when the image is gone, or when a tag it stands on names another image now.
One that this machine has of the very same step is brought to another host (`image_move`).
Engine API: `POST /images/create`, `POST /build`.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePath
from typing import Any

from rumpel.adapters import threads
from rumpel.adapters.docker_api import DockerHost
from rumpel.adapters.docker_images import BuildOptions
from rumpel.adapters.docker_types import ImageInfo
from rumpel.devcontainer.secret_values import mask, maskable
from rumpel.engine.operation import Context, Json, Policy, Probe, changed
from rumpel.errors import (
    CommandFailed,
    ConfigError,
    Conflict,
    HostUnreachable,
    NotFound,
    RumpelError,
)
from rumpel.names import slug
from rumpel.sealing import is_sealed, sealed, sealed_in
from rumpel.tasks import certificates, image_move
from rumpel.tasks.world import World

KIND = "image"
TITLE = "Preparing image"
VERSION = 1
POLICY = Policy(slots=("build",), timeout_s=3600.0, retries=1)

FOUND, PULLED, BUILT, MOVED = "found", "pulled", "built", "moved"
REPO_CHARS = 8
NOISE = (" --->", "Removing intermediate container ", "Successfully ", "sha256:")


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    host: str
    name: str
    """For people: part of the tag of a built image."""
    repo_id: str = ""
    ref: str | None = None
    dockerfile: str | None = None
    context: str | None = None
    context_key: str | None = None
    bases: tuple[str, ...] = ()
    args: dict[str, str]
    private_args: tuple[str, ...] = ()
    """Those whose whole values are nobody's business."""
    target: str | None = None
    cache_from: tuple[str, ...] = ()
    options: dict[str, Any]
    hidden: tuple[str, ...] = field(default=(), repr=False)
    """Values in `args` and `options` that are nobody's business."""
    certificates: tuple[str, ...] = ()
    is_nocache: bool = False
    """How it is made, should it have to be made: no part of the fingerprint."""
    is_pull: bool = False
    """Ask the registry, also where there is one of that name."""
    is_anew: bool = False
    """It was asked for by name: what another host has made does not count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    image_id: str
    user: str
    tag: str
    bases: dict[str, str]
    """Image id of each `FROM` reference at the time of the build."""
    how: str = ""
    """found, pulled, built or moved; empty where an older version made it."""


def fingerprint(inputs: Inputs) -> dict[str, Json]:
    if inputs.ref is not None:
        return {"image": inputs.ref}
    trusted = inputs.certificates
    return {
        **({"caCertificates": certificates.key(trusted)} if trusted else {}),
        "build.context": inputs.context_key,
        "build.args": sealed_in(sealed(inputs.args, inputs.private_args), inputs.hidden),
        "build.target": inputs.target,
        "build.cacheFrom": inputs.cache_from,
        "build.options": sealed_in(inputs.options, inputs.hidden),
    }


def check(world: World, inputs: Inputs, output: Output) -> Probe:
    snapshot = world.snapshot(inputs.host)
    if snapshot is None:
        return world.has_image(inputs.host, output.image_id)
    for ref, before in output.bases.items():
        now = snapshot.image_id(ref)
        if now is not None and now != before:  # the one before may be hidden by now, or be gone
            return changed(f"{ref} names another image now")
    return world.has_image(inputs.host, output.image_id)


async def run(ctx: Context[World], inputs: Inputs) -> Output:
    if inputs.ref is not None:
        return await _fetch(ctx, inputs, inputs.ref)
    return await _build(ctx, inputs)


async def undo(ctx: Context[World], inputs: Inputs) -> None:
    """Nothing to do: the engine keeps layers as cache, a tag is only set on success."""


async def _fetch(ctx: Context[World], inputs: Inputs, ref: str) -> Output:
    host = ctx.world.host(inputs.host)
    found, how = None if inputs.is_pull else await host.image(ref), FOUND
    if found is None:
        ctx.log(f"pulling {ref}")
        found, how = await _pulled(ctx, inputs, ref)
        await ctx.world.saw_image(inputs.host)
    return Output(image_id=found.id, user=found.user, tag=ref, bases={ref: found.id}, how=how)


async def _pulled(ctx: Context[World], inputs: Inputs, ref: str) -> tuple[ImageInfo, str]:
    """From its registry, which has the newest one; this machine's will do where that has none."""
    try:
        return await _pull(ctx, ctx.world.host(inputs.host), ref), PULLED
    except HostUnreachable:
        raise
    except RumpelError as error:
        ctx.log(error.message)
        found = await _brought(ctx, inputs)
        if found is None:
            raise
        return found, MOVED


async def _brought(ctx: Context[World], inputs: Inputs) -> ImageInfo | None:
    """The one that this machine has of the very same step, if it can be had."""

    def holds(output: Mapping[str, Any]) -> Probe:
        here = replace(inputs, host=image_move.HERE)
        return check(ctx.world, here, Output(**output))

    record = VERSION, fingerprint(inputs)
    return await image_move.brought(ctx, inputs.host, record, holds)


async def _pull(ctx: Context[World], host: DockerHost, ref: str) -> ImageInfo:
    try:
        return await host.pull(ref, ctx.log)
    except RumpelError as error:
        of_service = ctx.node_id.partition("//")[2]
        where = "in devcontainer.json, or the setting defaultImage"  # it is one of the two
        if of_service:
            where = f"of service {of_service} in the compose file"
        error.hint = error.hint or f"docker pull {ref}   (the name is `image` {where})"
        raise


async def _build(ctx: Context[World], inputs: Inputs) -> Output:
    if inputs.dockerfile is None or inputs.context is None:
        raise ConfigError("neither an image nor a Dockerfile is configured")
    host = ctx.world.host(inputs.host)
    is_anew = ctx.is_again or inputs.is_anew
    found, how = None if is_anew else await _brought(ctx, inputs), MOVED
    if found is None:
        found, how = await _built(ctx, inputs, inputs.context, inputs.dockerfile), BUILT
    bases = {}
    for ref in inputs.bases:
        base = await host.image(ref)
        if base is not None:
            bases[ref] = base.id
    await ctx.world.saw_image(inputs.host)
    tag = build_tag(inputs)
    return Output(image_id=found.id, user=found.user, tag=tag, bases=bases, how=how)


async def _built(ctx: Context[World], inputs: Inputs, context: str, dockerfile: str) -> ImageInfo:
    host = ctx.world.host(inputs.host)
    options = BuildOptions(
        args={**ctx.world.proxies.get(inputs.host, {}), **inputs.args},
        target=inputs.target or "",
        cache_from=inputs.cache_from,
        labels=ctx.world.image_labels(),
        tag=build_tag(inputs),
        is_nocache=inputs.is_nocache,
        is_pull=inputs.is_pull,
        extra=inputs.options,
    )
    if is_sealed([inputs.args, inputs.options]):
        raise Conflict(
            "the image is gone, and private values that it was built with are not kept",
            hint="rumpel create makes it again from the configuration",
        )
    hidden = maskable(inputs.hidden)
    on_line = without_noise(lambda line: ctx.log(mask(line, hidden)))
    try:
        async with _dockerfile(ctx, inputs, dockerfile) as path:
            image_id = await host.build_tree(context, path, options, on_line)
    except CommandFailed as error:  # a repository may have several
        name = PurePath(dockerfile).name
        told = error.message.replace(f"building {name} ", f"building {dockerfile} ")
        error.message = mask(told, hidden)
        raise
    ctx.fault("built")
    found = await host.image(image_id)
    if found is None:
        raise NotFound(f"image {image_id} was built but is not there")
    return found


@contextlib.asynccontextmanager
async def _dockerfile(ctx: Context[World], inputs: Inputs, path: str) -> AsyncIterator[str]:
    """The one to build with: the user's, or one that trusts more certificates."""
    if not inputs.certificates:
        yield path
        return
    users = {}
    for ref in inputs.bases:
        host = ctx.world.host(inputs.host)
        users[ref] = (await host.image(ref) or await _pull(ctx, host, ref)).user
    folder = ctx.world.scratch_dir / f"build-{ctx.attempt}-{ctx.nonce[:8]}"
    try:
        yield await threads.call(_written, inputs, Path(path), users, folder)
    finally:
        await threads.call(shutil.rmtree, folder, ignore_errors=True)


def _written(inputs: Inputs, path: Path, users: dict[str, str], folder: Path) -> str:
    """With the file that says what of the context it does not see."""
    folder.mkdir(mode=0o700)
    text = path.read_text(errors="surrogateescape")
    froms = dockerfile_froms(text, inputs.args)
    made = certificates.in_every_stage(text, inputs.certificates, users, froms)
    (folder / path.name).write_text(made, errors="surrogateescape")
    for ignore in (path.with_name(f"{path.name}.dockerignore"),):
        if ignore.is_file():
            shutil.copyfile(ignore, folder / ignore.name)
    return str(folder / path.name)


def without_noise(log: Callable[[str], None]) -> Callable[[str], None]:
    """The classic builder tells of every intermediate container and layer: nobody asked."""

    def on_line(line: str) -> None:
        if not line.startswith(NOISE) and line.strip() and certificates.FOLDER not in line:
            log(line)

    return on_line


def build_tag(inputs: Inputs) -> str:
    """The tag keeps a built image from `docker image prune`; it is never looked up by it.

    Of this repository: one of the same name and Dockerfile would take it away with its next build.
    """
    key = (inputs.context_key or "none").removeprefix("sha256:")[:16]
    return f"rumpel/{slug(inputs.name)}:{inputs.repo_id[:REPO_CHARS]}-{key}"


def dockerfile_bases(text: str, args: dict[str, str]) -> tuple[str, ...]:
    """References of the `FROM` lines that are no earlier stage, each once."""
    return tuple(dict.fromkeys(ref for ref in dockerfile_froms(text, args) if ref))


def dockerfile_froms(text: str, args: dict[str, str]) -> tuple[str, ...]:
    """The reference of each `FROM`, `ARG` before it expanded; empty for an earlier stage."""
    values: dict[str, str] = {}
    stages: set[str] = {"scratch"}
    found: list[str] = []
    for line in _logical_lines(text):
        words = line.split()
        if not words:
            continue
        if words[0].upper() == "ARG" and len(words) > 1:
            name, _, default = words[1].partition("=")
            values[name] = args.get(name, default.strip("\"'"))
        if words[0].upper() == "FROM":
            rest = [word for word in words[1:] if not word.startswith("--")]
            ref = _expand(rest[0], values) if rest else ""
            found.append("" if ref.lower() in stages else ref)
            if len(rest) == 3 and rest[1].upper() == "AS":
                stages.add(rest[2].lower())
    return tuple(found)


def _logical_lines(text: str) -> list[str]:
    joined: list[str] = []
    pending = ""
    for raw in text.splitlines():
        line = raw.strip()
        if line.startswith("#"):
            continue
        if line.endswith("\\"):
            pending += line[:-1] + " "
            continue
        joined.append(pending + line)
        pending = ""
    return joined


def _expand(word: str, values: dict[str, Any]) -> str:
    for name, value in values.items():
        word = word.replace("${" + name + "}", value).replace("$" + name, value)
    return word
