"""What a workspace can only tell while it runs, of what the engine's archive call does not.

No operation of its own: `replace` uses it beside `carry`. The call cuts times to seconds, and
Podman hands out all as its container's main user's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from rumpel.tasks import carry

OWNER = re.compile(rb"[0-9]+:[0-9]+")
# Owners, and mtimes with their nanoseconds, where there is somebody to tell them; behind a zero
# what git ignores, whole folders as one. One exec: each costs as much as all that is done in it.
LOOK = """
cd "$1" || exit
TZ=UTC0 find . -path ./.git/objects -prune -o -exec stat -c '%u:%g %Y %y %n' {} + 2>/dev/null
printf '\\0'
shift
exec "$@"
"""
OWN = 'cd "$1" && xargs -0 chown -h "$2" --'


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What a workspace told while it ran."""

    ignored: frozenset[bytes] = frozenset()
    """What git ignores, whole folders as one."""
    times: Mapping[bytes, tuple[int, int]] = field(default_factory=dict)
    """The mtimes with their nanoseconds; empty where nobody can tell."""
    foreign: Mapping[str, frozenset[bytes]] = field(default_factory=dict)
    """`uid:gid` -> what belongs to them, and not to the owner of the workspace."""


async def look(place: carry.Place) -> Seen:
    """What can only be asked while it runs."""
    done = await carry.ask(
        place, ["/bin/sh", "-c", LOOK, "sh", place.folder, *carry.GIT, *carry.IGNORED]
    )
    if done.is_cut:  # so many files: their nanoseconds are not worth it
        return Seen(ignored=await carry.ignored(place))
    stamps, _, listed = carry.said_by(done).partition(b"\0")
    times, foreign = _stamps(stamps)
    return Seen(ignored=carry.paths_in(listed), times=times, foreign=foreign)


def _stamps(
    stamps: bytes,
) -> tuple[dict[bytes, tuple[int, int]], dict[str, frozenset[bytes]]]:
    """`Seen.times`, `Seen.foreign`. A name may have a line in it: what is no stamp is left out."""
    times, owners = dict[bytes, tuple[int, int]](), dict[bytes, set[bytes]]()
    own = b""
    for line in stamps.split(b"\n"):
        fields = line.split(b" ", 5)
        if len(fields) != 6 or not (OWNER.fullmatch(fields[0]) and fields[1].isdigit()):
            continue
        path = fields[5].removeprefix(b"./")
        if path == b".":
            own = fields[0]
        elif fields[0] != own:
            owners.setdefault(fields[0], set()).add(path)
        fraction = fields[3].partition(b".")[2]
        if len(fraction) == 9 and fraction.isdigit():
            times[path] = (int(fields[1]), int(fraction))
    return times, {owner.decode(): frozenset(paths) for owner, paths in owners.items()}


async def give_back(place: carry.Place, carried: carry.Carried | None, seen: Seen | None) -> None:
    """What Podman handed out as its container's main user's, in the new one, which runs by now."""
    if carried is None or seen is None or place.host.info.kind != "podman":
        return
    there = {path.rstrip(b"/") for path in carried.items}
    for owner, paths in seen.foreign.items():
        argv = ["/bin/sh", "-c", OWN, "sh", place.folder, owner]
        await carry.as_root(place, argv, sorted(paths & there), f"given to {owner} again")
