"""The state database: what is acknowledged is kept, what cannot be read is set aside."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest

from rumpel.cache import runs
from rumpel.cache.records import Attempt, PodRow, Record, TrustRow
from rumpel.cache.schema import MIGRATIONS
from rumpel.cache.store import Store
from rumpel.errors import Conflict, RumpelError

POD = PodRow(
    pod_id="p1",
    repo_id="r",
    name="alice",
    host="local",
    definition={"image": "x"},
    created_at=1.0,
)


def entry(store: Store, node_id: str = "n", **more: Any) -> Attempt:
    return Attempt(
        id=store.next_attempt_id(),
        run_id=1,
        node_id=node_id,
        kind="k",
        number=1,
        fp="f",
        nonce="0" * 32,
        started_at=time.time(),
        **more,
    )


def record(attempt: Attempt, **more: Any) -> Record:
    values: dict[str, Any] = {
        "node_id": attempt.node_id,
        "kind": "k",
        "version": 1,
        "components_text": '{"a":[1]}',
        "fp": "f",
        "output_text": '{"id":"x"}',
        "attempt": attempt.id,
    }
    return Record(**values | more)


async def done(store: Store, node_id: str = "n") -> None:
    attempt = entry(store, node_id)
    await store.begin_attempt(attempt)
    await store.finish_attempt(attempt, record(attempt))


async def test_everything_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    async with Store(path) as store:
        assert not store.was_reset
        await done(store)
        await store.put_pod(POD)
        await store.grant_trust(TrustRow(repo_id="r", digest="d", granted_at=2.0, items=("i",)))
        await store.kv_set("home", {"id": 1})
        await store.kv_set("other", 1)
        await store.kv_set("other", None)
        run_id = store.next_run_id()
        store.begin_run(run_id, "create", "p1")
    async with Store(path) as store:
        assert store.records["n"].output == {"id": "x"}
        assert store.records["n"].components == {"a": [1]}
        assert store.pods() == (POD,)
        assert store.pod("p1") == POD
        assert store.trusted("r", "d") is not None
        assert store.trusted("r", "other") is None
        assert dict(store.kv) == {"home": {"id": 1}}
        assert store.next_run_id() == run_id + 1
        assert store.next_attempt_id() == 2
        await store.forget(["n", "unknown"])
        await store.delete_pod("p1")
    async with Store(path) as store:
        assert store.records == {}
        assert store.pods() == ()


async def test_what_is_queued_together_is_committed_together(store: Store) -> None:
    before = store.commits
    attempts = [entry(store, f"n{number}") for number in range(200)]
    await asyncio.gather(*map(store.begin_attempt, attempts))
    await asyncio.gather(*(store.finish_attempt(one, record(one)) for one in attempts))
    assert store.commits - before <= 6


async def test_one_bad_transaction_does_not_take_the_others_with_it(store: Store) -> None:
    attempts = [entry(store, f"n{number}") for number in range(3)]
    same_id = attempts[2]._replace(id=attempts[0].id)
    results = await asyncio.gather(
        *map(store.begin_attempt, (attempts[0], attempts[1], same_id)), return_exceptions=True
    )
    assert results[:2] == [None, None]
    assert isinstance(results[2], RumpelError)
    assert "UNIQUE" in results[2].message


async def test_a_cancelled_wait_does_not_cancel_the_write(tmp_path: Path) -> None:
    async with Store(tmp_path / "s.db") as store:
        attempt = entry(store)
        await store.begin_attempt(attempt)
        waiting = asyncio.ensure_future(_finish(store, attempt))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    async with Store(tmp_path / "s.db") as store:
        assert store.records["n"].output == {"id": "x"}


async def _finish(store: Store, attempt: Attempt) -> None:
    await store.finish_attempt(attempt, record(attempt))


@pytest.mark.parametrize("damage", ["not a database at all", "middle", "header"])
async def test_an_unreadable_file_is_set_aside(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "s.db"
    async with Store(path) as store:
        for number in range(40):
            await done(store, f"n{number}")
    await asyncio.to_thread(_damage, path, damage)
    async with Store(path) as store:
        assert store.was_reset
        assert store.records == {}
        await done(store)
    kept = [file.name for file in tmp_path.iterdir() if "unreadable" in file.name]
    assert len(kept) == 1
    async with Store(path) as store:
        assert not store.was_reset
        assert list(store.records) == ["n"]


def _damage(path: Path, damage: str) -> None:
    content = bytearray(path.read_bytes())
    if damage == "middle":
        content[4096:] = b"\x5a" * (len(content) - 4096)
    elif damage == "header":
        content[:100] = b"\0" * 100
    else:
        content = bytearray(damage.encode() * 100)
    path.write_bytes(content)


async def test_a_damaged_row_is_dropped_not_fatal(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    async with Store(path) as store:
        await done(store, "good")
        await store.put_pod(POD)

    def spoil() -> None:
        with sqlite3.connect(path) as connection:
            connection.execute("UPDATE pod SET definition = '{'")
            connection.execute("INSERT INTO kv VALUES('k', 'nonsense')")
        connection.close()

    await asyncio.to_thread(spoil)
    async with Store(path) as store:
        assert list(store.records) == ["good"]
        assert store.pods() == ()
        assert store.kv_get("k", 1) == 1


async def test_a_newer_schema_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    async with Store(path):
        pass

    def upgrade() -> None:
        connection = sqlite3.connect(path)
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
        connection.close()

    await asyncio.to_thread(upgrade)
    with pytest.raises(RumpelError, match="newer rumpel"):
        await Store.open(path)
    assert [file.name for file in tmp_path.iterdir()] == ["s.db"]


async def test_two_owners_are_refused(tmp_path: Path, store: Store) -> None:
    await done(store)
    with pytest.raises(Conflict, match="in use by another process"):
        await Store.open(tmp_path / "state.db")


async def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(RumpelError, match="cannot be used"):
        await Store.open(tmp_path / "no" / "s.db")


async def test_a_full_disk_fails_the_write_and_recovers(tmp_path: Path) -> None:
    async with Store(tmp_path / "s.db") as store:
        await store.query(lambda connection: connection.execute("PRAGMA max_page_count=1"))
        big = [store.kv_set(f"k{number}", "x" * 100_000) for number in range(3)]
        results = await asyncio.gather(*big, return_exceptions=True)
        assert all(isinstance(result, RumpelError) for result in results)
        assert getattr(results[0], "hint", None) == "free some disk space"
        await store.query(lambda connection: connection.execute("PRAGMA max_page_count=100000"))
        await store.kv_set("k", "small")


async def test_history_is_pruned_and_what_is_needed_stays(store: Store) -> None:
    open_attempt = entry(store, "open")
    await store.begin_attempt(open_attempt)
    await done(store, "old")
    for _ in range(30):
        await done(store, "busy")
    for number in range(10):
        run_id = store.next_run_id()
        await store.end_run(
            run_id, "create", f"p{number % 2}", state="ok", started_at=1.0, nodes={"busy": "ok"}
        )
    await store.query(runs.prune, now=time.time(), keep_runs=4, keep_attempts=5)
    assert [row.id for row in await store.query(runs.recent_runs)] == [10, 9, 8, 7]
    assert [row.id for row in await store.query(runs.recent_runs, subject="p1")] == [10, 8]
    assert len(await store.query(runs.attempts_of_nodes, ["busy"])) == 5
    assert len(await store.query(runs.attempts_of_nodes, ["old", "open"])) == 2
    assert list(store.intents) == [open_attempt.id]


async def test_who_writes_too_late_is_told(tmp_path: Path) -> None:
    """Instead of waiting for ever: whoever closes the database waits for those who write."""
    async with Store(tmp_path / "late.db") as store:
        await store.kv_set("a", 1)
    async with asyncio.timeout(10):
        with pytest.raises(RumpelError, match="the state database is closed"):
            await store.kv_set("b", 2)
    async with Store(tmp_path / "late.db") as again:
        assert (again.kv_get("a"), again.kv_get("b")) == (1, None)


async def test_who_writes_while_it_closes_is_told(tmp_path: Path) -> None:
    """Woken by a write of the last batch, before who closes is."""
    store = await Store.open(tmp_path / "s.sqlite")
    first = store.kv_set("a", 1)

    async def again() -> None:
        await first
        with pytest.raises(RumpelError, match="closed"):
            await store.kv_set("b", 2)

    writer = asyncio.create_task(again())
    await asyncio.sleep(0)
    async with asyncio.timeout(10):
        await store.close()
        await writer
