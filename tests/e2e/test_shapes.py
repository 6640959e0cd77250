"""Every shape of repository with every verb: each cell works, or is refused by name.

One pod per shape goes through all verbs; each verb is a subtest, so a report names the cell.
All shapes share a daemon: what one leaves behind would show in the next.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.engine import Engine
from tests.support.home import Home
from tests.support.outcome import Outcome
from tests.support.project import Project
from tests.support.shapes import LARGE, SHAPES, Builder, Built, Skipped
from tests.support.share import share

COMMIT = 'test -z "$(git status --porcelain)" && echo x >made-in-the-pod && git add -A && \
git commit -qm work && git rev-parse HEAD'
VERBS = (
    "create",
    "enter",
    "arrives",
    "host_commit",
    "list",
    "graph",
    "review",
    "refuses_to_delete",
    "stop_and_enter",
    "merge",
    "delete",
)
LIMIT_S = 600.0 if "RUMPEL_LONG" in os.environ else 60.0
OURS = ("refs/remotes/rumpelpod", "refs/rumpel")


@pytest.fixture(scope="module")
def shared_home(docker_engine: Engine, mini_image: str) -> Iterator[Home]:
    home = Home()
    try:
        yield home
    finally:
        problems = home.close(docker_engine)
        crashes = list(home.state.glob("crash/*"))
    assert not problems, "\n".join(problems)
    assert not crashes


class Cells:
    """The verbs of one shape. Every command must end without a traceback."""

    def __init__(self, project: Project, built: Built) -> None:
        self.project, self.built = project, built
        self.canary = project.root.parent / "canary"
        self.made = ""
        self.before: dict[str, str] = {}

    def run(self, *args: str) -> Outcome:
        done = self.project.run(*args, env=dict(self.built.env), timeout=LIMIT_S)
        assert "Traceback" not in done.stderr + done.stdout, done
        assert done.code != 70, done
        return done

    def create(self) -> None:
        self.before = self.untouched()
        done = self.run("create", self.built.pod).assert_ok()
        assert self.built.notice in done.stderr, done

    def enter(self) -> None:
        done = self.run("enter", self.built.pod, "--", "sh", "-ec", COMMIT).assert_ok()
        self.made = done.stdout.strip()

    def arrives(self) -> None:
        self.project.wait_for_ref(self.built.pod, self.made)
        kept = self.project.git("cat-file", "-p", f"{self.made}:made-in-the-pod")
        assert kept == "x", "with all its objects"
        assert self.untouched() == self.before

    def host_commit(self) -> None:
        repo, branch = self.project.repo, self.built.branch
        repo.git("commit", "-q", "--allow-empty", "--no-verify", "-m", "on the host")
        oid = repo.oid("HEAD")
        ref = "refs/remotes/host/HEAD" if branch is None else f"refs/remotes/host/{branch}"
        folder = self.run("enter", self.built.pod, "--", "pwd").assert_ok().stdout.strip()
        look = f"cd '{folder}' && git -c safe.directory='*' rev-parse -q --verify {ref}"
        self.project.wait_until(
            lambda: (
                self.project.exec(self.built.pod, "sh", "-c", look, check=False).stdout.strip()
                == oid
            ),
            f"{ref} at {oid} in the pod",
            timeout_s=20,
        )
        self.before = self.untouched()

    def list(self) -> None:
        rows = self.run("list", "--json").assert_ok().data
        assert [row["name"] for row in rows] == [self.built.pod]
        assert rows[0]["status"] == "running"
        assert rows[0]["commit"] == self.made
        assert rows[0]["git"]["ahead"] in (1, None)
        self.run("list").assert_ok()

    def graph(self) -> None:
        assert "clone" in self.run("graph", self.built.pod).assert_ok().stdout

    def stop_and_enter(self) -> None:
        self.run("stop", self.built.pod).assert_ok()
        done = self.run("enter", self.built.pod, "--", "git", "log", "-1", "--format=%H")
        assert done.assert_ok().stdout.strip() == self.made

    def review(self) -> None:
        out = self.run("review", "--stat", self.built.pod).assert_ok().stdout
        assert "made-in-the-pod" in out
        assert self.untouched() == self.before

    def refuses_to_delete(self) -> None:
        self.run("delete", self.built.pod).assert_error(4, "commit")
        assert not self.canary.exists(), "a hook of the host ran"

    def merge(self) -> None:
        if self.built.merge_refused:
            self.run("merge", self.built.pod).assert_error(4, self.built.merge_refused)
            assert self.untouched() == self.before
            return
        self.run("merge", self.built.pod, "-q", "--no-edit").assert_ok()
        self.project.git("merge-base", "--is-ancestor", self.made, "HEAD")
        self.before = self.untouched()

    def delete(self) -> None:
        force = ["--force"] if self.built.merge_refused else []
        self.run("delete", *force, self.built.pod).assert_ok()
        assert self.run("list", "-q").assert_ok().stdout == ""
        assert self.project.repo.published() == {}
        assert self.made in self.project.repo.refs("refs/rumpel/keep").values()
        assert self.untouched() == self.before

    def untouched(self) -> dict[str, str]:
        """What rumpel must leave as it is: the user's refs, configuration, index and files."""
        repo = self.project.repo
        found = {ref: oid for ref, oid in repo.refs().items() if not ref.startswith(OURS)}
        common = Path(repo.git("rev-parse", "--path-format=absolute", "--git-common-dir"))
        git_dir = Path(repo.git("rev-parse", "--absolute-git-dir"))
        paths = [common / "config", common / "HEAD", git_dir / "HEAD", git_dir / "index"]
        paths += [*(common / "hooks").glob("*"), *(git_dir / "info").glob("*")]
        for path in paths:
            found[str(path)] = path.read_bytes().hex() if path.is_file() else ""
        return found

    def refused(self, code: int, word: str) -> None:
        for verb in self.built.refused_verbs:
            rest = {"list": (), "enter": ("pod", "--", "true")}.get(verb, ("pod",))
            self.run(verb, *rest).assert_error(code, word)


@pytest.mark.parametrize("shape", share(SHAPES, 10))
def test_shape(
    shape: str, shared_home: Home, docker_engine: Engine, subtests: pytest.Subtests
) -> None:
    go_through(shape, SHAPES[shape], shared_home, docker_engine, subtests)


@pytest.mark.skipif("RUMPEL_LONG" not in os.environ, reason="takes minutes: scripts/long")
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("shape", LARGE)
def test_large_shape(
    shape: str, shared_home: Home, docker_engine: Engine, subtests: pytest.Subtests
) -> None:
    go_through(shape, LARGE[shape], shared_home, docker_engine, subtests)


def go_through(
    shape: str, builder: Builder, home: Home, engine: Engine, subtests: pytest.Subtests
) -> None:
    folder = home.path / shape
    folder.mkdir()
    try:
        built = builder(folder, home.env)
    except Skipped as reason:
        pytest.skip(str(reason))
    cells = Cells(Project(home, engine, built.repo), built)
    try:
        if built.refused is not None:
            cells.refused(*built.refused)
            return
        for verb in VERBS:
            with subtests.test(verb=verb):
                getattr(cells, verb)()
    finally:
        # A failed cell must not become a failure of every later shape.
        cells.project.run("delete", "--force", built.pod)
        built.undo()
