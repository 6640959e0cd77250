"""Git LFS: the pod has the content, new content lands in the host's store (specs 41 and 42)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.test_submodules import add, wait
from tests.support import large
from tests.support.project import Project, ProjectFactory

OLD, NEW, HOST = b"old content\n" * 9, b"nowhere\n" * 20, b"of the host\n" * 50
TRACK = "head -c 2000000 /dev/urandom >new.bin && git add -A && git commit -qm new"


@pytest.fixture
def lfs_project(rumpel_project: ProjectFactory, lfs_image: str) -> Project:
    """A repository with a large file `old.bin`; its image has git-lfs, this machine has not."""
    config: dict[str, Any] = {"image": lfs_image, "runArgs": ["--network=none"]}
    project = rumpel_project(config=config)
    large.track(project.repo, old=OLD)
    large.put(project.root / ".git/lfs", OLD)
    return project


def committed(project: Project, script: str = TRACK) -> str:
    oid = project.inside("p", f"{script} && git rev-parse HEAD")
    project.wait_for_ref("p", oid)
    return oid


def digest(project: Project, name: str, pod: str = "p") -> str:
    return project.inside(pod, f"sha256sum {name}").split()[0]


def test_a_pod_has_the_content(lfs_project: Project) -> None:
    project = lfs_project
    assert digest(project, "old.bin") == large.oid_of(OLD)
    assert project.inside("p", "git status --porcelain") == ""
    large.track(project.repo, old=OLD, host=HOST)
    large.put(project.root / ".git/lfs", HOST)
    oid = project.commit("again")
    project.wait_until(
        lambda: project.inside("p", "git rev-parse host/main") == oid, "the host's commit"
    )
    project.inside("p", "git merge -q --ff-only host/main")
    assert digest(project, "host.bin") == large.oid_of(HOST)
    project.run("delete", "p").assert_ok()


def test_new_content_lands_in_the_hosts_store(lfs_project: Project) -> None:
    project = lfs_project
    project.run("create", "p", "q").assert_ok()
    oid = committed(project)
    store = project.root / ".git/lfs"
    pointer = project.git("show", f"{oid}:new.bin")
    name = digest(project, "new.bin")
    assert f"oid sha256:{name}\nsize 2000000" in pointer
    path = store / "objects" / name[:2] / name[2:4] / name
    # The published ref comes after the content.
    assert large.oid_of(path.read_bytes()) == name
    umask = os.umask(0)
    os.umask(umask)
    assert path.stat().st_mode & 0o777 == 0o666 & ~umask
    assert path.parent.stat().st_mode & 0o777 == 0o777 & ~umask
    assert list((store / "tmp").iterdir()) == []
    look = "git rev-parse -q --verify refs/remotes/rumpelpod/p || true"
    project.wait_until(lambda: project.inside("q", look) == oid, "another pod sees the commit")
    project.inside("q", "git checkout -q refs/remotes/rumpelpod/p")
    assert digest(project, "new.bin", "q") == name, "with its content"
    project.git("merge", "-q", "rumpelpod/p")
    project.run("delete", "p", "q").assert_ok()


def test_a_missing_old_object_blocks_nothing(lfs_project: Project) -> None:
    """Spec 42: what the host lacks stays a pointer."""
    project = lfs_project
    large.track(project.repo, lost=b"nobody has this\n" * 20)
    assert project.inside("p", "cat lost.bin").startswith("version https://git-lfs")
    assert digest(project, "old.bin") == large.oid_of(OLD)
    assert project.inside("p", "git status --porcelain") == ""
    committed(project)
    assert notes(project) == []


def notes(project: Project) -> list[str]:
    (row,) = project.run("list", "--json").assert_ok().data
    found: list[str] = row["git"]["notes"]
    return found


def test_a_missing_new_object_is_told(lfs_project: Project) -> None:
    project = lfs_project
    pointer = large.pointer(NEW).replace("\n", "\\n")
    committed(project, f"printf '{pointer}' >new.bin; git add -A; git commit -qm pointer")
    (note,) = notes(project)
    assert note == "1 large file (LFS) cannot be had: not even the pod has it"
    project.git("merge", "-q", "rumpelpod/p")
    project.run("delete", "p").assert_ok()  # nothing of it would be lost with the pod


def test_content_that_cannot_be_stored_is_unsaved_work(lfs_project: Project) -> None:
    project = lfs_project
    objects = project.root / ".git/lfs/objects"
    project.run("create", "p").assert_ok()
    objects.rename(objects.with_name("aside"))
    objects.write_text("in the way\n")
    committed(project)
    (note,) = notes(project)
    assert note.startswith("1 large file (LFS) only in the pod: LFS objects cannot be written")
    project.git("merge", "-q", "rumpelpod/p")
    project.run("delete", "p").assert_error(4, "1 large file only there")
    objects.unlink()
    objects.with_name("aside").rename(objects)
    name = digest(project, "new.bin")
    project.run("delete", "p").assert_ok()
    assert (objects / name[:2] / name[2:4] / name).is_file(), "delete brought it"


@pytest.mark.parametrize(
    "oid",
    ["../../../../../../../tmp/evil" + "0" * 36, "A" * 64, "a" * 63, "a" * 65, "a/../" + "b" * 59],
)
def test_a_bad_oid_is_refused(lfs_project: Project, oid: str, tmp_path: Path) -> None:
    project = lfs_project
    before = sorted(str(path) for path in (project.root / ".git/lfs").rglob("*"))
    text = large.pointer_to(oid, 12).replace("\n", "\\n")
    script = (
        f"printf '{text}' >bad.txt; mkdir -p .git/lfs/objects/aa/aa; "
        f"echo content >.git/lfs/objects/aa/aa/{'a' * 64}; git add -A; git commit -qm bad"
    )
    committed(project, script)
    assert sorted(str(path) for path in (project.root / ".git/lfs").rglob("*")) == before
    project.run("delete", "--force", "p").assert_ok()


def test_an_image_without_git_lfs(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    large.track(project.repo, old=OLD)
    large.put(project.root / ".git/lfs", OLD)
    done = project.run("create", "p").assert_ok()
    assert "the image has no git-lfs" in done.stderr
    assert project.inside("p", "cat old.bin") == large.pointer(OLD).strip()
    assert project.inside("p", "git status --porcelain") == ""
    assert "git-lfs" not in rumpel_project(name="other").run("create", "p").assert_ok().stderr


@pytest.mark.parametrize("where", ["lfs.storage", "worktree"])
def test_the_store_of_the_host_is_elsewhere(lfs_project: Project, where: str) -> None:
    project = lfs_project
    root, store = project.root, project.root / ".git/lfs"
    if where == "lfs.storage":
        elsewhere = project.home.path / "large files"
        store.rename(elsewhere)
        project.git("config", "lfs.storage", str(elsewhere))
        store = elsewhere
    else:
        root = project.home.path / "side"
        project.git("worktree", "add", "-q", "-b", "side", str(root))
    script = f"sha256sum old.bin; {TRACK}; sha256sum new.bin; git rev-parse HEAD"
    done = project.run("enter", "p", "--", "sh", "-ec", script, cwd=root).assert_ok()
    old, _, new, _, oid = done.stdout.split()
    assert old == large.oid_of(OLD)
    project.wait_for_ref("p", oid)
    assert (store / "objects" / new[:2] / new[2:4] / new).stat().st_size == 2_000_000
    project.run("delete", "--force", "p", cwd=root).assert_ok()


def test_submodules_have_large_files_too(lfs_project: Project) -> None:
    """Each has its own store; what only the pod has is unsaved work."""
    project = lfs_project
    lib = add(project, "libs/lib")
    large.track(lib, old=OLD)
    store = project.root / ".git/modules/libs/lib/lfs"
    large.put(store, OLD)
    project.commit("lib has large files")
    assert digest(project, "libs/lib/old.bin") == large.oid_of(OLD)
    assert project.inside("p", "git status --porcelain; git -C libs/lib status --porcelain") == ""
    large.put(store, HOST)
    large.track(lib, old=OLD, host=HOST)
    on_host = lib.oid("HEAD")
    look = "git -C libs/lib rev-parse host/main"
    project.wait_until(lambda: project.inside("p", look) == on_host, "the host's commit")
    project.inside("p", "git -C libs/lib merge -q --ff-only host/main")
    assert digest(project, "libs/lib/host.bin") == large.oid_of(HOST)
    objects = store / "objects"
    objects.rename(objects.with_name("aside"))
    objects.write_text("in the way\n")
    oid = project.inside("p", f"cd libs/lib; {TRACK}; git rev-parse HEAD")
    wait(project, lib, "p", oid)
    lib.git("merge", "-q", "rumpelpod/p")
    project.inside("p", "git checkout -q -- .; git add libs/lib; git commit -qm bump")
    project.run("stop", "p").assert_ok()
    project.git("merge", "-q", "rumpelpod/p")
    assert "1 large file (LFS) only in the pod" in notes(project)[0]
    project.run("delete", "p").assert_error(4, "1 large file only there")
    objects.unlink()
    objects.with_name("aside").rename(objects)
    name = digest(project, "libs/lib/new.bin")
    project.run("delete", "p").assert_ok()
    assert large.oid_of((objects / name[:2] / name[2:4] / name).read_bytes()) == name
