"""graph, config and daemon: what they print."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rumpel import config as settings
from rumpel import protocol
from rumpel.errors import Conflict
from tests.e2e.cli_fake.conftest import Run, Serve, answers
from tests.support.home import Home

IMAGE, SEED = "image/local/4f0a", "seed/local/4f0a"
BOX, CLONE, HOOK = (
    "container/local/4f0a/a",
    "clone/local/4f0a/a",
    "lifecycle/local/4f0a/a/postCreateCommand",
)


def node(node_id: str, state: str, *reasons: dict[str, Any], **more: Any) -> dict[str, Any]:
    pod = "a" if node_id.count("/") > 2 else None
    kind = node_id.split("/")[0]
    return {
        "id": node_id,
        "kind": kind,
        "pod": pod,
        "state": state,
        "reasons": list(reasons),
        **more,
    }


CHANGED = {
    "kind": "input",
    "subject": "config.runArgs",
    "before": ["--memory=1g"],
    "after": ["--memory=2g"],
}
NODES = [
    node(IMAGE, "cached", duration_s=12.3, updated_at=0.0, title="Preparing image"),
    node(SEED, "cached", duration_s=0.5),
    node(BOX, "stale", CHANGED, {"kind": "refresh", "subject": "container"}, duration_s=0.24),
    node(CLONE, "may-run", {"kind": "upstream", "subject": BOX}),
    node(HOOK, "failed", error={"message": "exit code 1\x1b", "details": {"tail": ["boom"]}}),
]
GRAPH = {
    "nodes": NODES,
    "edges": [[IMAGE, BOX], [SEED, CLONE], [BOX, CLONE], [CLONE, HOOK]],
}


def test_a_tree_draws_every_step_once_with_its_reason(serve: Serve, run: Run) -> None:
    daemon = serve(graph=answers(GRAPH))
    assert run("graph", "a").assert_ok().stdout.splitlines() == [
        "STEP                         STATE        TIME     WHY",
        "image                        up to date   12.3 s",
        "└─ container                 will run     0.24 s   config.runArgs changed: "
        '["--memory=1g"] → ["--memory=2g"] (and 1 more reason)',
        "   └─ clone (and seed)       may run               depends on container",
        "      └─ postCreateCommand   failed                exit code 1\\x1b",
        "seed                         up to date   0.50 s",
    ]
    assert daemon.requests[0]["args"]["name"] == "a"


def test_why_names_what_changed(serve: Serve, run: Run) -> None:
    serve(graph=answers(GRAPH))
    assert run("graph", "--why", "container").assert_ok().stdout.splitlines() == [
        f"{BOX}: will run",
        f"  needs     {IMAGE}",
        "  because   config.runArgs changed",
        '    before  ["--memory=1g"]',
        '    after   ["--memory=2g"]',
        "  because   asked for",
    ]
    fresh = run("graph", "--why", "image").assert_ok().stdout
    assert "nothing it depends on has changed" in fresh
    assert "took 12.3 s" in fresh
    assert "  | boom" in run("graph", "--why", "postCreateCommand").assert_ok().stdout
    run("graph", "--why", "contaner").assert_error(3, "did you mean 'container a'")


def test_a_message_of_several_lines_is_several_lines(serve: Serve, run: Run) -> None:
    failed = node(BOX, "failed", error={"message": "unmerged:\n  a1 work\n  b2 more\x1b"})
    serve(graph=answers({"nodes": [failed], "edges": []}))
    assert run("graph", "--why", "container").assert_ok().stdout.splitlines()[1:] == [
        "  failed    unmerged:",
        "              a1 work",
        "              b2 more\\x1b",
    ]


def test_why_in_json_is_the_one_node(serve: Serve, run: Run) -> None:
    serve(graph=answers(GRAPH))
    data = run("graph", "--why", BOX, "--json").assert_ok().data
    assert [found["id"] for found in data["nodes"]] == [BOX]


def test_pictures_name_every_node_and_edge(serve: Serve, run: Run) -> None:
    odd = {**GRAPH, "nodes": [*NODES, node('x"]\n;', "cached")]}
    serve(graph=answers(odd))
    dot = run("graph", "--format", "dot").assert_ok().stdout
    assert f'"{IMAGE}" -> "{BOX}";' in dot
    assert '"x\\"]\\\\n;" [label=' in dot
    mermaid = run("graph", "--format", "mermaid").assert_ok().stdout
    assert mermaid.startswith("flowchart LR\n")
    assert "  n0 --> n2" in mermaid
    assert "#34;" in mermaid
    assert json.loads(run("graph", "--format", "json").assert_ok().stdout)["data"] == odd


def test_several_pods_are_told_apart(serve: Serve, run: Run) -> None:
    other = BOX[:-1] + "b"
    both = {"nodes": [node(BOX, "cached"), {**node(other, "cached"), "pod": "b"}], "edges": []}
    serve(graph=answers(both))
    assert run("graph", "-q").assert_ok().stdout == f"{BOX}\n{other}\n"
    assert "container b" in run("graph").assert_ok().stdout
    run("graph", "--why", "container").assert_error(2, "container a or container b: which one?")


def test_ports_are_named_as_in_logs(serve: Serve, run: Run) -> None:
    ports = [{**node(f"port/local/r1/a/{key}", "cached"), "pod": "a"} for key in ("3000", "db:80")]
    serve(graph=answers({"nodes": ports, "edges": []}))
    shown = run("graph").assert_ok().stdout
    assert [line.split()[0] for line in shown.splitlines()] == ["STEP", "port/3000", "port/db:80"]
    assert "port/3000 a" in run("graph", "--format", "dot").assert_ok().stdout
    for name in ("port/3000", "port/3000 a", "3000"):
        told = run("graph", "--why", name).assert_ok().stdout
        assert told.startswith("port/local/r1/a/3000: ")
    several = run("graph", "--why", "port").assert_error(2, "port/3000 a or port/db:80 a: which")
    assert 'rumpel graph --why "port/3000 a"' in several.stderr


def test_reasons_of_recreate_are_in_words(serve: Serve, run: Run) -> None:
    ids = [IMAGE, "port/local/r1/a/3000", IMAGE, IMAGE, BOX]
    kinds = [("failed", "failed"), ("never-ran", "port"), ("refresh", "image"), ("always", "image")]
    reasons = [{"kind": kind, "subject": subject} for kind, subject in kinds]
    reasons.append({"kind": "failed", "subject": "upstream-failed", "after": "no such image"})
    rows = [{"node": node_id, **reason} for node_id, reason in zip(ids, reasons, strict=True)]
    serve(recreate=answers({"name": "a", "action": "new image", "reasons": rows}))
    assert run("recreate", "a", "--plan").assert_ok().stdout.splitlines()[1:] == [
        "  image: last attempt failed",
        "  port/3000: never ran",
        "  image: asked for",
        "  image: runs every time",
        "  container: last attempt did not get to it: no such image",
    ]


def test_two_lists_are_not_shown_at_once(serve: Serve, run: Run) -> None:
    serve(graph=answers(GRAPH))
    run("graph", "--history", "--critical-path").assert_error(2, "two lists: one at a time")
    run("graph", "--history", "--why", "image").assert_error(2, "--why")


def test_config_shows_values_and_origins(serve: Serve, run: Run) -> None:
    found = settings.resolve(flags={}, env={"RUMPEL_CPUS": "2"}, repo={"memory": "4g"})
    report = {"field": "features", "line": 3, "column": 5, "verdict": "ignored", "note": "later"}
    devcontainer = {"source": ".devcontainer.json", "image": "x:1", "fields": [report]}
    effects = [{"kind": "mount", "text": "bind mount of /etc\x1b"}]
    data = {"settings": found.to_json(), "devcontainer": devcontainer, "host_effects": effects}
    serve(config=answers(data, warnings=["features is not handled"]))
    plain = run("config").assert_ok()
    rows = [line.split()[:2] for line in plain.stdout.splitlines()]
    assert ["memory", "4g"] in rows
    assert ["image", "x:1"] in rows
    assert "bind mount of /etc\\x1b" in plain.stdout
    assert plain.stderr == "warning: features is not handled\n"
    origin = run("config", "--origin").assert_ok().stdout
    assert ["memory", "4g", ".rumpelpod.json"] in [line.split() for line in origin.splitlines()]
    assert ["cpus", "2", "RUMPEL_CPUS"] in [line.split() for line in origin.splitlines()]
    check = run("config", "--check").assert_ok().stdout
    assert check.splitlines()[1].split() == [
        ".devcontainer.json:3",
        "features",
        "ignored",
        "later",
    ]


def test_daemon_status_does_not_start_one(home: Home, run: Run) -> None:
    run("daemon", "status").assert_error(3, "not running")
    run("daemon", "stop").assert_ok()
    assert not home.socket.exists()
    assert run("daemon", "status", "--json").assert_code(3).json()["error"]["code"] == "not-running"


def test_daemon_status_and_a_refused_stop(serve: Serve, run: Run) -> None:
    data = {"pid": 1, "version": "0.1.0", "socket": "/x", "uptime_s": 185.2}
    refused = Conflict("2 operations in progress", hint="rumpel daemon stop --force")
    serve(
        daemon_status=answers(data),
        daemon_stop=lambda talk: talk.send(protocol.failure(refused.to_json())),
    )
    assert "3 min 5 s" in run("daemon", "status").assert_ok().stdout
    run("daemon", "stop").assert_error(4, "2 operations in progress", "--force")


def test_daemon_logs_come_from_the_file(home: Home, run: Run) -> None:
    run("daemon", "logs").assert_error(3, "never ran")
    (home.state / "log").mkdir(mode=0o700, parents=True)
    (home.state / "log/daemon.log").write_bytes(b"one\ntwo\x1b[31m\nthree \xff\n")
    assert run("daemon", "logs", "-n", "2").assert_ok().stdout == "two\\x1b[31m\nthree \\xff\n"


@pytest.mark.parametrize(
    ("source", "told"), [(None, "no devcontainer.json"), ("x/y.json", "x/y.json says nothing")]
)
def test_a_configuration_that_says_nothing_is_no_missing_one(
    serve: Serve, run: Run, source: str | None, told: str
) -> None:
    serve(config=answers({"devcontainer": {"source": source, "fields": []}}))
    shown = run("config", "--check").assert_ok().stdout
    assert shown == f"{told}: the default image is used\n"
