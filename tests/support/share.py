"""A share of many cases that cost much: all of them in a long run, else some.

Others for each commit, so that all are seen in time; the same in all workers and when a commit is
run again.
"""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
from collections.abc import Iterable
from pathlib import Path

IS_LONG = bool(os.environ.get("RUMPEL_LONG"))
"""Read when imported: no test sees the caller's variables."""


def _commit() -> str:
    argv = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    return subprocess.run(argv, capture_output=True, text=True, check=False).stdout.strip()


COMMIT = _commit()


def is_due(name: str, count: int) -> bool:
    """Is a test one of this commit's? Each is for one commit in `count`."""
    digest = hashlib.blake2b(f"{COMMIT} {name}".encode(), digest_size=8).digest()
    return IS_LONG or int.from_bytes(digest) % count == 0


def share(cases: Iterable[str], count: int) -> list[str]:
    """In their order."""
    every = list(cases)
    if IS_LONG:
        return every
    chosen = set(random.Random(COMMIT).sample(every, count))
    return [case for case in every if case in chosen]
