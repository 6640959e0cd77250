"""The scripts of `rumpel completions`, run by the shells they are for."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from rumpel.cli import completions
from rumpel.cli.commands import COMMANDS


def completed(*words: str) -> list[str]:
    """What bash offers for the last of these words."""
    quoted = " ".join(f"'{word}'" for word in words)
    script = (
        f"{completions.bash()}\nCOMP_WORDS=({quoted}) COMP_CWORD={len(words) - 1}\n"
        'rumpel() { echo alice bob; }\n_rumpel\nprintf "%s\\n" "${COMPREPLY[@]}"'
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
    import socket
    import tempfile

    with tempfile.TemporaryDirectory(prefix="rp-") as folder, socket.socket(socket.AF_UNIX) as sock:
        sock.bind(f"{folder}/s")
        monkeypatch.setenv("RUMPEL_SOCKET", f"{folder}/s")
        assert completed("rumpel", "enter", "a") == ["alice"]
        assert completed("rumpel", "delete", "alice", "") == ["alice", "bob"]
        assert completed("rumpel", "config", "") == []


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
