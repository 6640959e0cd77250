"""`events`: the log of what happened, from any number on. Nobody asks again: a change wakes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from rumpel import protocol
from rumpel.cache import events as log_events
from rumpel.cache.events import Entry
from rumpel.daemon.app import App
from rumpel.daemon.client import Client
from rumpel.daemon.nodes import REPO_CHARS, place_of, read_subject
from rumpel.daemon.times import iso_ms
from rumpel.errors import UsageError

PORTION = 500
"""Entries of one message: a slow reader is waited for between two."""

IsWanted = Callable[[Entry], bool]


async def run(app: App, client: Client) -> dict[str, object]:
    args, log = client.request.args, app.store.log
    is_wanted = _wanted(app, client)
    if args["since"] is None:
        count = max(args["lines"], 0)
        found, since = await app.store.query(log_events.newest, count, is_wanted)
    else:
        found, since = [], await _checked(app, client, args["since"])
    client.connection.is_patient = True
    await _tell(client, found, since)
    while not client.gone.is_set():
        while since < log.last and not client.gone.is_set():
            behind = log.recent(since)
            if behind is None:
                behind = await app.store.query(log_events.after, since)
            since = behind[-1].seq
            await _tell(client, [entry for entry in behind if is_wanted(entry)], since)
        if not args["follow"]:
            break
        await client.while_there(log.changed(since))
    return {"result": {"last": since}, "warnings": client.warnings, "exit_code": 0}


def _wanted(app: App, client: Client) -> IsWanted:
    """What a repository's pods share is about each of them."""
    if client.request.args["all"]:
        return lambda entry: True
    repo_id = app.target_of(client.request.cwd).repo_id
    here, names = repo_id[:REPO_CHARS], frozenset(client.request.args["names"])
    for name in sorted(names - {pod.name for pod in app.pods.of_repo(repo_id)}):
        text = f"there is no pod {name!r} of this repository now"
        client.send(protocol.notice(text, level="warning"))

    def is_wanted(entry: Entry) -> bool:
        repo, pods = _about(entry)
        return repo == here and (not names or not pods or not names.isdisjoint(pods))

    return is_wanted


async def _checked(app: App, client: Client, since: int) -> int:
    """Raises UsageError for what was never told."""
    last = app.store.log.last
    if not 0 <= since <= last:
        raise UsageError(
            f"there is no event {since}: the newest one is {last}",
            hint=f"rumpel events --since {last}",
        )
    first = await app.store.query(log_events.first_number)
    if since + 1 < first:
        text = f"events before {first} are no longer kept"
        client.send(protocol.notice(text, level="warning"))
    return since


async def _tell(client: Client, found: list[Entry], last: int) -> None:
    for place in range(0, len(found) or 1, PORTION):
        portion = found[place : place + PORTION]
        is_all = place + PORTION >= len(found)
        until = last if is_all else portion[-1].seq
        client.send(protocol.entries(map(entry_json, portion), last=until))
        await client.connection.drain()


def _about(entry: Entry) -> tuple[str, Iterable[str]]:
    """(repository, pods)."""
    if not entry.node_id:
        return read_subject(str(entry.data.get("subject") or ""))
    place = place_of(entry.node_id)
    return place.repo, () if place.pod is None else (place.pod,)


def entry_json(entry: Entry) -> dict[str, Any]:
    _, pods = _about(entry)
    more = {name: value for name, value in entry.data.items() if name != "subject"}
    return {
        "seq": entry.seq,
        "at": iso_ms(entry.at),
        "kind": entry.kind,
        "run": entry.run_id or None,
        "node": entry.node_id or None,
        "pods": list(pods),
        **more,
    }
