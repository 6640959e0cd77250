"""One configuration that does something to the host, and the repository in which it is tried."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.engine import MINI_IMAGE

NOTHING = hashlib.sha256().hexdigest()
"""Of a command that names no script of the repository."""
CANARY = "canary-of-the-host-5d1c"
Fields = Mapping[str, Any]
Files = Mapping[str, str]
"""Path in the repository -> content, or where a link leads: `-> target`."""


@dataclass(frozen=True, kw_only=True)
class Case:
    fields: Fields
    keys: tuple[str, ...]
    """Of all effects."""
    said: str
    """What the refusal has of them."""
    other: Fields
    """The same with one thing changed."""
    more: tuple[str, ...]
    """What is asked for then, when `keys` were agreed to."""
    files: Files = field(default_factory=dict)
    other_files: Files = field(default_factory=dict)
    can_run: bool = True
    """Here, once agreed to: the engine has what is asked for."""


@dataclass(frozen=True)
class World:
    """A repository and what lies beside it."""

    root: Path
    out: Path

    @property
    def env(self) -> dict[str, str]:
        return {
            "HOME": f"{self.out}/home",
            "USER": "me",
            "TOKEN": CANARY,
            "OTHER": f"other-{CANARY}",
        }

    def prepare(self) -> None:
        for name in ("home/.ssh", "data", "more"):
            (self.out / name).mkdir(parents=True, exist_ok=True)
        for name in ("docker.sock", "podman.sock", "a.list", "b.list"):
            (self.out / name).write_text("A=from the host\n")

    def filled(self, value: Any) -> Any:
        text = json.dumps(value)
        return json.loads(text.replace("{root}", str(self.root)).replace("{out}", str(self.out)))

    def put(self, fields: Fields, files: Files) -> None:
        folder = self.root / ".devcontainer"
        if folder.exists():
            shutil.rmtree(folder)
        base = {} if {"build", "image"} & fields.keys() else {"image": MINI_IMAGE}
        config = json.dumps({**base, **self.filled(fields)})
        usual = {"Dockerfile": f"FROM {MINI_IMAGE}\n", "devcontainer.json": config}
        for name, content in {**usual, **self.filled(files)}.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if content.startswith("-> "):
                path.symlink_to(content.removeprefix("-> "))
            else:
                path.write_text(content)


def mount(*texts: str) -> Fields:
    return {"mounts": list(texts)}


def words(*texts: str) -> Fields:
    return {"runArgs": list(texts)}


def volume(**options: str) -> Fields:
    return mount(f"target=/c,{','.join(f'volume-opt={k}={v}' for k, v in options.items())}")


def commands(*names: str) -> tuple[str, ...]:
    return tuple(f"command:{name} {NOTHING}" for name in names)


def feature(**about: Any) -> Files:
    described = json.dumps({"id": "x", "version": "1.0.0", **about})
    return {"x/devcontainer-feature.json": described, "x/install.sh": "#!/bin/sh\n"}
