"""Secrets that sign agents in, and every place where one could stay: none does.

What may hold one: the process of an agent, the file in memory it is lent, and the user's own files.
"""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from rumpel import names
from tests.e2e import test_agents, test_codex, test_ssh_add
from tests.e2e.test_sign_in import PLAIN, token_server  # noqa: F401 - a fixture
from tests.support import agents, fake_sign_in
from tests.support.agents import ON_HOST
from tests.support.fake_sign_in import Server
from tests.support.project import Project, ProjectFactory
from tests.support.repo import Content

CONFIG = ON_HOST | {"onCreateCommand": "echo made >$HOME/made"}
PREFIX = "sk-ant-canary-"
VARIABLES = {
    "CLAUDE_CODE_OAUTH_TOKEN": PREFIX + "oauth-00e1f2a3b4c5d6e7f809",
    "ANTHROPIC_AUTH_TOKEN": PREFIX + "bearer-11e1f2a3b4c5d6e7f809",
    "ANTHROPIC_API_KEY": PREFIX + "key-22e1f2a3b4c5d6e7f8091a2b",
    "CODEX_API_KEY": PREFIX + "codex-33e1f2a3b4c5d6e7f809",
    "OPENAI_API_KEY": PREFIX + "openai-44e1f2a3b4c5d6e7f809",
}
PRINTED = PREFIX + "printed-55e1f2a3b4c5d6e7f809"
PLANTED = "planted-77e1f2a3b4c5d6e7f809"
PASSWORD = "password-99e1f2a3b4c5d6e7f809"
PASSPHRASE = "passphrase-88e1f2a3b4c5d6e7f809"
MCP = PREFIX + "mcp-66e1f2a3b4c5d6e7f809"
Secrets = dict[str, str]
"""What it is -> what must be nowhere."""


@pytest.fixture(name="project")
def both_agents(rumpel_project: ProjectFactory, server: Server) -> Project:
    for package in (test_agents.PACKAGE, test_codex.PACKAGE):
        cache = agents.npm_cache(package)
    env = {
        "npm_config_cache": cache,
        "ANTHROPIC_BASE_URL": server.url,
        "CLAUDE_CODE_CUSTOM_OAUTH_URL": server.url,
        "RUMPEL_LEND_SIGN_IN": "true",
        "OPENAI_BASE_URL": f"{server.url}/v1",
        "CODEX_REFRESH_TOKEN_URL_OVERRIDE": f"{server.url}/oauth/token",
    }
    made = rumpel_project(config=CONFIG)
    made = agents.set_up(made, "claude", test_agents.VERSION, env)
    versions = {"claude": test_agents.VERSION, "codex": test_codex.VERSION}
    settings = {"agentVersions": versions, "prebuild": {"minDuration": "0"}}
    made.write({".rumpelpod.json": json.dumps(settings)})
    made.commit()
    return made


@pytest.mark.timeout(600)
@pytest.mark.one_in(2)
def test_no_secret_stays_anywhere(project: Project, server: Server) -> None:
    secrets = _used(project, server)
    assert len(secrets) >= 12
    plant = f"echo {PLANTED} >/home/dev/planted; echo {PLANTED} >/rumpel/home/planted"
    project.exec("a", "sh", "-c", plant, user="0")
    found: list[str] = []
    planted, kinds = set(), set()
    for place, data in _places(project):
        kind = " ".join(word for word in place.split() if word.isalpha() and len(word) > 1)
        kinds |= {kind} if data else set()
        planted |= {kind} if PLANTED.encode() in data else set()
        found += [f"{what} in {place}" for what, one in secrets.items() if one.encode() in data]
    assert found == []
    assert planted == {"files of", "volumes of"}, "who looks finds"
    assert len(kinds) >= 15, kinds
    for path in project.home.path.rglob("*"):
        own = project.home.path / "home"
        if path.is_file() and not path.is_relative_to(own):
            data = path.read_bytes()
            assert [what for what, secret in secrets.items() if secret.encode() in data] == [], path


def _used(project: Project, server: Server) -> Secrets:
    """Each signs an agent in, whose work is done with it."""
    run = ("run", "a", "--trust", "-p", "please-run: echo x >>x; git add x; git commit -qm x")
    rest = ("--", *PLAIN, "-c", f'chatgpt_base_url="{server.url}/backend-api"')
    server.ends |= dict.fromkeys([*VARIABLES.values(), ""], 1e11)
    for name, secret in VARIABLES.items():
        words = run if "OPENAI" not in name and "CODEX" not in name else _codex(run, rest)
        project.run(*words, env={name: secret}, timeout=300).assert_ok()
    printing = {"RUMPEL_SIGN_IN_COMMANDS": f"ANTHROPIC_API_KEY=echo {PREFIX}$REST"}
    project.run(*run, env=printing | {"REST": PRINTED.removeprefix(PREFIX)}).assert_ok()
    used = {(h.get("x-api-key"), h.get("authorization")) for h, _ in server.asked}
    assert len(used) == len(VARIABLES) + 1, "each of them"

    secrets = VARIABLES | {"printed": PRINTED, "mcp": MCP}
    path = fake_sign_in.claude_file(project.home.path / "home/.claude", server)
    own = json.loads(path.read_text()) | {"mcpOAuth": {"x": {"refreshToken": MCP}}}
    path.write_text(json.dumps(own))
    secrets |= _tokens("claude", own["claudeAiOauth"])
    project.run("claude", "-d", "a", "--", "x").assert_ok()
    project.run("wait", "a", "--timeout", "50").assert_ok()
    own["claudeAiOauth"]["expiresAt"] = 0
    path.write_text(json.dumps(own))
    project.wait_until(lambda: len(server.renewals) == 1, "it is renewed")
    renewed = server.refresh
    project.wait_until(lambda: renewed in path.read_text(), "it is kept")
    secrets |= _tokens("claude renewed", json.loads(path.read_text())["claudeAiOauth"])

    path = fake_sign_in.codex_file(project.home.path / "home/.codex", server)
    secrets |= _tokens("codex", json.loads(path.read_text())["tokens"])
    project.run(*_codex(("run", "b", *run[2:]), rest), timeout=300).assert_ok()
    return secrets


def _codex(run: tuple[str, ...], rest: tuple[str, ...]) -> tuple[str, ...]:
    return (*run, "--agent", "codex", *rest)


def _tokens(whose: str, found: dict[str, object]) -> Secrets:
    texts = {name: one for name, one in found.items() if "oken" in name and isinstance(one, str)}
    return {f"{whose} {name}": one for name, one in texts.items()}


@pytest.mark.usefixtures("ssh_image")
def test_no_lent_key_stays_anywhere(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project(config=test_ssh_add.CONFIG)
    project.run("create", "a", "b").assert_ok()
    (path, public), (locked, _) = (
        test_ssh_add.key_file(project, "one"),
        test_ssh_add.key_file(project, "two", passphrase=PASSPHRASE),
    )
    secrets = {"one": path.read_text().splitlines()[2], "two": locked.read_text().splitlines()[3]}
    secrets["passphrase"] = PASSPHRASE
    project.run("ssh-add", "a", str(path)).assert_ok()
    child = project.spawn("ssh-add", "a", str(locked))
    child.expect("Passphrase of ")
    child.sendline(PASSPHRASE)
    child.expect("key added")
    child.wait()
    project.inside("a", test_ssh_add.SIGN.format(public=public))
    own = project.home.path / "home"
    (own / ".git-credentials").write_text(f"https://me:{PASSWORD}@git.test\n")
    (own / ".gitconfig").write_text("[credential]\n\thelper = store\n")
    fill = "git config --global credential.helper store; git credential fill | grep -c pass"
    words = ("a", "--", "sh", "-c", fill)
    asked = b"protocol=https\nhost=git.test\n\n"
    allowed = {"RUMPEL_GIT_CREDENTIALS": "git.test"}
    assert project.run("enter", *words, input=asked, env=allowed).assert_ok().stdout == "1\n"
    secrets["password"] = PASSWORD
    assert _found(_places(project, has_run=False), secrets) == []
    for file in project.home.path.rglob("*"):
        if file.is_file() and not file.is_relative_to(own):
            assert _found([(str(file), file.read_bytes())], secrets) == []


def _found(places: Iterable[tuple[str, bytes]], secrets: Secrets) -> list[str]:
    return [
        f"{what} in {place}"
        for place, data in places
        for what, one in secrets.items()
        if one.encode() in data
    ]


def _places(project: Project, *, has_run: bool = True) -> Iterator[tuple[str, bytes]]:
    """Each with all that is there."""
    yield from _of_the_engine(project)
    for pod in ("a", "b"):
        yield from _of_a_pod(project, pod)
    yield from _of_commands(project, has_run=has_run)
    argv = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if _is_there(path)]
    yield "arguments on the host", b"\n".join(argv)
    project.run("snapshot", "a").assert_ok()
    project.run("delete", "--force", "a", "b").assert_ok()
    yield from _of_the_engine(project)  # what the trash keeps of them
    yield "git objects", _git_objects(project)
    refs = project.git("for-each-ref")
    yield "git refs", refs.encode()
    yield "daemon log", project.home.log.encode()
    crash = project.home.state / "crash"
    yield "crash files", b"".join(path.read_bytes() for path in crash.rglob("*") if path.is_file())
    project.home.kill_daemon()  # it alone has it open
    database = project.home.state / "state.db"
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
        yield "database", "\n".join(connection.iterdump()).encode("utf-8", "replace")


def _is_there(path: Path) -> bool:
    try:
        return bool(path.read_bytes()) and str(os.getpid()) not in path.parts
    except OSError:
        return False


def _of_the_engine(project: Project) -> Iterator[tuple[str, bytes]]:
    """Containers, images (prebuilds too) with their history and files, volumes."""
    api, label = project.docker.api, project.home.label
    assert label is not None
    wanted = {"label": label}
    for row in api.containers(all=True, filters=wanted):
        detail = api.inspect_container(row["Id"])
        yield f"container {row['Names']}", json.dumps([row, detail]).encode()
        for one in detail.get("ExecIDs") or ():
            yield "exec", json.dumps(api.exec_inspect(one)).encode()
        yield f"output of {row['Names']}", api.logs(row["Id"])
        yield f"files of {row['Names']}", b"".join(api.export(row["Id"]))
    for row in api.images(filters=wanted):
        detail, history = api.inspect_image(row["Id"]), api.history(row["Id"])
        yield f"image {row['Id']}", json.dumps([row, detail, history]).encode()
    for row in api.volumes(filters=wanted)["Volumes"] or ():
        yield f"volume {row['Name']}", json.dumps(row).encode()


def _of_a_pod(project: Project, pod: str) -> Iterator[tuple[str, bytes]]:
    shown = project.exec(pod, "sh", "-c", "cat /proc/*/cmdline | tr '\\0' ' '", check=False)
    yield f"arguments in {pod}", shown.stdout.encode()
    look = f"find {names.AGENT_HOME_PATH} /workspaces -type f -exec cat {{}} +"
    yield f"volumes of {pod}", project.exec(pod, "sh", "-c", look, user="0").stdout.encode()


def _of_commands(project: Project, *, has_run: bool) -> Iterator[tuple[str, bytes]]:
    for words in (
        ("list", "--json"),
        ("config", "--json"),
        ("events", "--all", "--json", "-n", "1000"),
        ("logs", "a", "run"),
        ("graph", "--json"),
        ("graph", "a", "--format", "html"),
        ("graph", "a", "--format", "dot"),
        ("graph", "a", "--format", "svg"),
        ("graph", "--history", "--json"),
        ("doctor", "--json"),
    ):
        said = project.run(*words)
        assert said.stdout or not has_run, words
        yield " ".join(words), (said.stdout + said.stderr).encode()


def _git_objects(project: Project) -> bytes:
    argv = ["git", "-C", str(project.root), "cat-file", "--batch-all-objects", "--batch"]
    return subprocess.run(argv, capture_output=True, check=True, timeout=60).stdout


VALUES = {
    name: f"canary-{name.lower()}-66e1f2a3b4c5d6e7"
    for name in ("ARG", "BARE", "ENV", "FEATURE", "FILE", "HOOK", "LABEL", "OTHER", "REMOTE", "NO")
}
AGREED = {
    "build": {"dockerfile": "../Dockerfile", "args": {"A": "${localEnv:C_ARG}"}},
    "features": {"../x": {"a": "${localEnv:C_FEATURE}"}},
    "containerEnv": {"E": "${localEnv:C_ENV}"},
    "remoteEnv": {"R": "${localEnv:C_REMOTE}"},
    "runArgs": [
        "--network=none", "-e", "C_BARE", "--env-file=names", "--label=l=${localEnv:C_LABEL}",
    ],
    "postCreateCommand": "echo $E $R ${localEnv:C_HOOK}; test -n $E",
    "customizations": {"x": "${localEnv:C_OTHER}"},
}  # fmt: skip


def test_a_variable_is_only_where_it_was_agreed_to(rumpel_project: ProjectFactory) -> None:
    """Each in the container or image that asked for it, and nowhere that anybody else looks."""
    other = {"image": "rumpel-mini:1", "runArgs": ["--network=none"]}
    files: dict[str, Content] = {
        ".devcontainer/Dockerfile": 'FROM rumpel-mini:1\nARG A\nRUN test -n "$A"\n',
        "names": "C_FILE\n",
        ".devcontainer/a/devcontainer.json": AGREED,
        ".devcontainer/b/devcontainer.json": other,
        ".devcontainer/c/devcontainer.json": other | {"containerEnv": {"A": "${localEnv:C_NO}"}},
        ".devcontainer/x/devcontainer-feature.json": {"id": "x"},
        ".devcontainer/x/install.sh": '#!/bin/sh\ntest -n "$A"\n',
    }
    project = rumpel_project(files)
    env = {f"C_{name}": value for name, value in VALUES.items()}
    for pod, *more in (("c",), ("a", "--trust"), ("b",)):
        config = f".devcontainer/{pod}/devcontainer.json"
        made = project.run("create", pod, "--config", config, "-v", *more, env=env)
        made.assert_code(4 if pod == "c" else 0)
        assert _found([("", (made.stdout + made.stderr).encode())], VALUES) == []
    own, image = f"container {project.containers('a')[0]['Names']}", "image sha256:"
    found = {
        (what, place)
        for what, _, place in (
            one.partition(" in ") for one in _found(_places(project, has_run=False), VALUES)
        )
    }
    assert {what for what, place in found if place == own} == {"BARE", "ENV", "FILE", "LABEL"}
    assert {what for what, place in found if place.startswith(image)} == {"ARG"}
    assert [one for one in found if one[1] != own and not one[1].startswith(image)] == []
