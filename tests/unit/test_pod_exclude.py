"""Lines for git's `info/exclude` of a pod: added once, whatever the names and the list are."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from rumpel.adapters import pod_exclude

ODD = ("a b", "a\nb", "c\r", " x ", "[a]*", "\\", "!a", "#a", os.fsdecode(b"\xff"), "sub/ü")


def told(repo: Path, names: tuple[str, ...]) -> None:
    lines = os.fsencode(pod_exclude.lines(names))
    subprocess.run(["sh", "-c", pod_exclude.IGNORE], input=lines, cwd=repo, check=True)


@pytest.mark.parametrize("before", [None, b"", b"\n", b"*.o", b"# x\n\n*.o\n"])
def test_each_name_is_ignored_and_none_twice(tmp_path: Path, before: bytes | None) -> None:
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    shutil.rmtree(tmp_path / ".git/info", ignore_errors=True)
    listed = tmp_path / ".git/info/exclude"
    if before is not None:
        listed.parent.mkdir()
        listed.write_bytes(before)
    (tmp_path / "sub").mkdir()
    for name in (*ODD, "other"):
        (tmp_path / name).write_text("x")
    told(tmp_path, ODD[:3])
    told(tmp_path, ODD)
    found = listed.read_bytes()
    told(tmp_path, ODD)
    assert listed.read_bytes() == found
    assert found.startswith(before or b"")
    status = ["git", "status", "--porcelain", "-uall"]
    done = subprocess.run(status, cwd=tmp_path, capture_output=True, check=True)
    assert done.stdout == b"?? other\n"
