"""pod_receive.sh in local shells: what it moves is what came, and all of it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from rumpel.resources import resource_text
from tests.adapters.pod.support import SHELLS
from tests.support import tars

MARK = "0123456789abcdef"
BOX = "c0ffee"
TAR = (
    tars.folder(b"0/")
    + b"".join(tars.entry(b"0/" + name, data=name) for name in (b"a", b"b", b"c"))
    + tars.entry(MARK.encode())
    + tars.END
)
ADD = "1"


def receive(
    shell: str, target: Path, add: str = "", env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[bytes]:
    words = [f"{target}/.", "content", "", MARK, "", add, "", BOX]
    argv = [*SHELLS[shell], "-c", resource_text("pod_receive.sh"), "rumpel-cp", *words]
    env = {**os.environ, **(env or {})}
    return subprocess.run(argv, cwd="/", input=TAR, capture_output=True, check=False, env=env)


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
