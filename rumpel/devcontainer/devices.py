"""Devices, GPUs, block I/O limits and ulimits in docker's notation."""

from __future__ import annotations

import re
from typing import Any

from rumpel.devcontainer.mounts import csv_fields
from rumpel.devcontainer.positions import FieldError, Path
from rumpel.devcontainer.sizes import between, integer, size

_PERMISSIONS = re.compile(r"(?!.*(.).*\1)[rwm]+")
_RULE = re.compile(r"[acb] ([0-9]+|\*):([0-9]+|\*) [rwm]{1,3}")
_CDI = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w-]*=[A-Za-z0-9][\w.:-]*")
_ULIMITS = frozenset(
    {
        "core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nice", "nofile", "nproc",
        "rss", "rtprio", "rttime", "sigpending", "stack",
    }
)  # fmt: skip


def add(host: dict[str, Any], text: str, path: Path) -> None:
    """`/dev/a[:/dev/b][:rwm]`, or a CDI name `vendor/class=name`."""
    if _CDI.fullmatch(text):
        _add_cdi(host, text)
        return
    parts = text.split(":")
    inside, permissions = parts[0], "rwm"
    if len(parts) == 2 and _PERMISSIONS.fullmatch(parts[1]):
        permissions = parts[1]
    elif len(parts) >= 2:
        inside = parts[1]
    if len(parts) == 3:
        permissions = parts[2]
    if len(parts) > 3 or not _PERMISSIONS.fullmatch(permissions) or not inside.startswith("/"):
        raise FieldError(path, f"{text!r} is not a device such as /dev/fuse[:/dev/fuse][:rwm]")
    device = {"PathOnHost": parts[0], "PathInContainer": inside, "CgroupPermissions": permissions}
    host.setdefault("Devices", []).append(device)


def _add_cdi(host: dict[str, Any], name: str) -> None:
    requests = host.setdefault("DeviceRequests", [])
    for request in requests:
        if request["Driver"] == "cdi":
            request["DeviceIDs"].append(name)
            return
    requests.append({"Driver": "cdi", "DeviceIDs": [name]})


def add_gpus(host: dict[str, Any], text: str, path: Path) -> None:
    """`all`, a count, or `device=0,capabilities=utility` with docker's CSV quoting."""
    if not text:
        raise FieldError(path, "--gpus needs a value, such as all")
    request: dict[str, Any] = {"Driver": "", "Capabilities": [["gpu"]], "Options": {}}
    for part in csv_fields(text, path):
        key, equals, value = part.partition("=")
        if not equals:
            key, value = "count", part
        if key == "count":
            request["Count"] = -1 if value == "all" else integer(value, path)
        elif key == "device":
            request["DeviceIDs"] = value.split(",")
        elif key == "driver":
            request["Driver"] = value
        elif key == "capabilities":
            wanted = value.split(",")
            request["Capabilities"] = [wanted if "gpu" in wanted else [*wanted, "gpu"]]
        elif key == "options":
            pairs = (one.partition("=") for one in csv_fields(value, path))
            request["Options"] = {name: setting for name, _, setting in pairs}
        else:
            raise FieldError(path, f"docker knows no GPU option {key!r}")
    if "Count" not in request and "DeviceIDs" not in request:
        request["Count"] = 1
    host.setdefault("DeviceRequests", []).append(request)


def cgroup_rule(text: str, path: Path) -> str:
    if not _RULE.fullmatch(text):
        raise FieldError(path, f"{text!r} is not a device rule such as 'c 42:* rmw'")
    return text


def weight(text: str, path: Path) -> dict[str, Any]:
    device, value = _device_value(text, path)
    return {"Path": device, "Weight": between(10, 1000)(value, path)}


def bytes_per_second(text: str, path: Path) -> dict[str, Any]:
    device, value = _device_value(text, path)
    return {"Path": device, "Rate": size(value, path)}


def per_second(text: str, path: Path) -> dict[str, Any]:
    device, value = _device_value(text, path)
    return {"Path": device, "Rate": integer(value, path)}


def add_ulimit(host: dict[str, Any], text: str, path: Path) -> None:
    """`nofile=1024[:2048]`; -1 = unlimited; the last one of a name counts."""
    limit = _ulimit(text, path)
    others = [one for one in host.get("Ulimits", ()) if one["Name"] != limit["Name"]]
    host["Ulimits"] = sorted([*others, limit], key=lambda one: str(one["Name"]))


def capability(text: str, path: Path) -> str:
    """`CAP_NET_ADMIN` for `net_admin`, as docker itself writes it."""
    name = text.upper()
    if not re.fullmatch(r"[A-Z_]+", name):
        raise FieldError(path, f"{text!r} is not a capability such as NET_ADMIN")
    return name if name == "ALL" or name.startswith("CAP_") else f"CAP_{name}"


def _ulimit(text: str, path: Path) -> dict[str, Any]:
    name, equals, limits = text.partition("=")
    soft, colon, hard = limits.partition(":")
    if not equals or name not in _ULIMITS:
        raise FieldError(path, f"{text!r} is not a ulimit such as nofile=1024:2048")
    low = integer(soft, path)
    high = integer(hard, path) if colon else low
    if high != -1 and (low == -1 or low > high):
        raise FieldError(path, f"the soft limit of {text!r} is above the hard one")
    return {"Name": name, "Soft": low, "Hard": high}


def _device_value(text: str, path: Path) -> tuple[str, str]:
    device, colon, value = text.partition(":")
    if not colon or not device.startswith("/dev/"):
        raise FieldError(path, f"{text!r} is not DEVICE:VALUE, such as /dev/sda:1mb")
    return device, value
