"""`graph --follow`: what is seen while a graph runs."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest

from rumpel import protocol
from rumpel.cli import live_graph
from tests.e2e.cli_fake.conftest import Run, Serve, answers
from tests.e2e.cli_fake.fake_daemon import Talk
from tests.e2e.cli_fake.terminal import Terminal
from tests.support.home import Home

IMAGE, BOX, HOOK = (
    "image/local/4f0a",
    "container/local/4f0a/a",
    "lifecycle/local/4f0a/a/postCreateCommand",
)
TITLES = {IMAGE: "Fetching image", BOX: "Starting container", HOOK: "Running postCreateCommand"}
EDGES = [[IMAGE, BOX], [BOX, HOOK]]
ERROR = {"message": "exit code 3\x1b[2J", "details": {}}


def node(node_id: str, state: str, took: float | None = None, **more: Any) -> dict[str, Any]:
    pod = "a" if node_id.count("/") > 2 else None
    kind = node_id.split("/")[0]
    known: dict[str, Any] = {
        "id": node_id,
        "kind": kind,
        "pod": pod,
        "title": TITLES[node_id],
        "reasons": [],
    }
    return known | {"state": state, "duration_s": took, "error": None, **more}


BEGIN = [node(IMAGE, "cached", 1.0), node(BOX, "running", 0.1), node(HOOK, "waiting")]
CHANGES = [node(BOX, "ok", 0.24), node(HOOK, "running", 0.0)]
LAST = node(HOOK, "failed", 0.5, error=ERROR)
FINAL = {"nodes": [BEGIN[0], CHANGES[0], LAST], "edges": EDGES}


def play(talk: Talk) -> None:
    talk.send(protocol.graph(BEGIN, EDGES, is_whole=True))
    for change in (*CHANGES, LAST):
        talk.send(protocol.graph([change], [], is_whole=False))
    talk.result(FINAL)


def test_each_change_is_a_line(serve: Serve, run: Run) -> None:
    daemon = serve(graph=play)
    assert run("graph", "a", "--follow").assert_ok().stdout.splitlines() == [
        "a · Starting container · running",
        "a · Starting container · done (0.24 s)",
        "a · Running postCreateCommand · running",
        "a · Running postCreateCommand · FAILED (0.50 s): exit code 3\\x1b[2J",
    ]
    assert daemon.requests[0]["args"]["follow"] is True
    assert run("graph", "a", "-f", "-q").assert_ok().stdout.splitlines() == [IMAGE, BOX, HOOK]


def test_a_program_gets_the_graph_and_then_what_changed(serve: Serve, run: Run) -> None:
    serve(graph=play)
    lines = run("graph", "a", "--follow", "--json").assert_ok().stdout.splitlines()
    data = [json.loads(line)["data"] for line in lines]
    assert data[0] == {"nodes": BEGIN, "edges": EDGES}
    assert data[1:] == [{"nodes": [one], "edges": []} for one in (*CHANGES, LAST)]


def test_when_nothing_runs_the_tree_is_shown_once(serve: Serve, run: Run) -> None:
    def still(talk: Talk) -> None:
        talk.send(protocol.notice("nothing runs now"))
        talk.result(FINAL)

    serve(graph=still)
    shown = run("graph", "a", "--follow").assert_ok()
    assert shown.stdout.splitlines()[0].split() == ["STEP", "STATE", "TIME", "WHY"]
    assert shown.stderr == "nothing runs now\n"
    assert run("graph", "a", "-f", "--json").assert_ok().data == FINAL


@pytest.mark.parametrize("other", ["--why=image", "--plan=stop", "--history", "--format=dot"])
def test_it_goes_with_nothing_else(serve: Serve, run: Run, other: str) -> None:
    serve(graph=answers(FINAL))
    run("graph", "a", "--follow", other).assert_error(2, "--follow")


def test_on_a_terminal_the_tree_moves_and_then_stays(serve: Serve, home: Home) -> None:
    go, again = threading.Event(), threading.Event()

    def slowly(talk: Talk) -> None:
        talk.send(protocol.graph(BEGIN, EDGES, is_whole=True))
        go.wait(20)
        for change in CHANGES:
            talk.send(protocol.graph([change], [], is_whole=False))
        again.wait(20)
        talk.send(protocol.graph([LAST], [], is_whole=False))
        talk.result(FINAL)

    serve(graph=slowly)
    shown = Terminal(home, "graph", "a", "--follow", cwd=home.path)
    shown.wait_for("└─ postCreateCommand   waiting")
    assert "└─ container              running" in shown.screen
    go.set()
    shown.wait_for("└─ postCreateCommand   running")
    assert shown.screen.count("container") == 1
    again.set()
    assert shown.end() == 0
    assert shown.screen.splitlines() == [
        "STEP                      STATE        TIME     WHY",
        "image                     up to date   1.00 s",
        "└─ container              done         0.24 s",
        "   └─ postCreateCommand   failed       0.50 s   exit code 3\\x1b[2J",
    ]


def test_ctrl_c_gives_the_terminal_back(serve: Serve, home: Home) -> None:
    def hold(talk: Talk) -> None:
        talk.send(protocol.graph(BEGIN, EDGES, is_whole=True))
        assert talk.has_left()

    serve(graph=hold)
    shown = Terminal(home, "graph", "a", "--follow", cwd=home.path)
    shown.wait_for("postCreateCommand")
    shown.type("\x03")
    assert shown.end() == 130
    assert shown.raw.count(b"\x1b[?25l") == shown.raw.count(b"\x1b[?25h") > 0
    assert shown.screen.splitlines() == ["interrupted"]


def test_a_tree_higher_than_the_screen_shows_what_runs() -> None:
    lines = [("head", ""), *[(f"s{n}", "cached") for n in range(30)], ("r", "running")]
    lines += [(f"w{n}", "waiting") for n in range(5)]
    shown = live_graph.fitting(lines, 10)
    assert len(shown) == 10
    assert shown[0] == "head"
    assert shown[-1].endswith("more steps)")
    assert "r" in shown
    assert live_graph.fitting(lines[:5], 10) == ["head", "s0", "s1", "s2", "s3"]
    many = [("head", ""), *[(f"r{n}", "running") for n in range(30)]]
    assert len(live_graph.fitting(many, 10)) == 10
