"""A dev container feature is installed on an image, as one layer more.

Content addressed: the same files with the same options on the same image are one image of a host,
whichever repository asks. Stale when any of these changes, or the image is gone.
Spec: containers.dev/implementors/features. Engine API: `POST /build`.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import shlex
import tarfile
from dataclasses import dataclass

from rumpel.engine.operation import Context, Json, Policy, Probe
from rumpel.errors import CommandFailed, Conflict
from rumpel.model import FeatureSpec
from rumpel.resources import resource_text
from rumpel.sealing import is_sealed
from rumpel.tasks import certificates, layer
from rumpel.tasks.world import World

KIND = "feature"
TITLE = "Installing feature"
VERSION = 1
POLICY = Policy(slots=("build",), timeout_s=3600.0)

FOLDER = "/tmp/rumpel-feature"  # noqa: S108 # in an image that is being built
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    host: str
    image_id: str
    image_user: str
    container_user: str | None
    remote_user: str | None
    feature: FeatureSpec
    certificates: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    image_id: str
    tag: str


def fingerprint(inputs: Inputs) -> dict[str, Json]:
    one, trusted = inputs.feature, inputs.certificates
    return {
        **({"caCertificates": certificates.key(trusted)} if trusted else {}),
        "image.id": inputs.image_id,
        "containerUser": _users(inputs)[0],
        "remoteUser": _users(inputs)[1],
        "files": one.content,
        "options": one.sealed_options,
        "containerEnv": one.container_env,
        "recipe": hashlib.blake2b(resource_text("feature.sh").encode(), digest_size=8).hexdigest(),
    }


def check(world: World, inputs: Inputs, output: Output) -> Probe:
    return world.has_image(inputs.host, output.image_id)


async def run(ctx: Context[World], inputs: Inputs) -> Output:
    tag, files = layer_tag(inputs), ctx.world.features

    def packed() -> bytes:
        _refuse_sealed(inputs.feature)
        return context(inputs, files.read(inputs.feature.content))

    try:
        image_id = await layer.made(ctx, inputs.host, tag, packed, is_new=ctx.is_again)
    except CommandFailed as error:
        one = inputs.feature
        error.message = f"feature {one.written} could not be installed: {error.message}"
        raise
    return Output(image_id=image_id, tag=tag)


async def undo(ctx: Context[World], inputs: Inputs) -> None:
    """Nothing to do: the tag is only set on success, layers are the engine's cache."""


def _refuse_sealed(one: FeatureSpec) -> None:
    if is_sealed(one.options):
        raise Conflict(
            f"what feature {one.written} was given of your environment is not kept",
            hint="rumpel create POD   reads the configuration again",
        )


def layer_tag(inputs: Inputs) -> str:
    text = json.dumps(fingerprint(inputs), sort_keys=True)
    return f"rumpel/feature:{hashlib.blake2b(text.encode(), digest_size=10).hexdigest()}"


def _users(inputs: Inputs) -> tuple[str, str]:
    """Who the container runs as, and who works in it."""
    container = (inputs.container_user or inputs.image_user).split(":")[0] or "root"
    return container, (inputs.remote_user or container).split(":")[0]


def context(inputs: Inputs, packed: bytes) -> bytes:
    """What is sent to the builder: a Dockerfile, the files, and the options for a shell."""
    lines = "".join(f"{name}={shlex.quote(value)}\n" for name, value in _options(inputs))
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, text in (("Dockerfile", dockerfile(inputs)), ("c/options.env", lines)):
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(text.encode()), 0o644
            tar.addfile(info, io.BytesIO(text.encode()))
        with tarfile.open(fileobj=io.BytesIO(packed), mode="r:") as files:
            for info in files:
                file = files.extractfile(info) if info.isreg() else None
                info.name = f"c/{info.name}"
                tar.addfile(info, file)
    return buffer.getvalue()


def _options(inputs: Inputs) -> list[tuple[str, str]]:
    return [(name, text) for name, text in inputs.feature.options.items() if NAME.fullmatch(name)]


def dockerfile(inputs: Inputs) -> str:
    lines = [f"FROM {inputs.image_id}", "USER root"]
    lines += certificates.lines(inputs.certificates, "root")
    for name, value in inputs.feature.container_env.items():
        # `$` stays: a feature puts itself before ${PATH}.
        escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ")
        lines.append(f'ENV {name}="{escaped}"')
    argv = ["/bin/sh", "-c", resource_text("feature.sh"), "rumpel", FOLDER, *_users(inputs)]
    lines += [f"COPY c {FOLDER}", f"RUN {json.dumps(argv)}"]
    if inputs.image_user:
        lines.append(f"USER {inputs.image_user}")
    return "\n".join(lines) + "\n"
