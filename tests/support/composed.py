"""Compose projects of tests that need no program: files in its canonical form."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rumpel.devcontainer import config
from rumpel.devcontainer.compose import Composer
from rumpel.devcontainer.compose_sources import Sources
from rumpel.devcontainer.config import DevConfig
from rumpel.devcontainer.document import Caller

SOURCE = ".devcontainer/devcontainer.json"


def as_written(sources: Sources, env: Mapping[str, str]) -> dict[str, Any]:
    """In place of the program: for files that are in its canonical form already."""
    (document,) = sources.documents
    text = json.dumps(document)
    for name, value in {**sources.dotenv, **env}.items():
        text = text.replace(f"${{{name}}}", value)
    found: dict[str, Any] = json.loads(text)
    return found


def read(
    caller: Caller,
    services: dict[str, Any],
    *granted: str,
    about: Mapping[str, Any] | None = None,
    **top: Any,
) -> DevConfig:
    path = Path(caller.root, ".devcontainer/c.json")
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"services": services, **top}))
    file = {"dockerComposeFile": "c.json", "service": "app", **(about or {})}
    composer = Composer(granted=frozenset(granted), canonical=as_written)
    return config.parse(json.dumps(file), SOURCE, caller, composer=composer)


def app(**more: Any) -> dict[str, Any]:
    return {"image": "i", "command": "sleep infinity", **more}
