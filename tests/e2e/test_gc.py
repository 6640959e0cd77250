"""`gc` on a real engine: garbage goes, and nothing that anybody may need."""

from __future__ import annotations

import json
import os
import time
from typing import Any

import pytest

from rumpel import names
from tests.support.engine import MINI_IMAGE
from tests.support.project import Project, ProjectFactory
from tests.support.sshd import Sshd

BUILD = {"build": {"dockerfile": "Dockerfile"}, "runArgs": ["--network=none"]}
FOLDER = ".devcontainer"


def built(rumpel_project: ProjectFactory) -> Project:
    """A project with an image of its own: `change` makes the next one."""
    return rumpel_project({f"{FOLDER}/Dockerfile": dockerfile("one")}, config=BUILD)


def dockerfile(mark: str) -> str:
    text = f"FROM {MINI_IMAGE}\nUSER root\n"
    return text + f"RUN dd if=/dev/zero of=/{mark} bs=1000 count=3000 && echo {os.getpid()}\n"


def own_images(project: Project) -> set[str]:
    """With the steps to them; Podman keeps those, which later builds may have in common."""
    assert project.home.label is not None
    found = project.docker.images(project.home.label, steps=not project.docker.is_podman)
    return {image["Id"] for image in found}


def gc(project: Project, *args: str) -> list[dict[str, Any]]:
    rows = project.run("gc", "--json", *args).assert_ok().data
    assert isinstance(rows, list)
    return rows


def items(rows: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [item for row in rows for item in row["items"] if item["kind"] == kind]


def owned(project: Project, **labels: str) -> dict[str, str]:
    assert project.home.label is not None
    label, value = project.home.label.split("=")
    return {label: value, **labels}


def test_images_of_earlier_builds_go_and_the_rest_stays(rumpel_project: ProjectFactory) -> None:
    project = built(rumpel_project)
    project.run("create", "a").assert_ok()
    old = own_images(project)
    assert old
    assert items(gc(project), "image") == [], "the pod stands on it"
    project.write({f"{FOLDER}/Dockerfile": dockerfile("two")})
    project.run("create", "b").assert_ok()
    assert items(gc(project), "image") == [], "container a was made from it"
    project.run("stop", "a").assert_ok()
    assert items(gc(project), "image") == [], "stopped pods are pods"
    project.run("delete", "a").assert_ok()
    assert items(gc(project), "image") == [], "what holds the repository for b was made from it"
    project.run("delete", "b").assert_ok()
    told = items(gc(project, "-n"), "image")
    assert len(told) == 2
    assert 3_000_000 <= sum(item["size_bytes"] for item in told) < 5_000_000, "layers once"
    assert old <= own_images(project), "a dry run removes nothing"
    shown = project.run("gc", "--dry-run").assert_ok().stdout
    assert "would remove image rumpel/" in shown
    assert "MB would be freed" in shown
    assert [item["removed"] for item in items(gc(project), "image")] == [True, True]
    assert not old & own_images(project)
    assert items(gc(project), "image") == []
    project.run("create", "c").assert_ok()
    assert project.inside("c", "ls /two") == "/two"


def test_caches_of_repositories_without_pods_go_with_all(rumpel_project: ProjectFactory) -> None:
    project = built(rumpel_project)
    project.run("create", "a").assert_ok()
    project.run("delete", "a").assert_ok()
    assert items(gc(project), "image") == [], "the next pod starts from it"
    assert project.home.label is not None
    made = project.docker.tags(project.home.label)
    (base,) = [tag for tag in made if tag.startswith("rumpel/repo:")]
    project.docker.api.tag(base, f"mine-{os.getpid()}", "1")
    try:
        gone = {item["id"] for item in items(gc(project, "--all"), "image")}
        assert gone == set(made.values()) - {made[base]}, (
            "what has a name of somebody else is theirs"
        )
        assert project.docker.has_image(f"mine-{os.getpid()}:1")
    finally:
        project.docker.api.remove_image(f"mine-{os.getpid()}:1")
    project.run("create", "a").assert_ok()
    assert project.inside("a", "ls /one") == "/one"


@pytest.mark.near("a remote engine is looked at while something is known of it")
def test_volumes_go_when_it_is_known_that_nobody_needs_them(
    rumpel_project: ProjectFactory,
) -> None:
    project = rumpel_project(
        config={
            "image": MINI_IMAGE,
            "runArgs": ["--network=none"],
            "mounts": ["source=data-${devcontainerId},target=/data,type=volume"],
        }
    )
    project.run("create", "a").assert_ok()
    time.sleep(1.1)  # the engine tells the time of a volume in whole seconds
    api, value = project.docker.api, owned(project)[names.LABEL_HOME]
    gone = {names.LABEL_KIND: "volume", names.LABEL_POD_ID: "0" * 16}
    made = {
        "left": owned(project, **gone, **{names.LABEL_NONCE: "n"}),
        "no-nonce": owned(project, **gone),
        "other-home": {**gone, names.LABEL_HOME: "f" * 16, names.LABEL_NONCE: "n"},
    }

    def volumes() -> set[str]:
        """Without those of other tests, which come and go."""
        kept = (None, *(labels[names.LABEL_HOME] for labels in made.values()))
        found = api.volumes()["Volumes"]
        return {one["Name"] for one in found if (one["Labels"] or {}).get(names.LABEL_HOME) in kept}

    try:
        for name, labels in made.items():
            api.create_volume(f"rumpel-{name}-{value}", labels=labels)
        before = volumes()
        (item,) = items(gc(project), "volume")
        assert item["name"] == f"rumpel-left-{value}"
        assert before - volumes() == {f"rumpel-left-{value}"}, "of the pod's none"
    finally:
        for name in list(made)[1:]:
            api.remove_volume(f"rumpel-{name}-{value}")
        mounts = project.docker.inspect(project.container_id("a"))["Mounts"]
        project.run("delete", "a", "--force").assert_ok()
        (data,) = [one["Name"] for one in mounts if one["Destination"] == "/data"]
        api.remove_volume(data)  # it has a name of the user's, so it outlives the pod


@pytest.mark.near("pods of a remote engine do not come back with a lost database")
def test_what_a_lost_database_may_have_known_stays(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    project.run("create", "a").assert_ok()
    api, value = project.docker.api, owned(project)[names.LABEL_HOME]
    labels = {names.LABEL_KIND: "volume", names.LABEL_POD_ID: "0" * 16, names.LABEL_NONCE: "n"}
    api.create_volume(f"rumpel-old-{value}", labels=owned(project, **labels))
    project.run("daemon", "stop").assert_ok()
    for path in project.home.state.glob("state.db*"):
        path.unlink()
    project.wait_until(lambda: time.time() % 1 < 0.2, "a new second")
    assert items(gc(project), "volume") == []
    assert project.run("list", "-q").assert_ok().stdout == "a\n"
    assert items(gc(project, "--all"), "repository") == []
    assert project.inside("a", "git -C /workspaces/repo log -1 --format=%s") == "first"
    api.remove_volume(f"rumpel-old-{value}")


def test_this_machine(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project({".rumpelpod.json": json.dumps({"keepDeleted": "1s"})})
    project.run("create", "a", "b").assert_ok()
    project.run("delete", "a").assert_ok()
    old, state = time.time() - 8 * 86400, project.home.state
    (state / "crash").mkdir(mode=0o700, exist_ok=True)
    for name in ("crash-1.txt", "crash-2.txt"):
        (state / "crash" / name).write_text("x")
    os.utime(state / "crash/crash-1.txt", (old, old))
    aside = state / f"state.db.unreadable-{time.time_ns()}"
    aside.write_text("perhaps the only one that knows")
    os.utime(aside, (old, old))  # last written then, put aside now
    project.inside("b", "git commit -q --allow-empty -m x")
    project.wait_for_ref("b", project.inside("b", "git rev-parse HEAD"))
    repo = next(state.glob("doors/*"))
    (repo / ("0" * 16)).mkdir()
    project.wait_until(lambda: bool(items(gc(project, "-n"), "trash")), "its time is over")
    told = gc(project)[-1]
    assert told["host"] is None
    assert sorted(item["kind"] for item in told["items"]) == ["crash", "import", "trash"]
    assert all(item["removed"] for item in told["items"])
    assert [path.name for path in state.glob("crash/*")] == ["crash-2.txt"]
    assert not (repo / ("0" * 16)).exists()
    assert aside.exists()
    assert project.repo.refs("refs/rumpel/keep") == {}
    assert project.inside("b", "echo 1") == "1"
    assert gc(project)[-1]["items"] == []


@pytest.mark.near("it counts the engines")
def test_the_ledger(rumpel_project: ProjectFactory) -> None:
    project = built(rumpel_project)
    project.run("create", "a", "b").assert_ok()
    project.exec("a", "sh", "-c", "dd if=/dev/zero of=/tmp/x bs=1000 count=2000")
    (row, _) = gc(project, "-n")
    sizes = {pod["name"]: pod["container_bytes"] for pod in row["pods"]}
    assert 2_000_000 <= sizes["a"] < 2_500_000
    assert sizes["b"] < 500_000
    image = row["pods"][0]["image_bytes"]
    # Podman counts what it notes down of an image in, too; layers have none of that.
    assert 0.99 * image < row["image_bytes"] < 1.5 * image, "two pods, one image"
    shown = project.run("gc", "-n").assert_ok().stdout.splitlines()
    assert shown[0].split() == ["POD", "FILES", "VOLUMES", "IMAGE", "REPOSITORY"]
    assert shown[1].startswith("a ")
    assert any(line.startswith("local: ") for line in shown)
    assert shown[-1] == "0 B would be freed"


@pytest.mark.slow
def test_a_far_engine_and_one_that_is_away(rumpel_project: ProjectFactory, sshd: Sshd) -> None:
    project = rumpel_project()
    project.run("create", "far", "--host", "ssh://plain").assert_ok()
    (row,) = gc(project, "-n", "--host", "ssh://plain")
    assert [pod["name"] for pod in row["pods"]] == ["far"]
    sshd.stop()
    project.wait_until(lambda: "unreachable" in project.run("list").stdout, "it is away")
    done = project.run("gc", timeout=15).assert_ok()
    assert "not looked at: ssh://plain" in done.stderr
    project.run("gc", "--host", "ssh://plain").assert_error(5)
    sshd.start()
