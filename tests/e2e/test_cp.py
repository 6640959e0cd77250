"""`rumpel cp`: what lands where, both ways, and what is left when it does not."""

from __future__ import annotations

import io
import json
import os
import shutil
import stat
import tarfile
import time
from pathlib import Path

import pexpect
import pytest

from tests.support import tars
from tests.support.engine import DEV_IMAGE, MINI_IMAGE
from tests.support.outcome import Outcome
from tests.support.project import Project, ProjectFactory

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("dev_image")]
AS_DEV = {"image": MINI_IMAGE, "runArgs": ["--network=none"], "remoteUser": "dev"}


def made(folder: Path) -> Path:
    """A tree with one of everything that is copied."""
    (folder / "tree/sub dir").mkdir(parents=True)
    (folder / "tree/file").write_text("content\n")
    (folder / "tree/run").write_text("#!/bin/sh\n")
    (folder / "tree/run").chmod(0o750)
    (folder / "tree/sub dir/with\nnewline \x1b[31m é").write_text("odd")
    (folder / ("tree/" + "long-" * 40)).write_text("long")
    (folder / "tree/link").symlink_to("sub dir/nowhere")
    (folder / "tree/again").hardlink_to(folder / "tree/file")
    (folder / "tree/closed").mkdir()
    (folder / "tree/closed/in").write_text("in")
    os.utime(folder / "tree/file", ns=(10**18, 10**18 + 5_000_000))
    os.utime(folder / "tree/sub dir", ns=(10**18, 10**18))
    (folder / "tree/closed").chmod(0o555)
    return folder / "tree"


def seen(folder: Path) -> dict[str, tuple[str, int, str]]:
    """Path -> kind, mode and content of everything in it."""
    found = {}
    for path in sorted([folder, *folder.rglob("*")]):
        info = path.lstat()
        if path.is_symlink():
            said = ("link", 0, str(path.readlink()))
        elif path.is_dir():
            said = ("folder", stat.S_IMODE(info.st_mode), "")
        else:
            said = ("file", stat.S_IMODE(info.st_mode), path.read_text())
        found[str(path.relative_to(folder))] = said
    return found


@pytest.mark.parametrize("image", [MINI_IMAGE, DEV_IMAGE])
def test_a_tree_there_and_back(
    rumpel_project: ProjectFactory, dev_image: str, home_folder: Path, image: str
) -> None:
    """By busybox and by GNU tar."""
    project = rumpel_project(config={**AS_DEV, "image": image})
    project.run("create", "a").assert_ok()
    tree = made(home_folder)
    for _ in range(2):  # into its place, then over what is there
        project.run("cp", str(tree), "a:copy").assert_ok()
        shutil.rmtree(home_folder / "back", ignore_errors=True)
    said = project.run("cp", "--json", "a:copy/tree", str(home_folder / "back")).assert_ok().data
    assert seen(home_folder / "back") == seen(tree)
    assert (said["files"], said["folders"], said["links"]) == (6, 3, 1)
    assert set(said) == {"from", "to", "files", "folders", "links", "bytes", "elapsed_s"}
    back = home_folder / "back"
    assert (back / "file").stat().st_ino == (back / "again").stat().st_ino
    assert (back / "sub dir").stat().st_mtime == 10**9
    assert int((back / "file").stat().st_mtime) == 10**9
    assert project.inside("a", "stat -c %U copy/tree copy/tree/file") == "dev\ndev"
    assert project.inside("a", "git status --porcelain") == "?? copy/"
    assert project.inside("a", "find . -name '.rumpel-cp*'") == ""


@pytest.fixture
def home_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "here"
    folder.mkdir()
    return folder


WHERE = {
    # source, what is there before, destination -> where a file `f` of the source lands
    "file to a new name": ("f", "", "new", "new"),
    "file into a folder": ("f", "dir/", "dir", "dir/f"),
    "file into a folder, slash": ("f", "dir/", "dir/", "dir/f"),
    "file over a file": ("f", "old", "old", "old"),
    "file through a link": ("f", "old link->old", "link", "old"),
    "folder to a new name": ("src", "", "new", "new/f"),
    "folder into a folder": ("src", "dir/", "dir", "dir/src/f"),
    "folder, slash": ("src/", "dir/", "dir", "dir/src/f"),
    "folder over its like": ("src", "dir/src/old", "dir", "dir/src/f dir/src/old"),
    "content to a new name": ("src/.", "", "new", "new/f"),
    "content into a folder": ("src/.", "dir/old", "dir", "dir/f dir/old"),
    "link": ("l", "", "new", "new"),
}
REFUSED = {
    # source, before, destination -> exit code
    "no folder of that name": ("f", "", "new/", 3),
    "no folder above": ("f", "", "no/new", 3),
    "no source": ("nothing", "", "new", 3),
    "folder over a file": ("src", "old", "old", 4),
    "file over a folder": ("f", "dir/f/", "dir", 4),
    "file as a folder": ("f/", "", "new", 4),
    "folder over a file in it": ("src", "dir/src/sub", "dir", 4),
    "folder through a link in it": ("src", "dir/src/ away/ dir/src/sub->../../away", "dir", 4),
}


def prepare(folder: Path, before: str) -> None:
    """`name/` is a folder, `name->to` a link, `name` a file, with all that is above it."""
    for word in before.split():
        name, arrow, to = word.partition("->")
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if arrow:
            path.symlink_to(to)
        elif word.endswith("/"):
            path.mkdir(parents=True, exist_ok=True)
        else:
            path.write_text("old")


def source_in(folder: Path) -> None:
    prepare(folder, "src/sub/x src/f f l->f")
    (folder / "src/f").write_text("new")
    (folder / "f").write_text("new")


def in_pod(project: Project, folder: Path) -> None:
    """What is in a folder here, in an empty one of the pod."""
    project.inside("a", "chmod -R u+w w 2>/dev/null || true; rm -rf w; mkdir w")
    project.run("cp", f"{folder}/.", "a:w").assert_ok()


def from_pod(project: Project, folder: Path) -> dict[str, tuple[str, int, str]]:
    shutil.rmtree(folder, ignore_errors=True)
    project.run("cp", "a:w", str(folder)).assert_ok()
    return seen(folder)


def test_where_things_land(rumpel_project: ProjectFactory, home_folder: Path) -> None:
    project = rumpel_project(config=AS_DEV)
    project.run("create", "a").assert_ok()
    for name, (source, before, target, lands) in WHERE.items():
        for way in ("in", "out"):
            src, dst = home_folder / f"{name} {way} s", home_folder / f"{name} {way} d"
            src.mkdir()
            dst.mkdir()
            source_in(src)
            prepare(dst, before)
            if way == "in":
                in_pod(project, dst)
                project.run("cp", f"{src}/{source}", f"a:w/{target}").assert_ok()
                found = from_pod(project, dst)
            else:
                in_pod(project, src)
                project.run("cp", f"a:w/{source}", f"{dst}/{target}").assert_ok()
                found = seen(dst)
            for path in lands.split():
                kind, _, content = found[path]
                assert kind == ("link" if name == "link" else "file"), (name, way, path)
                wanted = "f" if name == "link" else "old" if path.endswith("/old") else "new"
                assert content == wanted, (name, way, path)
            assert not [path for path in found if ".rumpel-cp" in path]


def test_what_is_refused_changes_nothing(rumpel_project: ProjectFactory, home_folder: Path) -> None:
    project = rumpel_project(config=AS_DEV)
    project.run("create", "a").assert_ok()
    for name, (source, before, target, code) in REFUSED.items():
        for way in ("in", "out"):
            src, dst = home_folder / f"{name} {way} s", home_folder / f"{name} {way} d"
            src.mkdir()
            dst.mkdir()
            source_in(src)
            prepare(dst, before)
            was = seen(dst)
            if way == "in":
                in_pod(project, dst)
                done = project.run("cp", f"{src}/{source}", f"a:w/{target}")
                found = from_pod(project, dst)
            else:
                in_pod(project, src)
                done = project.run("cp", f"a:w/{source}", f"{dst}/{target}")
                found = seen(dst)
            assert done.code == code, (name, way, done)
            assert found == was, (name, way)


def test_sides_and_names(rumpel_project: ProjectFactory, home_folder: Path) -> None:
    project = rumpel_project(config=AS_DEV)
    project.run("create", "a").assert_ok()
    assert project.run("cp", "x", "y").code == 2
    both = project.run("cp", "a:x", "b:y")
    assert both.code == 2
    assert "rumpel cp a:x - | rumpel cp - b:y" in both.stderr
    assert project.run("cp", "no-pod:x", ".").code == 3
    assert project.run("cp", "No_Pod:x", ".").code == 2
    (project.root / "a:b").write_text("colon")
    assert project.run("cp", "./a:b", "a:colon").code == 0
    assert project.inside("a", "cat colon") == "colon"
    project.exec("a", "sh", "-c", "echo x >/secret; chmod 600 /secret", user="root")
    denied = project.run("cp", "a:/secret", str(home_folder))
    assert (denied.code, "permission denied" in denied.stderr) == (1, True)
    assert project.run("cp", "./a:b", "a:/etc/colon").code == 1
    project.run("cp", "-a", "./a:b", "a:/etc/colon").assert_ok()
    assert project.inside("a", "cat /etc/colon") == "colon"
    quiet = project.run("cp", "-q", "./a:b", "a:").assert_ok()
    assert (quiet.stdout, quiet.stderr) == ("", "")


def test_the_engine_touches_no_running_pod(
    rumpel_project: ProjectFactory, home_folder: Path
) -> None:
    """Its archive call could be led astray from inside; what a stopped one has is read by it."""
    project = rumpel_project(config=AS_DEV)
    project.run("create", "a").assert_ok()
    source_in(home_folder)
    begun = int(time.time())
    project.run("cp", f"{home_folder}/src", "a:").assert_ok()
    project.run("cp", "a:src", f"{home_folder}/back").assert_ok()
    assert archive_calls(project, begun) == []
    project.run("stop", "a").assert_ok()
    project.run("cp", "a:src", f"{home_folder}/again").assert_ok()
    noted = [] if project.docker.is_podman else ["archive-path"]  # Podman notes none
    assert archive_calls(project, begun) == noted
    assert project.run("cp", "-L", "a:src", f"{home_folder}/more").code == 4


def archive_calls(project: Project, since: int) -> list[str]:
    """Of the pod's container, as the engine noted them."""
    filters = {"container": project.container_id("a")}
    found = project.docker.api.events(
        since=since, until=int(time.time()) + 1, filters=filters, decode=True
    )
    return [e["Action"] for e in found if e["Action"] in ("archive-path", "extract-to-dir")]


def test_owners_are_kept_when_asked(rumpel_project: ProjectFactory, home_folder: Path) -> None:
    project = rumpel_project(config=AS_DEV)
    project.run("create", "a").assert_ok()
    source_in(home_folder)
    os.chown(home_folder / "src/f", 4321, 5432)
    project.run("cp", "-a", f"{home_folder}/src", "a:/root/kept").assert_ok()
    stat_it = "stat -c '%u %g' /root/kept/f"
    assert project.exec("a", "sh", "-c", stat_it, user="root").stdout.strip() == "4321 5432"
    project.run("cp", "-a", "a:/root/kept", f"{home_folder}/back").assert_ok()
    info = (home_folder / "back/f").stat()
    assert (info.st_uid, info.st_gid) == (4321, 5432)


HOSTILE = {
    "up": tars.FIXED["a path up"] + tars.END,
    "through a link": tars.FIXED["a link, then a file through it"] + tars.END,
    "noise": tars.FIXED["noise"],
    "escapes": tars.TOP + tars.entry(b"d/\x1b]0;x\x07", b"6") + tars.END,
}


def test_a_pod_that_lies(rumpel_project: ProjectFactory, dev_image: str, home_folder: Path) -> None:
    """Its tar is its own: what comes is what a root in the pod wants to come."""
    project = rumpel_project(config={**AS_DEV, "image": DEV_IMAGE})
    project.run("create", "a").assert_ok()
    (home_folder / "canary").write_text("alive")
    (home_folder / "to").mkdir()
    for name, data in HOSTILE.items():
        (home_folder / "lies").write_bytes(data)
        project.run("cp", "-a", str(home_folder / "lies"), "a:/lies").assert_ok()
        done = with_tar(project, "cat /lies", home_folder / "to")
        assert "\x1b" not in done.stdout + done.stderr
        assert done.code == (0 if name == "escapes" else 1), (name, done)
    done = with_tar(project, "head -c 1024 /dev/zero; yes", home_folder / "to")
    assert done.code == 1, done
    assert "more than it should" in done.stderr
    project.exec("a", "mv", "/bin/tar", "/bin/real", user="root")
    for words in (["a:.devcontainer", str(home_folder / "to")], [str(home_folder / "lies"), "a:"]):
        without = project.run("cp", *words)
        assert (without.code, "has no tar" in without.stderr) == (1, True)
    found = {str(path.relative_to(home_folder)) for path in home_folder.rglob("*")}
    assert found == {"canary", "lies", "to", "to/.devcontainer"}
    assert (home_folder / "canary").read_text() == "alive"


def with_tar(project: Project, script: str, to: Path) -> Outcome:
    """A copy out of a pod whose tar is that script."""
    fake = f'#!/bin/sh\n[ "$1" != --version ] || exit 0\n{script}\n'
    put = f"mv /bin/tar /bin/real; printf '%s' '{fake}' >/bin/tar; chmod 755 /bin/tar"
    project.exec("a", "sh", "-c", put, user="root")
    try:
        return project.run("cp", "a:.devcontainer", str(to), timeout=30)
    finally:
        project.exec("a", "sh", "-c", "mv /bin/real /bin/tar", user="root")


def test_progress_on_a_terminal(rumpel_project: ProjectFactory, home_folder: Path) -> None:
    project = rumpel_project(config=AS_DEV)
    project.run("create", "a").assert_ok()
    project.inside("a", "truncate -s 4G large")
    child = project.spawn("cp", "a:large", str(home_folder))
    child.expect(rb"\r(a:large  [0-9.]+ [kMG]B  [0-9.]+ [kMG]?B/s)\x1b\[K")
    child.sendintr()
    child.expect(rb"\r\x1b\[K")
    child.expect(b"interrupted: nothing was copied")
    child.expect(pexpect.EOF)
    assert list(home_folder.iterdir()) == []


def test_thousands_of_files(rumpel_project: ProjectFactory, home_folder: Path) -> None:
    project = rumpel_project(config=AS_DEV)
    project.run("create", "a").assert_ok()
    for number in range(5000):
        path = home_folder / f"many/{number // 100}/{number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{number}\n")
    sent = project.run("cp", "--json", f"{home_folder}/many", "a:").assert_ok().data
    back = project.run("cp", "--json", "a:many", f"{home_folder}/back").assert_ok().data
    assert (sent["files"], sent["folders"], back["files"], back["folders"]) == (5000, 51) * 2
    assert seen(home_folder / "back") == seen(home_folder / "many")


def test_a_link_is_followed_when_asked(rumpel_project: ProjectFactory, home_folder: Path) -> None:
    project = rumpel_project(config=AS_DEV)
    project.run("create", "a").assert_ok()
    source_in(home_folder)
    (home_folder / "to-src").symlink_to("src")
    project.run("cp", "-L", f"{home_folder}/l", "a:file").assert_ok()
    project.run("cp", "-L", f"{home_folder}/to-src", "a:folder").assert_ok()
    assert project.inside("a", "test ! -h file && cat file folder/f") == "newnew"
    project.inside("a", "ln -s file link; ln -s folder to-folder; ln -s nothing dangling")
    project.run("cp", "-L", "a:link", f"{home_folder}/1").assert_ok()
    project.run("cp", "-L", "a:to-folder", f"{home_folder}/2").assert_ok()
    assert (home_folder / "1").read_text() + (home_folder / "2/f").read_text() == "newnew"
    assert not (home_folder / "1").is_symlink()
    assert project.run("cp", "-L", "a:dangling", f"{home_folder}/3").code == 3


def test_tars_on_stdin_and_stdout(rumpel_project: ProjectFactory, home_folder: Path) -> None:
    project = rumpel_project(config=AS_DEV)
    project.run("create", "a").assert_ok()
    project.inside("a", "mkdir -p d/e && echo hello > d/e/f")
    tar = project.run("cp", "a:d", "-").assert_ok().stdout_bytes
    with tarfile.open(fileobj=io.BytesIO(tar)) as opened:
        assert opened.getnames() == ["d", "d/e", "d/e/f"]
    project.inside("a", "mkdir new")
    project.run("cp", "-", "a:new", input=tar).assert_ok()
    assert project.inside("a", "cat new/d/e/f") == "hello"
    for bad in (tar[:1500], b"", b"\x1f\x8b" + tar, b"x" * 5000):
        project.inside("a", "rm -rf new && mkdir new")
        done = project.run("cp", "-", "a:new", input=bad, timeout=20)
        assert done.code == 1, done
        assert project.inside("a", "find new") == "new"
    assert project.run("cp", "-", "a:nothing", input=tar).code == 3
    assert project.run("cp", "a:d", "-", "--json").code == 2


def test_a_stopped_pod_is_read_and_not_written(
    rumpel_project: ProjectFactory, home_folder: Path
) -> None:
    project = rumpel_project(config=AS_DEV)
    project.run("create", "a").assert_ok()
    source_in(home_folder)
    project.run("cp", f"{home_folder}/src", "a:").assert_ok()
    project.inside("a", "ln -s sub src/link")
    project.run("stop", "a").assert_ok()
    for number, source in enumerate(("src", "src/.", "src/f")):
        target = home_folder / f"back{number}"
        project.run("cp", f"a:{source}", str(target)).assert_ok()
        assert (target / "f" if number < 2 else target).read_text() == "new"
    project.run("cp", "a:src/link", str(home_folder / "link")).assert_ok()
    assert (home_folder / "link").readlink() == Path("sub")
    assert project.run("cp", "a:nothing", str(home_folder)).code == 3
    owned = project.run("cp", "-a", "a:src", str(home_folder / "owned"))
    assert owned.code == (4 if project.docker.is_podman else 0), "Podman tells no owners"
    done = project.run("cp", f"{home_folder}/f", "a:", "--json")
    assert done.code == 4
    assert "rumpel enter a -- true" in json.loads(done.stdout)["error"]["hint"]
