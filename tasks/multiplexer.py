"""A session of an agent lives in `screen` or `tmux`; a container that has neither gets one.

Through the image's own package manager, as root, in the container: so it is there for as long as
that is, and who wants it sooner has it in the image. Engine API: `POST /containers/{id}/exec`.
"""

from __future__ import annotations

from dataclasses import dataclass

from rumpel.engine.operation import OK, Context, Json, Policy, Probe, gone, unknown
from rumpel.errors import CommandFailed
from rumpel.resources import resource_text
from rumpel.tasks.image import without_noise
from rumpel.tasks.world import World

KIND = "multiplexer"
TITLE = "Adding screen"
VERSION = 1
LIMIT_S = 300.0
POLICY = Policy(timeout_s=LIMIT_S + 60, retries=0)

# RHEL and its like have no screen, but tmux.
SCRIPT = """
export DEBIAN_FRONTEND=noninteractive
has() { command -v screen >/dev/null 2>&1 || command -v tmux >/dev/null 2>&1; }
has || add screen || add tmux
has
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    host: str
    container_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    container_id: str


def fingerprint(inputs: Inputs) -> dict[str, Json]:
    return {"container.id": inputs.container_id}


def check(world: World, inputs: Inputs, output: Output) -> Probe:
    snapshot = world.snapshot(inputs.host)
    if snapshot is None:
        return unknown(f"Docker on {inputs.host} does not answer")
    return OK if output.container_id in snapshot.containers else gone("container removed")


async def run(ctx: Context[World], inputs: Inputs) -> Output:
    quiet = without_noise(ctx.log)

    def hear(kind: int, data: bytes) -> None:
        for line in data.decode("utf-8", "replace").splitlines():
            if not line.startswith("(Reading database"):  # once for each twentieth of it
                quiet(line)

    done = await ctx.world.host(inputs.host).exec_run(
        inputs.container_id,
        ["/bin/sh", "-c", resource_text("add.sh") + SCRIPT],
        user="0",
        cwd="/",
        timeout_s=LIMIT_S,
        max_output_bytes=64 << 10,
        on_output=hear,
    )
    if done.code != 0:
        raise missing()
    return Output(container_id=inputs.container_id)


def missing() -> CommandFailed:
    return CommandFailed(
        "the pod has neither screen nor tmux, and none could be added",
        hint="install it in the image: RUN apt-get update && apt-get install -y screen",
    )


async def undo(ctx: Context[World], inputs: Inputs) -> None:
    """What a package manager did in part it takes up again."""
