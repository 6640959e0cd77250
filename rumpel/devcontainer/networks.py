"""Network options of `docker run`: modes, user networks and their endpoint settings."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from rumpel.devcontainer.positions import FieldError, Path
from rumpel.devcontainer.sizes import integer

MODES = ("bridge", "default", "host", "none")


@dataclass(slots=True)
class Network:
    """Endpoints in order of `--network`; `--ip`, aliases and links belong to the first one."""

    joined: dict[str, dict[str, Any]] = field(default_factory=dict)
    shared: dict[str, Any] = field(default_factory=dict)
    links: list[str] = field(default_factory=list)
    mac: str | None = None

    def join(self, value: str, path: Path) -> None:
        """A mode, a name, or `name=x,alias=y,ip=z,...`."""
        name, endpoint = _advanced(value, path) if "=" in value else (value, {})
        if not name:
            raise FieldError(path, "--network needs a name")
        if name in self.joined:
            raise FieldError(path, f"the network {name} is given twice")
        self.joined[name] = endpoint

    def set_ip(self, value: str, path: Path) -> None:
        self.shared.setdefault("IPAMConfig", {})["IPv4Address"] = address(value, path)

    def set_ip6(self, value: str, path: Path) -> None:
        self.shared.setdefault("IPAMConfig", {})["IPv6Address"] = address(value, path)

    def add_link_local(self, value: str, path: Path) -> None:
        ipam = self.shared.setdefault("IPAMConfig", {})
        ipam.setdefault("LinkLocalIPs", []).append(address(value, path))

    def add_alias(self, value: str, _: Path) -> None:
        self.shared.setdefault("Aliases", []).append(value)

    def add_link(self, value: str, path: Path) -> None:
        name, colon, alias = value.partition(":")
        if not name or (colon and not alias):
            raise FieldError(path, f"{value!r} is not CONTAINER[:ALIAS]")
        self.links.append(value if colon else f"{name}:{name}")

    def set_mac(self, value: str, path: Path) -> None:
        if not re.fullmatch(r"[0-9a-fA-F]{2}([:-][0-9a-fA-F]{2}){5}", value):
            raise FieldError(path, f"{value!r} is not a MAC address")
        self.mac = value

    def finish(self, config: dict[str, Any], host: dict[str, Any], path: Path) -> None:
        """Write what does not belong to an endpoint.

        Raises: FieldError for a combination docker refuses.
        """
        first = next(iter(self.joined), None)
        if "Aliases" in self.shared and (first is None or not is_user_defined(first)):
            raise FieldError(path, "--network-alias needs a --network of your own")
        own = self.joined.get(first, {}) if first is not None else {}
        if own.keys() & self.shared.keys():
            raise FieldError(path, f"the network {first} has an alias or address of its own")
        if len(self.joined) > 1 and not all(map(is_user_defined, self.joined)):
            raise FieldError(path, "host, none and container networks are joined alone")
        if first is not None:
            host["NetworkMode"] = first
        if self.links:
            if first is None or not is_user_defined(first):
                host["Links"] = self.links
            else:
                self.shared["Links"] = self.links
        if self.mac is not None:
            config["MacAddress"] = self.mac

    def endpoints(self) -> dict[str, Any]:
        """NetworkingConfig; empty when there is nothing to say beyond the network mode."""
        endpoints = dict(self.joined)
        if self.shared:
            first = next(iter(endpoints), "default")
            endpoints[first] = {**endpoints.get(first, {}), **self.shared}
        if len(endpoints) < 2 and not any(endpoints.values()):
            return {}
        return {"EndpointsConfig": endpoints}


def of_others(
    host: Mapping[str, Any], networking: Mapping[str, Any], own: Collection[str]
) -> tuple[str, ...]:
    """Those of the create body that exist already, and are none of the pod's `own`."""
    named = (str(host.get("NetworkMode") or "default"), *(networking.get("EndpointsConfig") or ()))
    wanted = (one for one in named if is_user_defined(one) and ":" not in one)
    return tuple(one for one in dict.fromkeys(wanted) if one not in own)


def is_user_defined(network: str) -> bool:
    return network not in MODES and not network.startswith("container:")


def address(text: str, path: Path) -> str:
    try:
        return str(ipaddress.ip_address(text.strip()))
    except ValueError:
        raise FieldError(path, f"{text!r} is not an IP address") from None


def host_entry(text: str, path: Path) -> str:
    """`host:ip`; `host=ip` and `[ip]` become that form, `host-gateway` is docker's own word."""
    name, separator, ip = text.partition("=" if "=" in text else ":")
    ip = ip.removeprefix("[").removesuffix("]")
    if not separator or not name:
        raise FieldError(path, f"{text!r} is not HOST:IP")
    if ip != "host-gateway":
        address(ip, path)
    return f"{name}:{ip}"


def _advanced(value: str, path: Path) -> tuple[str, dict[str, Any]]:
    name = ""
    endpoint: dict[str, Any] = {}
    for part in value.split(","):
        key, equals, text = part.partition("=")
        key = key.strip().lower()
        ipam = {"ip": "IPv4Address", "ip6": "IPv6Address"}
        if not equals:
            raise FieldError(path, f"{part!r} is not a key=value of a network")
        if key == "name":
            name = text
        elif key == "alias":
            endpoint.setdefault("Aliases", []).append(text)
        elif key in ipam:
            endpoint.setdefault("IPAMConfig", {})[ipam[key]] = address(text, path)
        elif key == "link-local-ip":
            local = endpoint.setdefault("IPAMConfig", {}).setdefault("LinkLocalIPs", [])
            local.append(address(text, path))
        elif key == "mac-address":
            endpoint["MacAddress"] = text
        elif key == "driver-opt":
            option, _, setting = text.partition("=")
            endpoint.setdefault("DriverOpts", {})[option] = setting
        elif key == "gw-priority":
            endpoint["GwPriority"] = integer(text, path)
        else:
            raise FieldError(path, f"docker knows no network option {key!r}")
    return name, endpoint
