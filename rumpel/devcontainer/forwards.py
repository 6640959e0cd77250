"""forwardPorts with portsAttributes: which ports of a pod appear on this machine, and how.

A port in forwardPorts is always forwarded, as the specification says; `onAutoForward` decides
only whether that is announced. A key of portsAttributes that is a regular expression is about
the command lines of processes, so it concerns no port that is named by its number.
"""

from __future__ import annotations

import re

from rumpel.devcontainer.positions import FieldError, Path
from rumpel.devcontainer.schema import DevContainer, PortAttributes
from rumpel.model import LOCALHOST, PortSpec

MAX_PORT = 65_535
MAX_LABEL = 200
HERE = frozenset({LOCALHOST, "127.0.0.1", "0.0.0.0", "[::1]", "[::]"})  # noqa: S104 - not bound
HOST = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,252}")
PROTOCOLS = ("http", "https")
QUIET = ("ignore", "silent")

NO_ATTRIBUTES = PortAttributes()


def ports(typed: DevContainer) -> tuple[PortSpec, ...]:
    """Each once, in the order of the file. Raises: FieldError."""
    found: dict[str, PortSpec] = {}
    for index, value in enumerate(typed.forward_ports):
        host, port = address(value, ("forwardPorts", index))
        spec = _spec(host, port, _attributes(typed, host, port))
        found.setdefault(spec.key, spec)
    return tuple(found.values())


def address(value: int | str, path: Path) -> tuple[str, int]:
    """Host and port of `3000`, `"3000"` or `"db:5432"`. Raises: FieldError."""
    host, _, number = str(value).rpartition(":")
    host = LOCALHOST if not host or host in HERE else host
    is_port = number.isdecimal() and number.isascii() and 1 <= int(number[:6]) <= MAX_PORT
    if not is_port or not HOST.fullmatch(host):
        raise FieldError(path, f'{value!r} is not a port such as 3000 or "db:5432"')
    return host, int(number)


def keys_used(typed: DevContainer) -> set[str]:
    """Those of portsAttributes that are about a port in forwardPorts."""
    addresses = (address(value, ()) for value in typed.forward_ports)
    return {key for host, port in addresses if (key := _key(typed, host, port)) is not None}


def _attributes(typed: DevContainer, host: str, port: int) -> PortAttributes:
    key = _key(typed, host, port)
    found = typed.other_ports_attributes if key is None else typed.ports_attributes[key]
    return found or NO_ATTRIBUTES


def _key(typed: DevContainer, host: str, port: int) -> str | None:
    return next((key for key in typed.ports_attributes if _is_about(key, host, port)), None)


def _is_about(key: str, host: str, port: int) -> bool:
    first, dash, last = key.partition("-")
    if dash and first.strip().isdecimal() and last.strip().isdecimal():
        return host == LOCALHOST and int(first) <= port <= int(last)
    try:
        return address(key, ()) == (host, port)
    except FieldError:
        return False


def _spec(host: str, port: int, attributes: PortAttributes) -> PortSpec:
    return PortSpec(
        port=port,
        host=host,
        local=port if attributes.require_local_port else None,
        may_be_low=bool(attributes.elevate_if_needed),
        label=attributes.label and attributes.label[:MAX_LABEL],
        protocol=attributes.protocol if attributes.protocol in PROTOCOLS else None,
        is_announced=attributes.on_auto_forward not in QUIET,
    )
