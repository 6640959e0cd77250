"""What a user installs is complete: every module, the scripts for pods, and nothing else."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.unit.test_project import CODE_FOLDERS, LINKED, ROOT, modules

BUILD = """
import sys
from setuptools import build_meta
source, target = sys.argv[1:]
print(build_meta.build_sdist(target) if source == "sdist" else build_meta.build_wheel(target))
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """An sdist of the tree, and the wheel made from that sdist alone."""
    work = tmp_path_factory.mktemp("build")
    tree = work / "tree"
    tree.mkdir()
    for name in ("pyproject.toml", "LICENSE", "README.md"):
        if (ROOT / name).exists():
            shutil.copy(ROOT / name, tree)
    ignored = shutil.ignore_patterns("__pycache__")
    for name in CODE_FOLDERS:
        shutil.copytree(ROOT / name, tree / name, symlinks=True, ignore=ignored)
    sdist = build("sdist", tree, work)
    # Debian 12's Python 3.11.2 does not know the filter yet; what we just made is harmless.
    options: Any = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
    with tarfile.open(sdist) as archive:
        archive.extractall(work / "unpacked", **options)
    [unpacked] = (work / "unpacked").iterdir()
    return sdist, build("wheel", unpacked, work)


def build(what: str, source: Path, target: Path) -> Path:
    done = subprocess.run(
        [sys.executable, "-c", BUILD, what, str(target)],
        cwd=source,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return target / done.stdout.splitlines()[-1]


def test_the_wheel_has_every_module(built: tuple[Path, Path]) -> None:
    expected = {str(path.relative_to(ROOT)) for path in modules("rumpel")}
    expected |= {f"rumpel/{path.relative_to(ROOT)}" for path in modules(*LINKED)}
    expected |= {f"rumpel/resources/{path.name}" for path in (ROOT / "rumpel/resources").iterdir()}
    expected.add("rumpel/py.typed")
    with zipfile.ZipFile(built[1]) as wheel:
        files = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert files == {name for name in expected if "__pycache__" not in name}


def test_the_wheel_is_for_every_platform(built: tuple[Path, Path]) -> None:
    assert built[1].name.endswith("-py3-none-any.whl")


def test_the_sdist_shows_the_four_folders(built: tuple[Path, Path]) -> None:
    with tarfile.open(built[0]) as archive:
        names = [member.name.split("/", 2)[1:] for member in archive.getmembers()]
    assert {parts[0] for parts in names if len(parts) > 1} >= set(CODE_FOLDERS)
