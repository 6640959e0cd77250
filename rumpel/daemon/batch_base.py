"""A pod that is there gets what its task starts from now, when that is not what it was made from.

A task that is needed was done again, or the file says otherwise: without this the work would be
done anew upon the old commits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rumpel import text
from rumpel.adapters import git, threads
from rumpel.daemon import sessions
from rumpel.errors import Conflict

if TYPE_CHECKING:
    from rumpel.daemon.batch_run import BatchRun
    from rumpel.daemon.pods import Pod

MERGE_TIMEOUT_S = 300.0
MOST_NAMED = 20
# $1: the commit, $2: the pod's own branch, $3: the message. 2: files in conflict, on stdout.
MERGE = """
[ "$(git symbolic-ref -q --short HEAD)" = "$2" ] || { echo "$2 is not checked out" >&2; exit 1; }
git merge -q --no-edit --allow-unrelated-histories -m "$3" "$1" >&2 && exit 0
files=$(git diff --name-only --diff-filter=U)
! git rev-parse -q --verify MERGE_HEAD >/dev/null || git merge --abort
[ -n "$files" ] || exit 1
printf '%s\\n' "$files"
exit 2
"""


async def catch_up(run: BatchRun, name: str, oid: str | None, pod: Pod) -> None:
    """Its branch has `oid` afterwards. Raises Conflict with the files; the pod is as it was then.

    An older work in it is ended first: nobody asks for that any more.
    """
    state = run.states[name]
    if oid is None or oid == (state.claim.start or pod.spec.base_oid):
        return
    tip = run.app.links.branches(pod.pod_id).get(pod.name)
    repo = await threads.call(git.reopen, run.repo.work_tree, run.repo.common_dir)
    if tip is not None and not await threads.call(git.is_ancestor, repo, oid, tip):
        await end_work(run, name, pod)
        await _merge(run, name, oid, pod)
    state.claim.start = oid
    await run.write(state)


async def end_work(run: BatchRun, name: str, pod: Pod, *, but: str = "") -> None:
    """What an older daemon left at work, unless its token is `but`."""
    token = token_of(run.states[name].claim.clock)
    if token and token != but:
        where = sessions.where_of(run.app, pod)
        host = run.app.world.host(where.host)
        await host.kill_tree(where.container_id, token, user=where.user)


def token_of(folder: str) -> str:
    """By which the processes of the work in that folder are known (`tasks.task_work`)."""
    return folder.rpartition("/")[2].rpartition("-")[0]


async def _merge(run: BatchRun, name: str, oid: str, pod: Pod) -> None:
    where = sessions.where_of(run.app, pod)
    await run.app.links.repo(pod.spec.repo).ensure(pod.spec.host, oid, {})
    message = f"Merge what {name} starts from"
    done = await run.app.world.host(where.host).exec_run(
        where.container_id,
        ["sh", "-c", MERGE, "sh", oid, pod.name, message],
        user=where.user,
        cwd=where.cwd,
        timeout_s=MERGE_TIMEOUT_S,
    )
    if done.code == 0:
        return
    files = [text.safe(one) for one in done.stdout.decode("utf-8", "replace").splitlines()]
    why = f"conflict in {text.count(len(files), 'file')}: {', '.join(files[:MOST_NAMED])}"
    if done.code != 2:
        why = done.stderr.decode("utf-8", "replace").strip()[-300:]
    raise Conflict(
        f"task {name} starts from other commits now, which its pod could not merge: {why}",
        hint=f"rumpel delete {name}   and run the batch again, to begin anew",
        details={"conflicts": files} if done.code == 2 else {},
    )
