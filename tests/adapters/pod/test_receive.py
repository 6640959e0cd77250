"""pod_receive.sh in local shells: what it moves is what came, and all of it."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from rumpel.resources import resource_text
from tests.adapters.pod.support import SHELLS
from tests.support import tars

MARK, OTHER = "0123456789abcdef", "fedcba9876543210"
BOX = "c0ffee"
DAY_S = 86_400
ENDED = 1 << 30
"""No process has this number."""
FLAT = tars.folder(b"0/") + b"".join(tars.entry(b"0/%c" % n, data=b"%c" % n) for n in b"abc")
END = tars.entry(MARK.encode()) + tars.END
TAR = FLAT + END
DEEP = (
    FLAT
    + tars.folder(b"0/d/")
    + tars.entry(b"0/d/e", data=b"e")
    + tars.entry(b"0/d/f", data=b"f")
    + END
)
ADD = "1"


def receive(
    shell: str, target: Path, add: str = "", env: Mapping[str, str] | None = None, tar: bytes = TAR
) -> subprocess.CompletedProcess[bytes]:
    words = [f"{target}/.", "content", "", MARK, "", add, "", BOX]
    argv = [*SHELLS[shell], "-c", resource_text("pod_receive.sh"), "rumpel-cp", *words]
    env = {**os.environ, **(env or {})}
    return subprocess.run(argv, cwd="/", input=tar, capture_output=True, check=False, env=env)


def found(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir() if path.is_file()}


ALL = {"a": "a", "b": "b", "c": "c"}


@pytest.fixture
def target(tmp_path: Path) -> Path:
    folder = tmp_path / "target"
    folder.mkdir()
    return folder


@pytest.mark.parametrize("add", ["", ADD])
def test_no_folder_of_the_image_is_taken_for_the_copy(
    shell: str, target: Path, tmp_path: Path, add: str
) -> None:
    elsewhere = tmp_path / "else/0"
    elsewhere.mkdir(parents=True)
    (elsewhere / "foreign").write_text("stays")
    done = receive(shell, target, add, {"CDPATH": str(elsewhere.parent)})
    assert done.returncode == 0, done.stderr
    assert found(target) == ALL
    assert found(elsewhere) == {"foreign": "stays"}


@pytest.mark.parametrize("add", ["", ADD])
@pytest.mark.parametrize(("after", "lost"), [("a", "0/b"), ("mark", "*")])
def test_what_vanishes_is_an_error(
    shell: str, target: Path, tmp_path: Path, add: str, after: str, lost: str
) -> None:
    """Some hand removes the copy beside its place: a file between two others, or all of it."""
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "mv").write_text(
        f'#!/bin/sh\n{shutil.which("mv")} "$@" || exit\n'
        f'case "$*" in */{after} | *"/{after} "*) rm -rf {target}/.rumpel-cp-*/{lost} ;; esac\n'
    )
    (tools / "mv").chmod(0o755)
    done = receive(shell, target, add, {"PATH": f"{tools}:{os.environ['PATH']}"})
    assert done.returncode == 97, done
    assert b"done" not in done.stdout


def test_copies_of_other_containers_may_live(shell: str, target: Path) -> None:
    """Those into a volume that both have: a process of the other one is not seen here."""
    names = {
        f".rumpel-cp-{OTHER}-{BOX}-{ENDED}": 0,
        f".rumpel-cp-{OTHER}-{BOX}-{os.getpid()}": 2 * DAY_S,
        f".rumpel-cp-{OTHER}-another-{ENDED}": DAY_S - 600,
        f".rumpel-cp-{OTHER}-another-{ENDED + 1}": DAY_S + 600,
    }
    for name, age_s in names.items():
        (target / name).mkdir()
        then = time.time() - age_s
        os.utime(target / name, (then, then))
    done = receive(shell, target)
    assert done.returncode == 0, done.stderr
    dead, living, young, _ = (target / name for name in names)
    assert not dead.exists()
    assert {path for path in target.iterdir() if path.is_dir()} == {living, young}


@pytest.mark.parametrize("has_cmp", [True, False])
def test_what_is_the_same_is_not_told(
    shell: str, target: Path, tmp_path: Path, *, has_cmp: bool
) -> None:
    """Of a copy that goes on; also where the image has no diffutils."""
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("cat", "cksum", "find", "mkdir", "mv", "rm", "stat", "tar", *["cmp"] * has_cmp):
        (tools / name).symlink_to(shutil.which(name) or name)
    (target / "a").write_text("a")
    (target / "b").write_text("x")
    program = shutil.which(SHELLS[shell][0]) or ""
    (tools / SHELLS[shell][0]).symlink_to(program)
    done = receive(shell, target, ADD, {"PATH": str(tools)})
    assert done.returncode == 0, done.stderr
    assert done.stdout == b"go\nb\0done " + os.fsencode(target) + b"\n"
    assert found(target) == {**ALL, "b": "x"}


@pytest.mark.parametrize("missing", ["cp", "cp ln"])
def test_where_nothing_can_be_linked_nothing_is_written_through(
    shell: str, target: Path, tmp_path: Path, missing: str
) -> None:
    """As onto another mount, or a file system that has no hard links."""
    tools, outside = tmp_path / "tools", tmp_path / "outside"
    tools.mkdir()
    for name in missing.split():
        is_refused = 'case "$*" in *-alf* | /*) exit 1 ;; esac'
        (tools / name).write_text(f'#!/bin/sh\n{is_refused}\nexec {shutil.which(name)} "$@"\n')
        (tools / name).chmod(0o755)
    (outside / "folder").mkdir(parents=True)
    (outside / "b").write_text("stays")
    (target / "a").write_text("old")
    (target / "b").symlink_to(outside / "b")
    (target / "c").symlink_to(outside / "folder")
    (target / "d").mkdir()
    (target / "d/e").symlink_to(outside / "b")
    with (target / "a").open() as before:
        done = receive(shell, target, env={"PATH": f"{tools}:{os.environ['PATH']}"}, tar=DEEP)
        assert before.read() == "old", "a file that is there is replaced, not written"
    assert done.returncode == 0, done.stderr
    assert found(target) == ALL
    assert found(target / "d") == {"e": "e", "f": "f"}
    assert (outside / "b").read_text() == "stays"
    assert not any((outside / "folder").iterdir())
    assert not any(path.is_symlink() for path in target.rglob("*"))
    assert sorted(path.name for path in target.rglob("*")) == ["a", "b", "c", "d", "e", "f"]
