"""Node, for agents that are written in JavaScript: an image needs none for them."""

from __future__ import annotations

from rumpel.agents.model import Platform, Runtime
from rumpel.errors import ConfigError


def _package(platform: Platform) -> str:
    if platform.is_musl:
        raise ConfigError(
            "this agent runs on Node, which npm has for glibc only; the image of this pod has musl",
            hint="take an image with glibc, such as one of Debian",
        )
    return f"node-linux-{platform.arch}"


NODE = Runtime(name="node", version="24.21.0", package=_package, program="bin/node")
"""One version for all: what agents ask for is an older one or this."""
