"""Networks of a compose project: each pod has its own, in which the services find each other."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from rumpel.devcontainer import consent
from rumpel.devcontainer.compose_table import pairs, table, word, words
from rumpel.devcontainer.consent import Effect
from rumpel.devcontainer.document import Caller
from rumpel.devcontainer.options import Option
from rumpel.devcontainer.positions import FieldError, Path
from rumpel.names import slug

if TYPE_CHECKING:
    from rumpel.devcontainer.compose_service import Service

AT: Path = ("networks",)
DEFAULT = "default"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")
KNOWN = frozenset(
    {
        "attachable", "driver", "driver_opts", "enable_ipv4", "enable_ipv6", "external",
        "internal", "ipam", "labels", "name",
    }
)  # fmt: skip
ADDRESSES = frozenset({"ipv4_address", "ipv6_address", "link_local_ips", "mac_address"})
ENDPOINT = frozenset({"aliases", "priority", "gw_priority", "interface_name", *ADDRESSES})


def used(
    model: Mapping[str, Any], read: Mapping[str, Service], own: str, caller: Caller
) -> dict[str, dict[str, Any]]:
    """Those that these services are in. Raises FieldError."""
    defined = table(model.get("networks") or {}, AT)
    wanted = {key for one in read.values() for key in one.networks or ()}
    if len(read) == 1 and wanted == {DEFAULT} and not defined.get(DEFAULT):
        pod = read[own]
        if not (pod.networks or {})[DEFAULT].get("aliases"):
            return {}  # nobody to be found there
    found: dict[str, dict[str, Any]] = {}
    for key in sorted(wanted):
        if key not in defined and key != DEFAULT:
            raise FieldError(AT, f"there is no network {key}")
        found[key] = _network(key, table(defined.get(key) or {}, AT), caller)
        found[key]["pod"] = _names(read[own], key)
    return found


def _names(pod: Service, key: str) -> list[str]:
    """Of the pod in a network: its service, and what else it is called there."""
    given = (pod.networks or {}).get(key)
    if given is None:
        return []
    return list(dict.fromkeys(_alias(one) for one in (pod.name, *_aliases(pod, given))))


def _network(key: str, given: dict[str, Any], caller: Caller) -> dict[str, Any]:
    if wrong := [one for one in given.keys() - KNOWN if not one.startswith("x-")]:
        raise FieldError(AT, f"{', '.join(sorted(wrong))} of network {key} is not handled")
    if external := given.get("external"):
        inner = external.get("name") if isinstance(external, dict) else None
        name = word(given.get("name") or inner or key, AT)
        if not NAME.fullmatch(name):
            raise FieldError(AT, f"{name!r} is not the name of a network")
        return {"name": name, "external": True, "settings": {}}
    switches = {"internal": "Internal", "attachable": "Attachable", "enable_ipv6": "EnableIPv6"}
    settings: dict[str, Any] = {
        option: True for name, option in switches.items() if given.get(name) is True
    }
    driver = word(given.get("driver") or "", AT)
    if driver not in ("", "default"):
        settings["Driver"] = driver
    if options := given.get("driver_opts"):
        settings["Options"] = {name: text or "" for name, text in pairs(options, AT).items()}
    return {"name": name_of(key, caller), "external": False, "settings": settings}


def name_of(key: str, caller: Caller) -> str:
    if not caller.pod_id:
        return key if NAME.fullmatch(key) else slug(key)
    short = slug(key)
    digest = "" if short == key else f"-{hashlib.blake2b(key.encode(), digest_size=4).hexdigest()}"
    return f"rumpel-{caller.pod}-{caller.pod_id[:6]}-{short}{digest}"


def options(pod: Service, defined: Mapping[str, Mapping[str, Any]]) -> Iterator[Option]:
    """The pod is in them under the name of its service, and its other names."""
    for key in pod.networks or {}:
        if key in defined:
            told = "".join(f",alias={one}" for one in defined[key]["pod"])
            yield Option("network", f"name={defined[key]['name']}{told}", AT)


def joined(
    one: Service, defined: Mapping[str, Mapping[str, Any]]
) -> dict[str, dict[str, Any]] | None:
    """What compose is given of them, without addresses that another pod would have, too."""
    if one.networks is None:
        return None
    found = {}
    for key, given in one.networks.items():
        if key in defined:
            aliases = [_alias(name) for name in _aliases(one, given)]
            found[key] = {"aliases": list(dict.fromkeys(aliases))} if aliases else {}
    return found


def _aliases(one: Service, given: Mapping[str, Any]) -> list[str]:
    if wrong := given.keys() - ENDPOINT:
        raise FieldError(AT, f"{', '.join(sorted(wrong))} is not handled")
    if fixed := [name for name in ADDRESSES if given.get(name)]:
        told = f"{', '.join(sorted(fixed))} has no effect: every pod would have the same"
        if told not in one.lost:
            one.lost.append(told)
    container = one.given.get("container_name")
    return [*words(given.get("aliases") or [], AT), *([word(container, AT)] if container else [])]


def _alias(name: str) -> str:
    if not NAME.fullmatch(name):
        raise FieldError(AT, f"{name!r} is not a name in a network")
    return name


def effects(defined: Mapping[str, Mapping[str, Any]]) -> Iterator[Effect]:
    for key, one in defined.items():
        name, settings = str(one["name"]), one["settings"]
        if one["external"]:
            yield consent.joined(name)
        if settings.get("Driver", "bridge") != "bridge":
            driver = settings["Driver"]
            text = f"makes the network {key} by the driver {driver}"
            yield Effect("network-driver", f"{key}={driver}", text)
        for option, value in (settings.get("Options") or {}).items():
            text = f"makes the network {key} with {option}={value}"
            yield Effect("network-option", f"{key}: {option}={value}", text)
