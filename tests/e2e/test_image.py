"""`image build` and `image fetch`: hit or miss, and why."""

from __future__ import annotations

import os
from typing import Any

from tests.support.engine import MINI_IMAGE
from tests.support.project import Project, ProjectFactory

FOLDER = ".devcontainer"
BUILD = {"build": {"dockerfile": "Dockerfile"}, "runArgs": ["--network=none"]}


def dockerfile(*steps: str) -> str:
    return f"FROM {MINI_IMAGE}\n" + "".join(f"RUN {step}\n" for step in steps)


def built(rumpel_project: ProjectFactory, *steps: str) -> Project:
    return rumpel_project({f"{FOLDER}/Dockerfile": dockerfile(*steps)}, config=BUILD)


def image(project: Project, *args: str) -> dict[str, Any]:
    row = project.run("image", *args, "--json").assert_ok().data
    assert isinstance(row, dict)
    return row


def test_a_build_is_a_hit_or_a_miss_and_says_why(rumpel_project: ProjectFactory) -> None:
    project = built(rumpel_project, f"echo {os.getpid()} >/stamp")
    first = image(project, "build")
    assert (first["hit"], first["how"]) == (False, "built")
    assert [one["kind"] for one in first["reasons"]] == ["never-ran"]
    assert project.docker.has_image(first["image_id"])
    again = image(project, "build")
    assert (again["hit"], again["how"], again["reasons"]) == (True, "cached", [])
    assert again["image_id"] == first["image_id"]
    project.write({f"{FOLDER}/Dockerfile": dockerfile("echo two >/stamp")})
    said = project.run("image", "build").assert_ok().stdout.splitlines()
    assert said[0].startswith("rumpel/repo:")
    assert ": built in " in said[0]
    assert said[1].startswith("  because   build.context changed: ")
    third = image(project, "build")
    assert third["hit"]
    assert third["image_id"] != first["image_id"]
    assert project.run("image", "build", "-q").assert_ok().stdout == f"{third['image_id']}\n"
    project.docker.api.remove_image(third["image_id"], force=True)
    project.wait_until(lambda: not image(project, "build")["hit"], "it is made again")
    assert "image" not in project.run("create", "a", "-v").assert_ok().stdout


def test_force_and_no_cache(rumpel_project: ProjectFactory) -> None:
    own = f"echo {os.getpid()}"
    project = built(rumpel_project, own, "cat /proc/sys/kernel/random/uuid >/stamp")
    first = image(project, "build")
    forced = image(project, "build", "--force")
    assert [one["kind"] for one in forced["reasons"]] == ["refresh"]
    assert forced["image_id"] == first["image_id"], "each step is in the engine's cache"
    anew = image(project, "build", "--no-cache")
    assert anew["how"] == "built"
    assert anew["image_id"] != first["image_id"]
    assert image(project, "build")["image_id"] == anew["image_id"]
    project.run("create", "a").assert_ok()
    stamp = project.inside("a", "cat /stamp")
    image(project, "build", "--no-cache")
    project.run("recreate", "a").assert_ok()
    assert project.inside("a", "cat /stamp") != stamp, "pods get the one made last"


def test_the_wrong_one_names_the_other(rumpel_project: ProjectFactory) -> None:
    project = built(rumpel_project)
    words = f"builds its image, from {FOLDER}/Dockerfile"
    project.run("image", "fetch").assert_error(2, words, "rumpel image build")
    project.write({f"{FOLDER}/devcontainer.json": {"image": MINI_IMAGE}})
    project.run("image", "build").assert_error(2, MINI_IMAGE, "rumpel image fetch")
    project.run("image", "fetch", "--no-cache").assert_error(2, "goes with build")
    project.run("image", "move").assert_error(2, "build")


def test_fetch(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    first = image(project, "fetch")
    assert (first["hit"], first["how"], first["tag"]) == (False, "found", MINI_IMAGE)
    assert image(project, "fetch")["hit"]
    gone = project.run("image", "fetch", "--pull").assert_code(1)
    assert f"cannot pull {MINI_IMAGE}" in gone.stderr or "docker pull" in gone.stderr
    assert image(project, "fetch")["how"] in ("cached", "found"), "the one there is still there"


def test_a_failing_build_ends_with_six(rumpel_project: ProjectFactory) -> None:
    project = built(rumpel_project, "echo this is why; exit 7")
    failed = project.run("image", "build").assert_error(6, "this is why")
    assert failed.stdout == ""
    assert [one["kind"] for one in image_reasons(project)] == ["failed"]


def image_reasons(project: Project) -> list[dict[str, Any]]:
    plan = project.run("graph", "p", "--plan", "create", "--json").assert_ok().data
    (node,) = [one for one in plan["nodes"] if one["kind"] == "image"]
    reasons = node["reasons"]
    assert isinstance(reasons, list)
    return reasons


def test_two_repositories_of_one_name(rumpel_project: ProjectFactory) -> None:
    """The same Dockerfile in both: what one builds anew takes no name from the other's."""
    files = {f"{FOLDER}/Dockerfile": dockerfile("cat /proc/sys/kernel/random/uuid >/stamp")}
    one, two = (rumpel_project(files, config=BUILD, name=f"{place}/repo") for place in "ab")
    mine = image(one, "build")
    image(two, "build", "--no-cache")
    assert one.home.label is not None
    names = [tag for tag, ref in one.docker.tags(one.home.label).items() if ref == mine["image_id"]]
    assert names == [mine["tag"]]
    two.run("gc").assert_ok()
    assert image(one, "build")["hit"]
