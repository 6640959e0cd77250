"""Creating and entering pods, as a user sees it (notes/original.md part 5, specs 1-20)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.engine import DEV_IMAGE, MINI_IMAGE
from tests.support.project import ProjectFactory

pytestmark = pytest.mark.usefixtures("dev_image")

DEV = {"image": DEV_IMAGE, "runArgs": ["--network=none"], "remoteUser": "dev"}


def test_enter_prints_only_what_the_command_prints(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    first = project.run("enter", "p", "--", "echo", "hi").assert_ok()
    assert first.stdout == "hi\n"
    container = project.container_id("p")
    second = project.run("enter", "p", "--", "echo", "again").assert_ok()
    assert second.stdout == "again\n"
    assert second.stderr == ""
    assert project.container_id("p") == container


def test_the_folder_is_mapped(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project({"src/lib/a.txt": "a"})
    inside = project.run("enter", "p", "--", "pwd", cwd=project.root / "src" / "lib").assert_ok()
    assert inside.stdout == "/workspaces/repo/src/lib\n"
    (project.root / "not-there").mkdir()
    fallen_back = project.run("enter", "p", "--", "pwd", cwd=project.root / "not-there").assert_ok()
    assert fallen_back.stdout == "/workspaces/repo\n"
    assert "not-there" in fallen_back.stderr
    assert len(project.containers("p")) == 1


def test_outside_a_repository(rumpel_project: ProjectFactory, tmp_path: Path) -> None:
    project = rumpel_project()
    project.run("create", "p", cwd=tmp_path).assert_error(2, "git repository")
    bare = tmp_path / "bare.git"
    project.repo.run_git("init", "-q", "--bare", str(bare))
    project.run("create", "p", cwd=bare).assert_error(2, "bare")


@pytest.mark.parametrize("name", ["with space", "ünicode", "Upper", "-dash", "a" * 64, "a/b", ""])
def test_bad_names(rumpel_project: ProjectFactory, name: str) -> None:
    project = rumpel_project()
    project.run("create", "--", name).assert_error(2, "invalid character", "a-z")
    assert project.containers() == []


def test_unicode_in_the_repository_path(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project(name="größe und ☃")
    assert project.run("enter", "p", "--", "cat", "README.md").assert_ok().stdout


@pytest.mark.parametrize(
    ("config", "user"),
    [
        ({"remoteUser": "dev", "containerUser": "root"}, "dev"),
        ({"containerUser": "dev"}, "dev"),
        ({"remoteUser": "dev"}, "dev"),
        ({}, "root"),
    ],
)
def test_the_user(rumpel_project: ProjectFactory, config: dict[str, str], user: str) -> None:
    image = {"image": DEV_IMAGE, "runArgs": ["--network=none"]}
    project = rumpel_project(config={**image, **config})
    script = "id -un; touch new && git add new && git commit -q -m x && echo committed"
    out = project.run("enter", "p", "--", "sh", "-c", script).assert_ok().stdout.split()
    assert out == [user, "committed"]
    project.run("delete", "--force", "p").assert_ok()


def test_the_user_of_the_image(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project(
        {
            ".devcontainer/Dockerfile": f"FROM {MINI_IMAGE}\nUSER dev\n",
            ".devcontainer/devcontainer.json": {
                "build": {"dockerfile": "Dockerfile"},
                "runArgs": ["--network=none"],
            },
        }
    )
    script = "id -un; touch new && git add new && git commit -qm new && echo committed"
    out = project.run("enter", "p", "--", "sh", "-c", script).assert_ok().stdout.split()
    assert out == ["dev", "committed"]
    project.run("delete", "--force", "p").assert_ok()


def test_host_name_and_stdin(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    assert project.run("enter", "my-pod", "--", "hostname").assert_ok().stdout == "my-pod\n"
    data = bytes(range(256)) * 4000
    out = project.run("enter", "my-pod", "--", "cat", input=data).assert_ok()
    assert out.stdout_bytes == data


def test_exit_codes_and_streams(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    both = project.run("enter", "p", "--", "sh", "-c", "echo out; echo err >&2; exit 42")
    both.assert_code(42)
    assert both.stdout == "out\n"
    assert both.stderr.endswith("err\n")
    project.run("enter", "p", "--", "no-such-command").assert_code(127)


def test_identity_is_the_hosts_at_creation(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    project.git("config", "user.name", "Ada Löve")
    project.git("config", "user.email", "ada@example.com")
    ask = ("enter", "p", "--", "git", "config", "--get-regexp", "^user[.]")
    ada = "user.name Ada Löve\nuser.email ada@example.com\n"
    assert project.run(*ask).assert_ok().stdout == ada
    project.git("config", "user.name", "Somebody Else")
    project.git("config", "user.email", "else@example.com")
    assert project.run(*ask).assert_ok().stdout == ada


def test_a_host_without_an_identity_is_told_of_it(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    (project.home.path / "home/.gitconfig").write_text("[user]\n\tname = Ada\n")
    said = project.run("create", "p").assert_ok().stderr.replace("\n  ", " ")
    assert "git has no user.email here" in said
    assert "git config --global user.email" in said
    assert "user.email" not in project.run("create", "p").assert_ok().stderr, "nothing was made"
    project.git("config", "user.email", "ada@example.com")
    assert "user.email" not in project.run("create", "q").assert_ok().stderr


def test_a_changed_dockerfile_rebuilds_nothing_on_enter(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project(
        {
            ".devcontainer/Dockerfile": f"FROM {MINI_IMAGE}\nRUN echo one >/etc/which\n",
            ".devcontainer/devcontainer.json": {
                "build": {"dockerfile": "Dockerfile"},
                "runArgs": ["--network=none"],
            },
        }
    )
    project.run("create", "p").assert_ok()
    container = project.container_id("p")
    project.write({".devcontainer/Dockerfile": f"FROM {MINI_IMAGE}\nRUN echo two >/etc/which\n"})
    assert project.run("enter", "p", "--", "cat", "/etc/which").assert_ok().stdout == "one\n"
    assert project.container_id("p") == container
    refused = project.run("create", "p").assert_error(4, "changed")
    assert "rumpel recreate p" in refused.stderr
    assert project.container_id("p") == container
    assert project.run("enter", "q", "--", "cat", "/etc/which").assert_ok().stdout == "two\n"


@pytest.mark.here("its hosts are its own")
def test_a_pod_remembers_its_host(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    project.run("create", "p").assert_ok()
    project.write({".rumpelpod.json": {"host": "ssh://nobody@unreachable.invalid"}})
    assert project.run("enter", "p", "--", "echo", "here").assert_ok().stdout == "here\n"
    project.run("create", "other").assert_code(4)  # a host that the repository names is asked about
    project.run("create", "other", "--trust").assert_code(5)


def test_a_container_removed_by_hand_is_made_again(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    script = "echo work >file && git add file && git commit -qm work && git rev-parse HEAD"
    oid = project.run("enter", "p", "--", "sh", "-c", script).assert_ok().stdout.strip()
    project.wait_for_ref("p", oid)
    before = project.container_id("p")
    project.docker.api.remove_container(before, force=True)
    out = project.run("enter", "p", "--", "git", "rev-parse", "HEAD").assert_ok()
    assert out.stdout.strip() == oid, "what was committed is in the new container"
    assert project.container_id("p") != before
    project.run("delete", "--force", "p").assert_ok()


def test_a_container_stopped_by_hand_is_started_again(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    project.run("enter", "p", "--", "touch", "kept").assert_ok()
    container = project.container_id("p")
    project.docker.api.stop(container, timeout=1)
    project.run("enter", "p", "--", "test", "-e", "kept").assert_ok()
    assert project.container_id("p") == container
    # Not paused as well: Docker 20.10 wedges when a pause meets the start of an exec.
    project.run("delete", "--force", "p").assert_ok()


def test_without_devcontainer_json(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project(config=None)
    out = project.run(
        "enter", "p", "--", "git", "--version", env={"RUMPEL_DEFAULT_IMAGE": MINI_IMAGE}
    )
    out.assert_ok()
    assert "no devcontainer.json" in out.stderr


def test_an_image_without_git_and_no_way_to_add_it(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project(
        {
            ".devcontainer/Dockerfile": f"FROM {MINI_IMAGE}\nRUN rm -rf /usr/bin/git /bin/git\n",
            ".devcontainer/devcontainer.json": {"build": {"dockerfile": "Dockerfile"}},
        }
    )
    project.run("create", "p").assert_error(6, "no git", "install git")
    assert project.containers() == []


# As a package manager that has it: where a registry can be reached, apt and apk bring git.
HIDDEN_GIT = (
    "mkdir /packages && mv /usr/bin/git /packages/git && "
    "printf '#!/bin/sh\\nmv /packages/git /usr/bin/git; echo \"$@\" >/packages/asked\\n'"
    " >/usr/sbin/apk && chmod 755 /usr/sbin/apk"
)


def test_git_is_added_to_an_image_without_it(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project(
        {
            ".devcontainer/Dockerfile": f"FROM {MINI_IMAGE}\nRUN {HIDDEN_GIT}\n",
            ".devcontainer/devcontainer.json": {
                "build": {"dockerfile": "Dockerfile"},
                "runArgs": ["--network=none"],
            },
        }
    )
    script = "git commit -q --allow-empty -m x && git rev-parse HEAD; cat /packages/asked"
    oid, asked = project.inside("p", script).splitlines()
    project.wait_for_ref("p", oid)
    assert asked.split() == ["add", "--no-cache", "git"]
    project.run("delete", "--force", "p").assert_ok()


def test_build_and_lifecycle_output_reaches_the_client(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project(
        {
            ".devcontainer/Dockerfile": f"FROM {MINI_IMAGE}\nRUN echo from-the-build && exit 3\n",
            ".devcontainer/devcontainer.json": {"build": {"dockerfile": "Dockerfile"}},
        }
    )
    project.run("create", "p").assert_error(6, "from-the-build")
    config = {
        "image": MINI_IMAGE,
        "runArgs": ["--network=none"],
        "onCreateCommand": "echo from-the-hook; exit 9",
    }
    project.write({".devcontainer/devcontainer.json": config})
    project.run("create", "p").assert_error(6, "from-the-hook", "onCreateCommand", "9")


def test_a_profile_with_a_background_process_does_not_hang(rumpel_project: ProjectFactory) -> None:
    bashrc = "RUN echo 'sleep 1000 & export FROM_PROFILE=yes' >/home/dev/.bashrc\n"
    project = rumpel_project(
        {
            ".devcontainer/Dockerfile": f"FROM {DEV_IMAGE}\n{bashrc}",
            ".devcontainer/devcontainer.json": {
                "build": {"dockerfile": "Dockerfile"},
                "runArgs": ["--network=none"],
                "remoteUser": "dev",
            },
        }
    )
    project.run("create", "p").assert_ok()
    out = project.run("enter", "p", "--", "printenv", "FROM_PROFILE", timeout=30).assert_ok()
    assert out.stdout == "yes\n"


def test_an_interactive_shell(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project(config=DEV)
    child = project.spawn("enter", "p", env={"SHELL": "/nonexistent"})
    child.expect(rb"dev@p.*\$ ")
    child.send(b"stty size; tty >/dev/null && echo is-a-tty\r")
    child.expect(rb"24 80\r\n")
    child.expect(rb"is-a-tty\r\n")
    child.setwinsize(40, 100)
    child.send(b"sleep 0.2; stty size\r")
    child.expect(rb"40 100\r\n")
    child.send(b"exit 7\r")
    child.wait()
    assert child.exitstatus == 7
