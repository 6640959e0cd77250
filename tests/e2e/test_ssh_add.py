"""Keys lent to pods: real ssh, git and sshd use them, and they never get into a pod."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from tests.support.engine import SSH_IMAGE
from tests.support.project import Project, ProjectFactory
from tests.support.sshd import Sshd, write

pytestmark = pytest.mark.usefixtures("ssh_image")
CONFIG = {"image": SSH_IMAGE, "remoteUser": "dev", "runArgs": ["--network=none"]}
QUIET = "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR"
SIGN = (
    "git -c gpg.format=ssh -c user.signingkey='key::{public}' commit -qS --allow-empty -m signed;"
    " git cat-file commit HEAD"
)


@pytest.fixture(name="project")
def with_a_pod(rumpel_project: ProjectFactory) -> Project:
    project = rumpel_project(config=CONFIG)
    project.run("create", "a").assert_ok()
    return project


def key_file(
    project: Project, name: str, kind: str = "ssh-ed25519", **more: Any
) -> tuple[Path, str]:
    """A private key of the test's user, and its public half."""
    key = asyncssh.generate_private_key(kind, comment=f"{name}@test")
    path = project.home.path / "home/.ssh" / name
    path.parent.mkdir(mode=0o700, exist_ok=True)
    write(path, key.export_private_key(**more))
    public = key.export_public_key().decode().strip()
    path.with_name(f"{name}.pub").write_text(public + "\n")
    return path, " ".join(public.split()[:2])


def listed(project: Project, pod: str = "a") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = project.run("ssh-add", "-l", pod, "--json").assert_ok().data
    return found


def uses(project: Project) -> list[dict[str, Any]]:
    found = project.run("events", "--json").assert_ok().data
    return [entry for entry in found if entry["kind"] == "ssh-key"]


def test_git_and_ssh_in_a_pod_get_in_with_a_lent_key(
    rumpel_project: ProjectFactory, sshd: Sshd
) -> None:
    project = rumpel_project(config=CONFIG | {"runArgs": ["--network=host"]})
    project.run("create", "a", "--trust").assert_ok()
    port = sshd.ports["plain"]
    sshd.engine.exec(sshd.container, "git", "init", "-q", "--bare", "/root/far.git")
    far = f"ssh://root@127.0.0.1:{port}/root/far.git"
    command = f"GIT_SSH_COMMAND='ssh {QUIET}' git push -q {far} a"
    assert project.run("enter", "a", "--", "sh", "-c", command).code == 128
    said = project.run("ssh-add", "a", str(sshd.folder / "id_test")).assert_ok()
    assert "SSH_AUTH_SOCK" in said.stderr
    project.inside("a", command)
    there = sshd.engine.exec(sshd.container, "git", "-C", "/root/far.git", "rev-parse", "a")
    assert there.stdout.strip() == project.inside("a", "git rev-parse HEAD")
    (use,) = uses(project)
    server = sshd.host_key.get_fingerprint()
    assert (use["use"], use["name"], use["server"]) == ("login", "root", server)
    line = project.run("events", "a").assert_ok().stdout.splitlines()[-2:]
    assert any(f"login as root (server key {server})" in text for text in line), line


def test_a_pod_far_away_signs_with_a_key_that_is_here(
    rumpel_project: ProjectFactory, sshd: Sshd
) -> None:
    project = rumpel_project(config=CONFIG)
    project.run("create", "a", "--host", "ssh://plain").assert_ok()
    path, public = key_file(project, "sign")
    project.run("ssh-add", "a", str(path)).assert_ok()
    assert "BEGIN SSH SIGNATURE" in project.inside("a", SIGN.format(public=public))
    sshd.kill_sessions()
    project.wait_until(
        lambda: project.run("enter", "a", "--", "sh", "-ec", SIGN.format(public=public)).code == 0,
        "it signs again after the connection was lost",
    )


@pytest.mark.parametrize("kind", ["ssh-ed25519", "ecdsa-sha2-nistp256", "ssh-rsa"])
def test_commits_are_signed_without_a_network(project: Project, kind: str) -> None:
    path, public = key_file(project, "sign", kind)
    project.run("ssh-add", "a", str(path)).assert_ok()
    signed = project.inside("a", SIGN.format(public=public))
    assert "BEGIN SSH SIGNATURE" in signed
    check = (
        f"echo 'me@test {public}' >/tmp/who;"
        " git -c gpg.ssh.allowedSignersFile=/tmp/who verify-commit HEAD 2>&1"
    )
    assert "Good" in project.inside("a", check)
    (use,) = uses(project)
    assert (use["use"], use["name"], use["comment"]) == ("signature", "git", "sign@test")
    assert use["pods"] == ["a"]
    secret = path.read_text().splitlines()[2]
    everywhere = 'grep -rlsF -e "$0" /home /tmp /workspaces /proc/*/environ /etc || true'
    done = project.exec("a", "sh", "-c", everywhere, secret, user="0")
    assert done.stdout == ""


def test_only_the_user_of_the_pod_gets_to_the_socket_and_only_to_named_keys(
    project: Project,
) -> None:
    (path, public), (_, other) = key_file(project, "one"), key_file(project, "two")
    assert "SSH_AUTH_SOCK" not in project.inside("a", "env")
    project.run("ssh-add", "a", str(path)).assert_ok()
    shown = "ssh-add -L; stat -c '%a %U' $SSH_AUTH_SOCK $(dirname $SSH_AUTH_SOCK)"
    assert project.inside("a", shown).splitlines() == [f"{public} one@test", "600 dev", "700 dev"]
    assert other not in project.inside("a", "ssh-add -L")
    make = "ssh-keygen -qt ed25519 -N '' -f /tmp/own"
    each = "for arg in -D -x -X '-e /x' /tmp/own; do ssh-add $arg </dev/null && echo DONE; done"
    assert "DONE" not in project.inside("a", f"{make}; ({each}; true) 2>&1")
    assert project.inside("a", "ssh-add -L") == f"{public} one@test"
    assert [row["comment"] for row in listed(project)] == ["one@test"]
    row = project.run("ssh-add", "-l", "a").assert_ok().stdout
    assert row == f"{listed(project)[0]['fingerprint']} one@test (ssh-ed25519)\n"
    shown_key = project.run("config", "--json").assert_ok().data["ssh_keys"]
    assert [(key["pod"], key["comment"]) for key in shown_key] == [("a", "one@test")]
    assert "one@test" in project.run("config").assert_ok().stdout
    assert project.run("ssh-add", "-L", "a").assert_ok().stdout == f"{public} one@test\n"


def test_keys_are_taken_away_by_name_by_time_and_with_the_daemon(project: Project) -> None:
    (one, _), (two, _) = key_file(project, "one"), key_file(project, "two")
    project.run("ssh-add", "a", str(one), str(two)).assert_ok()
    project.run("ssh-add", "-d", "a", str(one)).assert_ok()
    assert [row["comment"] for row in listed(project)] == ["two@test"]
    project.run("ssh-add", "-d", "a", str(one)).assert_error(3, "does not have that key")
    socket = project.inside("a", "echo $SSH_AUTH_SOCK")
    project.run("stop", "a").assert_ok()
    assert "two@test" in project.inside("a", "ssh-add -L"), "it comes back with the pod"
    project.run("ssh-add", "-D", "a").assert_ok()
    assert listed(project) == []
    gone = ["sh", "-c", f"! test -e {socket}"]
    project.wait_until(lambda: project.exec("a", *gone, check=False).code == 0, "the socket goes")
    project.run("ssh-add", "-t", "1", "a", str(one)).assert_ok()
    project.wait_until(lambda: listed(project) == [], "its time is over")
    project.run("ssh-add", "a", str(one)).assert_ok()
    pid = project.run("daemon", "status", "--json").assert_ok().data["pid"]
    os.kill(pid, signal.SIGKILL)
    project.wait_until(lambda: project.exec("a", *gone, check=False).code == 0, "the socket goes")
    assert listed(project) == []
    assert "SSH_AUTH_SOCK" not in project.inside("a", "env")


def test_a_passphrase_is_asked_for_here(project: Project) -> None:
    path, _ = key_file(project, "locked", passphrase="right")
    project.run("ssh-add", "a", str(path)).assert_error(2, "has a passphrase", "nobody can be")
    child = project.spawn("ssh-add", "a", str(path))
    child.expect("Passphrase of ")
    child.sendline("wrong")
    child.expect("Passphrase of ")
    child.sendline("right")
    child.expect("key added")
    child.expect("uses them|use them")
    child.wait()
    assert [row["comment"] for row in listed(project)] == ["locked@test"]
    assert "right" not in project.home.log_tail()


def test_what_is_no_key_is_refused_with_what_to_type(project: Project) -> None:
    path, _ = key_file(project, "open")
    path.chmod(0o644)
    project.run("ssh-add", "a", str(path)).assert_error(2, "can be read by others", "chmod 600")
    path.chmod(0o600)
    mark = "OPENSSH PRIVATE KEY-----\n"
    path.write_text(f"-----BEGIN {mark}AAAA\n-----END {mark}")
    project.run("ssh-add", "a", str(path)).assert_error(2, "no private key that can be read")
    project.run("ssh-add", "a", "/none").assert_error(3, "there is no file")
    project.run("ssh-add", "a").assert_error(3, "id_ed25519")
    project.run("ssh-add", "a", "SHA256:x").assert_error(3, "you have no ssh agent")
    project.run("ssh-add", "b", str(path)).assert_error(3, "no pod")
    project.run("ssh-add", "-t", "long", "a").assert_error(2, "-t takes")
    project.run("stop", "a").assert_ok()
    good, _ = key_file(project, "good")
    project.run("ssh-add", "a", str(good)).assert_error(5, "does not run", "rumpel enter a")


def test_an_image_without_a_program_for_it_says_so(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    project.run("create", "a").assert_ok()
    path, _ = key_file(project, "one")
    project.run("ssh-add", "a", str(path)).assert_error(3, "neither perl nor python3")
    assert listed(project) == []


@pytest.fixture(name="own_agent")
def a_real_ssh_agent(project: Project) -> Iterator[tuple[str, list[str]]]:
    """Its socket, and the public keys that OpenSSH's own agent holds."""
    folder = project.home.path / "agent"
    folder.mkdir()
    socket = str(folder / "sock")
    process = project.home.start(["ssh-agent", "-D", "-a", socket], cwd=folder)
    project.wait_until(lambda: Path(socket).exists(), "the agent listens")
    publics = []
    for name in ("first", "second"):
        path, public = key_file(project, name)
        project.home.start(
            ["ssh-add", "-q", str(path)], cwd=folder, env={"SSH_AUTH_SOCK": socket}
        ).wait(10)
        path.unlink()
        publics.append(public)
    yield socket, publics
    process.terminate()
    process.wait(10)


def test_the_users_own_agent_signs_with_the_named_key_alone(
    project: Project, own_agent: tuple[str, list[str]]
) -> None:
    socket, (first, second) = own_agent
    public = project.home.path / "home/.ssh/first.pub"
    project.run("ssh-add", "a", str(public), env={"SSH_AUTH_SOCK": socket}).assert_ok()
    (row,) = listed(project)
    assert (row["source"], row["public_key"]) == ("agent", first)
    assert second not in project.inside("a", "ssh-add -L")
    assert "BEGIN SSH SIGNATURE" in project.inside("a", SIGN.format(public=first))
    assert project.run("enter", "a", "--", "sh", "-ec", SIGN.format(public=second)).code != 0
    Path(socket).unlink()
    assert project.run("enter", "a", "--", "sh", "-ec", SIGN.format(public=first)).code != 0
    assert [use["failure"] for use in uses(project)] == [None, "your ssh agent cannot be reached"]


HOSTILE = r"""
use strict; use Socket; $SIG{PIPE} = 'IGNORE'; my ($path, $how) = @ARGV;
sub conn { socket(my $s, AF_UNIX, SOCK_STREAM, 0); connect($s, pack_sockaddr_un($path)); return $s }
my @held;
if ($how eq 'many') { $SIG{ALRM} = sub { exit 0 }; alarm 3; push @held, conn() for 1 .. 1000; }
if ($how eq 'long') {
    my $s = conn();
    syswrite $s, pack('N', 0xfffffff0) . 'x' x 65536;
    sysread $s, my $x, 1;
}
if ($how eq 'junk') {
    for (1 .. 200) {
        my $s = conn();
        syswrite $s, pack('NC', 41, int rand 256) . join '', map { chr int rand 256 } 1 .. 40;
        sysread $s, my $x, 5;
    }
}
if ($how eq 'flood') {
    my $s = conn();
    my $m = pack('NC', 1, 11) x 10000;
    syswrite $s, $m for 1 .. 20;
}
print "over";
"""


@pytest.mark.one_in(2)
def test_a_hostile_pod_wears_out_nothing(project: Project) -> None:
    path, public = key_file(project, "one")
    project.run("create", "b").assert_ok()
    project.run("ssh-add", "a", str(path)).assert_ok()
    project.run("ssh-add", "b", str(path)).assert_ok()
    pid = project.run("daemon", "status", "--json").assert_ok().data["pid"]
    before = _rss_kb(pid)
    for how in ("long", "junk", "flood", "many"):
        script = 'timeout 20 perl -e "$0" "$SSH_AUTH_SOCK" "$1"; true'
        project.run("enter", "a", "--", "sh", "-c", script, HOSTILE, how).assert_ok()
        assert public in project.inside("b", "ssh-add -L"), f"{how}: the other pod goes on"
        project.wait_until(
            lambda: public in project.inside("a", "timeout 5 ssh-add -L || true"), f"after {how}"
        )
    assert project.run("daemon", "status", "--json").data["pid"] == pid
    assert _rss_kb(pid) < before + 60_000
    assert uses(project) == []


def test_a_listener_that_is_killed_comes_back(project: Project) -> None:
    path, public = key_file(project, "one")
    project.run("ssh-add", "a", str(path)).assert_ok()
    kill = "grep -ls 'ssh-[a]gent' /proc/[0-9]*/cmdline | cut -d/ -f3 | xargs kill -9 2>&1; true"
    project.exec("a", "sh", "-c", kill, user="0")
    project.wait_until(
        lambda: public in project.inside("a", "timeout 5 ssh-add -L || true"), "it comes back"
    )


def _rss_kb(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0])
