"""devcontainer.json with its features, blocking. Imported when the first one is read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rumpel import paths
from rumpel.daemon import features
from rumpel.devcontainer import config

if TYPE_CHECKING:
    from rumpel.devcontainer.feature_order import Fetch


def load(root: str, *, is_newer: bool, has_features: bool, **more: Any) -> config.DevConfig:
    """As `config.load`. `is_newer`: what the tags of features stand for is asked again."""

    def fetcher(source: str) -> Fetch:
        return features.fetcher(Path(paths.cache_dir()), root, source, is_newer=is_newer)

    return config.load(root, fetcher=fetcher if has_features else None, **more)
