"""What tests of the built-in agent have in common: models on loopback, a folder as its pod."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from rumpel.builtin.model import Ran
from tests.support.fake_models import Models, models


class Folder:
    """A pod that is a folder of this machine: tools run in real shells there."""

    def __init__(self, path: Path) -> None:
        self.workspace = str(path)
        self.path = path
        self.stops_at: str | None = None
        """The person presses Ctrl-C when this command is run."""

    def run(self, argv: Sequence[str], *, input: bytes | None, timeout_s: float, keep: int) -> Ran:
        if self.stops_at is not None and argv[-1] == self.stops_at:
            raise KeyboardInterrupt
        try:
            done = subprocess.run(
                list(argv),
                cwd=self.path,
                input=b"" if input is None else input,
                capture_output=True,
                timeout=timeout_s,
                check=False,
            )
        except subprocess.TimeoutExpired as late:
            return Ran(code=None, out=late.stdout or b"", err=late.stderr or b"")
        left_out = max(len(done.stdout) - keep, 0)
        return Ran(code=done.returncode, out=done.stdout[:keep], err=done.stderr, left_out=left_out)


@pytest.fixture
def pod(tmp_path: Path) -> Folder:
    workspace = tmp_path / "work space"
    workspace.mkdir()
    return Folder(workspace)


@pytest.fixture
def server() -> Iterator[Models]:
    with models() as found:
        yield found
