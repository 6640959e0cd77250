"""Snapshots, the trash, and the way back: byte for byte (notes/reliability.md P2, P5-P8)."""

from __future__ import annotations

import asyncio
import functools
import json
import random
from pathlib import Path

import pytest

from tests.support.dirty import FILES, dirty, photo
from tests.support.flaky_engine import flaky_engine
from tests.support.outcome import Outcome
from tests.support.project import Project, ProjectFactory
from tests.support.share import share

EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")


def inside(project: Project, pod: str, script: str) -> str:
    return project.run("enter", pod, "--", "sh", "-ec", script).assert_ok().stdout.strip()


def entries(project: Project) -> list[dict[str, object]]:
    return list(project.run("undelete", "--json").assert_ok().data)


@pytest.mark.parametrize(
    "progress", share(["none", "merge", "rebase", "cherry-pick", "detached"], 2)
)
def test_a_deleted_pod_comes_back_as_it_was(rumpel_project: ProjectFactory, progress: str) -> None:
    project = rumpel_project(FILES)
    seed = random.randrange(1 << 30)
    inside(project, "p", dirty(random.Random(seed), progress))
    before = photo(project, "p")
    host = project.repo.refs("refs/heads"), project.git("status", "--porcelain")
    project.run("delete", "p").assert_error(4, "undelete")
    assert photo(project, "p") == before, f"a refused delete changes nothing (seed {seed})"
    project.run("delete", "--force", "p").assert_ok()
    assert project.containers() == []
    project.git("reflog", "expire", "--expire=now", "--all")
    project.git("gc", "-q", "--prune=now")
    (row,) = entries(project)
    assert {*row} == {
        *("name", "pod_id", "deleted_at", "expires_at"),
        *("branches", "snapshot", "files", "left"),
    }
    project.run("undelete", "p").assert_ok()
    assert photo(project, "p") == before, f"seed {seed}, {progress}"
    assert entries(project) == []
    assert (project.repo.refs("refs/heads"), project.git("status", "--porcelain")) == host
    project.git("fsck", "--no-dangling", "--connectivity-only")
    project.run("delete", "--force", "p").assert_ok()


def test_snapshot_and_restore(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project(FILES)
    project.run("create", "p").assert_ok()
    clean = project.run("snapshot", "p").assert_ok()
    assert clean.stdout == ""
    assert "no snapshot needed" in clean.stderr
    inside(project, "p", dirty(random.Random(1), "none"))
    before = photo(project, "p")
    first = project.run("snapshot", "p").assert_ok().stdout.strip()
    assert len(first) == 12
    assert photo(project, "p") == before
    assert project.run("snapshot", "p").assert_ok().stdout.strip() == first, "nothing changed"
    seen = "git ls-files | git update-index --no-assume-unchanged --no-skip-worktree --stdin"
    inside(project, "p", f"{seen}; git reset -q --hard; git stash clear; git clean -fdq")
    inside(project, "p", "echo more >more")
    done = project.run("restore", "p", first[:6]).assert_ok()
    assert done.stdout.strip() == first
    assert "what was there before is snapshot" in done.stderr
    assert photo(project, "p") == before
    listed = project.run("snapshot", "--list", "p", "--json").assert_ok().data
    assert [row["kind"] for row in listed] == ["restore", "manual"]
    assert {*listed[0]} == {"name", "id", "oid", "kind", "created_at"}
    for verb in ("snapshot", "restore"):
        plan = project.run("graph", "p", "--plan", verb, "--json").assert_ok().data
        assert verb in [node["kind"] for node in plan["nodes"]]
    project.run("restore", "p", listed[0]["id"]).assert_ok()
    assert inside(project, "p", "cat more") == "more"
    project.run("restore", "p", "abcdef").assert_error(3, "--list")
    project.run("restore", "p", "main").assert_error(2)
    project.run("delete", "--force", "p").assert_ok()


def test_stop_holds_dirty_work(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project(FILES)
    inside(project, "p", dirty(random.Random(2), "merge"))
    before = photo(project, "p")
    project.run("stop", "p").assert_ok()
    project.run("stop", "p").assert_ok()
    (row,) = project.run("snapshot", "--list", "p", "--json").assert_ok().data
    assert row["kind"] == "stop"
    # The layer of a stopped container is one prune away.
    project.docker.api.remove_container(project.container_id("p"), v=True, force=True)
    project.run("create", "p").assert_ok()
    project.run("restore", "p").assert_ok()
    assert photo(project, "p") == before
    project.run("delete", "--force", "p").assert_ok()


def test_a_pruned_pod_comes_back_as_it_was_stopped(rumpel_project: ProjectFactory) -> None:
    """Nobody can look into it any more: what stop held goes into the trash."""
    project = rumpel_project(FILES)
    inside(project, "p", "echo x >x; git update-index --skip-worktree run.sh; echo WORK >run.sh")
    inside(project, "p", "rm x")
    project.run("stop", "p").assert_ok()
    project.docker.api.remove_container(project.container_id("p"), v=True, force=True)
    project.run("delete", "--force", "p").assert_ok()
    project.run("undelete", "p").assert_ok()
    assert inside(project, "p", "cat run.sh") == "WORK"
    project.run("delete", "--force", "p").assert_ok()


def test_commits_that_leave_a_branch_still_count(rumpel_project: ProjectFactory) -> None:
    """A restore says which; the pod is not deleted before the host has them under a name."""
    project = rumpel_project(FILES)
    inside(project, "p", "echo x >f")
    first = project.run("snapshot", "p").assert_ok().stdout.strip()
    lost = inside(project, "p", "git add f; git commit -qm later; git rev-parse HEAD")
    told = project.run("restore", "p", first).assert_ok().stderr
    assert f"{lost[:12]} later" in told
    assert f"git branch NEW {lost[:12]}" in told
    inside(project, "p", "rm f")
    project.run("delete", "p").assert_error(4, "1 unmerged commit", f"{lost[:12]} later")
    project.git("branch", "kept", lost)
    assert "later" not in project.run("restore", "p", first).assert_ok().stderr
    inside(project, "p", "rm f")
    project.run("delete", "p").assert_ok()


def test_a_pod_goes_on_after_a_restore_that_was_killed(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project(FILES)
    inside(project, "p", "echo one >one")
    project.run("snapshot", "p").assert_ok()
    writer = "i=0; while :; do i=$((i+1)); echo $i >ignored/counter; sleep 0.01; done"
    inside(project, "p", f"mkdir ignored; ({writer}) >/dev/null 2>&1 & echo two >one")

    def counter() -> str:
        cat = ("cat", "/workspaces/repo/ignored/counter")
        return project.exec("p", *cat, check=False).stdout.strip()

    project.wait_until(lambda: counter() not in ("", "1"), "it writes")
    project.run("daemon", "stop").assert_ok()
    project.run("restore", "p", env={"RUMPEL_FAULT": "restore.saved:1:kill"})
    frozen = counter()
    assert counter() == frozen
    project.run("list").assert_ok()
    project.wait_until(lambda: counter() not in ("", frozen), "it goes on")
    project.run("delete", "--force", "p").assert_ok()


def test_a_name_that_is_taken(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project(FILES)
    commit = "git commit -q --allow-empty -m one; git branch side; echo x >x"
    oid = inside(project, "p", f"{commit}; git rev-parse HEAD")
    project.run("delete", "--force", "p").assert_ok()
    project.run("create", "p").assert_ok()
    project.run("undelete", "p").assert_error(4, "--as")
    project.run("undelete", "p", "--as", "q").assert_ok()
    shown = inside(project, "q", "cat x; git symbolic-ref HEAD; git rev-parse HEAD side")
    assert shown.split() == ["x", "refs/heads/q", oid, oid]
    project.wait_for_ref("q", oid)
    project.run("delete", "--force", "p", "q").assert_ok()
    assert {row["name"] for row in entries(project)} == {"p", "q"}
    project.run("undelete", "nobody").assert_error(3, "rumpel undelete")
    project.run("undelete", "--as", "x").assert_error(2)


def chosen_port(project: Project, *what: str) -> int:
    """Forwarded to a local port that no connection is given by chance while it is free again."""
    told = EPHEMERAL.read_text() if EPHEMERAL.exists() else "49152 65535"
    low, high = map(int, told.split())
    others = [port for port in range(10_000, 65_536) if not low <= port <= high]
    tried = random.SystemRandom().sample(others, 20)
    for port in tried:
        if project.run("forward-port", what[0], str(port), *what[1:]).code == 0:
            return port
    raise AssertionError(f"none of {tried} is free")


def test_ports_that_were_asked_for_come_back(rumpel_project: ProjectFactory) -> None:
    """With the local port that was chosen, unless another pod has it by now."""
    project = rumpel_project()
    project.run("create", "p").assert_ok()
    chosen = chosen_port(project, "p:39921", "--label", "web")
    project.run("forward-port", "p:39922").assert_ok()

    def told(pod: str) -> list[tuple[object, ...]]:
        rows = project.run("ports", pod, "--json").assert_ok().data
        return [(row["key"], row["label"], row["state"], row["source"]) for row in rows]

    before = told("p")
    assert before == [("39921", "web", "open", "command"), ("39922", None, "open", "command")]
    project.run("delete", "p").assert_ok()
    project.run("undelete", "p").assert_ok()
    assert told("p") == before
    assert project.run("ports", "p", "--json").assert_ok().data[0]["local_port"] == chosen
    project.run("delete", "p").assert_ok()
    project.run("create", "q").assert_ok()
    project.run("forward-port", "q:39923", str(chosen)).assert_ok()
    project.run("undelete", "p").assert_ok()
    assert told("p") == before
    assert project.run("ports", "p", "--json").assert_ok().data[0]["local_port"] != chosen
    project.run("delete", "--force", "p", "q").assert_ok()


def test_a_clean_pod_comes_back_too(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project(FILES)
    project.run("create", "p").assert_ok()
    project.run("delete", "p").assert_ok()
    out = project.run("undelete").assert_ok().stdout
    assert "1 branch" in out
    assert "6 d" in out or "7 d" in out, out
    plan = project.run("graph", "p", "--plan", "undelete", "--json").assert_ok().data
    assert {"container", "clone"} <= {node["kind"] for node in plan["nodes"]}
    project.run("undelete", "p").assert_ok()
    assert inside(project, "p", "git status --porcelain; git symbolic-ref HEAD") == "refs/heads/p"
    project.run("delete", "p").assert_ok()


def test_the_trash_is_emptied_when_its_time_has_come(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project(FILES)
    inside(project, "p", "echo x >x; git commit -q --allow-empty -m x")
    project.run("delete", "--force", "p", env={"RUMPEL_KEEP_DELETED": "1s"}).assert_ok()
    assert project.repo.refs("refs/rumpel/keep")
    project.wait_until(lambda: entries(project) == [], "it expires")
    assert project.repo.refs("refs/rumpel/keep") == {}
    project.run("undelete", "p").assert_error(3)


def test_what_is_too_large_is_named(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project(FILES)
    inside(project, "p", "truncate -s 600M huge && echo small >small")
    taken = project.run("snapshot", "p").assert_ok()
    assert "file huge" in taken.stderr
    inside(project, "p", "echo other >small")
    refused = project.run("restore", "p").assert_error(4, "file huge")
    assert "nothing was restored" in refused.stderr
    assert inside(project, "p", "cat small; ls huge").split() == ["other", "huge"]
    done = project.run("delete", "--force", "p").assert_ok()
    assert "file huge" in done.stderr
    project.run("undelete", "p").assert_ok()
    assert inside(project, "p", "cat small; ls huge 2>/dev/null || echo none").split() == [
        "other",
        "none",
    ]
    project.run("delete", "--force", "p").assert_ok()


def test_the_entry_is_plain_data(rumpel_project: ProjectFactory) -> None:
    """Written to the user's repository: no environment, no configuration, no secret."""
    project = rumpel_project(
        config={
            "image": "rumpel-mini:1",
            "runArgs": ["--network=none"],
            "containerEnv": {"TOKEN": "canary-value"},
        }
    )
    project.run("create", "p").assert_ok()
    project.run("delete", "p").assert_ok()
    (ref,) = [name for name in project.repo.refs("refs/rumpel/keep") if name.endswith("/deleted")]
    text = project.git("cat-file", "blob", ref)
    assert "canary-value" not in text
    assert json.loads(text)["pod"] == "p"


@pytest.mark.here("another DOCKER_HOST")
@pytest.mark.parametrize("point", ["remove.effect-before", "remove.removed"])
def test_a_delete_that_was_killed_before_its_end(
    rumpel_project: ProjectFactory, point: str
) -> None:
    """The pod is in the trash already, and there."""
    project = rumpel_project(FILES)
    inside(project, "p", "git commit -q --allow-empty -m one; echo x >x")
    oid = inside(project, "p", "git rev-parse HEAD")
    project.run("daemon", "stop").assert_ok()
    project.run("delete", "--force", "p", env={"RUMPEL_FAULT": f"{point}:1:kill"})
    assert any(name.endswith("/deleted") for name in project.repo.refs("refs/rumpel/keep"))
    assert entries(project) == []
    project.run("daemon", "stop").assert_ok()
    nowhere = {"DOCKER_HOST": f"unix://{project.home.path}/none.sock"}
    project.run("undelete", "p", env=nowhere).assert_error(5, "Docker")
    project.run("daemon", "stop").assert_ok()
    if point == "remove.removed":
        project.run("undelete", "p").assert_error(4, "its container is gone", "delete --force p")
    else:
        project.run("undelete", "p").assert_error(4, "is not deleted", "rumpel enter p")
        assert inside(project, "p", "cat x; echo y >y") == "x", "it goes on"
    project.run("delete", "--force", "p").assert_ok()
    assert project.containers() == []
    assert len(entries(project)) == 1
    project.run("undelete", "p").assert_ok()
    shown = inside(project, "p", "git rev-parse HEAD; ls x y 2>/dev/null || :").split()
    assert shown == ([oid, "x"] if point == "remove.removed" else [oid, "x", "y"])
    project.run("delete", "--force", "p").assert_ok()


async def _run(project: Project, env: dict[str, str | None], *argv: str) -> Outcome:
    return await asyncio.to_thread(project.run, *argv, env=env)


@pytest.mark.here("another DOCKER_HOST")
async def test_an_end_that_is_no_news_yet(rumpel_project: ProjectFactory, tmp_path: Path) -> None:
    """One that was looked into is stopped again; engines at work tell of it late."""
    project = rumpel_project()
    async with flaky_engine(tmp_path) as engine:
        run = functools.partial(_run, project, {"DOCKER_HOST": engine.url})
        (await run("enter", "p", "--", "sh", "-ec", "echo work >work")).assert_ok()
        (await run("stop", "p")).assert_ok()
        engine.may_tell.clear()
        (await run("delete", "p")).assert_error(4, "1 uncommitted file")
        gone = (await run("delete", "--force", "p")).assert_ok()
        engine.may_tell.set()
        assert "went with it" not in gone.stderr
        (await run("undelete", "p")).assert_ok()
        assert (await run("enter", "p", "--", "cat", "work")).assert_ok().stdout == "work\n"
