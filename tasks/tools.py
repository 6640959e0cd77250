"""A layer on the base image holds what pods need and the base lacks: git above all.

The layer also makes the workspace folder, owned by the workspace's user, and tells git that the
read-only repository behind the remote `host` is safe although another user owns it. Content
addressed, so every repository on a host shares it. Stale when the base image, the user, the
folder or the recipe changes. Engine API: `POST /build`.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from dataclasses import dataclass

from rumpel.engine.operation import Context, Json, Policy, Probe
from rumpel.errors import CommandFailed, ConfigError
from rumpel.names import SEED_PATH
from rumpel.resources import resource_text
from rumpel.tasks import certificates, layer
from rumpel.tasks.layer import NO_GIT, NO_USER
from rumpel.tasks.world import World

KIND = "tools"
TITLE = "Adding tools"
VERSION = 1
POLICY = Policy(slots=("build",), timeout_s=1800.0, retries=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    host: str
    image_id: str
    image_user: str
    user: str | None
    """remoteUser, else containerUser, else None for the image's own."""
    workspace_folder: str
    certificates: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    image_id: str
    user: str
    """User of the workspace, never empty."""
    tag: str


def fingerprint(inputs: Inputs) -> dict[str, Json]:
    trusted = inputs.certificates
    return {
        **({"caCertificates": certificates.key(trusted)} if trusted else {}),
        "image.id": inputs.image_id,
        "image.user": inputs.image_user,
        "remoteUser": inputs.user,
        "workspaceFolder": inputs.workspace_folder,
        "recipe": _recipe_digest(),
    }


def check(world: World, inputs: Inputs, output: Output) -> Probe:
    return world.has_image(inputs.host, output.image_id)


async def run(ctx: Context[World], inputs: Inputs) -> Output:
    user, tag = workspace_user(inputs), layer_tag(inputs)
    try:
        image_id = await layer.made(
            ctx, inputs.host, tag, lambda: _context(inputs, user), is_new=False
        )
    except CommandFailed as error:
        raise _explain(error, user) from error
    return Output(image_id=image_id, user=user, tag=tag)


async def undo(ctx: Context[World], inputs: Inputs) -> None:
    """Nothing to do: the tag is only set on success, layers are the engine's cache."""


def workspace_user(inputs: Inputs) -> str:
    return (inputs.user or inputs.image_user).split(":")[0] or "root"


def layer_tag(inputs: Inputs) -> str:
    key = hashlib.blake2b(
        json.dumps(fingerprint(inputs), sort_keys=True).encode(), digest_size=10
    ).hexdigest()
    return f"rumpel/tools:{key}"


def _recipe_digest() -> str:
    return hashlib.blake2b(_script().encode(), digest_size=8).hexdigest()


def _script() -> str:
    return resource_text("add.sh") + resource_text("tools.sh")


def _context(inputs: Inputs, user: str) -> bytes:
    """One RUN with the script in it: each further step costs the classic builder 0.1 s."""
    argv = ["/bin/sh", "-c", _script(), "rumpel", user, inputs.workspace_folder, SEED_PATH]
    lines = [f"FROM {inputs.image_id}"]
    is_root = inputs.image_user.split(":")[0] in ("", "root", "0")
    if not is_root:
        lines.append("USER root")
    lines += certificates.lines(inputs.certificates, "root")
    lines.append(f"RUN {json.dumps(argv)}")
    if not is_root:
        lines.append(f"USER {inputs.image_user}")
    text = ("\n".join(lines) + "\n").encode()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        info = tarfile.TarInfo("Dockerfile")
        info.size = len(text)
        tar.addfile(info, io.BytesIO(text))
    return buffer.getvalue()


def _explain(error: CommandFailed, user: str) -> Exception:
    """The script's own codes (see resources/tools.sh) as sentences."""
    tail = repr(error.details.get("tail", ""))
    if NO_USER in tail:
        return ConfigError(
            f"the image has no user {user!r}",
            hint="set remoteUser in devcontainer.json to a user of the image",
        )
    if NO_GIT in tail:
        return CommandFailed(
            "the image has no git, and it could not be added",
            hint="install git in the image (e.g. RUN apt-get update && apt-get install -y git)",
            details=error.details,
        )
    return error
