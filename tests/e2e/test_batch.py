"""`batch`: tasks of one file, as one graph: run, gone on with, retried, cancelled."""

from __future__ import annotations

import functools
import json
import subprocess
import time
from pathlib import Path
from typing import Any

import pexpect
import pytest

from tests.support.engine import MINI_IMAGE
from tests.support.project import Project, ProjectFactory

COMMIT = "git add -A && git commit -qm {0}"


def task(name: str, script: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "command": script, **more}


def made(name: str, **more: Any) -> dict[str, Any]:
    """A task that commits a file of its name."""
    return task(name, f"echo {name} >{name} && {COMMIT.format(name)}", **more)


def batch(project: Project, *args: str, tasks: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    """`batch run`, as its envelope."""
    project.write({"batch.json": json.dumps({"tasks": tasks, **more})})
    done = project.run("batch", *args, "batch.json", "--json", timeout=300)
    return {"code": done.code, **json.loads(done.stdout)}


def states(envelope: dict[str, Any]) -> dict[str, str]:
    return {row["name"]: row["state"] for row in envelope["data"]["tasks"]}


def starts(project: Project) -> dict[str, str]:
    """When each container was started last."""
    inspect = project.docker.api.inspect_container
    return {row["Id"]: inspect(row["Id"])["State"]["StartedAt"] for row in project.containers()}


def test_needs_and_verify(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    tasks = [
        made("a", verify="test -f a"),
        made("b"),
        made("c", needs=["a", "b"], verify="test -f a && test -f b && test -f c"),
    ]
    done = batch(project, "run", tasks=tasks)
    assert done["code"] == 0, done
    assert states(done) == {"a": "done", "b": "done", "c": "done"}
    rows = {row["name"]: row for row in done["data"]["tasks"]}
    assert rows["c"]["verify"] == "passed"
    assert rows["b"]["commits"] == 1
    files = project.git("ls-tree", "--name-only", "-r", "rumpelpod/c").split()
    assert {"a", "b", "c"} <= set(files)
    assert project.git("rev-parse", "rumpelpod/a") == rows["a"]["commit"]
    assert {row["State"] for row in project.containers()} == {"exited"}

    before = starts(project)
    again = batch(project, "run", tasks=tasks)
    assert states(again) == states(done)
    assert starts(project) == before, "nothing was started"


def test_a_failure_stops_what_needs_it(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    tasks = [
        task("a", "echo no such luck; exit 3"),
        made("b", needs=["a"]),
        made("c"),
        made("d", verify="test -f /tmp/ok"),
    ]
    done = batch(project, "run", tasks=tasks)
    assert done["code"] == 7
    assert states(done) == {"a": "failed", "b": "skipped", "c": "done", "d": "failed"}
    assert done["error"]["code"] == "partial"
    rows = {row["name"]: row for row in done["data"]["tasks"]}
    assert "exited with 3" in rows["a"]["error"]["message"]
    assert "no such luck" in project.run("batch", "attach", "a").assert_ok().stdout
    project.run("batch", "attach").assert_error(2, "which task?")
    schema = json.loads(project.run("batch", "schema").assert_ok().stdout)
    assert schema["properties"]["tasks"]["minItems"] == 1
    assert "no such luck" in rows["a"]["error"]["details"]["tail"]
    assert rows["d"]["verify"] == "failed"


def test_batches_are_listed_and_shown_as_graphs(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    assert "no batch was run" in project.run("batch", "list").assert_ok().stderr
    project.run("graph", "--batch").assert_error(3, "no batch was run in this repository")
    batch(project, "run", tasks=[made("a", verify="true"), made("b", needs=["a"]), task("c", "x")])
    project.write({"other.json": json.dumps({"tasks": [made("z")]})})
    project.run("batch", "run", "other.json").assert_ok()
    assert project.run("batch", "list", "-q").assert_ok().stdout.split() == ["other", "batch"]
    lines = project.run("batch", "list").assert_ok().stdout.splitlines()
    assert lines[1].split()[:4] == ["other", "ended", "1", "done"]
    assert "2 done, 1 failed" in lines[2]
    rows = project.run("batch", "list", "--json").assert_ok().data
    assert [(row["name"], row["file"], row["tasks"]) for row in rows] == [
        ("other", "other.json", 1),
        ("batch", "batch.json", 3),
    ]
    project.run("batch", "list", "x").assert_error(2, "takes no file")
    data = project.run("graph", "--batch", "batch", "--json").assert_ok().data
    found = {(node["kind"], node["pod"]): node["state"] for node in data["nodes"]}
    assert found["verify", "a"] == found["work", "b"] == "cached"
    assert found["work", "c"] == "failed"
    tree = project.run("graph", "--batch", "batch").assert_ok().stdout
    assert "verify a" in tree
    assert "FAILED" in tree.upper()
    assert "graph" in project.run("graph", "--batch", "--format", "dot").assert_ok().stdout
    project.run("graph", "--batch", "--plan", "stop").assert_error(2, "are for pods")
    project.run("graph", "--batch", "nobody").assert_error(3, "there is no batch 'nobody'")


def test_who_looks_on_ends_nothing(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    tasks = [task("b", "touch /tmp/at-work; while [ ! -e /tmp/go ]; do sleep 0.1; done")]
    project.write({"batch.json": json.dumps({"tasks": tasks})})
    project.run("batch", "run", "--no-wait", "batch.json").assert_ok()
    project.wait_until(functools.partial(at_work, project, "b"), "b is at work")
    shown = project.spawn("batch", "status", "--follow")
    shown.expect("working")
    shown.sendintr()
    shown.sendintr()
    shown.expect(pexpect.EOF)
    shown.close()
    assert shown.exitstatus == 130
    assert _state(project, "b") == "working"
    project.exec("b", "touch", "/tmp/go")
    project.run("batch", "wait").assert_ok()
    (project.root / "sub").mkdir()
    again = project.run("batch", "run", "batch", cwd=project.root / "sub").assert_ok()
    assert "1 done" in again.stderr, "by its name, from anywhere"


def test_names_of_files_are_a_pods(rumpel_project: ProjectFactory) -> None:
    """Nothing of them gets to a terminal or a page as it is."""
    project = rumpel_project()
    name = r"$(printf '\033[31m<b>\377\nx')"
    write = f'echo {{0}} >"{name}" && {COMMIT}'
    tasks = [
        task("l", write.format("l")),
        task("r", write.format("r")),
        made("m", needs=["l", "r"]),
    ]
    project.write({"batch.json": json.dumps({"tasks": tasks})})
    done = project.run("batch", "run", "batch.json")
    assert done.code == 7
    assert "m · failed: the commits it needs are in conflict: " in done.stderr
    page = project.run("batch", "report", "--format", "html").assert_ok().stdout
    said = project.run("batch", "report").assert_ok().stdout
    assert "\x1b" not in done.stderr + page + said
    assert "<b>" not in page
    assert r"\<b>" in said
    conflict = project.run("batch", "land", "--json")
    assert (conflict.code, json.loads(conflict.stdout)["error"]["code"]) == (4, "conflict")


def test_retry_and_conflicts(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    count = "echo x >>/tmp/tries; "
    tasks = [
        task("a", count + "test -f /tmp/ok", verify="true"),
        made("b", needs=["a"]),
        task("l", f"echo left >f && {COMMIT.format('l')}"),
        task("r", f"echo right >f && {COMMIT.format('r')}"),
        made("m", needs=["l", "r"]),
    ]
    done = batch(project, "run", tasks=tasks)
    assert states(done) == {"a": "failed", "b": "skipped", "l": "done", "r": "done", "m": "failed"}
    rows = {row["name"]: row for row in done["data"]["tasks"]}
    assert rows["m"]["error"]["details"]["conflicts"] == ["f"]
    again = batch(project, "run", tasks=tasks)
    assert states(again) == states(done)
    tries = "cat /tmp/tries"
    assert project.inside("a", tries) == "x", "what failed is not tried again by itself"
    project.inside("a", "touch /tmp/ok")
    retried = batch(project, "retry", tasks=tasks)
    assert states(retried) == {"a": "done", "b": "done", "l": "done", "r": "done", "m": "failed"}
    assert project.inside("a", tries) == "x\nx"


def test_retries_and_edits(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    flaky = "echo x >>/tmp/tries; [ $(wc -l </tmp/tries) -ge 3 ]"
    tasks = [task("a", flaky, retries=2), made("b")]
    assert states(batch(project, "run", tasks=tasks)) == {"a": "done", "b": "done"}
    before = starts(project)
    tasks.append(made("c", needs=["b"]))
    assert states(batch(project, "run", tasks=tasks)) == {"a": "done", "b": "done", "c": "done"}
    assert starts(project).items() >= before.items(), "only what is new was done"


def test_a_killed_daemon_repeats_nothing(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    slow = "echo x >>/tmp/tries; touch /tmp/at-work; while [ ! -e /tmp/go ]; do sleep 0.1; done; "
    tasks = [
        task(name, f"{slow} echo {name} >{name} && {COMMIT.format(name)}; echo bye")
        for name in ("a", "b")
    ]
    project.write({"batch.json": json.dumps({"tasks": tasks})})
    project.run("batch", "run", "--no-wait", "batch.json").assert_ok()
    for name in ("a", "b"):
        project.wait_until(functools.partial(at_work, project, name), f"{name} is at work")
    project.home.kill_daemon()
    status = json.loads(project.run("batch", "status", "--json").assert_ok().stdout)
    assert states(status) == {"a": "interrupted", "b": "interrupted"}
    project.exec("a", "touch", "/tmp/go")
    running = project.start("batch", "run", "batch.json")
    project.wait_until(
        lambda: (
            project.git("for-each-ref", "refs/remotes/rumpelpod/a", "--format=%(subject)") == "a"
        ),
        "a is done",
    )
    project.exec("b", "touch", "/tmp/go")
    assert running.wait(timeout=60) == 0
    status = json.loads(project.run("batch", "status", "--json").assert_ok().stdout)
    assert states(status) == {"a": "done", "b": "done"}
    assert {row["text"] for row in status["data"]["tasks"]} == {"bye"}
    assert len(project.containers()) == 2
    for name in ("a", "b"):
        assert project.inside(name, "cat /tmp/tries") == "x"


def test_cancel_wait_and_follow(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    tasks = [
        made("a"),
        task("b", "touch /tmp/at-work; echo x >>/tmp/tries; exec sleep 987"),
        made("c", needs=["b"]),
    ]
    project.write({"batch.json": json.dumps({"tasks": tasks})})
    project.run("batch", "run", "--no-wait", "batch.json").assert_ok()
    project.wait_until(functools.partial(at_work, project, "b"), "b is at work")
    project.run("batch", "run", "batch.json", "--no-wait").assert_ok()
    tasks[0]["command"] = "true"
    edited = batch(project, "run", tasks=tasks)
    assert (edited["code"], edited["error"]["code"]) == (4, "conflict")
    following = project.start("batch", "status", "--follow", stdin=subprocess.DEVNULL)
    waiting = project.start("batch", "wait")
    project.wait_until(lambda: _state(project, "a") == "done", "a is done")
    cancelled = project.run("batch", "cancel").assert_ok()
    assert ["b", "cancelled"] in [line.split()[:2] for line in cancelled.stdout.splitlines()]
    assert waiting.wait(timeout=60) == 7
    assert following.wait(timeout=60) == 0
    assert _state(project, "a") == "done"
    assert {row["State"] for row in project.containers()} == {"exited"}
    assert "sleep 987" not in project.inside("b", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '")
    project.run("batch", "status", "nobody").assert_error(3, "there is no batch 'nobody'")
    project.run("batch", "run", "gone.yaml").assert_error(3, "gone.yaml cannot be read")
    project.run("batch", "run", "a.json", "b.json").assert_error(2, "takes one file, not 2")


def test_files_come_along(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project({".gitignore": ".env\ndata\n"})
    project.write({".env": "A=1\n", "data/x/deep": "deep\n", "data/run": "echo ran\n"})
    (project.root / "data/run").chmod(0o755)
    look = "[ -z $(git status --porcelain) ] && cat .env data/x/deep /tmp/other && data/run"
    tasks = [task("a", look, files=[".env", "data", {"from": ".env", "to": "/tmp/other"}])]
    done = batch(project, "run", tasks=tasks)
    assert states(done) == {"a": "done"}, done
    assert done["data"]["tasks"][0]["text"] == "A=1\ndeep\nA=1\nran"
    project.write({".env": "A=2\n"})
    tasks[0]["files"] = [".env", "gone"]
    refused = batch(project, "run", tasks=tasks)
    assert (refused["code"], refused["error"]["code"]) == (2, "config")
    assert "tasks[0].files[1]: gone cannot be copied: No such file" in refused["error"]["message"]
    tasks[0] = task("a", "cat .env", files=[".env"])
    again = batch(project, "run", tasks=tasks)
    assert again["data"]["tasks"][0]["text"] == "A=2"


def test_what_is_lent_is_not_committed(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    project.write({"secret": "s\n", "more/a b*": "t\n"})
    tasks = [
        task("a", f"cat secret more/*; echo x >own; {COMMIT.format('a')}", files=["secret", "more"])
    ]
    done = batch(project, "run", tasks=tasks)
    assert states(done) == {"a": "done"}, done
    assert done["data"]["tasks"][0]["text"] == "s\nt"
    assert project.git("diff", "--name-only", "HEAD", "rumpelpod/a") == "own"


def test_a_file_of_the_repository_asks_before_it_touches_the_host(
    rumpel_project: ProjectFactory, tmp_path: Path
) -> None:
    """Whoever wrote it need not be its user."""
    project = rumpel_project()
    (tmp_path / "key").write_text("private\n")
    (project.root / "link").symlink_to(tmp_path / "key")
    hosts = {"hosts": ["local", "ssh://evil.invalid"]}
    for tasks, more in (
        ([task("a", "cat key", files=[{"from": str(tmp_path), "to": "."}])], {}),
        ([task("a", "cat link", files=["link"])], {}),
        ([task("a", "true", files=[{"from": ".git/config", "to": "c"}])], {}),
        ([{"name": "a", "prompt_file": "link"}], {}),
        ([task("a", "true")], hosts),
    ):
        refused = batch(project, "run", tasks=tasks, **more)
        assert (refused["code"], refused["error"]["code"]) == (4, "not-trusted"), refused
        assert project.containers() == []
    tasks = [task("a", "cat link", files=["link"])]
    assert states(batch(project, "run", "--trust", tasks=tasks)) == {"a": "done"}
    assert states(batch(project, "retry", tasks=tasks)) == {"a": "done"}, "agreed to once"
    own = tmp_path / "own.json"
    own.write_text(json.dumps({"tasks": [task("b", "cat key", files=["key"])]}))
    assert "done" in project.run("batch", "run", str(own)).assert_ok().stdout, "a file of one's own"


def test_limits_and_what_is_not_committed(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    tasks = [
        task("slow", "echo so far; sleep 8; touch /tmp/at-work; sleep 987", limits={"time": "12s"}),
        task("untidy", "touch left-over"),
        task("flaky", "echo x >>/tmp/n; [ $(wc -l </tmp/n) -gt 1 ]", retries=1),
    ]
    project.write({"batch.json": json.dumps({"tasks": tasks})})
    running = project.start("batch", "run", "batch.json")
    project.wait_until(functools.partial(at_work, project, "slow"), "8 of its 12 s are over")
    began = time.monotonic()
    project.home.kill_daemon()
    assert running.wait(timeout=60) == 1
    done = project.run("batch", "run", "batch.json", timeout=120)
    assert time.monotonic() - began < 11, "a daemon that begins again goes on counting"
    assert done.code == 7
    said = done.stderr
    assert "the command of task slow did not end within 12.0 s: it was ended" in said
    assert "untidy · done, 0 commits, 1 file not committed" in said
    status = json.loads(project.run("batch", "status", "--json").assert_ok().stdout)
    slow = status["data"]["tasks"][0]
    assert slow["error"]["details"]["tail"] == "so far"


def test_a_pod_of_somebody_else_is_left_alone(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    project.run("create", "a").assert_ok()
    refused = batch(project, "run", tasks=[made("a")])
    assert refused["code"] == 4
    assert "there is a pod a already, and it is not of this batch" in refused["error"]["message"]


def _state(project: Project, name: str) -> str:
    status = json.loads(project.run("batch", "status", "--json").assert_ok().stdout)
    return states(status)[name]


def at_work(project: Project, pod: str) -> bool:
    if [row["State"] for row in project.containers(pod)] != ["running"]:
        return False
    return project.exec(pod, "test", "-e", "/tmp/at-work", check=False).code == 0


@pytest.mark.here("Podman's events do not tell what an exec runs")
def test_what_ends_soon_needs_no_exec(rumpel_project: ProjectFactory) -> None:
    """One costs as much as a third of a pod."""
    project, begun = rumpel_project(), int(time.time())
    long = task("long", f"sleep 5; echo late; echo x >x; {COMMIT.format('x')}")
    done = batch(project, "run", tasks=[made("a"), made("b"), made("c"), long])
    assert states(done) == dict.fromkeys(("a", "b", "c", "long"), "done")
    said = project.run("logs", "long", "work").assert_ok().stdout
    assert said.count("late") == 1, said
    label = str(project.home.label)
    filters = {"label": label, "event": "exec_create"}
    events = project.docker.api.events(
        since=begun, until=int(time.time()) + 1, filters=filters, decode=True
    )
    execs = [event["Action"] for event in events]
    assert not [action for action in execs if "getent passwd" in action]
    assert 1 <= sum("$dir/alive" in action for action in execs) < 4, "most machines: only `long`"


def test_what_is_needed_was_done_anew(rumpel_project: ProjectFactory) -> None:
    """A pod that is there gets the new commits before its task is done anew."""
    project = rumpel_project()
    again = "echo x >>d-{0}; git add -A; git commit -qm {0}"
    tasks = [made("a"), task("c", again.format("c"), needs=["a"])]
    batch(project, "run", tasks=tasks)
    tasks[0] = task("a", "echo 2 >a && echo a >c-s && git add -A && git commit -qm again")
    done = batch(project, "run", tasks=tasks)
    assert states(done) == {"a": "done", "c": "done"}, done
    project.git("merge-base", "--is-ancestor", "rumpelpod/a", "rumpelpod/c")
    assert project.git("show", "rumpelpod/c:a") == "2"

    tasks[0] = task("a", "echo other >d-c && git add -A && git commit -qm conflict")
    done = batch(project, "run", tasks=tasks)
    assert states(done) == {"a": "done", "c": "failed"}
    error = done["data"]["tasks"][1]["error"]
    assert (error["code"], error["details"]["conflicts"]) == ("conflict", ["d-c"])
    assert project.inside("c", "git status --porcelain; ls .git | grep MERGE_ || true") == ""
    project.run("delete", "--force", "c").assert_ok()
    assert states(batch(project, "retry", tasks=tasks)) == {"a": "done", "c": "done"}

    project.commit("new", {"newer": "x\n"})
    tasks[0] = task("a", "test -e newer", base="main")
    assert states(batch(project, "run", tasks=tasks))["a"] == "done"
    project.git("merge-base", "--is-ancestor", "main", "rumpelpod/a")


def test_older_work_is_ended_before_the_new_one_begins(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    tasks = [task("a", "touch /tmp/at-work; exec sleep 987")]
    project.write({"batch.json": json.dumps({"tasks": tasks})})
    project.run("batch", "run", "--no-wait", "batch.json").assert_ok()
    project.wait_until(functools.partial(at_work, project, "a"), "a is at work")
    project.home.kill_daemon()
    look = "cat /proc/[0-9]*/cmdline | tr '\\0' ' '"
    done = batch(project, "run", tasks=[task("a", look)])
    assert states(done) == {"a": "done"}
    assert "sleep 987" not in done["data"]["tasks"][0]["text"]


@pytest.mark.parametrize("at_once", [1, 3])
def test_a_set_up_runs_once_for_all(rumpel_project: ProjectFactory, at_once: int) -> None:
    """Tasks that begin together are a crowd, too, not only those that wait."""
    command = "cat /proc/sys/kernel/random/uuid >/tmp/set-up"
    config = {"image": MINI_IMAGE, "runArgs": ["--network=none"], "onCreateCommand": command}
    files = {".rumpelpod.json": json.dumps({"prebuild": {"minDuration": 0}})}
    project = rumpel_project(files, config=config)
    script = f"cp /tmp/set-up set-up && {COMMIT.format('x')}"
    tasks = [task(name, script) for name in "abc"]
    done = batch(project, "run", tasks=tasks, concurrency=at_once)
    assert set(states(done).values()) == {"done"}, done
    ran = {project.git("show", f"rumpelpod/{name}:set-up") for name in "abc"}
    assert len(ran) == 1
