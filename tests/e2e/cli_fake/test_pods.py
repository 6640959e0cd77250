"""create, list, stop, delete against the fake daemon: requests sent, output, exit codes."""

from __future__ import annotations

import time

from rumpel.errors import CommandFailed, NotFound
from tests.e2e.cli_fake.conftest import Run, Serve, answers
from tests.e2e.cli_fake.fake_daemon import Talk
from tests.support.home import RUN_LABEL

POD = {
    "name": "a",
    "repo": "/src/app",
    "host": "local",
    "status": "running",
    "branch": "a",
    "commit": "0123456789abcdef0123456789abcdef01234567",
    "git": {"ahead": 1, "behind": 0, "dirty": 0},
    "agent": None,
    "created_at": "2026-01-01T00:00:00Z",
    "container_id": "c" * 64,
}


def test_an_empty_list_is_the_header_alone(serve: Serve, run: Run) -> None:
    serve(list=answers([]))
    outcome = run("list").assert_ok()
    assert outcome.stdout == "NAME   AGENT   GIT   STATUS   CREATED\n"
    assert outcome.stderr == ""


def test_list_shows_git_state_and_the_failed_step(serve: Serve, run: Run) -> None:
    failed = {**POD, "name": "bob", "status": "failed at postCreateCommand"}
    failed["git"] = {"ahead": 0, "behind": 2, "dirty": 3}
    other = {"ahead": 0, "behind": 0, "dirty": None, "others": [{"branch": "x/y", "ahead": 2}]}
    serve(list=answers([POD, failed, {**POD, "name": "c", "git": other}]))
    lines = run("list").assert_ok().stdout.splitlines()
    assert "ahead 1   " in lines[1]
    assert "behind 2 +dirty " in lines[2]
    assert "up to date +2 on x/y +dirty?" in lines[3]
    assert "failed at postCreateCommand" in lines[2]


def test_list_quiet_is_names_only(serve: Serve, run: Run) -> None:
    daemon = serve(list=answers([POD, {**POD, "name": "b"}]))
    assert run("-q", "ls", "--all").assert_ok().stdout == "a\nb\n"
    assert daemon.requests[0]["args"] == {"all": True, "quiet": True, "refresh": False}


def test_list_in_json_is_one_envelope(serve: Serve, run: Run) -> None:
    serve(list=answers([POD], warnings=["host x is unreachable"]))
    envelope = run("list", "--json").assert_ok().json()
    assert envelope == {
        "version": 1,
        "command": "list",
        "data": [POD],
        "warnings": ["host x is unreachable"],
        "error": None,
    }


def test_foreign_text_cannot_reach_the_terminal(serve: Serve, run: Run) -> None:
    serve(list=answers([{**POD, "host": "a\x1b[31m", "name": "x\x9b\u202e"}, POD]))
    stdout = run("list").assert_ok().stdout
    assert "\\x9b\\u202e" in stdout
    assert "a\\x1b[31m" in stdout
    assert "\x1b" not in stdout


def test_create_sends_what_was_asked_and_shows_a_table(serve: Serve, run: Run) -> None:
    row = {"name": "a", "status": "running", "branch": "a", "commit": POD["commit"]}

    def create(talk: Talk) -> None:
        talk.send({"event": "planned", "run": 1, "nodes": []})
        talk.node("container/a", "running", title="Starting container", pod="a")
        talk.node("container/a", "ok", title="Starting container", pod="a", elapsed_s=0.2399)
        talk.node("image", "cached", title="Building image")
        talk.result([{**row, "created": True}])

    daemon = serve(create=create)
    outcome = run("create", "a", "--from", "v1", "--trust").assert_ok()
    assert outcome.stdout.splitlines() == [
        "NAME   STATUS    BRANCH   COMMIT       RESULT",
        "a      running   a        0123456789   created",
    ]
    assert outcome.stderr == "a · Starting container · done (0.24 s)\n"
    assert daemon.requests[0]["args"] == {
        "names": ["a"],
        "count": None,
        "from": "v1",
        "config": None,
        "trust": True,
        "memory": None,
        "secrets_file": None,
        "cpus": None,
        "no_wait": False,
        "no_prebuild": False,
    }
    assert daemon.requests[0]["env"]["LC_ALL"] == "C.UTF-8"


def test_a_failing_step_shows_its_last_lines_and_what_to_type(serve: Serve, run: Run) -> None:
    error = CommandFailed(
        "pod a: postCreateCommand failed with exit code 3",
        hint="rumpel graph a",
        details={"tail": ["npm ERR! \x1b[31mboom", "line two"]},
    )

    def create(talk: Talk) -> None:
        talk.send({"event": "log", "id": "n1", "text": "hello\nworld\n", "pod": "a"})
        talk.fail(error, [{"name": "a", "status": "failed", "error": error.to_json()}])

    serve(create=create)
    outcome = run("create", "a").assert_code(6)
    assert outcome.stderr.splitlines() == [
        "a · n1 | hello",
        "a · n1 | world",
        "error: pod a: postCreateCommand failed with exit code 3",
        "  | npm ERR! \\x1b[31mboom",
        "  | line two",
        "try: rumpel graph a",
    ]
    assert outcome.stdout.splitlines()[1].split() == ["a", "failed", "-", "-", "failed"]


def test_last_lines_that_passed_by_are_not_shown_again(serve: Serve, run: Run) -> None:
    tail = ["Step 2/2 : RUN false", "exit \x1b[1mcode 1"]
    error = CommandFailed("the build failed", hint="rumpel graph a", details={"tail": tail})

    def create(talk: Talk) -> None:
        for line in ("Step 1/2 : FROM x", *tail):
            talk.send({"event": "log", "id": "image", "text": line + "\n"})
        talk.fail(error, [{"name": "a", "status": "failed", "error": error.to_json()}])

    serve(create=create)
    assert run("create", "a").assert_code(6).stderr.splitlines() == [
        "image | Step 1/2 : FROM x",
        "image | Step 2/2 : RUN false",
        "image | exit \\x1b[1mcode 1",
        "error: the build failed",
        "try: rumpel graph a",
    ]
    assert "  | Step 2/2 : RUN false" in run("create", "a", "-q").assert_code(6).stderr
    envelope = run("create", "a", "--json").assert_code(6).json()
    assert envelope["error"]["details"]["tail"] == tail


def test_bad_names_are_refused_without_a_daemon(run: Run) -> None:
    for name in ("A", "a b", "ü", "-", "a-", "a" * 64):
        outcome = run("create", "--", name) if name.startswith("-") else run("create", name)
        outcome.assert_error(2, "invalid character")
    run("create", "a", "a").assert_error(2, "named twice: a")


def test_errors_in_json_are_in_the_envelope_alone(serve: Serve, run: Run) -> None:
    serve(list=lambda talk: talk.fail(NotFound("no such repo", hint="cd there")))
    outcome = run("list", "--json").assert_code(3)
    assert outcome.stderr == ""
    assert outcome.json()["error"] == {
        "code": "not-found",
        "message": "no such repo",
        "hint": "cd there",
        "details": {},
    }


def test_a_daemon_that_dies_is_an_error_with_a_hint(serve: Serve, run: Run) -> None:
    serve(list=lambda talk: talk.sock.close())
    run("list").assert_error(1, "daemon stopped", "try: rumpel daemon logs")


def test_only_wanted_variables_are_sent_with_list(serve: Serve, run: Run) -> None:
    daemon = serve(list=answers([]))
    run("list", env={"SECRET": "x", "DOCKER_HOST": "unix:///d"}).assert_ok()
    sent = daemon.requests[0]["env"]
    settings = {"HOME", "XDG_CONFIG_HOME"}
    assert set(sent) - settings == {"DOCKER_HOST", "RUMPEL_LABELS"}
    assert (sent["DOCKER_HOST"], sent["RUMPEL_LABELS"]) == ("unix:///d", RUN_LABEL)


def test_a_slow_daemon_does_not_make_plain_output_chatty(serve: Serve, run: Run) -> None:
    def slow(talk: Talk) -> None:
        time.sleep(0.5)
        talk.result([])

    serve(list=slow)
    assert run("list").assert_ok().stderr == ""


def test_stop_and_delete_print_what_they_did(serve: Serve, run: Run) -> None:
    missing = NotFound("pod b does not exist").to_json()

    def partial(talk: Talk) -> None:
        rows = [{"name": "a"}, {"name": "b", "error": missing}, {"name": "c"}]
        error = {**missing, "message": "1 of 3 pods failed", "exit_code": 7}
        talk.send({"error": error, "data": rows, "warnings": []})

    daemon = serve(delete=partial, stop=answers([]))
    outcome = run("rm", "-f", "a", "b", "c").assert_code(7)
    assert outcome.stdout == "a\nc\n"
    assert outcome.stderr == "error: pod b does not exist\nerror: 1 of 3 pods failed\n"
    assert daemon.requests[0]["args"] == {"names": ["a", "b", "c"], "force": True}
    assert run("stop", "--all").assert_ok().stderr == "no pods to stop\n"


def test_stop_wants_names_or_all(run: Run) -> None:
    run("stop").assert_error(2, "no pod named")
    run("stop", "--all", "a").assert_error(2, "--all goes without names")
    run("delete").assert_error(2, "NAME")


def test_create_says_what_it_did_to_each_pod(serve: Serve, run: Run) -> None:
    rows = [
        {"name": "a", "status": "creating", "created": True},
        {"name": "b", "status": "running", "created": False, "updated": True},
        {"name": "c", "status": "running", "created": False},
    ]
    daemon = serve(create=answers(rows))
    lines = run("create", "a", "b", "c", "--no-wait").assert_ok().stdout.splitlines()
    assert [line.split("   ")[-1].strip() for line in lines] == [
        "RESULT",
        "in the background",
        "updated",
        "up to date",
    ]
    assert daemon.requests[0]["args"]["no_wait"] is True


def test_recreate_keeps_something_or_nothing(serve: Serve, run: Run) -> None:
    """Said by whom both are given, before anything is asked for."""
    serve()
    run("recreate", "a", "--clean", "--keep", ".env").assert_error(2, "--keep", "nothing was done")
