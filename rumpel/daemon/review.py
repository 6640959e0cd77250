"""`review`: the commits of a pod are brought up to date, compared, searched for risks, remembered.

The daemon runs nothing of the user's and draws nothing: it answers which commits to compare and
what is in between. The commit that was answered is what `merge` compares with later; who has yet
to show it to somebody says `unseen`, and `reviewed` once that went well.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from rumpel import jsonline, text
from rumpel.adapters import git, threads
from rumpel.adapters.git_diff import Scope
from rumpel.daemon import requests, reviewed, view
from rumpel.daemon.app import App
from rumpel.daemon.client import Client
from rumpel.daemon.pods import Pod, find_container
from rumpel.daemon.requests import Target
from rumpel.daemon.view import STATUS
from rumpel.engine.graph import Graph
from rumpel.errors import RumpelError, UsageError
from rumpel.graphs.ids import address, node_id
from rumpel.graphs.review import Question, Subject, review
from rumpel.tasks import imported, review_range, risk, uncommitted

OID = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
ASK_TIMEOUT_S = 5.0
MAX_ANSWER_BYTES = 12 << 20
MANY = 1000
GLANCE_S = 0.2
WHOLE = Scope()


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The graph of one review, and what to call the other side."""

    graph: Graph
    scope: Scope
    base: str | None
    """A branch or commit of the host, `pod/NAME`; None when there is nothing to compare with."""
    base_oid: str | None
    note: str | None


async def run(app: App, client: Client) -> dict[str, object]:
    args = client.request.args
    where = await requests.lenient(client)
    pod = app.pods.get(where.ref.repo_id, args["name"], prefix=True)
    against = _other(app, where, pod, args["against"])
    scope = await threads.call(_scope, where, args["paths"], client.request.cwd)
    branch = args["branch"] or pod.name
    planned = await plan(
        app,
        where,
        pod,
        branch=args["branch"],
        against=against,
        scope=scope,
        with_uncommitted=bool(args["include_dirty"]),
    )
    await _ask_of_files(app, pod, within_s=0.0)  # the answer comes meanwhile
    result = await app.runner.run(planned.graph, client)
    for error in result.errors.values():
        raise error
    app.background.spawn(app.links.repo(pod.spec.repo).check(), "published branches")
    newest: imported.Output = result.outputs[node_id("imported", pod.spec)]
    dirty: uncommitted.Output | None = result.outputs.get(node_id("uncommitted", pod.spec))
    is_own = branch == pod.name
    # Some files of a commit, or those of another branch, do not make it a reviewed one.
    counts = against is None and not scope.paths
    counts = counts and (dirty is None or (is_own and dirty.is_own_branch))
    if counts and not args["unseen"]:
        await reviewed.remember(app.store, pod, branch, newest.oid)
    if against is not None:
        planned = replace(planned, base_oid=result.outputs[node_id("imported", against.spec)].oid)
    if is_own:
        await _tell_others(app, client, pod)
    data = _answer(client, where, pod, planned, result.outputs)
    data["view"] |= {"counts": counts, "branch": branch, "behind": 0}
    if against is not None:
        data["view"]["behind"] = await _behind(app, pod, planned.base_oid, newest.oid)
    return {"result": data, "warnings": client.warnings, "exit_code": 0}


def _other(app: App, where: Target, pod: Pod, name: str | None) -> Pod | None:
    if name is None:
        return None
    found = app.pods.get(where.ref.repo_id, name, prefix=True)
    if found.pod_id == pod.pod_id:
        raise UsageError(f"{pod.name!r} cannot be compared with itself")
    return found


async def _behind(app: App, pod: Pod, base: str | None, commit: str) -> int:
    """Commits of the other pod that this one does not have."""
    if base is None:
        return 0
    return (await threads.call(app.compared.pair, app.opened(pod.spec.repo), base, commit))[1]


async def seen(app: App, client: Client) -> dict[str, object]:
    """A person was shown what `review` answered, by a tool or pager that did not fail."""
    args, where = client.request.args, await requests.lenient(client)
    pod = app.pods.get(where.ref.repo_id, args["name"])
    if not OID.fullmatch(args["commit"]):
        raise UsageError(f"{args['commit']!r} is no commit")
    await reviewed.remember(app.store, pod, args["branch"] or pod.name, args["commit"])
    return {"result": None, "warnings": [], "exit_code": 0}


def _answer(
    client: Client, where: Target, pod: Pod, planned: Plan, outputs: Mapping[str, Any]
) -> dict[str, Any]:
    """Raises RumpelError when it is more than the CLI would read."""
    newest: imported.Output = outputs[node_id("imported", pod.spec)]
    ranged: review_range.Output = outputs[node_id("range", pod.spec)]
    found: risk.Output = outputs[node_id("risk", pod.spec)]
    dirty: uncommitted.Output | None = outputs.get(node_id("uncommitted", pod.spec))
    notes = (newest.note, dirty and dirty.note, planned.note, ranged.note, *_notes(found))
    for note in notes:
        if note is not None:
            client.warn(f"{pod.name}: {note}")
    data = {
        "name": pod.name,
        "base": planned.base,
        "base_commit": planned.base_oid,
        "commit": newest.oid,
        "merge_base": ranged.merge_base,
        "ahead": ranged.ahead,
        "uncommitted": None if dirty is None else dirty.files,
        "files": found.files,
        "totals": _totals(found),
        "view": {
            "objects": where.repo.objects_dir,
            "format": where.repo.object_format,
            "old": ranged.old,
            "new": newest.oid if dirty is None else dirty.tree,
            "paths": planned.scope.paths,
            "prefix": planned.scope.prefix,
        },
    }
    if len(found.files) > MANY and len(jsonline.dumps(data)) > MAX_ANSWER_BYTES:
        raise RumpelError(
            "the change is too large to review at once: its names alone are megabytes",
            hint=f"name the paths to look at: rumpel review {pod.name} PATH...",
        )
    return data


async def plan(
    app: App,
    where: Target,
    pod: Pod,
    *,
    branch: str | None = None,
    against: Pod | None = None,
    scope: Scope = WHOLE,
    with_uncommitted: bool = False,
) -> Plan:
    subject = await _subject(app, pod, branch)
    other = note = oid = None
    if against is not None:
        other = await _subject(app, against)
        name: str | None = f"pod/{against.name}"
    else:
        name, oid, note = await threads.call(_base, where.repo, pod)
    question = Question(
        base=oid,
        against=other,
        with_uncommitted=with_uncommitted,
        paths=scope.paths,
        prefix=scope.prefix,
    )
    return Plan(graph=review(subject, question), scope=scope, base=name, base_oid=oid, note=note)


def _base(repo: git.Repo, pod: Pod) -> tuple[str | None, str | None, str | None]:
    """(what it is called, commit, remark): the branch the pod was made from, as it is now."""
    branch, began = pod.spec.base_branch, pod.spec.base_oid
    if branch is None:
        return began, began, None
    ref = f"refs/heads/{branch}"
    now = git.refs(repo, ref).get(ref)
    if now is not None:
        return branch, now, None
    if began is None:
        return None, None, None
    return began, began, f"branch {branch} is gone: compared with the commit it was made from"


async def _subject(app: App, pod: Pod, branch: str | None = None) -> Subject:
    access = app.pods.access(pod.spec)
    why_not = await _why_not(app, pod)
    told = None
    if why_not is None and access is not None:
        told = await _told(app, pod, access.container_id, branch or pod.name)
    return Subject(spec=pod.spec, access=access, why_not=why_not, told=told, branch=branch)


async def _why_not(app: App, pod: Pod) -> str | None:
    """Why its commits cannot be had now; None when it runs."""
    try:
        await app.host(pod.spec.host)
    except RumpelError as error:
        return error.message
    state = find_container(app.snapshots[pod.spec.host].containers.values(), pod.pod_id)
    if state is None:
        return "it has no container"
    return None if state.status == "running" else f"it is {STATUS[state.status]}"


async def _told(app: App, pod: Pod, container_id: str, branch: str) -> str | None:
    """A pod's word: it can only keep its own newest commits from being shown."""
    if not app.links.is_live(pod.pod_id, container_id):
        return None
    folder = pod.spec.container.workspace_folder
    try:
        answer = await app.links.request(pod.pod_id, "tip", folder, branch, timeout_s=ASK_TIMEOUT_S)
    except RumpelError:
        return None
    return answer if OID.fullmatch(answer) else None


async def _ask_of_files(app: App, pod: Pod, *, within_s: float) -> None:
    """Also of commits on a detached HEAD; else they are as last seen."""
    access = app.pods.access(pod.spec)
    is_live = access is not None and app.links.is_live(pod.pod_id, access.container_id)
    if is_live and not app.links.dirty.is_fresh(pod.pod_id):
        await app.links.dirty.refresh_all([address(pod.spec)], within_s=within_s)


async def _tell_others(app: App, client: Client, pod: Pod) -> None:
    """What is not in this review."""
    await _ask_of_files(app, pod, within_s=GLANCE_S)
    away = app.links.dirty.detached(pod.pod_id)
    if away:
        client.warn(
            f"{pod.name}: {text.count(away, 'commit')} on a detached HEAD, not in this review: "
            f"rumpel enter {pod.name} -- git branch NEW   gives HEAD's commits a branch"
        )
    branches = app.links.branches(pod.pod_id)
    for other in await threads.call(view.others, app, pod, branches):
        what = text.count(other["ahead"], "commit")
        name = other["branch"]
        client.warn(f"{pod.name}: {what} on branch {name}: rumpel review {pod.name}:{name}")
    await view.tell_submodules(app, client, pod, "review")


def _scope(where: Target, paths: tuple[str, ...], cwd: str) -> Scope:
    """Absolute paths as git writes them from the top: the view lies somewhere else."""
    root = os.path.realpath(where.root)
    prefix = os.path.relpath(os.path.realpath(cwd), root)
    return Scope(
        paths=tuple(
            f":(top){os.path.relpath(os.path.realpath(path), root)}" if path[:1] == "/" else path
            for path in paths
        ),
        prefix="" if prefix == "." or prefix.startswith("..") else prefix,
    )


def _notes(found: risk.Output) -> list[str]:
    notes = []
    if found.unread:
        files = text.count(found.unread, "file")
        notes.append(f"{files} not searched for risks: too much changed at once")
    if not found.is_counted:
        notes.append("lines were not counted: that took too long")
    return notes


def _totals(found: risk.Output) -> dict[str, Any]:
    return {
        "files": len(found.files),
        "additions": sum(row["additions"] or 0 for row in found.files),
        "deletions": sum(row["deletions"] or 0 for row in found.files),
        "risky": sum(1 for row in found.files if row["risks"]),
    }
