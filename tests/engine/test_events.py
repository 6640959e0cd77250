"""The log of events: no gap, no number twice, told when durable, gone on with from any number."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from pathlib import Path
from typing import Any

from rumpel.cache import events, runs
from rumpel.cache.events import Entry
from rumpel.cache.schema import MIGRATIONS
from rumpel.cache.store import Store
from rumpel.engine.execute import Engine
from rumpel.engine.operation import Policy
from rumpel.errors import HostUnreachable
from tests.engine.fake import Operation, World, failure, graph_of
from tests.engine.test_store import entry, record

EDGES: dict[str, tuple[str, ...]] = {"a": (), "b": ("a",), "c": ("a",)}


async def settled(store: Store) -> int:
    """The last number, when nothing is on its way."""
    await store.query(lambda _: None)
    await asyncio.sleep(0)  # the events are last in a batch
    return store.log.last


async def test_a_reader_goes_on_from_any_number(engine: Engine, world: World) -> None:
    world.errors["b"] = [failure()]
    await engine.run(graph_of(EDGES))
    await engine.run(graph_of(EDGES))
    last = await settled(engine.store)
    found = await engine.store.query(events.after, 0)
    assert [item.seq for item in found] == list(range(1, last + 1))
    assert engine.store.log.recent(0) == found
    for since in range(last + 1):
        assert await engine.store.query(events.after, since) == found[since:]
        assert engine.store.log.recent(since) == found[since:]
    few = await engine.store.query(events.after, 0, limit=2)
    assert few == found[: len(few)]
    assert 2 <= len(few) < len(found)


async def test_the_newest_of_some_kind_are_found(engine: Engine) -> None:
    for number in range(3):
        await engine.run(graph_of({f"n{number}": ()}))
    last = await settled(engine.store)
    whole = await engine.store.query(events.after, 0)
    ended = [item for item in whole if item.kind == "run-ended"]
    for count in range(5):
        found = await engine.store.query(
            events.newest, count, lambda entry: entry.kind == "run-ended"
        )
        assert found == (ended[len(ended) - min(count, 3) :], last)
    assert await engine.store.query(events.first_number) == 1


async def test_who_waits_is_told_what_is_durable(store: Store, world: World) -> None:
    engine = Engine(store, world)
    heard: list[Entry] = []

    async def listen() -> None:
        since = 0
        while not heard or heard[-1].kind != "run-ended":
            await store.log.changed(since)
            for item in store.log.recent(since) or ():
                assert await store.query(events.after, item.seq - 1) != []
                heard.append(item)
                since = item.seq

    listening = asyncio.ensure_future(listen())
    await engine.run(graph_of({"a": ()}))
    async with asyncio.timeout(5):
        await listening
    assert [item.kind for item in heard] == ["run-began", "node-running", "node-ok", "run-ended"]
    await engine.close()


async def test_no_number_is_given_twice_over_restarts(tmp_path: Path, world: World) -> None:
    seen: list[int] = []
    for number in range(3):
        async with Store(tmp_path / "s.db") as store:
            engine = Engine(store, world)
            await engine.run(graph_of({f"n{number}": ()}))
            await settled(store)
            seen += [item.seq for item in store.log.recent(len(seen)) or ()]
            assert store.log.recent(0) is None or number == 0
            await engine.close()
    assert seen == list(range(1, 13))


async def test_a_crash_is_in_the_log(tmp_path: Path, world: World) -> None:
    path = tmp_path / "s.db"
    async with Store(path) as store:
        engine = Engine(store, world)
        world.holds["a"] = asyncio.Event()
        running = asyncio.ensure_future(engine.run(graph_of({"a": ()})))
        while not world.started:  # noqa: ASYNC110 - a fake world tells nobody
            await asyncio.sleep(0)
        for suffix in ("", "-wal"):
            shutil.copyfile(f"{path}{suffix}", tmp_path / f"copy.db{suffix}")
        world.holds["a"].set()
        await running
        await engine.close()
    async with Store(tmp_path / "copy.db") as store:
        await Engine(store, world).recover()
        await settled(store)
        found = await store.query(events.after, 0)
    assert [(item.seq, item.kind) for item in found] == [
        (1, "run-began"),
        (2, "node-running"),
        (3, "node-crashed"),
        (4, "run-ended"),
    ]
    assert found[3].data["state"] == "crashed"


async def test_events_that_could_not_be_written_come_later_without_a_gap(store: Store) -> None:
    def arm(connection: sqlite3.Connection) -> None:
        connection.execute(
            "CREATE TEMP TRIGGER t BEFORE INSERT ON main.events"
            " BEGIN SELECT RAISE(ABORT, 'disk is full'); END"
        )

    await store.query(arm)
    store.log.note(1, "lost")
    assert await settled(store) == 0
    await store.query(lambda connection: connection.execute("DROP TRIGGER t"))
    store.log.note(1, "kept")
    await settled(store)
    found = await store.query(events.after, 0)
    assert [(item.seq, item.kind) for item in found] == [(1, "lost"), (2, "kept")]


async def test_logs_are_kept_once_and_long_ones_packed(store: Store) -> None:
    long = "step 1 of a long build\n" * 5000
    for number in range(3):
        attempt = entry(store, f"n{number}")
        await store.begin_attempt(attempt)
        await store.finish_attempt(attempt, record(attempt), log=long if number else "short ü\n")
    sizes = await store.query(
        lambda connection: connection.execute("SELECT length(data) FROM blob").fetchall()
    )
    assert len(sizes) == 2
    assert max(size for (size,) in sizes) < len(long) / 10
    found = await store.query(runs.attempts_of_nodes, ["n0", "n1", "n2"])
    assert [item.log for item in found] == [long, long, "short ü\n"]


async def test_old_history_goes_and_the_logs_nobody_needs(store: Store) -> None:
    for number in range(6):
        attempt = entry(store, "n")
        await store.begin_attempt(attempt)
        await store.finish_attempt(attempt, record(attempt), log=f"{number}")
    await store.begin_run(1, "create", "x")
    await store.end_run(1, "create", "x", state="ok", started_at=1.0, nodes={})
    await store.query(runs.prune, now=store.now() + 91 * 86400)
    assert await store.query(runs.recent_runs) == []
    (kept,) = await store.query(runs.attempts_of_nodes, ["n"])
    assert kept.log == "5", "the attempt its record came from"
    blobs = await store.query(
        lambda connection: connection.execute("SELECT COUNT(*) FROM blob").fetchone()
    )
    assert blobs == (1,)


async def test_the_log_has_an_end(store: Store) -> None:
    for _ in range(40):
        store.log.note(1, "x")
        await settled(store)
    await store.query(lambda connection: events.prune(connection, keep=10))
    found = await store.query(events.after, 0)
    assert [item.seq for item in found] == list(range(31, 41))
    store.log.note(1, "x")
    assert await settled(store) == 41


async def test_a_database_of_the_first_schema_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    with sqlite3.connect(path) as old:
        old.executescript(MIGRATIONS[0])
        old.execute("PRAGMA user_version=1")
        old.execute(
            "INSERT INTO attempt VALUES(7,1,'n','k',1,'f','0','ok','[]',1.0,2.0,NULL,'a log')"
        )
    old.close()
    async with Store(path) as store:
        (found,) = await store.query(runs.attempts_of_nodes, ["n"])
        assert (found.id, found.log) == (7, "")
        assert store.next_attempt_id() == 8
        store.log.note(1, "x")
        assert await settled(store) == 1


async def test_a_retry_is_in_the_log(engine: Engine, world: World) -> None:

    world.errors["a"] = [HostUnreachable("away")]
    operations: dict[str, Any] = {"a": Operation(POLICY=Policy(retries=1))}
    await engine.run(graph_of({"a": ()}, operations=operations))
    await settled(engine.store)
    kinds = [item.kind for item in engine.store.log.recent(0) or ()]
    assert kinds == [
        *("run-began", "node-running", "node-retried", "node-running", "node-ok", "run-ended"),
    ]
