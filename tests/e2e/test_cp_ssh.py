"""`rumpel cp` to and from pods on a remote host."""

from __future__ import annotations

import os
import subprocess

import pytest

from tests.support.project import ProjectFactory
from tests.support.sshd import Sshd

pytestmark = [pytest.mark.slow]


@pytest.mark.parametrize("way", ["plain", "strict"])
def test_files_are_copied_both_ways(rumpel_project: ProjectFactory, sshd: Sshd, way: str) -> None:
    project = rumpel_project({f"tree/{n // 50}/{n}": f"{n}\n" * 99 for n in range(300)})
    project.run("create", "a", "--host", f"ssh://{way}").assert_ok()
    large = os.urandom(20_000_000)
    (project.root / "tree/large").write_bytes(large)
    project.run("cp", "tree", "a:copy").assert_ok()
    project.run("cp", "a:copy", "back").assert_ok()
    diff = ["diff", "-r", str(project.root / "tree"), str(project.root / "back")]
    assert subprocess.run(diff, capture_output=True, check=False).stdout == b""
    process = project.start("cp", "a:/dev/zero", "zero", "-L")
    assert process.wait(timeout=30) == 4  # a device: refused at once
    project.run("stop", "a").assert_ok()
    project.run("cp", "a:copy/large", "again").assert_ok()
    assert (project.root / "again").read_bytes() == large
