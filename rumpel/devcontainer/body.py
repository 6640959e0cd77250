"""The Engine API's create body while the options of runArgs are added to it."""

from __future__ import annotations

import errno
import os
import posixpath
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path as HostPath
from typing import Any

from rumpel.devcontainer import networks
from rumpel.devcontainer.mounts import Mount
from rumpel.devcontainer.options import Option
from rumpel.devcontainer.positions import FieldError, Path

MAX_FILE_BYTES = 1 << 20

FileReader = Callable[[str], str]
"""Text of a host file by absolute path; raises OSError or UnicodeError."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostSide:
    """What options may refer to on the side of the caller."""

    root: str
    """Relative paths start here."""
    local_env: Mapping[str, str]
    read_file: FileReader


@dataclass(slots=True)
class Body:
    """The create body while options are added to it."""

    side: HostSide
    config: dict[str, Any] = field(default_factory=dict)
    host: dict[str, Any] = field(default_factory=dict)
    network: networks.Network = field(default_factory=networks.Network)
    platform: str | None = None
    mounts: list[tuple[Path, Mount]] = field(default_factory=list)
    binds: list[tuple[Path, str]] = field(default_factory=list)
    env_files: dict[str, str | None] = field(default_factory=dict)
    env: dict[str, str | None] = field(default_factory=dict)
    host_files: list[tuple[str, str]] = field(default_factory=list)
    host_env: list[str] = field(default_factory=list)

    def read(self, option: Option, name: str) -> str:
        """Text of a host file that an option names."""
        path = self.absolute(name)
        self.host_files.append((option.name, path))
        try:
            return self.side.read_file(path)
        except (OSError, UnicodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
            raise FieldError(option.path, f"--{option.name} {name}: {reason}") from error

    def absolute(self, name: str) -> str:
        return posixpath.normpath(posixpath.join(self.side.root, name))


def side_file(path: str) -> str:
    """Text of a host file; a pipe or device cannot hold the daemon up."""
    if not stat.S_ISREG(HostPath(path).stat().st_mode):  # opening a device may already do something
        raise OSError(errno.EINVAL, "it is not a regular file")
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        content = file.read(MAX_FILE_BYTES + 1)
    if len(content) > MAX_FILE_BYTES:
        raise OSError(errno.EFBIG, f"it is larger than {MAX_FILE_BYTES >> 10} KiB")
    return content.decode()


def variables(text: str, env: Mapping[str, str], path: Path) -> dict[str, tuple[str, str | None]]:
    """An env file, as docker reads it: NAME=value verbatim, NAME alone = from the caller.

    Returns name -> (`file` or `caller`, value).
    """
    found: dict[str, tuple[str, str | None]] = {}
    for number, raw in enumerate(text.removeprefix("\ufeff").split("\n"), 1):
        line = raw.removesuffix("\r").lstrip(" \t")
        if not line or line.startswith("#"):
            continue
        name, equals, value = line.partition("=")
        if not name or any(char.isspace() for char in name):
            raise FieldError(path, f"line {number} of the file has no variable name: {name!r}")
        if equals:
            found[name] = ("file", value)
        elif name in env:
            found[name] = ("caller", env[name])
    return found
