"""The workspace of a pod is a clone of the host's repository, on the pod's own branch.

Borrowed objects, so its cost does not grow with history; a checkout baked into the image is
taken over with its ignored files and mtimes. Runs over the pod's link, without an exec. Stale
when the container is another one; then the pod's branches come back from the host, so that
nothing that was committed is lost with a container.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from rumpel.engine.operation import OK, Context, Json, Policy, Probe, changed
from rumpel.errors import RumpelError
from rumpel.tasks import ended, prebuilt
from rumpel.tasks.world import Access, PodAddress, Setup, World

KIND = "clone"
TITLE = "Cloning"
VERSION = 1
POLICY = Policy(slots=("create",), timeout_s=1800.0)

ANSWER = re.compile(r"(-|[0-9a-f]{40}(?:[0-9a-f]{24})?)( moved)?( no-lfs)?")
"""What a set-up may say; the pod is untrusted, and its answer becomes a ref of the user."""

AGAIN = "run the same again: that repository is made anew from the host's first"


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    address: PodAddress
    container_id: str
    user: str
    as_main: bool
    base_branch: str | None
    base_oid: str | None
    leaves_files: bool = False
    """To a snapshot, which a later node of the same graph puts there."""
    has_moved: bool = False
    """That is known already: the files were there before."""
    private: tuple[str, ...] = ()
    """Variables whose values nobody is to read in what the container printed."""
    carried_files: int = 0
    """So many came from an earlier container."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    container_id: str
    oid: str
    lacks_lfs: bool = False
    """The commit has large files of Git LFS, and the image nothing that knows them."""
    has_moved: bool = False
    """The content is another than that which the prebuild's commands ran on."""


def fingerprint(inputs: Inputs) -> dict[str, Json]:
    return {
        "container.id": inputs.container_id,
        "pod": inputs.address.pod_id,
        "workspaceFolder": inputs.address.workspace_folder,
    }


def check(world: World, inputs: Inputs, output: Output) -> Probe:
    state = world.container(inputs.address.host, output.container_id)
    if isinstance(state, Probe):
        return state
    if not inputs.leaves_files and world.links.lacks_files(inputs.address.pod_id):
        return changed("its files were left to a snapshot that did not come")
    return OK


async def run(ctx: Context[World], inputs: Inputs) -> Output:
    pod = inputs.address
    access = Access(
        container_id=inputs.container_id,
        user=inputs.user,
        as_main=inputs.as_main,
        is_set_up=False,
    )
    try:
        said = await _set_up(ctx, inputs, access)
    except RumpelError as error:
        if inputs.as_main:
            raise
        where = ctx.world, pod.host, pod.pod, inputs.container_id
        raise await ended.behind(error, *where, private=inputs.private) from error
    answer = ANSWER.fullmatch(said)
    if answer is None:
        raise RumpelError(f"pod {pod.pod!r} did not tell its commit: {said[:80]!r}")
    ctx.fault("cloned")
    return Output(
        container_id=inputs.container_id,
        oid=answer[1],
        has_moved=inputs.has_moved or answer[2] is not None,
        lacks_lfs=answer[3] is not None,
    )


async def _set_up(ctx: Context[World], inputs: Inputs, access: Access) -> str:
    """What the pod says of it."""
    links, pod = ctx.world.links, inputs.address
    await links.connect(pod, access)
    before = dict(links.branches(pod.pod_id))
    made = prebuilt.of_container(ctx.world, pod.host, inputs.container_id)
    setup = Setup(
        branch=pod.pod,
        oid=before.get(pod.pod, inputs.base_oid),
        upstream=inputs.base_branch,
        restore=before,
        prebuilt="" if made is None else made.key,
        leaves_files=inputs.leaves_files,
        is_carried=inputs.carried_files > 0,
    )
    try:
        return await links.set_up(pod, setup)
    except RumpelError as error:
        damage = await ctx.world.by_hand.look_at_seed(pod.repo, pod.host)
        if damage is None:
            raise
        raise RumpelError(
            f"{damage}: {error.message}", hint=AGAIN, details=error.details
        ) from error


async def undo(ctx: Context[World], inputs: Inputs) -> None:
    """Nothing to do: the set-up starts over until its marker is written."""
