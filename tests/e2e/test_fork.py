"""`rumpel fork`: new pods with all the work of another one, which goes on."""

from __future__ import annotations

import json
import random
import socket

import pytest

from tests.support.dirty import FILES, dirty, photo
from tests.support.project import Project, ProjectFactory


def renamed(lines: list[str], old: str, new: str) -> list[str]:
    """A picture of pod `old`, as one of a pod `new` with the same work must look."""
    swaps = {
        f"# branch.head {old}": f"# branch.head {new}",
        f"On branch {old}": f"On branch {new}",
        f"refs/heads/{old}": f"refs/heads/{new}",
    }
    return sorted(swaps.get(line, _ref(line, old, new)) for line in lines)


def _ref(line: str, old: str, new: str) -> str:
    head, tab, ref = line.rpartition("\t")
    return f"{head}{tab}refs/heads/{new}" if tab and ref == f"refs/heads/{old}" else line


def test_a_fork_has_everything(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project(FILES)
    seed = random.randrange(1 << 30)
    project.inside("p", dirty(random.Random(seed), "merge"))
    before = photo(project, "p")
    ran = project.container_id("p")
    rows = project.run("fork", "p", "q", "r", "--json").assert_ok().data
    assert [(row["name"], row["created"], row["status"]) for row in rows] == [
        ("q", True, "running"),
        ("r", True, "running"),
    ]
    assert photo(project, "p") == before, "the source is not touched"
    assert project.container_id("p") == ran
    for name in ("q", "r"):
        assert sorted(photo(project, name)) == renamed(before, "p", name), f"seed {seed}"
        assert images(project, name) == images(project, "p")
    published = project.repo.published()
    assert published["q"] == published["p"]
    assert published["other@q"] == published["other@p"]
    project.inside("q", "git commit -q --allow-empty -m later 2>/dev/null || true; echo x >only-q")
    assert sorted(photo(project, "r")) == renamed(before, "p", "r"), "they share nothing"
    project.run("delete", "--force", "p", "q", "r").assert_ok()


def images(project: Project, pod: str) -> str:
    return str(project.docker.api.inspect_container(project.container_id(pod))["Image"])


def test_of_a_stopped_pod_and_what_is_refused(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project(FILES)
    project.inside("p", "echo y >y; git add y; git branch taken")
    before = photo(project, "p")
    project.run("stop", "p").assert_ok()
    project.run("fork", "p", "q").assert_ok()
    assert sorted(photo(project, "q")) == renamed(before, "p", "q")
    rows = project.run("list", "--json").assert_ok().data
    assert {row["name"]: row["status"] for row in rows} == {"p": "stopped", "q": "running"}
    project.run("fork", "p", "q").assert_error(4, "already", "rumpel fork p OTHER-NAME")
    project.run("fork", "p", "taken").assert_error(4, "has a branch 'taken'")
    project.run("fork", "p", "p").assert_error(2, "the pod to fork")
    project.run("fork", "nobody", "n").assert_error(3, "there is no pod 'nobody'")
    project.run("fork", "p").assert_error(2, "NEW")
    project.run("delete", "--force", "p", "q").assert_ok()


def test_the_image_of_the_source_and_a_failed_command(rumpel_project: ProjectFactory) -> None:
    """The work is there before the commands run; what is left to do is done by the same again."""
    project = rumpel_project(
        {
            **FILES,
            ".devcontainer/devcontainer.json": '{"build": {"dockerfile": "Dockerfile"}}',
            ".devcontainer/Dockerfile": "FROM rumpel-mini:1\nRUN echo one >/made\n",
        }
    )
    project.inside("p", "echo work >work; git add work")
    before = photo(project, "p")
    project.write(
        {
            ".devcontainer/devcontainer.json": '{"build": {"dockerfile": "Dockerfile"},'
            ' "postCreateCommand": "test -e /tmp/allowed"}',
            ".devcontainer/Dockerfile": "FROM rumpel-mini:1\nRUN echo two >/made\n",
        }
    )
    failed = project.run("fork", "p", "q").assert_error(
        6, "postCreateCommand", "create q   goes on"
    )
    assert "changed since pod 'p' was made (image)" in failed.stderr
    assert project.exec("q", "cat", "/made").stdout == "one\n"
    assert project.exec("q", "cat", "/workspaces/repo/work").stdout == "work\n"
    project.exec("p", "rm", "/workspaces/repo/work")
    project.exec("q", "touch", "/tmp/allowed")
    project.run("enter", "q", "--ignore-failed", "--", "touch", "mine").assert_ok()
    project.run("fork", "p", "q").assert_ok()
    assert project.inside("q", "rm mine") == "", "what was made in it meanwhile stays"
    assert sorted(photo(project, "q")) == renamed(before, "p", "q")
    assert project.run("snapshot", "--list", "q", "--json").assert_ok().data == []
    project.run("fork", "p", "q").assert_error(4, "already")
    project.run("delete", "--force", "p", "q").assert_ok()


def test_ports_that_were_asked_for_are_the_forks_too(rumpel_project: ProjectFactory) -> None:
    """Each pod has local ports of its own: one that was chosen stays the source's."""
    project = rumpel_project()
    project.run("create", "p").assert_ok()
    with socket.create_server(("127.0.0.1", 0)) as free:
        chosen = int(free.getsockname()[1])
    project.run("forward-port", "p:39911", str(chosen), "--label", "web").assert_ok()
    project.run("forward-port", "p:39912").assert_ok()
    before = project.run("ports", "p", "--json").assert_ok().data
    project.run("fork", "p", "q").assert_ok()
    assert project.run("ports", "p", "--json").assert_ok().data == before
    after = project.run("ports", "q", "--json").assert_ok().data
    told = [(row["key"], row["label"], row["state"]) for row in after]
    assert told == [("39911", "web", "open"), ("39912", None, "open")]
    numbers = {row["local_port"] for row in (*before, *after)}
    assert len(numbers) == 4
    assert before[0]["local_port"] == chosen
    project.run("forward-port", "--remove", "q:39912").assert_ok()
    assert project.run("ports", "p", "--json").assert_ok().data == before
    project.run("delete", "--force", "p", "q").assert_ok()


UNHAD = {"RUMPEL_FAULT": "snapshot.effect-before:1:raise"}


def test_work_that_cannot_be_had(rumpel_project: ProjectFactory) -> None:
    """The fork has the files of its commit meanwhile; entering it later brings the work."""
    project = rumpel_project(FILES)
    project.run("create", "p", env=UNHAD).assert_ok()
    project.inside("p", "echo work >work")
    failed = project.run("fork", "p", "q")
    assert failed.code not in (0, 4), failed
    status = ("enter", "q", "--ignore-failed", "--", "git", "status", "--porcelain")
    assert project.run(*status).assert_ok().stdout == ""
    assert project.exec("q", "cat", "/workspaces/repo/src/app.py").stdout == "print(1)\n"
    assert project.inside("q", "cat work") == "work"
    assert sorted(photo(project, "q")) == renamed(photo(project, "p"), "p", "q")
    project.run("delete", "--force", "p", "q").assert_ok()


def test_the_image_of_the_repository_stays_known(rumpel_project: ProjectFactory) -> None:
    """A fork of a pod with an older image must not make the others look out of date."""
    project = rumpel_project(
        {
            ".devcontainer/devcontainer.json": '{"build": {"dockerfile": "Dockerfile"}}',
            ".devcontainer/Dockerfile": "FROM rumpel-mini:1\nRUN echo one >/made\n",
        }
    )
    project.run("create", "p").assert_ok()
    project.write({".devcontainer/Dockerfile": "FROM rumpel-mini:1\nRUN echo two >/made\n"})
    project.run("create", "n").assert_ok()
    project.run("fork", "p", "q").assert_ok()
    made = [project.exec(pod, "cat", "/made").stdout for pod in ("p", "q", "n")]
    assert made == ["one\n", "one\n", "two\n"]
    assert project.run("recreate", "n", "--plan", "--json").assert_ok().data["action"] == "nothing"
    project.run("delete", "--force", "p", "q", "n").assert_ok()


LATER = (
    "echo later >>src/app.py; git -c user.name=D -c user.email=d@example.com commit -qam later;"
    "echo more >>src/app.py; git rev-parse HEAD"
)


@pytest.mark.parametrize("how", ["recreate", "by hand"])
def test_work_that_came_later_stays(rumpel_project: ProjectFactory, how: str) -> None:
    """A fork got its work before its commands failed: no other container gets it again."""
    config = ".devcontainer/devcontainer.json"
    project = rumpel_project(FILES)
    project.inside("p", "echo work >work; git add work")
    failing = {"image": "rumpel-mini:1", "postCreateCommand": "false"}
    project.write({config: json.dumps(failing)})
    project.run("fork", "p", "q").assert_error(6, "postCreateCommand")
    enter = ("enter", "--ignore-failed", "q", "--", "sh", "-ec", LATER)
    oid = project.run(*enter).assert_ok().stdout.strip()
    project.write({config: json.dumps({**failing, "postCreateCommand": "true"})})
    if how == "recreate":
        project.run("recreate", "q").assert_ok()
    else:
        project.wait_for_ref("q", oid)
        project.docker.api.remove_container(project.container_id("q"), force=True)
        project.run("create", "q").assert_ok()
    done = project.run("enter", "q", "--", "sh", "-c", "git rev-parse HEAD; tail -n1 src/app.py")
    last = "more" if how == "recreate" else "later"
    assert done.assert_ok().stdout.splitlines() == [oid, last]
    assert project.run("snapshot", "--list", "q", "--json").assert_ok().data == []
    assert project.repo.published()["q"] == oid
    project.run("fork", "p", "q").assert_error(4, "already")
    project.run("delete", "--force", "p", "q").assert_ok()


def test_work_that_comes_too_late_is_told(rumpel_project: ProjectFactory) -> None:
    """The fork could not get its work, and was worked in: that is a snapshot, and counted."""
    project = rumpel_project(FILES)
    project.run("create", "p", env=UNHAD).assert_ok()
    project.inside("p", "echo work >work")
    failed = project.run("fork", "p", "q")
    assert failed.code not in (0, 4), failed
    enter = ("enter", "--ignore-failed", "q", "--", "sh", "-ec", LATER)
    oid = project.run(*enter).assert_ok().stdout.strip()
    done = project.run("enter", "q", "--", "cat", "work").assert_ok()
    assert done.stdout == "work\n"
    [saved] = project.run("snapshot", "--list", "q", "--json").assert_ok().data
    assert f"rumpel restore q {saved['oid'][:12]} " in done.stderr
    assert f"no branch has any more: {oid[:12]} later" in done.stderr
    project.inside("q", "rm work")
    project.run("delete", "q").assert_error(4, "1 unmerged commit")
    project.run("restore", "q", saved["oid"][:12]).assert_ok()
    assert project.inside("q", "git rev-parse HEAD; tail -n1 src/app.py").split() == [oid, "more"]
    project.run("delete", "--force", "p", "q").assert_ok()
