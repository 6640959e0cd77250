"""The files of rumpel change under a living daemon: it never becomes half of each version."""

from __future__ import annotations

import compileall
import os
import shutil
import signal
import sys
from pathlib import Path

import pytest

import rumpel
from rumpel.daemon import loading, server
from rumpel.verbs import VERBS
from tests.support.outcome import Outcome
from tests.support.project import DEFAULT_CONFIG, Project, ProjectFactory

PACKAGE = Path(rumpel.__file__).parent


class Installed:
    """A copy of the package that can be upgraded, and the project it is used in."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.root = project.home.path / "lib"
        shutil.copytree(PACKAGE, self.root / "rumpel")

    def run(self, *args: str) -> Outcome:
        argv = [sys.executable, "-P", "-m", "rumpel", *args]
        process = self.project.home.start(
            argv, cwd=self.project.root, env={"PYTHONPATH": str(self.root)}
        )
        out, err = process.communicate(timeout=60)
        return Outcome(argv, process.returncode, out, err, 0)

    def upgrade(self, module: str) -> None:
        """As pip does it: another file of that name."""
        path = self.root / "rumpel" / module
        fresh = path.with_suffix(".new")
        fresh.write_text(path.read_text() + "\n# of another version\n")
        fresh.replace(path)


@pytest.fixture
def installed(rumpel_project: ProjectFactory) -> Installed:
    return Installed(rumpel_project())


def test_a_verb_of_another_version_is_never_loaded(installed: Installed) -> None:
    installed.run("list").assert_ok()
    [first] = installed.project.home.daemon_pids()
    installed.upgrade("daemon/graph_follow.py")
    installed.run("events").assert_ok()
    assert installed.project.home.daemon_pids() == [first], "what it needs is as it was"
    installed.run("graph", "p", "--plan", "create").assert_ok()
    [second] = installed.project.home.daemon_pids()
    assert second != first, "graph needs what was upgraded, and nothing ran"
    installed.run("graph", "p", "--plan", "create").assert_ok()
    assert installed.project.home.daemon_pids() == [second]


def test_a_busy_daemon_goes_on_with_what_it_has(installed: Installed) -> None:
    project = installed.project
    project.write(
        {
            ".devcontainer/devcontainer.json": {
                **DEFAULT_CONFIG,
                "postCreateCommand": "mkfifo /tmp/go && read line </tmp/go",
            }
        }
    )
    making = project.home.start(
        [sys.executable, "-P", "-m", "rumpel", "create", "p"],
        cwd=project.root,
        env={"PYTHONPATH": str(installed.root)},
    )
    project.wait_until(
        lambda: [row["State"] for row in project.containers("p")] == ["running"], "its container"
    )
    project.wait_until(
        lambda: project.exec("p", "test", "-p", "/tmp/go", check=False).code == 0, "it waits"
    )
    installed.upgrade("daemon/graph.py")
    refused = installed.run("graph").assert_error(4, "is busy with other work")
    assert "rumpel daemon restart --force" in refused.stderr
    project.exec("p", "sh", "-c", "echo go >/tmp/go")
    assert making.wait(30) == 0
    [busy] = project.home.daemon_pids()
    installed.run("graph").assert_ok()
    [fresh] = project.home.daemon_pids()
    assert fresh != busy
    assert [pod["name"] for pod in installed.run("list", "--json").data] == ["p"]


def test_a_file_that_went_or_came_is_of_another_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "__init__.py").touch()
    (tmp_path / "there.py").touch()
    monkeypatch.setattr(rumpel, "__file__", str(tmp_path / "__init__.py"))
    finder = loading.Finder()
    assert finder.find_spec("json", None) is None
    assert load(finder, "rumpel.there")
    (tmp_path / "there.py").unlink()
    with pytest.raises(loading.Replaced):
        load(finder, "rumpel.there")
    with pytest.raises(loading.Replaced):
        load(finder, "rumpel.new")


def test_what_an_editor_leaves_does_not_end_a_start(installed: Installed) -> None:
    """Emacs locks a file with a link to nowhere; a backup beside it is no module."""
    daemon = installed.root / "rumpel" / "daemon"
    (daemon / ".#graph.py").symlink_to("somebody@nowhere.1:2")
    (daemon / "lost.py").symlink_to("nowhere.py")
    installed.run("list").assert_ok()
    installed.run("graph", "p", "--plan", "create").assert_ok()


def test_an_install_without_sources(installed: Installed) -> None:
    assert compileall.compile_dir(installed.root, quiet=1, legacy=True)
    for source in (installed.root / "rumpel").rglob("*.py"):
        source.unlink()
    installed.run("list").assert_ok()
    installed.run("graph", "p", "--plan", "create").assert_ok()


def load(finder: loading.Finder, name: str) -> object:
    spec = finder.find_spec(name, None)
    assert spec is not None
    return spec.loader.get_code(name)  # type: ignore[union-attr] # a loader of files


def test_every_verb_is_there() -> None:
    assert server.VERBS.keys() == VERBS.keys()
    for where in server.VERBS.values():
        assert callable(loading.function(where))


HOLDER = "from rumpel import autostart; print(autostart.holder())"


def test_who_holds_the_state_is_known_when_nobody_listens(rumpel_project: ProjectFactory) -> None:
    """An end that takes long: `daemon stop` waits for it, instead of saying that none runs."""
    project = rumpel_project()
    project.run("list").assert_ok()
    pid = project.run("daemon", "status", "--json").assert_ok().data["pid"]

    def holder() -> str:
        process = project.home.start([sys.executable, "-P", "-c", HOLDER], cwd=project.root)
        out, _ = process.communicate(timeout=60)
        return out.decode().strip()

    os.kill(pid, signal.SIGSTOP)
    try:
        project.home.socket.unlink()
        assert holder() == str(pid)
        stopping = project.start("daemon", "stop")
        project.wait_until(lambda: _waits_for(stopping.pid), "it looks whether that has ended")
        os.kill(pid, signal.SIGTERM)
    finally:
        os.kill(pid, signal.SIGCONT)
    out, _ = stopping.communicate(timeout=60)
    assert (stopping.returncode, out) == (0, b"the daemon stopped\n")
    assert holder() == "None"
    assert project.run("daemon", "stop").assert_ok().stdout == "the daemon was not running\n"


def _waits_for(pid: int) -> bool:
    """It sleeps between two looks, and does nothing else any more that takes time."""
    return Path(f"/proc/{pid}/wchan").read_text() in ("hrtimer_nanosleep", "do_nanosleep")
