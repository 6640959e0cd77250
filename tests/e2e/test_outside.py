"""Proxies and certificates for builds and pods, and no secret of them where one can look."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest

from tests.support import certificate
from tests.support.engine import MINI_IMAGE
from tests.support.git_http import PASSWORD, USER, GitHttp
from tests.support.project import Project, ProjectFactory

SECRET = "proxy-aae1f2a3b4c5d6e7f809"
PROXY = f"http://me:{SECRET}@127.0.0.1:3128"
BUILD = {"build": {"dockerfile": "Dockerfile"}, "runArgs": ["--network=none"]}


def docker_config(project: Project, content: dict[str, object]) -> None:
    path = project.home.path / "home/.docker/config.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def settings(project: Project, content: dict[str, object]) -> None:
    path = Path(project.home.env["XDG_CONFIG_HOME"]) / "rumpel/config.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def seen_by_docker(project: Project) -> str:
    """All that the engine tells of our containers and images."""
    api, label = project.docker.api, project.home.label
    rows: list[object] = [
        api.inspect_container(row["Id"])
        for row in api.containers(all=True, filters={"label": label})
    ]
    for row in api.images(filters={"label": label}):
        rows += [api.inspect_image(row["Id"]), api.history(row["Id"])]
    return json.dumps(rows)


def kept(project: Project) -> str:
    """Its database; the daemon, which alone has it open, is ended."""
    project.home.kill_daemon()
    with sqlite3.connect(f"file:{project.home.state / 'state.db'}?mode=ro", uri=True) as connection:
        return "\n".join(connection.iterdump())


def test_dockers_own_proxies_reach_builds_and_pods_and_nothing_else(
    rumpel_project: ProjectFactory,
) -> None:
    count = 'test "$http_proxy" = "$HTTP_PROXY" && echo "$HTTP_PROXY" | wc -c >/seen'
    dockerfile = f"FROM {MINI_IMAGE}\nRUN {count}\n"
    config = BUILD | {"postCreateCommand": 'test -n "$HTTPS_PROXY" && echo made >/tmp/made'}
    project = rumpel_project({".devcontainer/Dockerfile": dockerfile}, config=config)
    proxies = {"default": {"httpProxy": PROXY, "httpsProxy": PROXY, "noProxy": "localhost"}}
    docker_config(project, {"proxies": proxies})
    assert project.inside("a", "cat /seen /tmp/made") == f"{len(PROXY) + 1}\nmade"
    assert project.inside("a", "echo $http_proxy $NO_PROXY") == f"{PROXY} localhost"
    assert SECRET not in seen_by_docker(project)
    said = project.run("config", "--json").assert_ok().data["docker"]
    assert said["proxies"]["HTTP_PROXY"] == "http://***@127.0.0.1:3128"
    assert "***@127.0.0.1" in project.run("config").assert_ok().stdout
    for words in (("graph", "a", "--why", "image"), ("events", "--json"), ("logs", "a", "image")):
        assert SECRET not in str(project.run(*words))
    assert SECRET not in project.home.log
    docker_config(project, {})
    assert project.inside("a", 'echo "[$http_proxy]"') == "[]"
    assert project.run("recreate", "a").assert_ok().stdout == "a: up to date\n", "no new image"
    assert SECRET not in kept(project)


def test_each_way_to_make_something_has_them(rumpel_project: ProjectFactory) -> None:
    """Also by a daemon that has made nothing else yet."""
    wants = 'test -n "$http_proxy"'
    config = BUILD | {"postCreateCommand": f"{wants} && echo made >/tmp/made"}
    project = rumpel_project(
        {".devcontainer/Dockerfile": f"FROM {MINI_IMAGE}\nRUN {wants}\n"}, config=config
    )
    docker_config(project, {"proxies": {"default": {"httpProxy": PROXY}}})
    project.run("image", "build").assert_ok()
    project.run("create", "a").assert_ok()
    for words in (("fork", "a", "b"), ("undelete", "a"), ("recreate", "a", "--force")):
        if words[0] == "undelete":
            project.run("delete", "a").assert_ok()
        project.run("daemon", "restart").assert_ok()
        project.run(*words).assert_ok()
        made = project.exec("b" if words[0] == "fork" else "a", "cat", "/tmp/made")
        assert made.stdout == "made\n", words


def test_the_environments_proxies_only_when_asked_for(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    env = {"https_proxy": PROXY}
    show = ("enter", "a", "--", "sh", "-c", "echo [$HTTPS_PROXY] [$https_proxy]")
    assert project.run(*show, env=env).assert_ok().stdout == "[] []\n"
    settings(project, {"proxyVariables": True})
    assert project.run(*show, env=env).assert_ok().stdout == f"[{PROXY}] [{PROXY}]\n"
    assert SECRET not in seen_by_docker(project)
    settings(project, {})
    project.write({".rumpelpod.json": json.dumps({"proxyVariables": True})})
    assert project.run(*show, env=env).assert_ok().stdout == "[] []\n", "a repository cannot"
    assert SECRET not in kept(project)


def test_what_the_pods_own_configuration_says_goes_before(rumpel_project: ProjectFactory) -> None:
    config = {
        "image": MINI_IMAGE,
        "containerEnv": {"HTTP_PROXY": "http://own:1"},
        "remoteEnv": {"http_proxy": None},
    }
    project = rumpel_project(config=config)
    docker_config(project, {"proxies": {"default": {"httpProxy": PROXY}}})
    assert project.inside("a", "echo [$HTTP_PROXY] [$http_proxy]") == "[http://own:1] []"


def test_registries_with_credentials_are_listed_without_them(
    rumpel_project: ProjectFactory,
) -> None:
    project = rumpel_project()
    docker_config(
        project,
        {
            "auths": {"one.test": {"auth": SECRET}, "two.test": {}},
            "credsStore": "vault",
            "credHelpers": {"three.test": "other"},
        },
    )
    said = project.run("config", "--json").assert_ok()
    wanted = ["one.test (docker login)", "two.test (helper vault)", "three.test (helper other)"]
    assert said.data["docker"]["registries"] == wanted
    shown = project.run("config").assert_ok().stdout
    assert "three.test (helper other)" in shown
    assert SECRET not in said.stdout + shown


@pytest.mark.near("a server on this machine's loopback")
def test_builds_and_pods_trust_more_certificates(
    rumpel_project: ProjectFactory, dev_image: str, tmp_path: Path
) -> None:
    authority, server_file = certificate.make(tmp_path)
    with GitHttp(tmp_path, certificate=server_file) as server:
        url = server.url.replace("://", f"://{USER}:{PASSWORD}@") + "/far.git"
        dockerfile = (
            f"FROM {dev_image} AS first\nUSER dev\n"
            f"RUN git ls-remote {url} >/tmp/seen || echo no >/tmp/seen\n"
            f"FROM \\\n  first\nRUN id -un >>/tmp/seen\nUSER root\n"
        )
        build = {"dockerfile": "Dockerfile", "options": ["--network=host"]}
        config = {"build": build, "runArgs": ["--network=host"]}
        project = rumpel_project({".devcontainer/Dockerfile": dockerfile}, config=config)
        project.git("clone", "-q", "--bare", str(project.root), str(tmp_path / "far.git"))
        project.run("create", "a", "--trust").assert_ok()
        assert project.inside("a", "cat /tmp/seen") == "no\ndev"
        settings(project, {"caCertificates": [str(authority)]})
        project.run("recreate", "a").assert_ok()
        seen = project.inside("a", "cat /tmp/seen").splitlines()
        assert "refs/heads/main" in "".join(seen)
        assert seen[-1] == "dev"
        assert "refs/heads/main" in project.inside("a", f"git ls-remote {url}")
        assert "BEGIN CERTIFICATE" in project.inside("a", "cat $NODE_EXTRA_CA_CERTS")
        own = authority.read_text()
        key = own.split("PRIVATE KEY-----\n")[1].splitlines()[0]
        assert key not in seen_by_docker(project)
        why = project.run("recreate", "a", "--plan").assert_ok().stdout
        assert "up to date" in why
        assert key not in kept(project)


def test_a_file_without_a_certificate_is_an_error(
    rumpel_project: ProjectFactory, tmp_path: Path
) -> None:
    project = rumpel_project()
    path = tmp_path / "none.pem"
    settings(project, {"caCertificates": [str(path)]})
    project.run("create", "a").assert_error(2, "cannot be read")
    path.write_text("nothing")
    project.run("create", "a").assert_error(2, "there is no certificate in")
    settings(project, {"caCertificates": ["own.pem"]})
    project.run("create", "a").assert_error(2, "no absolute path")
