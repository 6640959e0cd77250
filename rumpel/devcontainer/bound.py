"""Where bind mounts and devices lead: a person agrees to a place, the engine is given a path.

It follows the links in that path at each start. So who agreed is asked again when one of them has
been turned: a repository may hold it, and what is merged into that comes from pods.
"""

from __future__ import annotations

import hashlib
import os
import posixpath
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

DEVICES = "/dev/"
"""Links in there are the machine's: it turns them when something is plugged in."""


def device(driver: Mapping[str, Any]) -> str:
    """The folder that a volume's driver mounts as it is, whatever its type says; else nothing."""
    options = {name: str(value) for name, value in (driver.get("Options") or {}).items()}
    given, words = options.get("device", ""), {*options.get("o", "").split(",")}
    is_bind = bool(words & {"bind", "rbind"}) or options.get("type", "") in ("", "none")
    is_local = (driver.get("Name") or "local") == "local"
    return posixpath.join("/", given) if is_local and given and is_bind else ""


def led(host: Mapping[str, Any], mounts: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """Digests of those that have a link in them, each with where it leads. Blocking."""
    found = {_digest(source, real) for source, real in _turned(host, mounts)}
    return tuple(sorted(found))


def astray(
    host: Mapping[str, Any], known: Collection[str], mounts: Iterable[Mapping[str, Any]] = ()
) -> str:
    """One that leads elsewhere than when it was agreed to, if any. Blocking.

    `host`: of a container, or of what one is made of, with its `mounts`.
    """
    turned = _turned(host, mounts)
    return next((path for path, real in turned if _digest(path, real) not in known), "")


def _turned(
    host: Mapping[str, Any], mounts: Iterable[Mapping[str, Any]]
) -> Iterator[tuple[str, str]]:
    for source in _sources(host, mounts):
        clean = posixpath.normpath(source)  # as the engine does before it follows links
        if (real := os.path.realpath(clean)) != clean:
            yield clean, real


def _sources(host: Mapping[str, Any], mounts: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    for bind in host.get("Binds") or ():
        yield from (path for path in (bind.partition(":")[0],) if path.startswith("/"))
    for mount in (*mounts, *(host.get("Mounts") or ())):
        if mount["Type"] == "bind":
            yield str(mount.get("Source"))
        elif folder := device((mount.get("VolumeOptions") or {}).get("DriverConfig") or {}):
            yield folder
    for one in host.get("Devices") or ():
        yield from (path for path in (one["PathOnHost"],) if not path.startswith(DEVICES))


def _digest(source: str, real: str) -> str:
    """They may be private, and are kept with the pod."""
    return hashlib.blake2b(f"{source}\0{real}".encode(), digest_size=16).hexdigest()
