"""Port publishing in docker's notation: `[ip:][host:]container[/protocol]`, ranges, key=value."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from typing import Any

from rumpel.devcontainer.positions import FieldError, Path

PROTOCOLS = ("tcp", "udp", "sctp")

Binding = tuple[str, str, str]
"""`80/tcp`, host address or empty for all, host port or empty for any."""


def publish(spec: str, path: Path) -> list[Binding]:
    """Raises: FieldError when docker would refuse `spec`."""
    if "=" in spec:
        return [_long_form(spec, path)]
    front, _, container = spec.rpartition(":")
    address, _, host = front.rpartition(":") if not front.endswith("]") else (front, "", "")
    address = address.removeprefix("[").removesuffix("]")
    if address:
        _check_address(address, spec, path)
    ports, protocol = _ports(container, spec, path)
    if not host:
        return [(f"{port}/{protocol}", address, "") for port in ports]
    hosts, _ = _ports(host, spec, path)
    if len(hosts) == len(ports):
        pairs = zip(ports, hosts, strict=True)
        return [(f"{port}/{protocol}", address, str(outer)) for port, outer in pairs]
    if len(ports) == 1:
        return [(f"{ports[0]}/{protocol}", address, host)]
    raise FieldError(path, f"the port ranges of {spec!r} differ in length")


def expose(spec: str, path: Path) -> list[str]:
    ports, protocol = _ports(spec, spec, path)
    return [f"{port}/{protocol}" for port in ports]


def reachable(host: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What of the create body others than this machine reach, each with the words for it."""
    found: dict[tuple[str, str], set[int]] = {}
    for port, bindings in (host.get("PortBindings") or {}).items():
        inside, _, protocol = port.partition("/")
        for one in bindings:
            where, outer = _where(one["HostIp"]), str(one["HostPort"])
            if where and outer.isdecimal() and outer != "0":
                found.setdefault((where, protocol), set()).add(int(outer))
            elif where:
                text = f"publishes port {inside} of the pod on a port of the host"
                yield f"{where} {outer or 0}:{port}", f"{text}, {_told(where)}"
    for (where, protocol), numbers in found.items():
        kind = "" if protocol == "tcp" else f" ({protocol})"
        for run in _runs(sorted(numbers)):
            text = f"publishes port {run}{kind} of the host {_told(where)}"
            yield f"{where} {run}/{protocol}", text
    if host.get("PublishAllPorts"):
        yield "all", "publishes all ports of the pod on ports of the host, on all its addresses"


def _where(address: str) -> str:
    """`*` for all addresses, nothing for what only this machine reaches."""
    if not address or ipaddress.ip_address(address).is_unspecified:
        return "*"
    return "" if ipaddress.ip_address(address).is_loopback else address


def _told(where: str) -> str:
    return "on all its addresses" if where == "*" else f"on {where}"


def _runs(numbers: list[int]) -> Iterator[str]:
    """`80`, `8000-8010`: so that a range is one thing to be agreed to."""
    first = last = numbers[0]
    for number in (*numbers[1:], 0):
        if number != last + 1:
            yield f"{first}-{last}" if last > first else str(first)
            first = number
        last = number


def _long_form(spec: str, path: Path) -> Binding:
    keys = dict(_pairs(spec, path))
    target = keys.pop("target", "")
    published = keys.pop("published", "")
    protocol = keys.pop("protocol", "tcp")
    mode = keys.pop("mode", "ingress")
    if keys or mode not in ("ingress", "host"):
        raise FieldError(path, f"{spec!r} has a key docker does not know in a port")
    ports, _ = _ports(f"{target}/{protocol}", spec, path)
    if published:
        _ports(published, spec, path)
    return f"{ports[0]}/{protocol}", "", published


def _pairs(spec: str, path: Path) -> Iterator[tuple[str, str]]:
    for field in spec.split(","):
        key, equals, value = field.partition("=")
        if not equals:
            raise FieldError(path, f"{field!r} is not a key=value of a port")
        yield key.lower(), value


def _ports(text: str, spec: str, path: Path) -> tuple[range, str]:
    numbers, _, protocol = text.partition("/")
    protocol = protocol.lower() or "tcp"
    first, dash, last = numbers.partition("-")
    if protocol not in PROTOCOLS:
        raise FieldError(path, f"{protocol!r} is not a protocol ({', '.join(PROTOCOLS)})")
    try:
        ports = range(int(first), int(last if dash else first) + 1)
    except ValueError:
        raise FieldError(path, f"{spec!r} is not a port such as 127.0.0.1:8080:80") from None
    if not ports or ports[0] < 0 or ports[-1] > 65535:
        raise FieldError(path, f"{spec!r} has a port outside 0-65535 or a range from high to low")
    return ports, protocol


def _check_address(address: str, spec: str, path: Path) -> None:
    try:
        ipaddress.ip_address(address)
    except ValueError:
        raise FieldError(path, f"{spec!r} has no valid IP address before the port") from None
