"""What the README shows is run as it stands, and what it names exists."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from tests.e2e import test_ssh_add
from tests.support.engine import MINI_IMAGE
from tests.support.home import program
from tests.support.project import ProjectFactory
from tests.support.sshd import Sshd

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
FOREIGN = ("--now", "--init", "--user")
"""Options of systemd and Docker, said in passing."""


def commands(heading: str) -> list[str]:
    """The lines after `$ ` in the first block that has some, below a heading."""
    section = README.split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]
    found = re.findall(r"^\$ (.*?)(?:\s+#.*)?$", section, re.MULTILINE)
    assert found
    return found


def test_a_first_pod_in_one_minute(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    program_folder = Path(program()[0]).parent
    for line in commands("A first pod in one minute"):
        words = shlex.split(line)
        if words[0] == "git":
            project.git(*words[1:])
            continue
        assert words[0] == "rumpel"
        shell = "git commit -q --allow-empty -m work\n" if words[1] == "enter" else None
        project.run(*words[1:], input=shell).assert_ok()
    assert project.run("list", "-q").assert_ok().stdout == ""
    assert (program_folder / "rumpel").exists()


def test_review_and_merge(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    said = ""
    for line in commands("Review and merge"):
        words = shlex.split(line)
        if words[0] == "git":
            said = project.git(*words[1:])
        else:
            project.run(*words[1:]).assert_ok()
    assert said == "Fix the login"
    assert not (project.root / "DESCRIPTION").exists()
    project.run("delete", "fix-login").assert_ok()


def test_recreate(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project(config={"image": MINI_IMAGE, "runArgs": ["--network=none"]})
    said = []
    for line in commands("Recreate: no more than what changed"):
        if "--plan" in line:
            changed = {"image": MINI_IMAGE, "containerEnv": {"A": "b"}}
            project.write({".devcontainer/devcontainer.json": changed})
        said.append(project.run(*shlex.split(line)[1:]).assert_ok().stdout)
    assert said[1] == "fix-login: up to date\n"
    assert "would make a new container" in said[2]
    assert "containerEnv.A" in said[2]
    assert said[3] == "fix-login: new container\n"


def test_as_a_service(rumpel_project: ProjectFactory) -> None:
    """Also where there is neither systemd nor launchd, which is told."""
    project = rumpel_project()
    project.run("create", "a").assert_ok()
    for line in commands("As a service"):
        done = project.run(*shlex.split(line)[1:])
        if done.code and "system-install" in line:
            done.assert_error(1, "neither a systemd of yours nor launchd")
        else:
            done.assert_ok()


@pytest.mark.usefixtures("ssh_image")
def test_keys_and_passwords(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project(config=test_ssh_add.CONFIG)
    project.run("create", "fix-login").assert_ok()
    path, _ = test_ssh_add.key_file(project, "deploy")
    said = []
    for line in commands("Keys and passwords"):
        words = line.replace("~", str(path.parents[1])).split()
        said.append(project.run(*words[1:]).assert_ok().stdout)
    assert "deploy@test (ssh-ed25519)" in said[1]
    assert "deploy@test (ED25519)" in said[2]
    assert test_ssh_add.listed(project, "fix-login") == []


def test_remote_hosts(rumpel_project: ProjectFactory, sshd: Sshd) -> None:
    project = rumpel_project()
    lines = commands("Remote hosts")
    said = [project.run(*shlex.split(line)[1:]).assert_ok().stdout for line in lines]
    assert "first" in said[1]
    assert len(sshd.sessions()) > 0
    assert project.run("list", "--json").data[0]["host"] == "ssh://build"


def test_copying_files(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project({".env": "A=1\n", "assets/logo": "logo"})
    project.run("create", "fix-login", "two").assert_ok()
    project.inside("fix-login", "echo fine > report.html")
    for line in commands("Copying files"):
        argv = ["sh", "-c", line]
        process = project.home.start(argv, cwd=project.root)
        process.communicate(timeout=60)
        assert process.returncode == 0, line
    assert (project.root / "report.html").read_text() == "fine\n"
    assert project.inside("fix-login", "cat .env public/logo") == "A=1\nlogo"
    assert project.inside("two", "cat public/logo") == "logo"


def test_files_git_does_not_have(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project({".gitignore": ".env\n"})
    project.write({".env": "A=1\n", "conf/dev.local": "dev\n"})
    said = []
    for line in commands("Files git does not have"):
        process = project.home.start(["sh", "-c", line], cwd=project.root)
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, line
        said.append((out + err).decode())
    assert "copied 2 files: .env, conf/dev.local" in said[1]
    assert said[2] == "A=1\n"


def test_slow_set_up_paid_once(rumpel_project: ProjectFactory) -> None:
    slow = "sleep 1; cat /proc/sys/kernel/random/uuid >/tmp/ran"
    project = rumpel_project(
        {".rumpelpod.json": '{"prebuild": {"minDuration": "1s"}}'},
        config={"image": MINI_IMAGE, "runArgs": ["--network=none"], "onCreateCommand": slow},
    )
    said = ""
    for line in commands("Slow set-up, paid once"):
        words = shlex.split(line)
        said = project.run(*words[1:]).assert_ok().stdout
    assert "done by   prebuild " in said
    pods = project.run("list", "-q").assert_ok().stdout.split()
    assert len({project.exec(pod, "cat", "/tmp/ran").stdout for pod in pods}) == 1


def test_watching(rumpel_project: ProjectFactory) -> None:
    config = {"image": MINI_IMAGE, "runArgs": ["--network=none"], "onCreateCommand": "echo hi"}
    project = rumpel_project(config=config)
    lines = commands("Watching")
    said = [project.run(*shlex.split(line)[1:]).assert_ok().stdout for line in lines]
    assert "up to date" in said[1]
    assert "onCreateCommand | hi\n" in said[2]
    assert len(said[3].splitlines()) == 5
    assert said[3].endswith("  fix-login · create (2) · done\n"), "the image comes first"
    assert said[4].startswith("ok       daemon ")


def test_the_image_beforehand(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project(
        {".devcontainer/Dockerfile": f"FROM {MINI_IMAGE}\nRUN echo 1 >/one\n"},
        config={"build": {"dockerfile": "Dockerfile"}, "runArgs": ["--network=none"]},
    )
    build, anew = (shlex.split(line)[1:] for line in commands("The image, beforehand"))
    assert "because   never ran" in project.run(*build).assert_ok().stdout
    assert "nothing changed" in project.run(*build).assert_ok().stdout
    # The base image is of no registry: that it is asked is what can be seen here.
    project.run(*anew).assert_error(6, "rumpel-mini")


def test_cleaning_up(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    parts = [part for line in commands("Cleaning up") for part in line.split(" && ")]
    said = [project.run(*shlex.split(part)[1:]).assert_ok().stdout for part in parts]
    assert said[2:4] == ["fix-login\n", "fix-login\n"]
    assert said[5].endswith(" freed\n")
    assert said[6].startswith("ok       daemon ")


def test_every_command_is_in_the_readme_and_every_one_named_exists(
    rumpel_project: ProjectFactory,
) -> None:
    project = rumpel_project()
    help_text = project.run("--help").assert_ok().stdout
    table = README.split("## Commands\n", 1)[1].split("\n## ", 1)[0]
    named = set(re.findall(r"^\| `rumpel ([a-z-]+)", table, re.MULTILINE))
    listed = help_text.split("commands:\n", 1)[1].split("\n\n", 1)[0]
    offered = set(re.findall(r"^ {2}([a-z-]+) ", listed, re.MULTILINE)) - {"help"}
    assert named, "the table names commands"
    assert named <= offered, named - offered
    assert offered <= named, offered - named
    for command in sorted(named):
        assert "xamples" in project.run(command, "--help").assert_ok().stdout, command


def test_options_named_in_the_readme_exist(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    helps = project.run("--help").assert_ok().stdout + "".join(
        project.run(command, "--help").assert_ok().stdout
        for command in (
            *("create", "enter", "list", "stop", "delete", "undelete", "snapshot", "restore"),
            *("graph", "config", "review", "merge", "forward-port", "recreate", "events"),
            *("ssh-add", "agent", "claude", "codex", "run", "send", "capture", "wait"),
            *("prune", "gc", "doctor", "image", "system-uninstall", "batch"),
        )
    )
    prose = re.sub(r"```.*?```", "", README, flags=re.DOTALL)
    found = re.findall(r"`([^`\n]+)`", prose)
    spans = " ".join(re.sub(r"(^|\s)-- .*", "", span) for span in found)  # behind it: the agent's
    for option in set(re.findall(r"(?<!\S)(--[a-z-]+)", spans)):
        if option not in ("--mirror", "--privileged", "--status", *FOREIGN):
            assert option in helps, option
