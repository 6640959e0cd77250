"""ninja over the shape of our graphs: a whole process that finds nothing to do."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path


@contextlib.contextmanager
def no_op(edges: Mapping[str, tuple[str, ...]]) -> Iterator[Callable[[], float] | None]:
    """Seconds of one run; None without ninja. Every target is a file newer than its needs."""
    program = shutil.which("ninja")
    if program is None:
        yield None
        return
    with tempfile.TemporaryDirectory() as folder:
        lines = ["rule touch", "  command = touch $out"]
        lines += [f"build {name}: touch {' '.join(needs)}" for name, needs in edges.items()]
        (Path(folder) / "build.ninja").write_text("\n".join(lines) + "\n")
        command = [program, "-C", folder, "--quiet"]
        subprocess.run(command, check=True, capture_output=True)
        yield lambda: _timed(command)


def _timed(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - start
