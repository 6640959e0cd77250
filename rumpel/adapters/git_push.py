"""git push over a `Stream` to a receive-pack in a container."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rumpel.adapters import git, git_run
from rumpel.adapters.git_wire import Server
from rumpel.adapters.stream import Stream
from rumpel.errors import RumpelError

PINNED = (
    "push.followTags=false",
    "push.gpgSign=false",
    "push.negotiate=false",
    "push.pushOption=",
    "push.recurseSubmodules=no",
    "submodule.recurse=false",
)

EVERY_BRANCH = ("+refs/heads/*:refs/heads/*",)
"""As they are when git reads them."""
MAX_MOVES = 64
"""More exact refspecs than that: git's time for each grows with all refs of both sides."""


def moves(
    before: Mapping[str, str], now: Mapping[str, str], branch: str | None
) -> list[str] | None:
    """Refspecs that bring the other side from branches `before` to `now`, to exactly these commits.

    None where only `EVERY_BRANCH` does, with `prune`. Never empty, since git would take that for
    the user's own settings: then `branch` is sent again. Pure.
    """
    if before.keys() - now.keys():
        return None
    moved = [ref for ref, oid in now.items() if before.get(ref) != oid]
    moved = moved or [ref for ref in (f"refs/heads/{branch}", *now) if ref in now][:1]
    return [f"+{now[ref]}:{ref}" for ref in moved] if 0 < len(moved) <= MAX_MOVES else None


async def push_from(
    repo: git.Repo, stream: Stream, refspecs: Sequence[str], *, prune: bool, timeout_s: float
) -> None:
    """Push refs of `repo` to the receive-pack behind `stream`, which is closed afterwards.

    Waits for the end of the other side. With `prune`, refs of it that match a refspec and are not
    here are deleted. Raises RumpelError when a ref was refused, TimedOut, HostUnreachable.
    """
    pinned = [word for entry in PINNED for word in ("-c", entry)]
    command = [*pinned, "push", "--quiet", "--no-verify", "--no-signed", *(("--prune",) * prune)]
    server = Server(stream)
    try:
        done = await server.talk(
            lambda url: git_run.argv(repo.git_dir, *command, url, *refspecs),
            env=git_run.own_env(),
            timeout_s=timeout_s,
            drain=True,
        )
    finally:
        await stream.close()
    if done.code:
        what = git_run.summary(done.error_text) or f"exit code {done.code}"
        said = {"exit_code": done.code, "stderr": done.error_text[-4000:], "said": server.complaint}
        raise RumpelError(f"git push failed: {what}", details=said)
