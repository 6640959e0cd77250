"""The pod has a container that is made of what it should be made of, with all work in it.

The old one is stopped, and stays: the new one is made beside it under the name `NAME-new`, the
workspace is carried over and compared, then it is started. Until `retire` gives it the old one's
name, whatever goes wrong is undone by removing the new one and starting the old one again: what
their names say is all that is needed for that. Nothing happens where the container is right
already. It starts from a prebuild when the pod's files are those that its commands depend on, which
is certain only when nobody works in the old one any more: else all is done once more from the plain
image, and the commands run in it. Engine API: `/stop`, `/create`, `/archive`, `/start`, `/rename`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TypeVar

from rumpel import names
from rumpel.adapters.docker_types import ContainerState
from rumpel.engine.operation import Context, Json, Policy, Probe, changed
from rumpel.errors import Conflict, HostUnreachable, NameTaken, NotFound, RumpelError
from rumpel.tasks import alike, carry, container, ended, mountpoint, pod_binds, prebuilt
from rumpel.tasks import seen as seen_by
from rumpel.tasks.prebuilt import Prebuilt
from rumpel.tasks.seen import Seen
from rumpel.tasks.world import Access, PodAddress, World

log = logging.getLogger(__name__)

KIND = "replace"
TITLE = "Replacing container"
VERSION = 2
POLICY = Policy(slots=("create",), timeout_s=3600.0)

A = TypeVar("A")
B = TypeVar("B")
TIMES_TRIED = 3
TOLD = 100
"""So many of what goes are written down."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs(container.Inputs):
    """What the new one is made of, and how to reach the old one."""

    old: Access | None
    old_folder: str
    kept: tuple[str, ...]
    """Patterns of ignored files that come along."""
    named: tuple[str, ...] = ()
    """Those of them that were asked for just now."""
    was_running: bool
    force: bool
    """Also when nothing it is made of has changed."""
    reads: tuple[str, ...] = ()
    """Patterns of the files that a prebuild's commands depend on; none = every file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    container_id: str
    """Empty: the pod has none, and nothing was carried."""
    files: int
    gone: tuple[tuple[str, int], ...] = ()
    """Ignored files and folders that did not come along, with how many files; the largest."""
    more_gone: int = 0
    """How many besides these."""
    unmatched: tuple[str, ...] = ()
    """Patterns of `named` that nothing in the workspace has."""
    has_moved: bool = False
    """It started from a prebuild, whose commands ran on another content than the pod has."""
    mixed: str = ""
    """Why it did not start from the prebuild, where that would be the same another time."""
    is_kept: bool = False
    """The pod has the workspace that it had: it came over, or is where it was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How it is tried."""

    made: Prebuilt | None
    """What the new one starts from; None = the plain image."""
    may_skip: bool = True
    """Ignored files stay behind already when the workspace is carried over."""
    seen: Seen | None = None
    """What the old one told before it was stopped, if it was asked."""
    mixed: str = ""


def fingerprint(inputs: Inputs) -> dict[str, Json]:
    return {**container.fingerprint(inputs), "force": inputs.force}


def check(world: World, inputs: Inputs, output: Output) -> Probe:
    return changed("asked for every time")


async def run(ctx: Context[World], inputs: Inputs) -> Output:
    found = await containers(ctx.world, container.address(inputs))
    is_half = len(found) > 1 or any(names.place_in_line(one.name) > 0 for one in found)
    if is_half or (inputs.was_running and not _runs(found)):
        await settle(ctx.world, container.address(inputs), old=inputs.old, start=inputs.was_running)
        found = await containers(ctx.world, container.address(inputs))
    if not found:
        return Output(container_id="", files=0)
    old = found[0]
    is_right = await container.is_right(ctx.world, inputs, old)
    if (is_right and not inputs.force) or old.status == "created" or inputs.old is None:
        is_kept = old.status != "created" and inputs.old is not None and inputs.old.is_set_up
        return Output(container_id=old.id, files=0, is_kept=is_kept)
    can_ask = old.status == "running" and inputs.old.is_set_up
    way = Way(made=await _prebuilt(ctx.world, inputs) if can_ask else None)
    for _ in range(TIMES_TRIED):
        done = await _replace(ctx, inputs, old, inputs.old, way)
        if isinstance(done, Output):
            return replace(done, is_kept=inputs.old.is_set_up)
        way = done
        await _remove_coming(ctx.world, container.address(inputs))
    raise RumpelError("the workspace changed while it was carried over")


async def _prebuilt(world: World, inputs: Inputs) -> Prebuilt | None:
    """Files of its commands that git does not ignore could not be told from the pod's own."""
    if inputs.start_image in ("", inputs.image_id):
        return None
    image = await world.host(inputs.host).image(inputs.start_image)
    made = None if image is None else prebuilt.read(image.labels, world.home_id)
    return None if made is None or made.has_changes else made


async def undo(ctx: Context[World], inputs: Inputs) -> None:
    """The pod is as it was."""
    await settle(ctx.world, container.address(inputs), old=inputs.old, start=inputs.was_running)


async def containers(world: World, pod: PodAddress) -> list[ContainerState]:
    """Those of the pod; its own one first."""
    found = await world.host(pod.host).containers(world.label_filter("pod", pod_id=pod.pod_id))
    return sorted(found, key=lambda state: names.place_in_line(state.name))


async def settle(world: World, pod: PodAddress, *, old: Access | None, start: bool) -> bool:
    """What an interrupted replacement left: finished when the swap had begun, else taken back.

    Idempotent, and by names alone: `NAME-old` is there only when the new one was found good.
    Answers whether it was taken back.
    """
    found = {names.place_in_line(state.name): state for state in await containers(world, pod)}
    if 2 in found and (0 in found or 1 in found):
        await remove(world, pod, await swap(world, pod, (found.get(0) or found[1]).id))
        return False
    if 1 in found and 0 in found:
        await world.links.close(pod.pod_id)
        await world.host(pod.host).remove(found[1].id, force=True, volumes=True)
    elif 1 in found or 2 in found:  # the other one was removed by hand
        (left,) = found.values()
        await world.host(pod.host).rename(left.id, names.own_name(left.name))
        return False
    if start and old is not None and 0 in found and not _runs([found[0]]):
        await _start_again(world, pod, old)
    return True


def _runs(found: list[ContainerState]) -> bool:
    return bool(found) and found[0].status in ("running", "paused")


async def swap(world: World, pod: PodAddress, container_id: str) -> tuple[str, ...]:
    """The new one takes the place of the others; answers those, which are to go."""
    host, found = world.host(pod.host), await containers(world, pod)
    others = [state for state in found if state.id != container_id]
    new = next((state for state in found if state.id == container_id), None)
    if new is None:  # by other hands, or its engine does not tell the truth
        raise NotFound(
            f"the new container of pod {pod.pod!r} is gone; the one before it was kept",
            hint=f"rumpel recreate {pod.pod}   tries again",
        )
    for state in others:
        if names.place_in_line(state.name) == 0:
            await host.rename(state.id, state.name + names.ASIDE)
    if names.place_in_line(new.name):
        await host.rename(new.id, names.own_name(new.name))
    return tuple(state.id for state in others)


async def remove(world: World, pod: PodAddress, container_ids: Iterable[str]) -> None:
    """Idempotent."""
    for container_id in container_ids:
        await world.host(pod.host).remove(container_id, force=True, volumes=True)


async def _start_again(world: World, pod: PodAddress, old: Access) -> None:
    """One that cannot be started (a service in whose network it was is gone) stays stopped."""
    try:
        await pod_binds.refuse_links(world, pod, old.container_id)
        await world.links.prepare(pod, old)
        await world.host(pod.host).start(old.container_id)
    except RumpelError as error:
        if isinstance(error, HostUnreachable):
            raise
        log.warning("pod %s stays stopped: %s", pod.pod, error.message)
        await world.links.close(pod.pod_id)
        return
    await world.started(pod.host, old.container_id)
    if old.is_set_up:
        await world.links.connect(pod, old)


async def _remove_coming(world: World, pod: PodAddress) -> None:
    for state in await containers(world, pod):
        if names.place_in_line(state.name) == 1:
            await world.links.close(pod.pod_id)
            await world.host(pod.host).remove(state.id, force=True, volumes=True)


async def _replace(
    ctx: Context[World], inputs: Inputs, old: ContainerState, access: Access, way: Way
) -> Output | Way:
    """The way to try next when this one does not do."""
    place = carry.Place(
        host=ctx.world.host(inputs.host),
        container_id=old.id,
        folder=inputs.old_folder,
        user=access.user,
    )
    is_asked = way.may_skip and way.seen is None and old.status == "running" and access.is_set_up
    new_id, seen = await _both(
        _create(ctx, inputs, old, way.made), _halt(ctx, inputs, old, place if is_asked else None)
    )
    ctx.fault("created")
    seen = seen or way.seen
    new = replace(place, container_id=new_id, folder=inputs.spec.workspace_folder, user=inputs.user)
    carried, same = None, frozenset[bytes]()
    if access.is_set_up:
        carried, same = await _carry(inputs, place, new, seen or Seen(), made=way.made)
    ctx.fault("carried")
    if carried is None and way.made is not None:
        return Way(made=None, seen=seen)
    await _start(ctx, inputs, new, carried, seen)
    left: Mapping[bytes, int] | None = {}
    has_moved = False
    if carried is not None and way.made is not None:
        try:
            left, has_moved = await _fitted(inputs, new, carried, way.made, same)
        except HostUnreachable:
            raise
        except RumpelError as error:
            return _plainly(ctx, seen, error)
    elif carried is not None:
        is_clean = seen is not None and not carried.extras | carried.skipped
        left = carried.left if is_clean else await _tidy(ctx.world, inputs, new, carried)
    ctx.fault("tidied")
    if left is None:
        return Way(made=None, may_skip=False, mixed=way.mixed)
    return replace(_output(new_id, inputs, carried, left), has_moved=has_moved, mixed=way.mixed)


def _plainly(ctx: Context[World], seen: Seen | None, error: RumpelError) -> Way:
    """From the plain image, and why."""
    ctx.log(f"not from a prebuild: {error.message}")
    mixed = error.message if isinstance(error, carry.Mixed) else ""
    return Way(made=None, seen=seen, mixed=mixed)


async def _start(
    ctx: Context[World],
    inputs: Inputs,
    new: carry.Place,
    carried: carry.Carried | None,
    seen: Seen | None,
) -> None:
    world = ctx.world
    await container.begin(world, inputs, new.container_id, is_new=True)
    ctx.fault("started")
    state = await world.started(inputs.host, new.container_id)
    if state is None:
        raise ended.removed(inputs.pod)
    if state.status != "running":
        raise await ended.at_once(world, inputs.host, inputs.pod, state, inputs.spec.private_env)
    await mountpoint.regain(new.host, new.container_id, new.folder, inputs.user)
    await seen_by.give_back(new, carried, seen)


async def _fitted(
    inputs: Inputs,
    new: carry.Place,
    carried: carry.Carried,
    made: Prebuilt,
    same: Collection[bytes],
) -> tuple[Mapping[bytes, int] | None, bool]:
    """As `carry.tidy`; and is any file not as the commands of the prebuild found it?

    `same`: ignored files that are as they left them. Raises RumpelError when one is not that they
    depend on.
    """
    left = await carry.tidy(new, carried, inputs.kept, tree=made.tree)
    if left is None:
        return None, False
    reads = inputs.reads if made.has_inputs else ()
    found, kept = await asyncio.gather(
        alike.differing(new, made.tree), alike.others(new, carried, inputs.kept, same)
    )
    if not alike.is_fit(kept, reads):
        raise carry.Mixed("ignored files that the pod keeps are not as the commands left them")
    if not alike.is_fit(found, reads):
        raise RumpelError("files that the commands depend on are not as in the commit")
    return left, bool(found)


def _output(
    new_id: str, inputs: Inputs, carried: carry.Carried | None, left: Mapping[bytes, int]
) -> Output:
    if carried is None:
        return Output(container_id=new_id, files=0)
    gone = sorted(left.items(), key=lambda item: (-item[1], item[0]))
    return Output(
        container_id=new_id,
        files=len(carried.items),
        gone=tuple((path.decode("utf-8", "replace"), count) for path, count in gone[:TOLD]),
        more_gone=max(0, len(gone) - TOLD),
        unmatched=carried.unmatched(inputs.named),
    )


async def _tidy(
    world: World, inputs: Inputs, new: carry.Place, carried: carry.Carried
) -> Mapping[bytes, int] | None:
    try:
        return await carry.tidy(new, carried, inputs.kept)
    except RumpelError as error:
        detail = await new.host.find(new.container_id)
        if detail is not None and detail.state.status != "running":
            state, private = detail.state, inputs.spec.private_env
            raise await ended.at_once(world, inputs.host, inputs.pod, state, private) from error
        raise


async def _create(
    ctx: Context[World], inputs: Inputs, old: ContainerState, made: Prebuilt | None
) -> str:
    wanted = inputs if made is not None else replace(inputs, start_image="")
    try:
        return await container.make(ctx, wanted, name=names.own_name(old.name) + names.COMING)
    except NameTaken as error:
        text = f"pod {inputs.pod!r} is being recreated by somebody else: {error.message}"
        raise Conflict(text) from error


async def _both(one: Awaitable[A], other: Awaitable[B]) -> tuple[A, B]:
    """Also when one fails the other comes to its end: `undo` must not meet it at work."""
    first, second = await asyncio.gather(one, other, return_exceptions=True)
    if isinstance(first, BaseException):
        raise first
    if isinstance(second, BaseException):
        raise second
    return first, second


async def _halt(
    ctx: Context[World], inputs: Inputs, old: ContainerState, place: carry.Place | None
) -> Seen | None:
    """Nothing runs in it any more; its link would only hear of it. First it is asked, if it can."""
    world, host = ctx.world, ctx.world.host(inputs.host)
    seen = None if place is None else await seen_by.look(place)
    if old.status == "paused":
        await host.unpause(old.id)
    await world.links.close(inputs.pod_id)
    if old.status not in ("exited", "dead"):
        await host.stop(old.id)
    await world.looked(inputs.host, old.id)
    ctx.fault("halted")
    return seen


async def _carry(
    inputs: Inputs,
    old: carry.Place,
    new: carry.Place,
    seen: Seen,
    *,
    made: Prebuilt | None,
) -> tuple[carry.Carried | None, frozenset[bytes]]:
    """And the ignored files that came along which are as the commands of the prebuild left them."""
    before, now = await asyncio.gather(
        old.host.inspect(old.container_id), new.host.inspect(new.container_id)
    )
    chosen = carry.choice(
        before, now, folders=(old.folder, new.folder), kept=inputs.kept, ignored=seen.ignored
    )
    if chosen is None:
        return None, frozenset()
    own = await alike.texts(new, alike.kept_files(seen.ignored, inputs.kept) if made else ())
    is_other = old.user != new.user or before.state.image_id != now.state.image_id
    carried = await carry.over(old, new, chosen, times=seen.times, owned=is_other)
    came = await alike.texts(new, own)
    return carried, frozenset(path for path in own if came.get(path) == own[path])
