"""`rumpel cp` over what is there: modes are those of the source, and no pipe becomes a file."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from tests.support.engine import DEV_IMAGE, MINI_IMAGE
from tests.support.project import ProjectFactory

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("dev_image")]
AS_DEV = {"image": MINI_IMAGE, "runArgs": ["--network=none"], "remoteUser": "dev"}
MODES = {"f": 0o644, "s/f": 0o640, ".env": 0o600, "run": 0o755, "only-read": 0o444}


@pytest.mark.parametrize("image", [MINI_IMAGE, DEV_IMAGE])
def test_modes_stay_when_files_are_replaced(
    rumpel_project: ProjectFactory, dev_image: str, tmp_path: Path, image: str
) -> None:
    """Into a pod, out of it, and from pod to pod; by busybox and by GNU."""
    project = rumpel_project(config={**AS_DEV, "image": image})
    project.run("create", "a", "b").assert_ok()
    source, back = tmp_path / "dd", tmp_path / "back"
    back.mkdir()
    for name, mode in MODES.items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text(name)
        (source / name).chmod(mode)
    (source / "s").chmod(0o750)
    wanted = {f"{mode:o} dd/{name}" for name, mode in {**MODES, "s": 0o750}.items()}
    look = "stat -c '%a %n' dd/* dd/.env dd/s/f"
    for _ in range(2):
        project.run("cp", str(source), "a:").assert_ok()
        assert set(project.inside("a", look).splitlines()) == wanted
        project.run("cp", "a:dd", str(back)).assert_ok()
        assert modes(back / "dd") == wanted
        tar = project.run("cp", "a:dd", "-").assert_ok().stdout_bytes
        project.run("cp", "-", "b:", input=tar).assert_ok()
        assert set(project.inside("b", look).splitlines()) == wanted
    assert project.inside("a", "find . -name '.rumpel-cp*'") == ""


def modes(folder: Path) -> set[str]:
    """As `stat -c '%a %n'` shows all in it, from beside it."""
    return {
        f"{stat.S_IMODE(path.stat().st_mode):o} {path.relative_to(folder.parent)}"
        for path in folder.rglob("*")
    }


def test_what_is_no_file_is_named_and_stays(rumpel_project: ProjectFactory, tmp_path: Path) -> None:
    """Here and in the pod, as source and as destination, alone, in a folder, and as a stream."""
    project = rumpel_project(config=AS_DEV)
    project.run("create", "a").assert_ok()
    root = project.root
    project.inside(
        "a", "mkfifo ff; mkdir -p d; mkfifo d/f; echo x >a.txt; mkdir -p w/d; echo x >w/d/f"
    )
    make = "mkdir -p /tmp/o && mknod /tmp/o/null c 1 3 && mknod /tmp/o/disk b 7 200"
    project.exec("a", "sh", "-c", make, user="root")
    (root / "d").mkdir()
    (root / "w/d").mkdir(parents=True)
    (root / "w/d/f").write_text("new")
    for name in ("ff", "d/f"):
        os.mkfifo(root / name)
    os.mknod(root / "null", 0o600 | stat.S_IFCHR, os.makedev(1, 3))
    (root / "link").symlink_to("ff")
    (root / "a.txt").write_text("new")
    refused = {
        ("a:a.txt", "ff"): "ff is a pipe",
        ("a:a.txt", "link"): "link is a pipe",
        ("a:a.txt", "null"): "null is a device",
        ("a:a.txt", "d/f"): "d/f is a pipe",
        ("a:d/.", "ff"): "ff is a pipe",
        ("a:w/d", "."): "'d/f' is a pipe",
        ("a:ff", "new"): "ff in pod a is a pipe",
        ("a:ff", "-"): "ff in pod a is a pipe",
        ("a:/tmp/o/null", "new"): "/tmp/o/null in pod a is a device",
        ("a:/tmp/o/disk", "-"): "/tmp/o/disk in pod a is a device",
        ("ff", "a:new"): "ff is a pipe",
        ("null", "a:new"): "null is a device",
        ("a.txt", "a:ff"): "ff in pod a is a pipe",
        ("a.txt", "a:/tmp/o/null"): "/tmp/o/null in pod a is a device",
        ("a.txt", "a:/tmp/o/disk"): "/tmp/o/disk in pod a is a device",
        ("w", "a:ff"): "ff in pod a is a pipe",
        ("w/d", "a:"): "d/f in . of pod a is a pipe",
        ("w/.", "a:"): "d/f in . of pod a is a pipe",
    }
    for words, said in refused.items():
        project.run("cp", *words).assert_error(4, f"{said}, not a file or folder")
    tar = project.run("cp", "a:w/.", "-").assert_ok().stdout_bytes
    for to, said in (("a:ff", "ff in pod a is a pipe"), ("a:", "d/f in . of pod a is a pipe")):
        done = project.run("cp", "-", to, input=tar)
        done.assert_error(4, f"{said}, not a file or folder")
    for name in ("ff", "d/f"):
        assert stat.S_ISFIFO((root / name).stat().st_mode)
    assert stat.S_ISCHR((root / "null").stat().st_mode)
    assert not (root / "new").exists()
    project.inside("a", "test -p ff && test -p d/f && test ! -e new && test -c /tmp/o/null")
    project.run("stop", "a").assert_ok()
    for to in ("new", "-"):
        project.run("cp", "a:ff", to).assert_error(4, "ff is a pipe, not a file or folder")


@pytest.mark.parametrize("image", [MINI_IMAGE, DEV_IMAGE])
def test_no_link_on_another_mount_is_written_through(
    rumpel_project: ProjectFactory, tmp_path: Path, image: str
) -> None:
    """Root of the pod copies a folder over one whose inner folder is a volume of the agent's."""
    run_args = ["--network=none", "--tmpfs", "/to/vol:mode=1777"]
    project = rumpel_project(config={**AS_DEV, "image": image, "runArgs": run_args})
    project.run("create", "a").assert_ok()
    source = tmp_path / "to"
    for name in ("vol/s/f", "vol/f", "vol/d", "plain/f"):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text(name)
    (source / "vol/f").chmod(0o604)
    plant = "mkdir -p /to/plain /etc/d; echo safe >/etc/x; ln -s /etc/x /to/plain/f"
    project.exec("a", "sh", "-c", plant, user="root")
    project.inside("a", "cd /to/vol; mkdir s; ln -s /etc/x f; ln -s /etc/x s/f; ln -s /etc/d d")
    for _ in range(2):
        project.run("cp", "-a", str(source), "a:/").assert_ok()
        look = "cat /etc/x; ls /etc/d; cd /to; cat vol/f vol/s/f vol/d plain/f; find . -type l"
        assert project.inside("a", look) == "safe\nvol/fvol/s/fvol/dplain/f"
    look = "stat -c %a /to/vol/f; find /to -name '.rumpel*'"
    assert project.inside("a", look) == "604"
