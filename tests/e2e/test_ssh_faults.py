"""Pods behind a bad line: slow, cut in mid-word, asleep; and behind an engine that lies."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest

from rumpel import names
from tests.support import processes
from tests.support.engine import Engine
from tests.support.far_engine import FarEngine
from tests.support.home import Home
from tests.support.project import Project, ProjectFactory
from tests.support.share import COMMIT, IS_LONG
from tests.support.sshd import Sshd
from tests.support.toxic import ToxicWay

pytestmark = [pytest.mark.slow, pytest.mark.timeout(7200 if IS_LONG else 300)]
HOST = "ssh://plain"
IMPATIENT = "ClientAliveInterval 1\nClientAliveCountMax 1\n"
ASLEEP_S = 60.0
MEBIBYTE = 1 << 20
RUNNING = "cat /proc/[0-9]*/cmdline | tr '\\0' ' '"


@pytest.fixture
def far(home: Home, near_engine: Engine, sshd_image: str, dockerd: FarEngine) -> Iterator[Sshd]:
    """It gives up who says nothing for two seconds."""
    with Sshd(home, near_engine, sshd_image, far=dockerd, more=IMPATIENT) as machine:
        yield machine


@pytest.fixture
def way(far: Sshd) -> Iterator[ToxicWay]:
    """What `ssh://plain` goes through."""
    with ToxicWay(far.ports["plain"]) as toxic:
        far.ports["plain"] = toxic.port
        far.configure()
        yield toxic


@pytest.fixture
def project(rumpel_project: ProjectFactory, way: ToxicWay) -> Project:
    assert way.port
    made = rumpel_project()
    made.home.env = made.home.env | {"RUMPEL_HOST": HOST}
    return made


def noise(size: int) -> bytes:
    """Nothing makes it smaller."""
    return random.Random(size).randbytes(size)


@pytest.mark.one_in(4)
def test_a_slow_line(project: Project, way: ToxicWay, tmp_path: Path) -> None:
    """200 ms there and back, 1 Mbit/s."""
    way.delay_s, way.bytes_per_s = 0.1, 125_000
    project.run("create", "a").assert_ok()
    oid = project.inside("a", "git commit -q --allow-empty -m x && git rev-parse HEAD")
    project.wait_for_ref("a", oid)
    (tmp_path / "file").write_bytes(noise(MEBIBYTE // 4))
    project.run("cp", str(tmp_path / "file"), "a:file").assert_ok()
    project.run("cp", "a:file", str(tmp_path / "back")).assert_ok()
    assert (tmp_path / "back").read_bytes() == noise(MEBIBYTE // 4)
    (row,) = project.run("list", "--json").assert_ok().data
    assert (row["status"], row["git"]["ahead"]) == ("running", 1)
    project.run("stop", "a").assert_ok()
    assert project.inside("a", "git rev-parse HEAD") == oid
    project.run("delete", "a", "--force").assert_ok()


def by_hand(far: Sshd, pod: str, script: str) -> str:
    """In a pod, by its engine: not over the line that is tested."""
    assert far.far is not None
    assert far.home.label is not None
    engine = far.far.engine
    labels = (far.home.label, f"{names.LABEL_KIND}=pod", f"{names.LABEL_POD}={pod}")
    (found,) = engine.containers(*labels)
    return engine.exec(found["Id"], "sh", "-ec", script, cwd="/workspaces/repo").stdout.strip()


def garbage(count_objects: str) -> set[str]:
    lines = [line for line in count_objects.splitlines() if "garbage" in line]
    assert lines
    return {line.partition(": ")[2] for line in lines}


def test_a_commit_that_is_cut_in_mid_word(project: Project, far: Sshd, way: ToxicWay) -> None:
    """Whichever way it goes, it arrives, and what came of it until then is gone."""
    project.run("create", "a").assert_ok()
    make = "head -c 3000000 /dev/urandom >big && git add big && git commit -qm big"
    way.reset_after("down", MEBIBYTE)
    oid = by_hand(far, "a", f"{make} && git rev-parse HEAD")
    project.wait_for_ref("a", oid)
    assert way.is_reset
    project.git("fsck", "--strict")
    assert garbage(project.git("count-objects", "-v")) == {"0"}

    way.reset_after("up", MEBIBYTE)
    oid = project.commit("more", {"more": noise(3 * MEBIBYTE)})
    fetched = "git fetch -q host || :; git rev-parse host/main"
    project.wait_until(lambda: by_hand(far, "a", fetched) == oid, "it is behind host")
    assert way.is_reset
    counted = "git -C $(git remote get-url host) count-objects -v"
    assert garbage(by_hand(far, "a", counted)) == {"0"}
    project.run("delete", "a", "--force").assert_ok()


@pytest.mark.one_in(2)
def test_a_copy_that_is_cut_in_mid_word(
    project: Project, far: Sshd, way: ToxicWay, tmp_path: Path
) -> None:
    """What was there stays, and nothing is beside it."""
    project.run("create", "a").assert_ok()
    (tmp_path / "big").write_bytes(noise(3 * MEBIBYTE))
    by_hand(far, "a", "echo old >big")
    way.reset_after("up", MEBIBYTE)
    lost = project.run("cp", str(tmp_path / "big"), "a:big")
    lost.assert_error(5, "the connection to ssh://plain was lost", "nothing was copied")
    assert way.is_reset
    left = "cat big; ls -A | grep rumpel-cp || true"
    project.wait_until(lambda: by_hand(far, "a", left) == "old", "the old file, alone")
    project.run("cp", str(tmp_path / "big"), "a:big").assert_ok()

    (tmp_path / "back").write_text("old")
    way.reset_after("down", MEBIBYTE)
    lost = project.run("cp", "a:big", str(tmp_path / "back"))
    lost.assert_error(5, "the connection to ssh://plain was lost", "nothing was copied")
    assert way.is_reset
    assert (tmp_path / "back").read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["back", "big"]
    project.run("cp", "a:big", str(tmp_path / "back")).assert_ok()
    assert (tmp_path / "back").read_bytes() == noise(3 * MEBIBYTE)
    project.run("delete", "a", "--force").assert_ok()


@pytest.mark.one_in(2)
@pytest.mark.parametrize("way_of_it", ["in", "out"])
def test_a_copy_whose_daemon_dies(
    project: Project, far: Sshd, way: ToxicWay, tmp_path: Path, way_of_it: str
) -> None:
    """What goes to another machine goes by the daemon, and is lost with it."""
    project.run("create", "a").assert_ok()
    (tmp_path / "big").write_bytes(noise(3 * MEBIBYTE))
    (tmp_path / "back").write_text("old")
    by_hand(far, "a", "echo old >big; head -c 3000000 /dev/urandom >there")
    words = ["a:there", str(tmp_path / "back")]
    words = words if way_of_it == "out" else [str(tmp_path / "big"), "a:big"]
    before = sum(way.passed.values())
    way.bytes_per_s = MEBIBYTE
    process = project.start("cp", *words)
    project.wait_until(lambda: sum(way.passed.values()) > before + MEBIBYTE, "it is in its middle")
    way.bytes_per_s = 0
    project.home.kill_daemon()
    _, said = process.communicate(timeout=60)
    assert process.returncode == 5, said
    assert b"nothing was copied" in said
    left = "cat big; ls -A | grep rumpel-cp || true"
    project.wait_until(lambda: by_hand(far, "a", left) == "old", "the old file, alone")
    assert (tmp_path / "back").read_text() == "old"
    project.run("delete", "a", "--force").assert_ok()


@pytest.mark.one_in(2)
def test_a_command_that_is_cut_off(project: Project, far: Sshd, way: ToxicWay) -> None:
    """It is told so, and is not begun anew."""
    project.run("create", "a").assert_ok()
    running = project.start("enter", "a", "--", "sh", "-c", "echo x >>/tmp/ran; sleep 987; echo y")
    project.wait_until(lambda: by_hand(far, "a", "cat /tmp/ran || true") == "x", "it runs")
    way.reset()
    _, said = running.communicate(timeout=60)
    assert running.returncode == 5
    assert b"connection to ssh://plain was lost; what ran may go on in the pod" in said
    assert by_hand(far, "a", "cat /tmp/ran") == "x"
    assert "sleep 987" in by_hand(far, "a", RUNNING)

    terminal = project.spawn("enter", "a", "--", "sh", "-c", "echo there; sleep 654")
    terminal.expect("there")
    way.reset()
    terminal.expect("what ran was ended")
    terminal.expect(pexpect.EOF)
    assert "sleep 654" not in by_hand(far, "a", RUNNING)
    assert project.inside("a", "echo here") == "here"
    project.run("delete", "a", "--force").assert_ok()


@pytest.mark.one_in(2)
def test_verbs_that_are_cut_at_random_moments(project: Project, far: Sshd, way: ToxicWay) -> None:
    """The same again does it, and nothing is there twice."""
    assert far.far is not None
    chances = random.Random(COMMIT)
    project.run("create", "a").assert_ok()
    oids = set()
    for number in range(30 if IS_LONG else 1):
        for argv in (["create", "b"], ["recreate", "--force", "b"], ["delete", "--force", "b"]):
            direction = chances.choice(("up", "down"))
            way.reset_after(direction, chances.randrange(40_000))
            first = project.run(*argv)
            assert first.code in (0, 1, 5), first
            again = project.run(*argv)
            assert again.code == 0 or (argv[0] == "delete" and again.code == 3), (first, again)
            way.pass_all()
        oid = project.inside("a", f"git commit -q --allow-empty -m {number}; git rev-parse HEAD")
        project.wait_for_ref("a", oid)
        oids.add(oid)
    project.run("delete", "a", "--force").assert_ok()
    label, engine = far.home.label or "none", far.far.engine
    project.wait_until(lambda: not engine.containers(label), "all are gone")


def sleepers(project: Project) -> list[int]:
    found = processes.mentioning(project.home.path, older=project.home.older)
    return [one.pid for one in found]


@pytest.mark.one_in(2)
def test_a_laptop_that_sleeps(project: Project, far: Sshd) -> None:
    """All of this machine's part is stopped; the rest goes on and gives the connection up."""
    project.run("create", "a", "b").assert_ok()
    containers = {pod: by_hand(far, pod, "hostname") for pod in ("a", "b")}
    running = project.start("enter", "b", "--", "sh", "-c", "echo x >/tmp/ran; sleep 987")
    project.wait_until(lambda: by_hand(far, "b", "cat /tmp/ran || true") == "x", "it runs")
    asleep = sleepers(project)
    for pid in asleep:
        os.kill(pid, signal.SIGSTOP)
    try:
        project.wait_until(lambda: far.sessions() == [], "the other side gave it up")
        if IS_LONG:
            time.sleep(ASLEEP_S)  # longer than all limits of ours
        commit = "git commit -q --allow-empty -m late && git rev-parse HEAD"
        oids = {pod: by_hand(far, pod, commit) for pod in ("a", "b")}
        main = project.commit("on the way home", {"new": "1"})
    finally:
        for pid in reversed(asleep):
            os.kill(pid, signal.SIGCONT)
    for pod, oid in oids.items():
        project.wait_for_ref(pod, oid)
    show = "git fetch -q host || :; git rev-parse host/main"
    project.wait_until(lambda: by_hand(far, "a", show) == main, "it is behind host")
    _, said = running.communicate(timeout=60)
    assert running.returncode == 5, said
    assert project.inside("a", "hostname") == containers["a"]
    project.run("create", "a", "b").assert_ok()
    assert {pod: by_hand(far, pod, "hostname") for pod in ("a", "b")} == containers
    project.run("delete", "a", "b", "--force").assert_ok()
