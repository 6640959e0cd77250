"""What is only in a pod, by name: which files are not committed, which commits are on no branch.

For who is told that they would go. Asked past the link, which only tells numbers; what the pod
answers is matched, escaped and cut.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from rumpel import text
from rumpel.errors import RumpelError
from rumpel.tasks.world import Access, PodAddress, World

SHOWN = 10
TIMEOUT_S = 20.0
MAX_BYTES = 64 << 10
MAX_SUBJECT = 100
FILES = """
GIT_OPTIONAL_LOCKS=0 git -C "$1" status --porcelain --no-renames -z -unormal \
    --ignore-submodules=none | head -c 32768
"""
# As pod_modules.sh counts them; the newest first.
COMMITS = """
cd "$1" && git log --no-show-signature --format='%H %s' -n 11 --topo-order \
    --exclude='refs/heads/*' --exclude='refs/rumpel/*' --exclude=refs/stash --all \
    --not --branches --remotes | head -c 32768
"""
COMMIT = re.compile(r"([0-9a-f]{40}(?:[0-9a-f]{24})?) (.*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """At most SHOWN of each; printable."""

    files: tuple[str, ...] = ()
    commits: tuple[tuple[str, str], ...] = ()
    """(id, subject)"""


async def names(world: World, pod: PodAddress, access: Access, *, commits: bool) -> Names:
    """Empty where the pod does not say: that something is there is known already."""
    try:
        files = await _ask(world, pod, access, FILES)
        loose = await _ask(world, pod, access, COMMITS) if commits else b""
    except (RumpelError, TimeoutError):
        return Names()
    return Names(files=parse_files(files), commits=parse_commits(loose))


async def _ask(world: World, pod: PodAddress, access: Access, script: str) -> bytes:
    done = await world.host(pod.host).exec_run(
        access.container_id,
        ["/bin/sh", "-c", script, "rumpel", pod.workspace_folder],
        user=access.user,
        cwd="/",
        timeout_s=TIMEOUT_S,
        max_output_bytes=MAX_BYTES,
    )
    return done.stdout


def parse_files(answer: bytes) -> tuple[str, ...]:
    """`XY path` of each; the last may be cut off."""
    entries = [entry for entry in answer.split(b"\0")[:-1] if len(entry) > 3]
    return tuple(text.safe_bytes(entry[3:]) for entry in entries[:SHOWN])


def parse_commits(answer: bytes) -> tuple[tuple[str, str], ...]:
    lines = answer.decode("utf-8", "replace").split("\n")
    found = [match for match in map(COMMIT.fullmatch, lines) if match][:SHOWN]
    return tuple((each[1], text.clip(text.safe(each[2]), MAX_SUBJECT)) for each in found)
