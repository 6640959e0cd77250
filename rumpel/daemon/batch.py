"""`batch`: check a file, run it, follow it, and say what became of each task."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from rumpel import names, text
from rumpel.adapters import threads
from rumpel.daemon import batch_claims, batch_file, batch_state, requests
from rumpel.daemon.batch_run import Asked, BatchRun
from rumpel.daemon.batch_state import State
from rumpel.daemon.times import iso
from rumpel.errors import Conflict, NotFound, Partial, RumpelError, UsageError

if TYPE_CHECKING:
    from rumpel.batch.items import Batch
    from rumpel.daemon.app import App
    from rumpel.daemon.batch_file import Given
    from rumpel.daemon.client import Client
    from rumpel.daemon.requests import Target

TELL_EVERY_S = 0.1
"""Changes that come closer are told together."""
ENDS = {
    batch_state.FAILED: "failed",
    batch_state.SKIPPED: "skipped",
    batch_state.CANCELLED: "cancelled",
    batch_state.INTERRUPTED: "interrupted",
}


async def run(app: App, client: Client) -> dict[str, object]:
    action = client.request.args["action"]
    if action not in ACTIONS:
        raise UsageError(f"there is no action {action!r}: {', '.join(ACTIONS)}")
    return await ACTIONS[action](app, client)


async def check(app: App, client: Client) -> dict[str, object]:
    """What the file says, with all filled in; nothing is begun."""
    from rumpel.daemon import batch_plan

    where = await requests.target(client)
    found = await batch_file.read(app, client, where)
    data = await batch_plan.plan(app, client, where, found.batch)
    return {"result": data, "warnings": client.warnings, "exit_code": 0}


async def begin(app: App, client: Client) -> dict[str, object]:
    """Run the tasks of a file, as far as they are not done, and follow them to the end."""
    where = await requests.target(client)
    found = await batch_file.read(app, client, where)
    return await _begin(app, client, where, found, retry=frozenset())


async def retry(app: App, client: Client) -> dict[str, object]:
    """Those that failed, or those named, are tried again; and what needs them."""
    where = await requests.target(client)
    found = await batch_file.read(app, client, where)
    batch, wanted = found.batch, set(client.request.args["names"])
    unknown = sorted(wanted - set(batch.items))
    if unknown:
        close = text.suggestion(unknown[0], batch.items)
        guess = f", did you mean {close!r}?" if close else ""
        raise NotFound(f"there is no task {unknown[0]!r} in batch {batch.name}{guess}")
    states = _known(app, where.ref.repo_id, batch)
    failed = {name for name, state in states.items() if state.state == batch_state.FAILED}
    chosen = wanted or failed
    if not chosen:
        client.warn("no task of it has failed: what is not done goes on")
    return await _begin(app, client, where, found, retry=frozenset(chosen))


async def _begin(
    app: App, client: Client, where: Target, given: Given, *, retry: frozenset[str]
) -> dict[str, object]:
    found = given.batch
    key = (where.ref.repo_id, found.name)
    running = app.batches.runs.get(key)
    if running is not None and not running.ended.is_set():
        if running.batch != found or retry:
            raise Conflict(
                f"batch {found.name} is running, as it was in the file before",
                hint=f"rumpel batch status --follow {found.name}; rumpel batch cancel {found.name}",
            )
        client.warn("it was running already")
    else:
        asked = Asked(
            batch=found,
            file=given.file,
            cwd=given.cwd,
            client=client,
            where=where,
            retry=retry,
            effects=given.effects,
        )
        running = BatchRun(app, asked)
        app.batches.runs[key] = running
        try:
            await running.prepare()
        except BaseException:
            running.ended.set()  # others follow it already
            del app.batches.runs[key]
            raise
        await _note(app, running)
        app.background.spawn(_to_the_end(app, running), f"batch {found.name}")
    if not client.request.args["no_wait"]:
        await _follow(client, running)
    return _answer(client, running.row())


async def _to_the_end(app: App, running: BatchRun) -> None:
    await running.run()
    await _note(app, running, ended=time.time())


async def _note(app: App, running: BatchRun, *, ended: float | None = None) -> None:
    """For `status`, also when the file is gone."""
    key = f"{batch_state.BATCH}{running.repo.repo_id}/{running.name}"
    await app.store.kv_set(
        key,
        {
            "file": running.asked.file,
            "cwd": running.asked.cwd,
            "began": running.began,
            "ended": ended,
            "items": [item.to_json() for item in running.batch.items.values()],
        },
    )


async def status(app: App, client: Client) -> dict[str, object]:
    where = await requests.lenient(client)
    name = _named(app, client, where)
    running = app.batches.find(where.ref.repo_id, name)
    if running is not None and not running.ended.is_set() and client.request.args["follow"]:
        await _follow(client, running)
    return _answer(client, row_of(app, where.ref.repo_id, name), is_status=True)


async def wait(app: App, client: Client) -> dict[str, object]:
    where = await requests.lenient(client)
    name = _named(app, client, where)
    running = app.batches.find(where.ref.repo_id, name)
    if running is not None:
        await client.while_there(running.ended.wait())
    return _answer(client, row_of(app, where.ref.repo_id, name))


async def cancel(app: App, client: Client) -> dict[str, object]:
    """What is at work is ended; what is done stays, and its commits are on the host."""
    where = await requests.lenient(client)
    name = _named(app, client, where)
    running = app.batches.find(where.ref.repo_id, name)
    if running is None or running.ended.is_set():
        client.warn(f"batch {name} was not running")
    else:
        running.cancel()
        await client.while_there(running.ended.wait())
    return _answer(client, row_of(app, where.ref.repo_id, name), is_status=True)


async def report(app: App, client: Client) -> dict[str, object]:
    from rumpel.daemon import batch_report

    where = await requests.lenient(client)
    repo_id = where.ref.repo_id
    row = row_of(app, repo_id, _named(app, client, where))
    data = batch_report.report(app, repo_id, row)
    return {"result": data, "warnings": client.warnings, "exit_code": 0}


async def land(app: App, client: Client) -> dict[str, object]:
    """What can be merged, in which order; the merges are the client's."""
    from rumpel.daemon import batch_land

    where = await requests.lenient(client)
    repo_id, name = where.ref.repo_id, _named(app, client, where)
    row = row_of(app, repo_id, name)
    if row["is_running"]:
        raise Conflict(f"batch {name} is running", hint=f"rumpel batch wait {name}")
    chosen = frozenset(client.request.args["names"])
    data = batch_land.landing(app, repo_id, row, chosen)
    return {"result": data, "warnings": client.warnings, "exit_code": 0}


async def every(app: App, client: Client) -> dict[str, object]:
    """The batches of this repository."""
    from rumpel.daemon import batch_list

    where = await requests.lenient(client)
    data = batch_list.rows(app, where.ref.repo_id, row_of)
    return {"result": data, "warnings": client.warnings, "exit_code": 0}


async def published(app: App, client: Client) -> dict[str, object]:
    """The JSON Schema of a batch file, for editors."""
    from rumpel.batch import schema

    data = await threads.call(schema.json_schema)
    return {"result": data, "warnings": client.warnings, "exit_code": 0}


async def prove(app: App, client: Client) -> dict[str, object]:
    """The tree that a merge would give is verified."""
    from rumpel.daemon import batch_land

    where = await requests.lenient(client)
    row = row_of(app, where.ref.repo_id, _named(app, client, where))
    data = await batch_land.prove(app, client, row)
    return {"result": data, "warnings": client.warnings, "exit_code": 0}


def row_of(app: App, repo_id: str, name: str) -> dict[str, Any]:
    """Of one that runs, or as it was left. Raises NotFound."""
    running = app.batches.find(repo_id, name)
    if running is not None:
        return running.row()
    noted = app.store.kv_get(f"{batch_state.BATCH}{repo_id}/{name}")
    if noted is None:
        raise NotFound(f"there is no batch {name!r} of this repository")
    from rumpel.batch import items

    tasks = []
    for said in noted["items"]:
        item = items.from_json(said)
        claim = batch_claims.read(app.store, repo_id, name, item.name)
        state = State(item=item, claim=claim)
        batch_state.judge(app.store, repo_id, state)
        tasks.append(state.row())
    return {
        "name": name,
        "file": noted["file"],
        "is_running": False,
        "started_at": iso(noted["began"]),
        "hosts": [],
        "tasks": tasks,
    }


def _known(app: App, repo_id: str, found: Batch) -> dict[str, State]:
    states = {}
    for item in found.items.values():
        claim = batch_claims.read(app.store, repo_id, found.name, item.name)
        states[item.name] = State(item=item, claim=claim)
        batch_state.judge(app.store, repo_id, states[item.name])
    return states


def _named(app: App, client: Client, where: Target) -> str:
    """The batch that was named, by name or file; else the one begun last. Raises NotFound."""
    return named(app, where.ref.repo_id, client.request.args["file"])


def named(app: App, repo_id: str, wanted: str) -> str:
    """The same, of any request."""
    from rumpel.daemon import batch_list

    known = batch_list.known(app, repo_id)
    if wanted:
        name = wanted if wanted in known else names.slug(PurePath(wanted).stem, 63)
        name = next((one for one, noted in known.items() if noted["file"] == wanted), name)
        if name in known:
            return name
        close = text.suggestion(wanted, known)
        guess = f", did you mean {close!r}?" if close else ""
        raise NotFound(f"there is no batch {wanted!r} of this repository{guess}")
    if not known:
        raise NotFound("no batch was run in this repository", hint="rumpel batch run FILE")
    return next(iter(known))


async def _follow(client: Client, running: BatchRun) -> None:
    """Rows as they change, for as long as the client is there; a cancel of its is the batch's."""
    client.connection.is_patient = True
    ends = asyncio.ensure_future(running.ended.wait())
    cancel = asyncio.ensure_future(client.cancelled.wait())
    gone = asyncio.ensure_future(client.gone.wait())
    since = -1
    try:
        while True:
            changed = asyncio.ensure_future(running.changed.wait())
            news = running.news(since) if since >= 0 else running.row()["tasks"]
            since = running.version
            if news:
                client.send({"event": "batch", "tasks": news})
                await client.connection.drain()
            if ends.done() or gone.done():
                changed.cancel()
                return
            await asyncio.wait({ends, cancel, gone, changed}, return_when=asyncio.FIRST_COMPLETED)
            changed.cancel()
            if cancel.done() and not running.cancelled.is_set():
                running.cancel()
                await asyncio.wait({ends, gone}, return_when=asyncio.FIRST_COMPLETED)
            await asyncio.wait({ends, gone}, timeout=TELL_EVERY_S)
    finally:
        for one in (ends, cancel, gone):
            one.cancel()


def _answer(client: Client, row: dict[str, Any], *, is_status: bool = False) -> dict[str, object]:
    counts = Counter(str(task["state"]) for task in row["tasks"])
    row = {**row, "counts": dict(counts)}
    bad = {word: counts[state] for state, word in ENDS.items() if counts[state]}
    if not bad or row["is_running"] or is_status:
        return {"result": row, "warnings": client.warnings, "exit_code": 0}
    said = ", ".join(f"{number} {word}" for word, number in bad.items())
    whole = text.count(len(row["tasks"]), "task")
    error = Partial(
        f"{counts[batch_state.DONE]} of {whole} of batch {row['name']!r} done, {said}",
        hint=_next(row, bad),
    )
    return {"error": error.to_json(), "data": row, "warnings": client.warnings}


def _next(row: dict[str, Any], bad: dict[str, int]) -> str:
    failed = next((task for task in row["tasks"] if task["state"] == batch_state.FAILED), None)
    if failed is None:
        return f"rumpel batch run {row['file']}   goes on"
    step = "verify" if failed["verify"] == "failed" else "work"
    return f"rumpel logs {failed['name']} {step}; rumpel batch retry {row['file']}   tries again"


ACTIONS = {
    "list": every,
    "check": check,
    "run": begin,
    "status": status,
    "wait": wait,
    "cancel": cancel,
    "retry": retry,
    "report": report,
    "land": land,
    "prove": prove,
    "schema": published,
}

__all__ = ["RumpelError", "run"]
