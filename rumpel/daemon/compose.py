"""What compose makes of its files, asked once for the same files and variables."""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Any

from rumpel.adapters import compose as program
from rumpel.devcontainer import compose_sources, compose_yaml
from rumpel.devcontainer.compose import Composer
from rumpel.devcontainer.compose_sources import Sources

MOST = 50
_known: OrderedDict[str, dict[str, Any]] = OrderedDict()
"""In memory only: there are values of the caller's environment in it."""


def composer(granted: Iterable[str]) -> Composer:
    return Composer(granted=frozenset(granted), canonical=canonical)


def canonical(sources: Sources, env: Mapping[str, str]) -> dict[str, Any]:
    """Blocking. A program's start is most of what a create would wait for."""
    said = [
        sources.folder,
        sources.documents,
        sources.extended,
        sorted(sources.files.items()),
        sorted(env.items()),
        program.find().argv,
    ]
    key = hashlib.blake2b(json.dumps(said).encode(), digest_size=16).hexdigest()
    found = _known.pop(key, None)
    if found is None:
        found = program.config(
            list(zip(sources.shown, sources.documents, strict=True)),
            list(zip(sources.shown_extended, sources.extended, strict=True)),
            folder=sources.folder,
            env=env,
            copy_mark=compose_sources.COPY,
            load=compose_yaml.load,
        )
    _known[key] = found
    while len(_known) > MOST:
        _known.popitem(last=False)
    return found
