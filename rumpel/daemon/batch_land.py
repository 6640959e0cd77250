"""`batch land`: which tasks can be merged, in which order, and the proof of each merged tree.

The merges are git's, in the process of who asked (`cli.batch_land`). Before each, its tree is
verified here, in the pod of the task, unless the same tree was.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from rumpel.adapters import git, git_join, threads
from rumpel.batch import items, order
from rumpel.daemon import batch_claims, batch_seat, batch_state, enter, requests
from rumpel.daemon.batch_client import TaskClient
from rumpel.errors import CommandFailed, NotFound, UsageError
from rumpel.tasks import task_verify
from rumpel.tasks.batching import TaskKey

if TYPE_CHECKING:
    from rumpel.batch.items import Item
    from rumpel.daemon.app import App
    from rumpel.daemon.client import Client

log = logging.getLogger(__name__)


def landing(app: App, repo_id: str, row: dict[str, Any], chosen: frozenset[str]) -> dict[str, Any]:
    """Those that are done, what is needed first; none that needs one that is not done."""
    found = {item.name: item for item in known(app, repo_id, str(row["name"]))}
    states = {str(task["name"]): task for task in row["tasks"]}
    unknown = sorted(chosen - set(found))
    if unknown:
        raise NotFound(f"there is no task {unknown[0]!r} in batch {row['name']}")
    wanted = order.ordered(found, chosen or None)
    left = dict[str, str | None]()
    """With the task that it needs, where that is why."""
    for name in wanted:
        if states[name]["state"] != batch_state.DONE:
            left[name] = None
        elif behind := next((need for need in found[name].needs if need in left), None):
            left[name] = behind
    return {
        "name": row["name"],
        "tasks": [
            _task(app, repo_id, found[name], states[name])
            for name in wanted
            if name not in left and states[name]["commits"]
        ],
        "left": [
            {"name": name, "needs": need, "state": states[need or name]["state"]}
            for name, need in left.items()
        ],
    }


def known(app: App, repo_id: str, batch: str) -> list[Item]:
    noted = app.store.kv_get(f"{batch_state.BATCH}{repo_id}/{batch}")
    if noted is None:
        raise NotFound(f"there is no batch {batch!r} of this repository")
    return [items.from_json(said) for said in noted["items"]]


def _task(app: App, repo_id: str, item: Item, state: dict[str, Any]) -> dict[str, Any]:
    """Its pod may be gone: the commit is on the host."""
    pod = app.pods.find(repo_id, str(state["pod"]))
    tip = None if pod is None else app.links.branches(pod.pod_id).get(pod.name)
    return {
        "name": item.name,
        "commit": state["commit"],
        "base": state["base"] if pod is None else pod.spec.base_oid,
        "verify": bool(item.verify),
        "dirty": state["dirty"],
        "moved": tip is not None and tip != state["commit"],
    }


async def prove(app: App, client: Client, row: dict[str, Any]) -> dict[str, Any]:
    """`names` is the task, `text` the commit it is merged into, `tree` what that will give.

    Raises CommandFailed.
    """
    where = await requests.lenient(client)
    args, repo_id, batch = client.request.args, where.ref.repo_id, str(row["name"])
    (task,) = args["names"] or ("",)
    item = next((one for one in known(app, repo_id, batch) if one.name == task), None)
    if item is None:
        raise UsageError(f"there is no task {task!r} in batch {batch}")
    if not all(map(git_join.is_oid, (args["text"], args["tree"]))):
        raise UsageError("a proof is of a commit and a tree")
    key = TaskKey(repo_id=repo_id, batch=batch, task=task)
    proof = task_verify.proof(args["tree"], item.verify, batch_claims.around_digest(item))
    by = app.batches.verified(key, proof)
    if item.verify and not by:
        repo = await threads.call(git.reopen, where.ref.work_tree, where.ref.common_dir)
        commit = next(str(one["commit"]) for one in row["tasks"] if one["name"] == task)
        merged = await git_join.commit(
            repo, args["tree"], (args["text"], commit), message=f"Merge {task}"
        )
        pod = batch_claims.read(app.store, repo_id, batch, task).pod or task
        await _prove(app, client, item, merged, pod=pod)
        await app.batches.note_verified(key, proof)
    return {"name": task, "tree": args["tree"], "by": by or task}


async def _prove(app: App, client: Client, item: Item, merged: str, *, pod: str) -> None:
    """In another work tree of the pod: what lies in its own is another commit."""
    where = await requests.lenient(client)
    stand_in = TaskClient(
        client,
        "enter",
        {"name": pod},
        hear=client.send,
        on_event=client.on_event,
        cancelled=client.cancelled,
    )
    own = await enter.ready(app, stand_in, where)
    await app.links.repo(own.spec.repo).ensure(own.spec.host, merged, {})
    seat = await batch_seat.shell_in(app, stand_in, where.settings, own, item)
    try:
        await task_verify.passes(app.world, seat, item.verify, apart=merged, log=log.debug)
    except CommandFailed as error:
        error.message = f"verify of task {item.name} {error.message} on the merged tree"
        error.hint = (
            f"rumpel enter {item.name}, put it right and commit; rumpel merge {item.name}; "
            "rumpel batch land   goes on"
        )
        raise
