"""The scripts of `rumpel completions`, run by the shells they are for."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest

from rumpel.cli import completions
from rumpel.cli.commands import COMMANDS


def completed(*words: str) -> list[str]:
    """What bash offers for the last of these words."""
    quoted = " ".join(f"'{word}'" for word in words)
    script = (
        f"{completions.bash()}\nCOMP_WORDS=({quoted}) COMP_CWORD={len(words) - 1}\n"
        "rumpel() { [ $1 = undelete ] && echo carol || echo alice bob; }\n"
        "git() { printf '%s\\n' main topic; }\n"
        '_rumpel\nprintf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_bash_completes_commands_and_options() -> None:
    assert completed("rumpel", "") == list(COMMANDS)
    assert completed("rumpel", "sna") == ["snapshot"]
    assert completed("rumpel", "-C", "/tmp", "und") == ["undelete"]
    assert completed("rumpel", "recreate", "--pl") == ["--plan"]
    assert completed("rumpel", "stop", "--a") == ["--all"]
    assert completed("rumpel", "enter", "a", "--", "--he") == []


def test_pods_are_asked_of_a_running_daemon_only(monkeypatch: pytest.MonkeyPatch) -> None:
    assert completed("rumpel", "enter", "a") == []
    with tempfile.TemporaryDirectory(prefix="rp-") as folder, socket.socket(socket.AF_UNIX) as sock:
        sock.bind(f"{folder}/s")
        monkeypatch.setenv("RUMPEL_SOCKET", f"{folder}/s")
        assert completed("rumpel", "enter", "a") == ["alice"]
        assert completed("rumpel", "delete", "alice", "") == ["alice", "bob"]
        assert completed("rumpel", "config", "") == []
        assert completed("rumpel", "rm", "-f", "b") == ["bob"]
        assert completed("rumpel", "undelete", "") == ["carol"]
        assert completed("rumpel", "forward-port", "b") == ["bob:"]
        assert completed("rumpel", "review", "--against", "") == ["alice", "bob"]
        assert completed("rumpel", "review", "-t", "meld", "b") == ["bob"]
        assert completed("rumpel", "events", "--since", "5", "b") == ["bob"]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("graph --plan de", ["delete"]),
        ("batch li", ["list"]),
        ("batch land ", ["alice", "bob", "alice", "bob"]),
        ("graph --format m", ["mermaid"]),
        ("graph --why cl", ["clone"]),
        ("list --color n", ["never"]),
        ("logs alice postC", ["postCreateCommand"]),
        ("recreate a --refresh im", ["image"]),
        ("daemon re", ["restart"]),
        ("daemon status re", []),
        ("completions z", ["zsh"]),
        ("help exit", ["exit-codes"]),
        ("help snap", ["snapshot"]),
        ("create --from t", ["topic"]),
        ("create a", []),
        ("fork alice a", []),
        ("restore alice a", []),
        ("review alice a", []),
        ("recreate --config a", []),
        ("rm --fo", ["--force"]),
    ],
)
def test_words_fit_their_places(
    line: str, words: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Pods could be had, so that they are missed where they do not belong."""
    with socket.socket(socket.AF_UNIX) as sock:
        monkeypatch.chdir(tmp_path)
        sock.bind("s")
        monkeypatch.setenv("RUMPEL_SOCKET", "s")
        assert completed("rumpel", *line.split(" ")) == words


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_take_theirs(shell: str) -> None:
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"no {shell}")
    made = {"zsh": completions.zsh, "fish": completions.fish}[shell]()
    begin = "autoload -Uz compinit && compinit -u -D\n" if shell == "zsh" else ""
    ask = "" if shell == "zsh" else "complete -C 'rumpel sna'\n"
    done = subprocess.run(
        [program, "-c", begin + made + ask], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert shell == "zsh" or done.stdout.startswith("snapshot")


def test_fish_offers_what_fits(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = shutil.which("fish")
    if program is None:
        pytest.skip("no fish")
    asked = {
        "graph --plan de": ["delete"],
        "daemon re": ["restart"],
        "rm a": ["alice"],
        "logs a": ["alice"],
        "logs alice cl": ["clone"],
        "fork a": ["alice"],
        "fork alice al": [],
        "undelete c": ["carol"],
    }
    script = "function rumpel; test $argv[1] = undelete; and echo carol; or echo alice; end\n"
    ask = "".join(f"echo = (complete -C 'rumpel {line}')\n" for line in asked)
    with socket.socket(socket.AF_UNIX) as sock:
        monkeypatch.chdir(tmp_path)
        sock.bind("s")
        monkeypatch.setenv("RUMPEL_SOCKET", "s")
        done = subprocess.run(
            [program, "-c", completions.fish() + script + ask],
            capture_output=True,
            text=True,
            check=False,
        )
    assert [line.split()[1:] for line in done.stdout.splitlines()] == list(asked.values()), done


HOSTILE = ["$(touch${IFS}pwned)", "`touch${IFS}pwned`", "a;touch${IFS}pwned", "a'b", "naïve"]
"""Each is the name of a branch for git, and none a word that may lie on a command line."""
OFFERED = ["feature/1", "main", "v1.0+x@y_z"]


@pytest.fixture
def hostile(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A repository with such branches, and a `rumpel` that says them as names of pods."""
    (tmp_path / "bin").mkdir()
    said = "".join(f"{name}\n" for name in (*HOSTILE, *OFFERED))
    (tmp_path / "names").write_text(said)
    tool = tmp_path / "bin" / "rumpel"
    tool.write_text(f"#!/bin/sh\ncat '{tmp_path}/names'\n")
    tool.chmod(0o755)
    repo = tmp_path / "repo"
    git = ["git", "-C", str(repo), "-c", "user.name=a", "-c", "user.email=a@example.org"]
    subprocess.run(["git", "init", "-q", "-b", "main", str(repo)], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "x"], check=True)
    for name in (*HOSTILE, *OFFERED):
        if name != "main":
            subprocess.run([*git, "branch", name], check=True)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setenv("RUMPEL_SOCKET", "s")
    monkeypatch.chdir(repo)
    return repo


BASH_ASKS = """\
COMP_WORDS=(%s '') COMP_CWORD=%d
_rumpel
printf '%%s\\n' "${COMPREPLY[@]}"
"""
ZSH_ASKS = """\
autoload -Uz compinit && compinit -u -D
%s
words=(%s '') CURRENT=%d
compadd() { while [[ $1 != - ]]; do shift; done; shift; (( $# )) && print -rl -- "$@"; }
_default() { : }
_bash_complete -o default -F _rumpel
"""


def offered(shell: str, line: str) -> list[str]:
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"no {shell}")
    count = len(line.split())
    script = {
        "bash": completions.bash() + BASH_ASKS % (line, count),
        "zsh": ZSH_ASKS % (completions.zsh(), line, count + 1),
        "fish": f"{completions.fish()}complete -C '{line} '\n",
    }[shell]
    done = subprocess.run([program, "-c", script], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    return [said.split("\t")[0] for said in done.stdout.splitlines() if said]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
@pytest.mark.parametrize(
    ("line", "suffix"),
    [
        ("rumpel create --from", ""),
        ("rumpel enter", ""),
        ("rumpel undelete", ""),
        ("rumpel forward-port", ":"),
    ],
)
def test_no_name_is_run_or_put_on_the_line(
    hostile: Path, shell: str, line: str, suffix: str
) -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind("s")
        found = offered(shell, line)
    assert found == [f"{name}{suffix}" for name in OFFERED]
    assert not (hostile / "pwned").exists()


SSH_CONFIG = """\
# Host commented
Host build "two words" spare
  HostName 192.0.2.1
Host *.example.org !web-? web
Match host other
Include more/*
"""


@pytest.fixture
def at_home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home with hosts, and nothing in the environment that leads elsewhere."""
    with tempfile.TemporaryDirectory(prefix="rp-", dir="/tmp") as folder:
        home = Path(folder)
        for name in ("RUMPEL_SOCKET", "XDG_RUNTIME_DIR", "XDG_STATE_HOME", "DOCKER_CONFIG"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("HOME", folder)
        files = {
            ".ssh/config": SSH_CONFIG,
            ".ssh/more/one": "host=included\nInclude more/one\n",
            ".docker/contexts/meta/a/meta.json": '{"Endpoints":{"docker":{"Host":"ssh://me@far"}}}',
            ".docker/contexts/meta/b/meta.json": '{"Endpoints":{"docker":{"Host":"tcp://x:1"}}}',
            ".docker/contexts/meta/c/meta.json": "[",
        }
        for path, content in files.items():
            (home / path).parent.mkdir(parents=True, exist_ok=True)
            (home / path).write_text(content)
        yield home


def test_hosts_are_those_that_somebody_has_named(
    at_home: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from rumpel.cli import boundary

    assert boundary.run(["completions", "hosts"]) == 0
    said = capfd.readouterr()
    names = ["build", "included", "me@far", "spare", "web"]
    assert said.out.split() == ["local", *(f"ssh://{name}" for name in names)]
    assert said.err == ""
    assert not (at_home / ".local/state/rumpel/daemon.pid").exists(), "no daemon was started"


@pytest.mark.parametrize(
    ("typed", "line"),
    [
        ("create a --host ssh://b", "create a --host ssh://build "),
        ("create a --host l", "create a --host local "),
        ("create --host ssh://me@f", "create --host ssh://me@far "),
        ("create --host ssh:", "create --host ssh:\a//"),
        ("graph --host ssh://me@far al", "graph --host ssh://me@far alice "),
        ("graph --host ssh://build alice --why cl", "graph --host ssh://build alice --why clone "),
        ("enter a", "enter alice "),
    ],
)
def test_bash_on_a_terminal_puts_it_on_the_line(at_home: Path, typed: str, line: str) -> None:
    """Where bash takes words apart at each `:` and `@`; pods are known by the state's socket."""
    program = at_home / "bin/rumpel"
    program.parent.mkdir()
    hosts = "local ssh://build ssh://me@far ssh://spare"
    said = f'if [ "$1" = completions ]; then echo "{hosts}"; else echo "alice bob"; fi'
    program.write_text(f"#!/bin/sh\n({said}) | tr ' ' '\\n'\n")
    program.chmod(0o755)
    (at_home / "script").write_text(completions.bash())
    folder = at_home / ".local/state/rumpel/run"
    folder.mkdir(parents=True)
    env = {**os.environ, "PATH": f"{program.parent}:{os.environ['PATH']}", "TERM": "dumb"}
    child = pexpect.spawn("bash", ["--norc"], env=env, cwd=folder, encoding="utf-8", timeout=10)
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(folder / "daemon.sock"))
        child.sendline(f"PS1='at> '; source {at_home}/script; echo rea''dy")
        child.expect_exact("ready\r\n")
        child.expect_exact("at> ")
        child.send(f"rumpel {typed}\t")
        try:
            child.expect_exact(f"rumpel {line}")
        finally:
            child.close(force=True)
