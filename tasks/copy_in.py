"""Files of the host that git does not have are in a new pod: those that `copyIn` names (`.env`).

They come from this machine over an exec stream, wherever the pod is, and only into its container:
never into an image. What the pod has stays as it is; nothing is written through a link that lies
there. They belong to the pod from then on: what becomes of them here changes no pod, and a pod that
is recreated keeps its own. Git in the pod ignores them, so no commit has them; what it would not
ignore stays here. Stale when the container is another one that has nothing of the one before.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from rumpel import text
from rumpel.adapters import untracked
from rumpel.adapters.docker_types import Completed
from rumpel.adapters.tar_stream import Changed
from rumpel.engine.operation import OK, Context, Json, Policy, Probe
from rumpel.errors import Conflict, RumpelError
from rumpel.resources import resource_text
from rumpel.tasks import carry, kept_out
from rumpel.tasks.world import PodAddress, World

KIND = "copy-in"
TITLE = "Copying files in"
VERSION = 1
POLICY = Policy(slots=("create",), timeout_s=1800.0)

COPY_TIMEOUT_S = 1500.0
TIMES_TRIED = 3
TOLD = 100
"""So many names are written down."""
LOOK = "rumpel enter {} --ignore-failed   goes in to look"
UNSAFE = "would not ignore it (its .gitignore un-ignores it, or it lies in a submodule)"
WHY = {
    91: "the pod's user may not write there",
    96: "there is no `tar` in the pod",
}
"""Exit codes of pod_receive.sh, but for those where it says more."""


class _InPod(RumpelError):
    """It is the pod's fault."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    address: PodAddress
    container_id: str
    user: str
    patterns: tuple[str, ...]
    files: tuple[str, ...] | None = None
    """What they name on this machine, where that was looked for just now."""
    is_kept: bool = False
    """The workspace is that of an earlier container, which had been given its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    container_id: str
    files: int = 0
    names: tuple[str, ...] = ()
    """The first of them."""
    left: tuple[str, ...] = ()
    """Files and folders of the pod's own that stayed as they were; the first."""
    gone: tuple[str, ...] = ()
    """That went on this machine before they were read; the first."""
    refused: tuple[str, ...] = ()
    """That git in the pod would not ignore; the first."""
    untold: tuple[tuple[str, str], ...] = ()
    """Those of them that it could not be told to ignore, each with the reason."""


def fingerprint(inputs: Inputs) -> dict[str, Json]:
    return {
        "container.id": inputs.container_id,
        "pod": inputs.address.pod_id,
        "copyIn": list(inputs.patterns),
    }


def check(world: World, inputs: Inputs, output: Output) -> Probe:
    state = world.container(inputs.address.host, output.container_id)
    return state if isinstance(state, Probe) else OK


async def run(ctx: Context[World], inputs: Inputs) -> Output:
    if inputs.is_kept:
        return Output(container_id=inputs.container_id)
    names = inputs.files
    if names is None:
        repo = inputs.address.repo
        names = (await untracked.named(repo.work_tree, repo.common_dir, inputs.patterns)).names
    if not names:
        return Output(container_id=inputs.container_id)
    place = carry.Place(
        host=ctx.world.host(inputs.address.host),
        container_id=inputs.container_id,
        folder=inputs.address.workspace_folder,
        user=inputs.user,
    )
    try:
        refused = await _kept_out(ctx, place, names)
        ctx.fault("excluded")
        names = tuple(sorted({*names} - {*refused}))
        left, gone = await _copied(ctx, inputs, place, names) if names else ({}, [])
        ctx.fault("copied")
    except _InPod as error:
        pod = inputs.address.pod
        error.hint = (
            f"rumpel create {pod}   goes on here when that is put right; {LOOK.format(pod)}"
        )
        raise
    came = sorted({*names} - {*gone} - left.keys())
    ctx.log(f"{text.count(len(came), 'file')} copied")
    return Output(
        container_id=inputs.container_id,
        files=len(came),
        names=_told(came),
        left=_told(sorted({*left.values()})),
        gone=_told(gone),
        refused=_told([*refused]),
        untold=tuple((text.safe(name), why) for name, why in [*refused.items()][:TOLD] if why),
    )


async def undo(ctx: Context[World], inputs: Inputs) -> None:
    """Nothing to do: what is not whole is beside its place, and goes with its stream."""


def _told(names: list[str]) -> tuple[str, ...]:
    return tuple(text.safe(name) for name in names[:TOLD])


def unsafe(why: str) -> str:
    """What is said of such files; `why`: git could not be told."""
    return f"could not be told to ignore it ({text.safe(why)})" if why else UNSAFE


async def _kept_out(
    ctx: Context[World], place: carry.Place, names: tuple[str, ...]
) -> dict[str, str]:
    """Those that do not come, as somebody could commit them."""
    try:
        found = dict(sorted((await kept_out.refused(place, names)).items()))
    except kept_out.NotToldError as error:
        what = "git in the pod could not be told to ignore the files of copyIn"
        raise _failed(error.done, what) from error
    for name, why in [*found.items()][:TOLD]:
        ctx.log(f"not copied, as git in the pod {unsafe(why)}: {text.safe(name)}")
    return found


async def _copied(
    ctx: Context[World], inputs: Inputs, place: carry.Place, names: tuple[str, ...]
) -> tuple[dict[str, str], list[str]]:
    """Those of them in whose place the pod has something, and what; and what is there no more."""
    work_tree = inputs.address.repo.work_tree
    for number in range(1, TIMES_TRIED + 1):
        mark, gone = secrets.token_hex(8), list[str]()
        try:
            done = await place.host.exec_run(
                place.container_id,
                _receiver(place, mark),
                user=place.user,
                cwd="/",
                env={"LC_ALL": "C.UTF-8"},
                input=untracked.tar(work_tree, names, mark, gone),
                timeout_s=COPY_TIMEOUT_S,
            )
        except Changed as error:
            ctx.log(error.message)
            if number < TIMES_TRIED:
                continue
            raise Conflict(
                f"a file of copyIn does not stay as it is: {error.message}",
                hint="end what writes it, then run the same again: it goes on here",
            ) from error
        break
    if done.code:
        raise _failed(done, "the files of copyIn could not be copied into the pod")
    return _left(done.stdout, names), gone


def _receiver(place: carry.Place, mark: str) -> list[str]:
    words = [f"{place.folder}/.", "content", "", mark, "", "1", "", place.container_id]
    return ["/bin/sh", "-c", resource_text("pod_receive.sh"), "rumpel-copy-in", *words]


def _left(said: bytes, names: tuple[str, ...]) -> dict[str, str]:
    """Raises RumpelError when the pod did not say that all is in its place."""
    *left, last = said.removeprefix(b"go\n").split(b"\0")
    if not last.startswith(b"done "):
        raise RumpelError("the pod did not say that the files of copyIn are whole")
    there = {*left}
    return {
        name: kept_out.as_text(above)
        for name in names
        for above in kept_out.upwards(kept_out.as_bytes(name))
        if above in there
    }


def _failed(done: Completed, what: str) -> _InPod:
    said = " ".join(done.stderr.decode("utf-8", "replace").split())[-300:]
    return _InPod(f"{what}: {WHY.get(done.code) or said or f'exit code {done.code}'}")
