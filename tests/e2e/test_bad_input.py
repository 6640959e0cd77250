"""What users get wrong, and what breaks around them: said in three parts, never a traceback."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from typing import Any

import pytest

from tests.support.engine import MINI_IMAGE
from tests.support.project import ProjectFactory

CONFIG: dict[str, Any] = {"image": MINI_IMAGE, "runArgs": ["--network=none"]}


def test_broken_jsonc_has_a_position(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project({".devcontainer.json": '{\n  "image": "x"\n  "name": "y"\n}\n'})
    project.run("create", "p").assert_error(2, ".devcontainer.json:3:3")


def test_unknown_fields_are_named(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project(
        {
            ".devcontainer.json": (
                f'{{\n  // a comment\n  "image": "{MINI_IMAGE}",\n'
                '  "runArgs": ["--network=none"],\n  "shutdownAction": "stopContainer",\n'
                '  "colour": "red",\n}\n'
            )
        }
    )
    err = project.run("create", "p").assert_ok().stderr
    for word in (":5:", "shutdownAction", ":6:", "colour"):
        assert word in err


@pytest.mark.parametrize(
    ("dockerfile", "words"),
    [("Missing", ("Missing",)), ("../../outside/Dockerfile", ("outside the repository",))],
)
def test_dockerfiles_that_are_not_there(
    rumpel_project: ProjectFactory, dockerfile: str, words: tuple[str, ...]
) -> None:
    project = rumpel_project(
        {".devcontainer/devcontainer.json": {"build": {"dockerfile": dockerfile}}}
    )
    project.run("create", "p").assert_error(2, *words)
    assert project.run("list", "-q").assert_ok().stdout == ""


def test_an_image_that_cannot_be_had_says_what_to_type(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project(config={"image": "localhost:1/no-such-image:1"})
    failed = project.run("create", "p")
    assert failed.code in (1, 3, 5), failed
    assert "try: docker pull localhost:1/no-such-image:1   (the name is `image`" in failed.stderr
    project.run("delete", "--force", "p").assert_ok()


def test_a_build_that_fails_is_told_once_with_what_to_type(rumpel_project: ProjectFactory) -> None:
    broken = f"FROM {MINI_IMAGE}\nRUN echo before && exit 9\n"
    config = {"build": {"dockerfile": "Dockerfile"}, "runArgs": ["--network=none"]}
    project = rumpel_project({"tools/Dockerfile": f"FROM {MINI_IMAGE}\n"}, config=CONFIG)
    project.run("create", "p").assert_ok()
    first = project.container_id("p")
    project.write({"tools/Dockerfile": broken})
    config["build"] = {"dockerfile": "../tools/Dockerfile"}
    project.write({".devcontainer/devcontainer.json": config})
    for verb, pod in {"create": "q", "recreate": "p"}.items():
        told = project.run(verb, pod).assert_error(6, f"rumpel logs {pod} image").stderr
        assert f"{project.root}/tools/Dockerfile" in told
        end = told[told.index("error: ") :]
        assert end.count("/bin/sh -c") == 1, told
        assert ("pod 'p' goes on as it was" in told) is (pod == "p")
    assert project.container_id("p") == first
    assert "before" in project.run("logs", "q", "image").assert_ok().stdout


def test_a_user_that_the_image_has_not_is_told_in_words(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project(config={**CONFIG, "remoteUser": "nosuch"})
    project.run("create", "p").assert_error(2, "the image has no user 'nosuch'")
    shown = project.run("logs", "p").assert_ok()
    assert "rumpel-no-user" not in shown.stdout
    assert "the image has no user 'nosuch'" in shown.stderr


def test_a_failing_hook_stays_failed_and_goes_on_there(rumpel_project: ProjectFactory) -> None:
    config = {
        **CONFIG,
        "onCreateCommand": "echo one >>/tmp/log",
        "postCreateCommand": "test -e /tmp/fixed",
        "postStartCommand": "echo three >>/tmp/log",
    }
    project = rumpel_project(config=config)
    project.run("create", "p").assert_error(6, "postCreateCommand")
    assert "failed at postCreateCommand" in project.run("list").assert_ok().stdout
    project.run("create", "p").assert_error(6, "postCreateCommand", "enter p --ignore-failed")
    project.run("enter", "p", "--", "true").assert_error(6, "postCreateCommand")
    inside = project.run("enter", "p", "--ignore-failed", "--", "cat", "/tmp/log").assert_ok()
    assert inside.stdout == "one\n"
    assert "postCreateCommand failed and was not run again" in inside.stderr
    assert "failed at postCreateCommand" in project.run("list").assert_ok().stdout
    project.exec("p", "touch", "/tmp/fixed")
    project.run("create", "p").assert_ok()
    assert project.exec("p", "cat", "/tmp/log").stdout == "one\nthree\n"


def test_a_failing_pod_does_not_stop_the_others(rumpel_project: ProjectFactory) -> None:
    config = {**CONFIG, "onCreateCommand": '[ "$(hostname)" != bad ]'}
    project = rumpel_project(config=config)
    out = project.run("create", "good", "bad", "fine", "--json").assert_code(6)
    rows = {row["name"]: row["status"] for row in out.json()["data"]}
    assert rows["good"] == rows["fine"] == "running"
    assert rows["bad"] == "failed at onCreateCommand"


def test_host_effects_need_consent(rumpel_project: ProjectFactory) -> None:
    config = {**CONFIG, "runArgs": ["--network=none", "--privileged"]}
    project = rumpel_project({"data/x": "x"}, config=config)
    project.run("create", "p").assert_error(4, "privileged", "--trust")
    assert project.containers() == []
    trusted = {**CONFIG, "mounts": ["type=bind,source=${localWorkspaceFolder}/data,target=/data"]}
    project.write({".devcontainer/devcontainer.json": trusted})
    project.run("create", "p").assert_error(4, str(project.root / "data"))
    project.run("create", "p", "--trust").assert_ok()
    project.run("create", "q").assert_ok()
    assert project.run("enter", "q", "--", "cat", "/data/x").assert_ok().stdout == "x"


@pytest.mark.here("another DOCKER_HOST")
def test_docker_not_running(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    env = {"DOCKER_HOST": f"unix://{project.home.path}/no.sock"}
    begun = time.monotonic()
    project.run("create", "p", env=env).assert_error(5, "Docker")
    assert time.monotonic() - begun < 10
    project.run("list", env=env).assert_ok()


def test_an_image_deleted_between_runs(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project(
        {
            "Dockerfile": f"FROM {MINI_IMAGE}\nRUN echo mark >/mark\n",
            ".devcontainer.json": {
                "build": {"dockerfile": "Dockerfile"},
                "runArgs": ["--network=none"],
            },
        }
    )
    project.run("create", "p").assert_ok()
    project.run("delete", "p").assert_ok()
    label = project.home.label
    assert label is not None
    assert project.docker.remove_labelled(label) == []
    project.run("create", "p").assert_ok()
    assert project.run("enter", "p", "--", "cat", "/mark").assert_ok().stdout == "mark\n"


def test_two_creates_of_one_name(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    both = [project.start("create", "p", "--json") for _ in range(4)]
    said = [process.communicate(timeout=60)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0, 0, 0]
    rows = [json.loads(out)["data"][0] for out in said]
    assert [row["status"] for row in rows] == ["running"] * 4
    assert sorted(row["created"] for row in rows) == [False, False, False, True]
    assert len(project.containers("p")) == 1


def test_a_stalled_reader_holds_up_nobody(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    project.run("create", "p").assert_ok()
    stalled = project.start("enter", "p", "--", "sh", "-c", "while :; do echo yes; done")
    project.wait_until(
        lambda: "yes" in project.exec("p", "ps", check=False).stdout, "the command runs"
    )
    stalled.send_signal(signal.SIGSTOP)
    oid = project.run(
        "enter", "p", "--", "sh", "-c", "git commit -q --allow-empty -m x && git rev-parse HEAD"
    ).assert_ok()
    project.wait_for_ref("p", oid.stdout.strip())
    project.run("list", timeout=5).assert_ok()
    stalled.kill()
    project.run("delete", "--force", "p").assert_ok()


def test_a_container_killed_in_mid_transfer(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    project.run("create", "p", "q").assert_ok()
    script = "dd if=/dev/urandom of=big bs=1M count=60 2>/dev/null; git add big; git commit -qm big"
    project.run("enter", "p", "--", "sh", "-c", script).assert_ok()
    project.docker.api.kill(project.container_id("p"))
    oid = project.run(
        "enter", "q", "--", "sh", "-c", "git commit -q --allow-empty -m x && git rev-parse HEAD"
    ).assert_ok()
    project.wait_for_ref("q", oid.stdout.strip())
    head = project.run("enter", "p", "--", "git", "rev-parse", "HEAD").assert_ok().stdout.strip()
    project.wait_for_ref("p", head, timeout_s=30)
    project.run("delete", "--force", "p", "q").assert_ok()


def test_ctrl_c_once_detaches_and_twice_cancels(rumpel_project: ProjectFactory) -> None:
    config = {**CONFIG, "onCreateCommand": "echo started; sleep 3; echo done >/tmp/done"}
    project = rumpel_project(config=config)
    first = project.spawn("create", "p")
    first.expect(rb"onCreate")
    first.sendintr()
    first.wait()
    assert first.exitstatus == 130
    project.wait_until(
        lambda: project.exec("p", "test", "-e", "/tmp/done", check=False).code == 0,
        "the work went on",
    )
    second = project.spawn("create", "q")
    second.expect(rb"onCreate")
    second.sendintr()
    second.expect(rb"again now")
    second.sendintr()
    second.wait()
    assert second.exitstatus == 130
    project.wait_until(lambda: project.containers("q") == [], "the pod was rolled back")
    project.wait_until(
        lambda: project.run("list", "-q").stdout.split() == ["p"], "and is not listed"
    )


def test_what_was_refused_or_cancelled_is_told_as_such(rumpel_project: ProjectFactory) -> None:
    """A pod that runs did not fail at its container, and a command that was cancelled did not."""
    project = rumpel_project(config=CONFIG)
    project.run("create", "p").assert_ok()
    at = project.root / ".devcontainer/devcontainer.json"
    at.write_text(json.dumps({**CONFIG, "containerEnv": {"A": "b"}}))
    project.run("create", "p").assert_error(4, "changed since its container was made")
    (row,) = project.run("list", "--json").assert_ok().data
    assert row["status"] == "running"
    at.write_text(json.dumps({**CONFIG, "onCreateCommand": "echo started; sleep 60"}))
    again = project.spawn("recreate", "p")
    again.expect(rb"onCreate")
    again.sendintr()
    again.expect(rb"again now")
    again.sendintr()
    again.expect(rb"recreate was cancelled")
    again.wait()
    assert again.exitstatus == 130
    (row,) = project.run("list", "--json").assert_ok().data
    assert row["status"] == "cancelled at onCreateCommand"
    project.run("delete", "--force", "p").assert_ok()


def test_a_client_killed_in_mid_create(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project(config={**CONFIG, "onCreateCommand": "sleep 2; touch /tmp/done"})
    process: subprocess.Popen[bytes] = project.start("create", "p")
    project.wait_until(
        lambda: [one["State"] for one in project.containers("p")] == ["running"],
        "the container runs",
    )
    process.kill()
    project.wait_until(
        lambda: project.exec("p", "test", "-e", "/tmp/done", check=False).code == 0,
        "the work went on",
    )


def test_delete_ends_a_create_whose_client_was_killed(rumpel_project: ProjectFactory) -> None:
    """Spec 21: nobody waits for a launch that nobody wants any more."""
    project = rumpel_project(config={**CONFIG, "onCreateCommand": "sleep 600"})
    process: subprocess.Popen[bytes] = project.start("create", "p")
    project.wait_until(lambda: len(project.containers("p")) == 1, "the container is there")
    process.kill()
    done = project.run("delete", "--force", "p").assert_ok()
    assert done.elapsed_s < 15
    assert project.containers() == []
    assert project.run("list", "-q").stdout == ""
