"""ninja over the shape of our graphs: a whole process that finds nothing to do."""

from __future__ import annotations

import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path


def no_op_s(edges: Mapping[str, tuple[str, ...]], rounds: int = 7) -> float | None:
    """Median seconds; None without ninja. Every target is a file that is newer than its needs."""
    program = shutil.which("ninja")
    if program is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        lines = ["rule touch", "  command = touch $out"]
        lines += [f"build {name}: touch {' '.join(needs)}" for name, needs in edges.items()]
        (Path(folder) / "build.ninja").write_text("\n".join(lines) + "\n")
        command = [program, "-C", folder, "--quiet"]
        subprocess.run(command, check=True, capture_output=True)
        return statistics.median(_timed(command) for _ in range(rounds))


def _timed(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - start
