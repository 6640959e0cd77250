"""doit sees what the engine sees, and runs what the engine runs."""

from __future__ import annotations

import asyncio
import io
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from doit.cmd_base import ModuleTaskLoader
from doit.doit_cmd import DoitMain
from doit.task import Task

from rumpel.engine import doit_bridge
from rumpel.engine.doit_bridge import EffectAction, dodo_text, execute, task_of, tasks_for_doit
from rumpel.engine.execute import Engine
from rumpel.engine.plan import Verdict
from rumpel.errors import Bug, CommandFailed
from tests.engine.fake import World, failure, graph_of

CHAIN: dict[str, tuple[str, ...]] = {"a": (), "b": ("a",), "c": ("b",), "d": ()}
LETTERS = {Verdict.FRESH: "U", Verdict.RUN: "R", Verdict.MAY_RUN: "R", Verdict.BLOCKED: "R"}


def doit(folder: Path, nodes: list[dict[str, Any]], *arguments: str) -> tuple[int, str]:
    """Plain doit, in this process, over the tasks of the bridge."""
    tasks = tasks_for_doit(nodes)
    module = {
        "DOIT_CONFIG": {"backend": "json", "dep_file": str(folder / "doit.json")},
        **{f"task_{number}": lambda task=task: task for number, task in enumerate(tasks)},
    }
    out = io.StringIO()
    main = DoitMain(ModuleTaskLoader(module), config_filenames=())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", out)
        code = main.run([*arguments])
    return code, out.getvalue()


async def test_list_and_info_agree_with_the_plan(
    engine: Engine, world: World, tmp_path: Path
) -> None:
    await engine.run(graph_of(CHAIN))
    world.errors["d"] = [failure()]
    await engine.run(graph_of(CHAIN, texts={"d": "other"}))
    for texts in ({}, {"a": "new"}, {"b": "new", "d": "other"}):
        plan = engine.plan(graph_of(CHAIN, texts=texts))
        nodes = plan.to_json()["nodes"]
        _, listed = doit(tmp_path, nodes, "list", "--status", "--sort", "definition")
        assert [line.split()[:2] for line in listed.splitlines()] == [
            [LETTERS[found.verdict], found.id] for found in plan.nodes.values()
        ]
        for node in nodes:
            code, told = doit(tmp_path, nodes, "info", node["id"])
            assert (code == 0) == (node["verdict"] == "fresh")
            assert ("up-to-date" in told) == (node["verdict"] == "fresh")
            assert all(str(reason["subject"]) in told for reason in node["reasons"])
    assert list(tmp_path.glob("doit.json*")) == []


async def test_info_shows_what_changed(engine: Engine, tmp_path: Path) -> None:
    await engine.run(graph_of(CHAIN))
    nodes = engine.plan(graph_of(CHAIN, texts={"a": "new"})).to_json()["nodes"]
    _, told = doit(tmp_path, nodes, "info", "fake/a")
    assert 'run; input text: "a" -> "new"' in told


async def test_doit_never_runs_a_node(engine: Engine, world: World, tmp_path: Path) -> None:
    nodes = engine.plan(graph_of({"a": ()})).to_json()["nodes"]
    code, _ = doit(tmp_path, nodes, "run")
    assert code != 0
    assert world.started == []


@contextmanager
def daemon(path: Path, nodes: list[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """A socket that answers one request after the other with the same graph."""
    import socket

    asked: list[dict[str, Any]] = []
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(path))
    server.listen()

    def serve() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with connection, connection.makefile("rwb") as stream:
                asked.append(json.loads(stream.readline()))
                stream.write(b'{"event":"notice","level":"info","text":"x"}\n')
                stream.write(json.dumps({"result": {"nodes": nodes}}).encode() + b"\n")

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield asked
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join()


async def test_the_dodo_file_works_with_plain_doit(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await engine.run(graph_of(CHAIN))
    nodes = engine.plan(graph_of(CHAIN, texts={"b": "new"})).to_json()["nodes"]
    dodo = tmp_path / "dodo.py"
    dodo.write_text(dodo_text(str(tmp_path / "s"), "/repo", "alice"))
    assert "rumpel." not in dodo.read_text().split('"""', 2)[2].replace("rumpel.json", "")

    def run(*arguments: str) -> str:
        command = [sys.executable, "-P", "-m", "doit", *arguments]
        done = subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=30
        )
        assert done.stderr == ""
        return done.stdout

    with daemon(tmp_path / "s", nodes) as asked:
        listed = await asyncio.to_thread(run, "list", "--status")
        told = await asyncio.to_thread(run, "info", "fake/b")
    assert [line.split()[:2] for line in listed.splitlines()] == [
        ["U", "fake/a"],
        ["R", "fake/b"],
        ["R", "fake/c"],
        ["U", "fake/d"],
    ]
    assert 'input text: "b" -> "new"' in told
    assert asked[0]["args"] == {"name": "alice"}
    assert asked[0]["cwd"] == "/repo"


def nothing(_output: object) -> dict[str, Any]:
    return {"value": 1}


async def test_a_task_awaits_on_the_loop_and_leaves_stdout_alone() -> None:
    before = sys.stdout

    async def effect() -> str:
        await asyncio.sleep(0.001)
        assert sys.stdout is before
        return "made"

    action = EffectAction(effect, nothing)
    task = task_of("x", action, title="Making", meta={"slots": ("a",)})
    assert await execute(task, action) == "made"
    assert task.executed
    assert task.values == {"value": 1}
    assert task.meta == {"slots": ("a",)}


async def test_errors_keep_their_type_and_bugs_are_named() -> None:
    async def broken(error: Exception) -> None:
        await asyncio.sleep(0)
        raise error

    action = EffectAction(lambda: broken(CommandFailed("no")), nothing)
    with pytest.raises(CommandFailed, match="no"):
        await execute(task_of("x", action), action)
    action = EffectAction(lambda: broken(KeyError("k")), nothing)
    with pytest.raises(Bug, match="KeyError"):
        await execute(task_of("x", action), action)


async def test_cancelling_reaches_the_operation() -> None:
    seen = []

    async def effect() -> None:
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    action = EffectAction(effect, nothing)
    running = asyncio.ensure_future(execute(task_of("x", action), action))
    await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert seen == ["cancelled"]


def test_a_copied_task_is_what_doit_would_have_made() -> None:
    """Field for field: a new version of doit that keeps more in a task shows here."""
    action = EffectAction(lambda: asyncio.sleep(0), lambda _: {})
    ours = task_of("x", action, needs=("a",), files=("/f",), title="Making", meta={"k": 1})
    theirs = Task(
        "x",
        [action],
        task_dep=["a"],
        file_dep=["/f"],
        uptodate=[ours.uptodate[0][0]],
        doc="Making",
        io={"capture": False},
        meta={"k": 1},
    )
    theirs.options = {}
    assert theirs.actions == [action]
    assert vars(ours) == {**vars(theirs), "io": ours.io}
    assert vars(ours.io) == vars(theirs.io)
    other = task_of("y", action)
    assert (other.task_dep, other.file_dep, other.values) == ([], set(), {})


def test_a_worker_is_used_again_and_dies_with_a_cancellation() -> None:
    seen: list[Any] = []

    async def effect() -> str:
        await asyncio.sleep(0)
        return "done"

    async def cancelled() -> None:
        raise asyncio.CancelledError

    async def once(work: Any) -> Any:
        action = EffectAction(work, lambda value: {"value": value})
        task = task_of("x", action)
        try:
            return await execute(task, action)
        finally:
            seen.append(len(doit_bridge._workers.idle))

    async def main() -> None:
        assert list(await asyncio.gather(once(effect), once(effect))) == ["done"] * 2
        assert await once(effect) == "done"
        with pytest.raises(asyncio.CancelledError):
            await once(cancelled)

    doit_bridge._workers.idle.clear()
    asyncio.run(main())
    assert seen == [1, 2, 2, 1]
