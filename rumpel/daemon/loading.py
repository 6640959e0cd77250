"""The daemon's modules come from the files that were there when it started, or not at all.

Verbs are loaded when they are first asked for, so that a start does not pay for all of them. That
may be days later, and an upgrade may have replaced the package meanwhile: a daemon that is half of
each version is worse than an old one. So every file of ours is noted at the start and compared
when it is loaded. A file that is another one by then ends the daemon as a client of another
version would: it is outdated, and replaced when it is idle.

Loading the rest as soon as the daemon has nothing to do was decided against: it takes the same
CPU a moment later, and needs the same comparison until then.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import os
import sys
from importlib.machinery import ModuleSpec, SourceFileLoader
from types import CodeType
from typing import Any, NamedTuple

import rumpel
from rumpel.errors import Conflict

PACKAGE = "rumpel"


class Replaced(Conflict):
    """A file of rumpel is not the one this daemon was started with."""

    code = "daemon-outdated"


class Noted(NamedTuple):
    path: str
    stamp: tuple[int, int, int]

    def check(self) -> None:
        """Raises Replaced."""
        try:
            is_same = _stamp(os.stat(self.path)) == self.stamp  # noqa: PTH116 - 230 at a start
        except OSError:
            is_same = False
        if not is_same:
            raise replaced()


class Finder:
    """Finds modules of ours where they were; asked before Python's own finders."""

    def __init__(self) -> None:
        self._files = _files(os.path.dirname(rumpel.__file__))  # noqa: PTH120 - as above

    def find_spec(self, name: str, _path: object, _target: object = None) -> ModuleSpec | None:
        if not name.startswith(f"{PACKAGE}."):
            return None
        noted = self._files.get(name)
        if noted is None:  # of another version; we only import what we have
            raise replaced()
        return importlib.util.spec_from_file_location(name, noted.path, loader=_Loader(name, noted))


class _Loader(SourceFileLoader):
    def __init__(self, name: str, noted: Noted) -> None:
        super().__init__(name, noted.path)
        self._noted = noted

    def get_code(self, fullname: str) -> CodeType | None:
        self._noted.check()
        code = super().get_code(fullname)
        self._noted.check()  # again: between the two it was read
        return code


def keep() -> None:
    """From now on. To be called before the daemon's parts are imported."""
    if os.path.isfile(rumpel.__file__) and rumpel.__file__.endswith(".py"):  # noqa: PTH113 - as above
        sys.meta_path.insert(0, Finder())


def function(where: str) -> Any:
    """`module:name` of this package, loaded if need be. Raises Replaced."""
    module, _, name = where.partition(":")
    return getattr(importlib.import_module(f"{__package__}.{module}"), name)


def replaced() -> Replaced:
    return Replaced(
        "rumpel was upgraded or changed since its daemon was started",
        hint="rumpel daemon restart",
    )


def _files(root: str) -> dict[str, Noted]:
    found: dict[str, Noted] = {}
    _note(root, PACKAGE, found)
    return found


def _note(folder: str, package: str, found: dict[str, Noted]) -> None:
    with os.scandir(folder) as entries:
        for entry in entries:
            name, is_python = entry.name.removesuffix(".py"), entry.name.endswith(".py")
            if not name.isidentifier():  # an editor's `.#graph.py` is a link to nowhere
                continue
            if is_python:
                module = package if name == "__init__" else f"{package}.{name}"
                with contextlib.suppress(OSError):  # went meanwhile
                    found[module] = Noted(entry.path, _stamp(entry.stat()))
            elif name != "__pycache__" and entry.is_dir():
                with contextlib.suppress(OSError):
                    _note(entry.path, f"{package}.{name}", found)


def _stamp(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_mtime_ns, status.st_size, status.st_ino
