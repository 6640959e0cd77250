"""A copy out of a pod tells git of this machine nothing: neither while it runs, nor afterwards."""

from __future__ import annotations

import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from rumpel.adapters import unpack
from rumpel.adapters.placing import Placing
from rumpel.adapters.unpack import Found, Staging, Unpacking
from rumpel.errors import Conflict, RumpelError
from tests.adapters.copy.test_unpack import Bytes, Folder
from tests.support import tars

EVIL = b"[core]\n\tfsmonitor = touch /tmp/evil\n" * 40
"""More than a block."""
REPOSITORY = (
    tars.folder(b"d/.git", 0o777)
    + tars.entry(b"d/.git/config", data=EVIL)
    + tars.entry(b"d/.git/hooks/post-checkout", data=EVIL, mode=0o755)
    + tars.entry(b"d/sub/.GIT", data=b"gitdir: /tmp/evil")
    + tars.symlink(b"d/link/.git", b"/tmp/evil")
    + tars.entry(b"d/sub/.gitignore", data=b"fine")
    + tars.entry(b"d/last", data=b"fine")
)


def unpacked(into: Path, tar: bytes, *, name: bytes = b"d", takes_git: bool = True) -> Found:
    with Folder(into) as folder, Staging(folder) as staging:
        unpacking = Unpacking(staging, takes_git=takes_git)
        found = unpacking.run(Bytes(tars.TOP + tar + tars.END))
        Placing(unpacking, name).run()
        return found


def test_a_repository_that_is_there_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "d/.git").mkdir(parents=True, mode=0o700)
    (tmp_path / "d/.git/config").write_text("mine")
    (tmp_path / "d/sub").mkdir()
    (tmp_path / "d/sub/.GIT").write_text("mine")
    found = unpacked(tmp_path, REPOSITORY)
    assert [(path.name, path.read_text()) for path in (tmp_path / "d/.git").iterdir()] == [
        ("config", "mine")
    ]
    assert (tmp_path / "d/.git").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "d/sub/.GIT").read_text() == "mine"
    assert (tmp_path / "d/last").read_text() == "fine"
    count, paths = found.remarks["git repositories here stay as they are"]
    assert (count, sorted(paths)) == (2, [b"d/.git", b"d/sub/.GIT"])
    with pytest.raises(Conflict, match="git repository is there"):
        unpacked(tmp_path / "d", tars.entry(b"d/config", data=EVIL), name=b".git")
    assert (tmp_path / "d/.git/config").read_text() == "mine"


def test_none_comes_into_another_one(tmp_path: Path) -> None:
    found = unpacked(tmp_path, REPOSITORY, takes_git=False)
    there = {path.relative_to(tmp_path / "d").as_posix() for path in (tmp_path / "d").rglob("*")}
    assert there == {"sub", "sub/.gitignore", "last"}
    count, _ = found.remarks["git repositories are not copied into another one"]
    assert count == 3
    assert found.files == 2


def test_one_is_copied_where_there_is_none(tmp_path: Path) -> None:
    unpacked(tmp_path, REPOSITORY)
    assert (tmp_path / "d/.git/config").read_bytes() == EVIL


def test_git_does_not_see_a_copy_that_runs(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    with Folder(tmp_path) as folder, Staging(folder) as staging:
        again = tars.entry(b"d/.gitignore", data=b"!*\n") + tars.entry(b"d/secret", data=b"x")
        Unpacking(staging).run(Bytes(tars.TOP + again + tars.END))
        assert (tmp_path / staging.name.decode() / "0/secret").exists()
        subprocess.run(["git", "add", "-A"], cwd=tmp_path, check=True)
        added = subprocess.check_output(["git", "ls-files"], cwd=tmp_path, text=True)
    assert added == ""
    assert [path.name for path in tmp_path.iterdir()] == [".git"]


def test_many_copies_into_one_folder(tmp_path: Path) -> None:
    """Each clears away what a killed one left; none takes another's for that."""

    def copy(number: int) -> None:
        for turn in range(60):
            name = b"%d" % (number * 1000 + turn)
            unpacked(tmp_path, tars.entry(b"d/f", data=name), name=name)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(copy, range(8)))
    made = {path.name: (path / "f").read_text() for path in tmp_path.iterdir()}
    assert len(made) == 8 * 60
    assert all(name == text for name, text in made.items())


def test_names_of_folders_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One entry names its folders, too: some bytes of a tar would become many of ours."""
    monkeypatch.setattr(unpack, "MAX_FOLDER_NAMES_BYTES", 1 << 20)
    deep = b"/".join(b"%d-" + b"x" * 10 for _ in range(200))
    tar = b"".join(
        tars.pax({b"path": b"d/%d/" % number + deep.replace(b"%d", b"%d" % number)})
        + tars.entry(b"d/x")
        for number in range(20)
    )
    with pytest.raises(RumpelError, match="more folders than can be remembered"):
        unpacked(tmp_path, tar)
    assert list(tmp_path.iterdir()) == []
