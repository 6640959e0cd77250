"""Taking a snapshot inside a pod and putting one back: runs pod_work.sh as the pod's user.

The script answers with a line for each repository, which is text from a pod, so it is matched and
nothing else. A snapshot is a commit in a scratch repository of the pod, with this tree:

    about      version, HEAD, its commit, the pod's branch
    files/     every tracked or untracked (not ignored) file, as it lies there
    index, sharedindex.*   the index, byte for byte; staged/, side1/ .. side3/ keep its objects
    state/     MERGE_HEAD, rebase-merge/ ..., info/exclude
    modes, folders   those of changed files that git does not know; empty folders
    stash, refs, tags/     reflog of the stash, refs that are no branches, texts of tags
    modules    snapshots of submodules, which the host holds in their own repositories
    repositories/   tars of nested repositories, other submodules and linked worktrees
    left       what is not in it: too large, or not to be read

Its parents are all commits that only this work reaches.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from rumpel.adapters.docker_api import DockerHost
from rumpel.errors import Conflict, RumpelError
from rumpel.resources import resource_text

TAKE_TIMEOUT_S = 300.0
PUT_TIMEOUT_S = 300.0
SIGNAL_TIMEOUT_S = 20.0
MAX_REPOSITORIES_BYTES = 256 << 20
"""Of all repositories inside the workspace together."""
MAX_ANSWER_BYTES = 64 << 10
CONFLICT = "conflict: "
TAKEN = re.compile(
    r"(?:module ([0-9]{1,3}) )?snapshot ([0-9a-f]{40}(?:[0-9a-f]{24})?) work=([01])"
    r" files=([0-9]{1,9}) staged=([0-9]{1,9}) left=([0-9]{1,9})\n"
)
RESTORE_REF = "refs/rumpel/restore"
# dash wants `--`, busybox signals too but fails; then again without.
THAW = "kill -s CONT -- -1 2>/dev/null || kill -s CONT -1"
# All at once, so that none can fork away. What the engine is just starting here is still the
# engine's own program, on which it waits: stopped, it would hang inspects and the removal of the
# container. So it goes on at once, and is stopped as what it becomes. Its name can be borrowed:
# who does that is not stopped, which only harms the own pod.
FREEZE = """
rw_tries=0
while :; do
    kill -s STOP -- -1 2>/dev/null || kill -s STOP -1 2>/dev/null
    rw_starting=
    for rw_file in /proc/[0-9]*/comm; do
        { read -r rw_name <"$rw_file"; } 2>/dev/null || continue
        case $rw_name in runc* | crun*) ;; *) continue ;; esac
        rw_pid=${rw_file#/proc/}
        kill -s CONT "${rw_pid%/comm}" 2>/dev/null
        rw_starting=1
    done
    rw_tries=$((rw_tries + 1))
    [ -n "$rw_starting" ] && [ $rw_tries -lt 40 ] || break
    sleep 0.05 2>/dev/null || { sleep 1; rw_tries=$((rw_tries + 4)); }
done
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A workspace in a running container."""

    host: DockerHost
    container_id: str
    user: str
    folder: str

    def git_dir(self, key: str = "") -> str:
        """Of the workspace, or of the submodule with this key (`git_modules.Module.key`)."""
        return f"{self.folder}/.git/{key}".rstrip("/")

    def scratch(self, key: str = "") -> str:
        """The repository with the snapshot, until `close`."""
        return f"{self.git_dir(key)}/rumpel/scratch"


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    oid: str
    is_work: bool
    """Else it only tells which branch is checked out."""
    files: int
    """Files that are not as in the last commit."""
    staged: int
    left: int
    """Things that are not in it."""
    modules: tuple[tuple[str, Taken], ...] = ()
    """Submodules with work, by key."""


async def take(
    place: Place,
    branch: str,
    *,
    max_file_bytes: int,
    modules: Sequence[tuple[str, str]] = (),
    apart_from: Sequence[str] = (),
) -> Taken | None:
    """Make a snapshot in the pod; None when its own branch is checked out, without changes.

    `modules`: (key, folder) of submodules whose branches are imported. What is larger is left
    out, and counted. `apart_from`: commits the host has; none but those comes with it, and files
    are as if all others were not committed. Raises RumpelError with the words of the pod.
    """
    others_kb = min(max_file_bytes, MAX_REPOSITORIES_BYTES) >> 10
    words = [str(max_file_bytes), str(others_kb), ",".join(apart_from) or "-"]
    words += [word for pair in modules for word in pair]
    answer = await _run(place, "take", branch, *words, timeout_s=TAKE_TIMEOUT_S)
    if answer == "clean\n":
        return None
    lines = [TAKEN.fullmatch(line) for line in answer.splitlines(keepends=True)]
    found = [line for line in lines if line is not None]
    of_modules = [(int(line[1]), _taken(line)) for line in found if line[1]]
    main = [_taken(line) for line in found if not line[1]]
    if len(found) != len(lines) or len(main) != 1 or any(n >= len(modules) for n, _ in of_modules):
        raise RumpelError("the pod did not tell its snapshot")
    return replace(main[0], modules=tuple((modules[n][0], taken) for n, taken in of_modules))


def _taken(found: re.Match[str]) -> Taken:
    return Taken(
        oid=found[2],
        is_work=found[3] == "1",
        files=int(found[4]),
        staged=int(found[5]),
        left=int(found[6]),
    )


async def close(place: Place, keys: Sequence[str] = ()) -> None:
    """The scratch repositories go, also those of the submodules with these keys."""
    await _run(place, "close", *keys, timeout_s=SIGNAL_TIMEOUT_S)


async def put(place: Place, oid: str, branch: str, module: tuple[str, str] | None = None) -> None:
    """Make the workspace what the snapshot at RESTORE_REF is; its own branch is called `branch`.

    With `module`, a key and a folder: that of the submodule.
    """
    await _run(place, "put", oid, branch, *(module or ()), timeout_s=PUT_TIMEOUT_S)


async def has(place: Place, module: tuple[str, str]) -> bool:
    """Is the submodule (key, folder) checked out?"""
    return await _run(place, "has", *module, timeout_s=SIGNAL_TIMEOUT_S) == "yes\n"


async def freeze(place: Place) -> bool:
    """Stop every process in the pod but its init, so that nothing changes any more.

    By a signal, not by the engine's pause: on that one engines hang. False where the pod shares
    its processes with others: there nothing may be stopped.
    """
    detail = await place.host.inspect(place.container_id)
    if detail.host_config.get("PidMode") not in ("", None, "private"):
        return False
    await _signal(place, FREEZE)
    return True


async def thaw(place: Place) -> None:
    """Let them go on; harmless when nothing was stopped."""
    detail = await place.host.inspect(place.container_id)
    if detail.state.status == "running" and detail.host_config.get("PidMode") in (
        "",
        None,
        "private",
    ):
        await _signal(place, THAW)


async def _signal(place: Place, script: str) -> None:
    await place.host.exec_run(
        place.container_id,
        ["/bin/sh", "-c", script],
        user="0",
        cwd="/",
        timeout_s=SIGNAL_TIMEOUT_S,
    )


async def _run(place: Place, verb: str, *args: str, timeout_s: float) -> str:
    done = await place.host.exec_run(
        place.container_id,
        ["/bin/sh", "-c", resource_text("pod_work.sh"), "rumpel", verb, place.folder, *args],
        user=place.user,
        cwd="/",
        timeout_s=timeout_s,
        max_output_bytes=MAX_ANSWER_BYTES,
    )
    if done.code:
        said = " ".join(done.stderr.decode("utf-8", "replace").split())[-1000:]
        if said.startswith(CONFLICT):
            raise Conflict(said.removeprefix(CONFLICT))
        raise RumpelError(f"in the pod: {said or f'exit code {done.code}'}")
    return done.stdout.decode("utf-8", "replace")
