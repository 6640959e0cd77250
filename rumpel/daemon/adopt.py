"""Pods the database does not know are rebuilt from what their containers say.

Docker and git are the truth, the database is a memo: when it was lost, pods must still be listed,
entered, stopped and deleted, and their commits must arrive. What a label does not tell (lifecycle
commands, environment of commands) comes back with the next `rumpel create NAME`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from dataclasses import asdict, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from rumpel import names
from rumpel.adapters import git, threads
from rumpel.adapters.docker_types import ContainerDetail, ContainerState
from rumpel.cache.records import Attempt, Record, encode
from rumpel.daemon import requests
from rumpel.daemon.pods import repo_ref
from rumpel.errors import RumpelError
from rumpel.graphs.ids import address, node_id
from rumpel.model import ContainerSpec, ImageSpec, PodSpec, ProjectSpec, RepoRef
from rumpel.tasks import clone, container
from rumpel.tasks.beside import SERVICE

if TYPE_CHECKING:
    from rumpel.daemon.app import App

log = logging.getLogger(__name__)

SUFFIX = 6
PATIENCE_S = 3.0
"""From the start of the daemon: an engine that answers has told its containers by then."""


class Lost:
    """What a daemon that may have lost its database goes by."""

    def __init__(self, *, is_likely: bool) -> None:
        self.is_likely = is_likely
        """There was a daemon here, and the database knows of nothing."""
        self.looking = asyncio.Lock()
        self.looked = asyncio.Event()
        self._patient_until = time.monotonic() + PATIENCE_S

    async def wait(self) -> None:
        """Until somebody has looked; not for ever, an engine may be down for days."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, self._patient_until - time.monotonic())):
                await self.looked.wait()


async def unknown(app: App, host: str) -> int:
    """Take over every pod of ours on this engine that has no row; answers how many.

    Only when the view is new: later a container without a row is one that is about to go.
    """
    found = 0
    known = app.snapshots[host].containers.values()
    for state in sorted(known, key=lambda state: names.place_in_line(state.name)):
        labels = state.labels
        pod_id = labels.get(names.LABEL_POD_ID, "")
        if labels.get(names.LABEL_KIND) != "pod" or not pod_id or pod_id in app.creating:
            continue
        if app.pods.by_id(pod_id) is None and names.is_pod_name(labels.get(names.LABEL_POD, "")):
            try:
                await _take_over(app, host, state)
                found += 1
            except RumpelError as error:
                log.warning("container %s of a lost pod: %s", state.id[:12], error.message)
    return found


async def _take_over(app: App, host: str, state: ContainerState) -> None:
    detail = await app.hosts[host].inspect(state.id)
    memo = memo_of(detail)
    repo = await threads.call(_repo, app, state, memo)
    spec = pod_spec(detail, memo, repo=repo, host=host)
    if any(_is_beside(one, state) for one in app.snapshots[host].containers.values()):
        spec = replace(spec, project=ProjectSpec(service=""))
    other = app.pods.find(repo.repo_id, spec.pod)
    if other is not None:  # two of one name: neither may hide the other
        spec = replace(spec, pod=f"{spec.pod[:50]}-{spec.pod_id[:SUFFIX]}")
    inputs = _inputs(spec, state, memo)
    output = container.Output(
        container_id=state.id,
        started_at=state.started_at,
        user=inputs.user,
        as_main=container.access(inputs, state.id).as_main,
    )
    await app.pods.remember_made_of(
        spec,
        {
            "image_id": inputs.image_id,
            "image_user": inputs.image_user,
            "user": inputs.user,
            "seed_volume": inputs.seed_volume,
            "spec_label": inputs.spec_label or "",
        },
    )
    await _record(app, node_id("container", spec), container, asdict(output))
    if state.status != "created":
        # Whether it was set up only the pod knows; whoever deletes it has to ask.
        made = clone.Output(container_id=state.id, oid="-")
        await _record(app, node_id("clone", spec), clone, asdict(made))
    await app.pods.put(spec, created_at=_created_at(detail))
    await app.links.restore(address(spec))
    log.warning("pod %s was rebuilt from its container", spec.pod)


def _is_beside(one: ContainerState, pod: ContainerState) -> bool:
    """A service of its compose project: of those no more is known than that they are there."""
    same = one.labels.get(names.LABEL_POD_ID) == pod.labels.get(names.LABEL_POD_ID)
    return same and one.labels.get(names.LABEL_KIND) == SERVICE


async def _record(app: App, name: str, operation: Any, output: dict[str, Any]) -> None:
    """The last good result of a node, stale: the next run looks again, and finds it done."""
    attempt = Attempt(
        id=app.store.next_attempt_id(),
        run_id=0,
        node_id=name,
        kind=operation.KIND,
        number=1,
        fp="",
        nonce="",
        started_at=0.0,
    )
    record = Record(
        node_id=name,
        kind=operation.KIND,
        version=operation.VERSION,
        components_text="{}",
        fp="",
        output_text=encode(output),
        attempt=attempt.id,
    )
    await app.store.finish_attempt(attempt, record)


def memo_of(detail: ContainerDetail) -> dict[str, str]:
    """What its label says; empty for what is none, as in pods of older versions."""
    try:
        found = json.loads(detail.state.labels.get(container.LABEL_MEMO, "{}"))
    except (ValueError, RecursionError):
        return {}
    if not isinstance(found, dict):
        return {}
    return {str(key): value for key, value in found.items() if isinstance(value, str)}


def pod_spec(detail: ContainerDetail, memo: dict[str, str], *, repo: RepoRef, host: str) -> PodSpec:
    """As much as is known. Pure."""
    state = detail.state
    entry = [str(word) for word in detail.config.get("Entrypoint") or ()]
    user = str(detail.config.get("User") or "")
    return PodSpec(
        repo=repo,
        host=host,
        pod=state.labels[names.LABEL_POD],
        pod_id=state.labels[names.LABEL_POD_ID],
        base_branch=memo.get("base_branch"),
        base_oid=memo.get("base_oid"),
        asked=requests.good_asks(
            {
                key.removeprefix(container.ASKED): value
                for key, value in memo.items()
                if key.startswith(container.ASKED)
            }
        ),
        image=ImageSpec(ref=state.image_id),
        container=ContainerSpec(
            workspace_folder=memo.get("workspace_folder")
            or str(detail.config.get("WorkingDir") or "/"),
            container_user=user or None,
            remote_user=memo.get("user") or None,
            override_command=entry[-2:] == ["rumpel", "main"],
        ),
    )


def _inputs(spec: PodSpec, state: ContainerState, memo: dict[str, str]) -> container.Inputs:
    image_user = memo.get("image_user") or "root"
    user = memo.get("user") or (spec.container.container_user or image_user).split(":")[0]
    return container.Inputs(
        repo=spec.repo,
        host=spec.host,
        pod=spec.pod,
        pod_id=spec.pod_id,
        image_id=state.image_id,
        image_key="",
        image_user=image_user,
        user=user,
        seed_volume=memo.get("seed_volume", ""),
        spec=spec.container,
        spec_label=state.labels.get(container.LABEL_SPEC),
    )


def _repo(app: App, state: ContainerState, memo: dict[str, str]) -> RepoRef:
    """Blocking. Its id is in a label; where it lies may have changed since."""
    repo_id = state.labels.get(names.LABEL_REPO, "")
    work_tree = state.labels.get(names.LABEL_REPO_PATH, "")
    if not repo_id or not work_tree:
        raise RumpelError("it does not tell its repository")
    try:
        found = app.places.known(repo_ref(git.discover(work_tree)))
    except RumpelError:
        found = None
    if found is not None and found.repo_id == repo_id:
        return found
    return RepoRef(
        repo_id=repo_id,
        common_dir=memo.get("common_dir") or f"{work_tree}/.git",
        work_tree=work_tree,
        object_format=memo.get("object_format") or "sha1",
    )


def _created_at(detail: ContainerDetail) -> float | None:
    try:
        return datetime.fromisoformat(detail.created_at).timestamp()
    except ValueError:
        return None
