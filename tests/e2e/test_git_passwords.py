"""git in a pod gets passwords of the user's own git, where the user said so and nowhere else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.engine import DEV_IMAGE
from tests.support.git_http import PASSWORD, USER, GitHttp
from tests.support.project import Project, ProjectFactory

pytestmark = pytest.mark.usefixtures("dev_image")

CONFIG = {"image": DEV_IMAGE, "remoteUser": "dev", "runArgs": ["--network=host"]}
FETCH = "GIT_TERMINAL_PROMPT=0 git ls-remote {url}/far.git 2>&1 || echo failed"


@pytest.fixture(name="server")
def a_git_server(tmp_path: Path) -> Iterator[GitHttp]:
    with GitHttp(tmp_path) as server:
        yield server


@pytest.fixture(name="project")
def with_a_pod(rumpel_project: ProjectFactory, server: GitHttp) -> Project:
    """The user's git knows the password; the pod's would keep what it is told."""
    project = rumpel_project(config=CONFIG)
    project.git("clone", "-q", "--bare", str(project.root), str(server.folder / "far.git"))
    own = project.home.path / "home"
    (own / ".git-credentials").write_text(f"http://{USER}:{PASSWORD}@{server.url[7:]}\n")
    (own / ".gitconfig").write_text("[credential]\n\thelper = store\n")
    project.run("create", "a", "--trust").assert_ok()
    project.inside("a", "git config --global credential.helper store")
    return project


def allow(project: Project, *servers: str) -> None:
    path = Path(project.home.env["XDG_CONFIG_HOME"]) / "rumpel/config.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"gitCredentials": servers}))


def uses(project: Project) -> list[dict[str, Any]]:
    found = project.run("events", "--json").assert_ok().data
    return [entry for entry in found if entry["kind"] == "git-password"]


@pytest.mark.near("a server on this machine's loopback")
def test_a_pod_fetches_with_a_password_it_never_keeps(project: Project, server: GitHttp) -> None:
    fetch = FETCH.format(url=server.url)
    assert project.inside("a", fetch).endswith("failed"), "off unless asked"
    allow(project, server.url)
    assert "refs/heads/main" in project.inside("a", fetch)
    assert USER in server.asked
    (use,) = uses(project)
    assert (use["server"], use["user"], use["pods"]) == (server.url, USER, ["a"])
    assert "git password" in project.run("events", "a").assert_ok().stdout
    look = 'grep -rlsF -e "$0" /home /root /tmp /workspaces /etc || true'
    assert project.exec("a", "sh", "-c", look, PASSWORD, user="0").stdout == ""
    shown = project.run("config", "--json").assert_ok().stdout
    assert server.url in shown
    assert PASSWORD not in shown + project.home.log_tail()
    allow(project)
    assert project.inside("a", fetch).endswith("failed"), "off again"


def test_other_servers_and_other_questions_get_nothing(project: Project, server: GitHttp) -> None:
    allow(project, "example.com", "127.0.0.1")
    ask = "printf 'protocol={}\\nhost={}\\n\\n' | GIT_TERMINAL_PROMPT=0 git credential fill 2>&1"
    host = server.url[7:]
    assert project.inside("a", FETCH.format(url=server.url)).endswith("failed")
    allow(project, server.url)
    for scheme, name in (("https", host), ("http", "127.0.0.1"), ("http", "example.com")):
        assert "password=" not in project.inside("a", ask.format(scheme, name) + " || true")
    assert f"password={PASSWORD}" in project.inside("a", ask.format("http", host))
    raw = (
        "socket(S,AF_UNIX,SOCK_STREAM,0);connect(S,pack_sockaddr_un(shift))or die;"
        'syswrite S,shift=~s/;/\\n/gr;$SIG{ALRM}=sub{print"silent";exit};alarm 5;print"got ",<S>'
    )
    path = project.inside("a", "echo /tmp/.rumpel-$(id -u)/git-passwords")
    for question in (
        "x" * 9000,
        f"url=http://{host};;",
        f"protocol=http;host={host}%0a;;",
        f"protocol=file;host={host};;",
        "protocol=http;host=-x;;",
        ";;",
    ):
        argv = ("enter", "a", "--", "perl", "-MSocket", "-e", raw, path, question)
        assert project.run(*argv).assert_ok().stdout == "got ", question
    before = (project.home.path / "home/.git-credentials").read_text()
    erase = f"printf 'protocol=http\\nhost={host}\\n\\n' | git credential reject"
    project.inside("a", erase)
    assert (project.home.path / "home/.git-credentials").read_text() == before


def test_a_repository_cannot_switch_it_on(project: Project, server: GitHttp) -> None:
    project.write({".rumpelpod.json": json.dumps({"gitCredentials": [server.url]})})
    said = project.run("enter", "a", "--", "true").assert_ok()
    assert "gitCredentials is not a repository's to set" in said.stderr
    assert project.inside("a", FETCH.format(url=server.url)).endswith("failed")
    project.run("create", "b").assert_error(2, "not a repository's to set")


@pytest.mark.near("a server on this machine's loopback")
def test_it_is_there_again_after_the_daemon_was(project: Project, server: GitHttp) -> None:
    allow(project, server.url)
    fetch = FETCH.format(url=server.url)
    project.inside(
        "a", f"(echo; while ! test -e /tmp/go; do sleep 0.1; done; {fetch}) >/tmp/out 2>&1 & true"
    )
    project.run("daemon", "restart").assert_ok()
    project.run("list").assert_ok()
    socket = "test -S /tmp/.rumpel-$(id -u)/git-passwords"
    there = lambda: project.exec("a", "sh", "-c", socket, user="dev", check=False).code == 0  # noqa: E731 - its name
    project.wait_until(there, "the socket is back")
    project.exec("a", "touch", "/tmp/go")
    arrived = lambda: "main" in project.exec("a", "cat", "/tmp/out", check=False).stdout  # noqa: E731 - its name
    project.wait_until(arrived, "what ran before fetches")


def test_wrong_names_of_servers_are_refused(project: Project) -> None:
    for wrong in ("ssh://x", "a/b", "user@host", "*", "http://a b"):
        said = project.run("config", env={"RUMPEL_GIT_CREDENTIALS": wrong})
        assert "must be a list of servers" in said.stdout + said.stderr, said


def test_an_image_without_a_program_for_it_is_told(
    rumpel_project: ProjectFactory, server: GitHttp
) -> None:
    project = rumpel_project()
    allow(project, server.url)
    assert "neither perl nor python3" in project.run("enter", "a", "--", "true").assert_ok().stderr
