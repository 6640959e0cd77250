"""The harness notices what it promises to notice."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest
from blockbuster import BlockingError

from rumpel import names
from rumpel.daemon.app import fresh_folder
from tests.support import guards, processes
from tests.support.engine import Engine
from tests.support.home import PARENT, Home, prefix, sweep
from tests.support.outcome import Outcome
from tests.support.repo import Repo

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]


def test_home_is_private_and_short(home: Home) -> None:
    assert os.environ["HOME"] == str(home.path / "home")
    assert len(os.fsencode(home.socket)) < 60
    left = [name for name in os.environ if name.startswith(("RUMPEL_", "GIT_DIR"))]
    assert left == ["RUMPEL_LABELS"], "what all of this run's daemons make is known by it"


def test_leaving_a_process_is_reported_and_it_is_ended() -> None:
    home = Home()
    stray = subprocess.Popen(SLEEP, env=home.env, start_new_session=True)
    try:
        assert [p.pid for p in processes.mentioning(home.path)] == [stray.pid]
        [problem] = home.close(None, settle_s=0.1)
    finally:
        stray.kill()
        stray.wait()
    assert f"process {stray.pid} still runs" in problem
    assert not home.path.exists()


def test_background_processes_of_the_test_end_with_it() -> None:
    home = Home()
    process = home.start(SLEEP, cwd=home.path)
    assert home.close(None) == []
    assert process.returncode is not None


def test_homes_of_killed_tests_are_swept() -> None:
    run_id = uuid.uuid4().hex
    abandoned = PARENT / f"{prefix(run_id)}x"
    abandoned.mkdir()
    stray = subprocess.Popen(SLEEP, env={"HOME": str(abandoned)}, start_new_session=True)
    assert sweep(run_id) == [abandoned.name]
    assert stray.wait(timeout=5) == -signal.SIGKILL
    assert not abandoned.exists()


def test_a_changed_environment_is_reported() -> None:
    with pytest.raises(AssertionError, match="RUMPEL_LEFT"), guards.environment({"A": "1"}):
        os.environ["RUMPEL_LEFT"] = "1"
    assert "RUMPEL_LEFT" not in os.environ


@pytest.mark.parametrize("host", ["192.0.2.1", "2001:db8::1", "example.com"])
def test_the_network_is_closed(host: str) -> None:
    with pytest.raises(guards.NetworkUsed):
        socket.create_connection((host, 80))


def test_loopback_is_open() -> None:
    with socket.create_server(("localhost", 0)) as server:
        socket.create_connection(server.getsockname()[:2]).close()


async def test_blocking_calls_of_tests_are_their_own_business() -> None:
    time.sleep(0)
    assert Path(__file__).read_text()
    await asyncio.sleep(0)


async def test_blocking_calls_of_rumpel_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BlockingError):
        fresh_folder(tmp_path / "new")


def test_outcome_assertions_show_the_output() -> None:
    outcome = Outcome(["rumpel", "x"], 3, b'{"data": 1}', b"no such pod", 0.1)
    assert outcome.data == 1
    outcome.assert_error(3, "no such")
    with pytest.raises(AssertionError, match="no such pod"):
        outcome.assert_ok()
    with pytest.raises(AssertionError, match="stdout is not one JSON value"):
        Outcome([], 0, b"text", b"", 0).json()


def test_repo_commits_as_the_test_user(git_repo: Repo) -> None:
    oid = git_repo.commit("one", {"a/b.json": {"x": 1}})
    assert git_repo.refs("refs/heads") == {"refs/heads/main": oid}
    assert git_repo.git("log", "-1", "--format=%an <%ae> %s") == "Test User <test@example.com> one"
    assert git_repo.published() == {}


def test_what_deleted_pods_leave_is_found(
    home: Home, docker_engine: Engine, mini_image: str
) -> None:
    home.state.mkdir(parents=True)
    (home.state / "home-id").write_text(uuid.uuid4().hex)
    assert home.label is not None
    own = dict([home.label.split("=")])
    alive = {**own, names.LABEL_POD: "alive"}
    docker_engine.run(mini_image, labels={**alive, names.LABEL_KIND: "pod"})
    docker_engine.run(mini_image, labels={**own, names.LABEL_KIND: "gateway"})
    for name, labels in {"seed": own, "a": alive, "b": {**own, names.LABEL_POD: "gone"}}.items():
        docker_engine.api.create_volume(f"{home.path.name}-{name}", labels=labels)
    assert f"volume {home.path.name}-b" in home.orphans(docker_engine, {"alive"}, settle_s=0)
    docker_engine.api.remove_volume(f"{home.path.name}-b")
    assert home.orphans(docker_engine, {"alive"}, settle_s=0) == ""
    left = home.orphans(docker_engine, set(), settle_s=0)
    assert left.count("\ncontainer ") == 2
    assert left.count("\nvolume ") == 1


def test_labelled_objects_are_removed(home: Home, docker_engine: Engine, mini_image: str) -> None:
    home.state.mkdir(parents=True)
    (home.state / "home-id").write_text("a" * 32)
    assert home.label == f"{names.LABEL_HOME}={'a' * 32}"
    labels = dict([home.label.split("=")])
    container = docker_engine.run(mini_image, labels=labels)
    docker_engine.api.create_volume(f"rumpel-test-{home.path.name}", labels=labels)
    assert docker_engine.exec(container, "cat", "/etc/passwd").stdout.startswith("root:")
    with pytest.raises(AssertionError, match="no-such"):
        docker_engine.exec(container, "ls", "/no-such")
    assert docker_engine.remove_labelled(home.label) == []
    assert docker_engine.containers(home.label) == []
    assert docker_engine.volumes(home.label) == []
