"""devcontainer.json files written by hand, and what the reference CLI reads in them.

Each has one trait that real files have, and stands in one line, byte for byte. `expected` is what
`devcontainer read-configuration` 0.89.0 prints; `refused` where rumpel reports a mistake that the
reference passes over (it has no syntax errors at all), with the position and the reason.

    python -m tests.support.reference      writes `expected` anew, with the `devcontainer` on PATH
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

DATA = Path(__file__).resolve().parents[1] / "data" / "devcontainers.jsonl"
ROOT = "/srv/demo"
ENV = {"HOME": "/home/u", "USER": "u", "SHELL": "/bin/bash", "EMPTY": "", "URL": "http://a:1/b//c"}
LATIN = "latin-1"
"""Every byte is a character of it: what is no UTF-8 can be written, too."""


@dataclass(frozen=True)
class Case:
    name: str
    content: str
    """In latin-1."""
    expected: dict[str, Any] | None = None
    """None: the reference refuses it, too."""
    refused: str | None = None
    place: str = ".devcontainer/devcontainer.json"

    @property
    def source(self) -> bytes:
        return self.content.encode(LATIN)


def cases() -> list[Case]:
    return [Case(**json.loads(line)) for line in DATA.read_text().splitlines()]


def ask(case: Case) -> dict[str, Any] | None:
    """What the reference CLI reads; None for an error."""
    program = shutil.which("devcontainer")
    assert program is not None
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder).resolve() / "demo"
        (root / case.place).parent.mkdir(parents=True, exist_ok=True)
        (root / case.place).write_bytes(case.source)
        more = [] if case.place.count("/") < 2 else ["--config", str(root / case.place)]
        done = subprocess.run(
            [program, "read-configuration", "--workspace-folder", str(root), *more],
            env={**ENV, "PATH": "/usr/local/bin:/usr/bin:/bin"},
            capture_output=True,
            check=False,
        )
        if done.returncode:
            return None
        found = json.loads(done.stdout.decode().replace(str(root), ROOT))
    found["configuration"].pop("configFilePath", None)
    folder = found["workspace"]["workspaceFolder"]
    return {"configuration": found["configuration"], "workspaceFolder": folder}


def same(one: Any, other: Any) -> bool:
    """Equal as JSON: `true` is no 1."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)


def write(found: list[Case]) -> None:
    usual = {"expected": None, "refused": None, "place": Case.place}
    rows = ({k: v for k, v in asdict(one).items() if v != usual.get(k, ...)} for one in found)
    DATA.write_text("".join(f"{json.dumps(row)}\n" for row in rows))


if __name__ == "__main__":
    write([replace(case, expected=ask(case)) for case in cases()])
