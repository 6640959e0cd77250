"""devcontainer.json with its features, blocking. Imported when the first one is read."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rumpel import paths
from rumpel.daemon import compose, features
from rumpel.devcontainer import config

if TYPE_CHECKING:
    from rumpel.devcontainer.feature_order import Fetch


def load(
    root: str, *, is_newer: bool, is_whole: bool, granted: Iterable[str], **more: Any
) -> config.DevConfig:
    """As `config.load`. `is_newer`: what the tags of features stand for is asked again.

    `granted`: keys of effects that were agreed to.
    """

    def fetcher(source: str) -> Fetch:
        return features.fetcher(Path(paths.cache_dir()), root, source, is_newer=is_newer)

    if not is_whole:
        return config.load(root, **more)
    return config.load(root, fetcher=fetcher, composer=compose.composer(granted), **more)
