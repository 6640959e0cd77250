"""forwardPorts and appPort with portsAttributes: which ports of a pod appear here, and how.

A port in forwardPorts is always forwarded, as the specification says; `onAutoForward` decides
only whether that is announced. A key of portsAttributes that is a regular expression is about
the command lines of processes, so it concerns no port that is named by its number.

appPort would publish a port, for one container of the machine; here it is forwarded like the
others, so each pod has it: the first one at the port that is written.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import islice
from typing import Any

from rumpel import text
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
PUBLISHED = re.compile(
    r"(?:(?:[0-9.]*|\[[0-9a-fA-F:]*\]):)??(?:(?P<local>\d{0,5})(?:-(?P<local_last>\d{1,5}))?:)?"
    r"(?P<first>\d{1,5})(?:-(?P<last>\d{1,5}))?(?:/(?P<protocol>tcp|udp|sctp))?"
)
MOST_OF_A_RANGE = 100
MOST = 200
"""Of a pod: each is a listening socket of the daemon, and an image's label may name them."""


def ports(typed: DevContainer) -> tuple[PortSpec, ...]:
    """Each once, in the order of the file. Raises: FieldError."""
    found: dict[str, PortSpec] = {}
    for host, port, wish in _wanted(typed):
        spec = replace(_spec(host, port, _attributes(typed, host, port)), wish=wish)
        found.setdefault(spec.key, spec)
    return bounded(found.values(), ("forwardPorts",))


def bounded(ports: Iterable[PortSpec], path: Path) -> tuple[PortSpec, ...]:
    """Raises FieldError when there are too many."""
    found = tuple(islice(ports, MOST + 1))
    if len(found) > MOST:
        raise FieldError(path, f"more than {MOST} ports cannot be forwarded to one pod")
    return found


def nobodys(
    ports: Iterable[PortSpec], service: str, bodies: Mapping[str, Mapping[str, Any]]
) -> list[str]:
    """What is wrong with hosts of ports that are no service of the project, nor a full name.

    `service`: which one the pod is. `bodies`: of the others, as compose takes them.
    """
    every = {service: (), **{name: _aliases(body) for name, body in bodies.items()}}
    known = {LOCALHOST, *every, *(alias for found in every.values() for alias in found)}
    told = []
    for host in dict.fromkeys(one.host for one in ports):
        if host not in known and "." not in host:
            close = text.suggestion(host, every)
            guess = f", did you mean {close}?" if close else f", there are: {', '.join(every)}"
            told.append(f"{host} is no service of the compose project{guess}")
    return told


def _aliases(body: Mapping[str, Any]) -> tuple[str, ...]:
    networks = body.get("networks")
    given = networks.values() if isinstance(networks, dict) else ()
    found = [alias for one in given if isinstance(one, dict) for alias in one.get("aliases") or ()]
    return (*found, *(str(body[key]) for key in ("hostname", "container_name") if key in body))


def _wanted(typed: DevContainer) -> Iterator[tuple[str, int, int | None]]:
    """Host and port as the pod sees them, and the local port that is tried first."""
    for index, value in enumerate(typed.app_port):
        for port, wish in published(value, ("appPort", index)):
            yield LOCALHOST, port, wish
    for index, value in enumerate(typed.forward_ports):
        yield *address(value, ("forwardPorts", index)), None


def published(value: int | str, path: Path) -> tuple[tuple[int, int | None], ...]:
    """Ports of the pod and here, of `3000`, or as `docker run --publish` has it: `8080:80`,
    `127.0.0.1:8080:80/tcp`, `3000-3005`. Of other protocols than TCP none. Raises: FieldError.
    """
    match = PUBLISHED.fullmatch(str(value).strip())
    if match is None:
        raise FieldError(path, f'{value!r} is not a port such as 3000 or "8080:80"')
    inside = _range(match["first"], match["last"])
    here = _range(match["local"], match["local_last"]) if match["local"] else (None,) * len(inside)
    if not inside or len(here) != len(inside):
        raise FieldError(path, f"{value!r} is not a range of ports, or not two of one length")
    if match["protocol"] not in (None, "tcp"):
        return ()
    return tuple(zip(inside, here, strict=True))


def _range(first: str, last: str | None) -> tuple[int, ...]:
    """Empty for what is none."""
    found = range(int(first), int(last or first) + 1)
    is_right = 1 <= found.start < found.stop <= MAX_PORT + 1 and len(found) <= MOST_OF_A_RANGE
    return tuple(found) if is_right else ()


def address(value: int | str, path: Path) -> tuple[str, int]:
    """Host and port of `3000`, `"3000"` or `"db:5432"`. Raises: FieldError."""
    host, _, number = str(value).rpartition(":")
    host = LOCALHOST if not host or host in HERE else host
    is_port = number.isdecimal() and number.isascii() and 1 <= int(number[:6]) <= MAX_PORT
    if not is_port or not HOST.fullmatch(host):
        raise FieldError(path, f'{value!r} is not a port such as 3000 or "db:5432"')
    return host, int(number)


def keys_used(typed: DevContainer) -> set[str]:
    """Those of portsAttributes that are about a port that is forwarded."""
    keys = (_key(typed, host, port) for host, port, _ in _wanted(typed))
    return {key for key in keys if key is not None}


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
