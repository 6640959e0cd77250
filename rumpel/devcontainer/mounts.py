"""Mounts: the strings of `docker run --mount`, and objects, as Mount values of the Engine API.

A string is one line of CSV, as docker reads it: `type=bind,source=..,target=..,readonly`. A field
with a comma in it is quoted as a whole.
"""

from __future__ import annotations

import csv
import hashlib
import posixpath
import re
from collections.abc import Callable
from typing import Any

from rumpel.devcontainer.positions import FieldError, Path
from rumpel.devcontainer.sizes import boolean, integer, size
from rumpel.names import slug

Mount = dict[str, Any]
_OWN_VOLUME = re.compile(r"rumpel-.+-[0-9a-f]{6,12}(-.*)?")
TYPES = ("bind", "volume", "tmpfs", "cluster", "image", "npipe")
RESERVED = "/rumpel"
"""Where rumpel keeps its own mounts in a pod."""


def parse(value: str | dict[str, Any], path: Path, *, root: str) -> Mount:
    """A bind source that starts with `.` is taken from `root`.

    Raises: FieldError when docker would refuse it.
    """
    mount = _object(value, path) if isinstance(value, dict) else _string(value, path)
    kind = mount["Type"]
    if not mount.get("Target"):
        raise FieldError(path, "a mount needs a target")
    if not mount["Target"].startswith("/"):
        raise FieldError(path, f"the target {mount['Target']} is not an absolute path")
    if kind == "bind" and not mount.get("Source"):
        raise FieldError(path, "a bind mount needs a source")
    if kind == "tmpfs" and mount.get("Source"):
        raise FieldError(path, "a tmpfs mount has no source")
    for options in ("BindOptions", "VolumeOptions", "TmpfsOptions"):
        if options in mount and not options.lower().startswith(kind):
            raise FieldError(path, f"an option of another mount type than {kind}")
    if mount.get("BindOptions", {}).get("ReadOnlyForceRecursive") and not mount.get("ReadOnly"):
        raise FieldError(path, "bind-recursive=readonly needs readonly")
    if kind == "bind" and mount["Source"].startswith("."):
        mount["Source"] = posixpath.normpath(posixpath.join(root, mount["Source"]))
    if kind == "bind" and not mount["Source"].startswith("/"):
        raise FieldError(path, f"the source {mount['Source']} is not an absolute path")
    return mount


def last_by_target(mounts: list[Mount]) -> list[Mount]:
    """Two mounts of one target: the later one counts, the order stays."""
    last = {posixpath.normpath(mount["Target"]): i for i, mount in enumerate(mounts)}
    return [mounts[i] for i in sorted(last.values())]


def covers(target: str, folder: str) -> bool:
    """Does a mount at `target` put `folder` (or a parent of it) on something else?"""
    target, folder = posixpath.normpath(target), posixpath.normpath(folder)
    return target in ("/", folder) or folder.startswith(target + "/")


def is_own_name(volume: str) -> bool:
    """Of a volume that is rumpel's: of a pod, a repository or agents."""
    return _OWN_VOLUME.fullmatch(volume) is not None


def pod_volume(pod: str, pod_id: str, target: str) -> str:
    """Name for a volume that has none: belongs to the pod, survives recreate, goes with it."""
    digest = hashlib.blake2b(target.encode(), digest_size=4).hexdigest()
    return f"rumpel-{pod}-{pod_id[:12]}-{slug(target)}-{digest}"


def named(mount: Mount, pod: str, pod_id: str) -> Mount:
    """An anonymous volume with the name of the pod's own volume for its target."""
    if mount["Type"] != "volume" or mount.get("Source") or not pod_id:
        return mount
    return mount | {"Source": pod_volume(pod, pod_id, mount["Target"])}


def _object(value: dict[str, Any], path: Path) -> Mount:
    for key in ("type", "source", "target"):
        if not isinstance(value.get(key, ""), str):
            raise FieldError((*path, key), "a string is expected")
    mount: Mount = {"Type": _type(value.get("type", "volume"), path), "Target": value.get("target")}
    if value.get("source"):
        mount["Source"] = value["source"]
    if value.get("readonly") is True or value.get("readOnly") is True:
        mount["ReadOnly"] = True
    return mount


def _string(text: str, path: Path) -> Mount:
    mount: Mount = {"Type": "volume"}
    for field in csv_fields(text, path):
        key, equals, value = field.partition("=")
        key = key.lower()
        if not equals and key not in _SWITCHES:
            raise FieldError(path, f"{field!r} is not a key=value of a mount")
        setter = _KEYS.get(key)
        if setter is None:
            raise FieldError(path, f"docker knows no mount option {key!r}")
        setter(mount, value if equals else "true", path)
    return mount


_SWITCHES = ("bind-create-src", "bind-nonrecursive", "readonly", "ro", "volume-nocopy")
"""May stand without a value."""


def csv_fields(text: str, path: Path) -> list[str]:
    """One line of CSV; a field with a comma in it is quoted as a whole."""
    try:
        rows = list(csv.reader([text], strict=True))
    except csv.Error as error:
        raise FieldError(path, f"{text!r} is not a list of key=value: {error}") from error
    return rows[0] if rows else []


def _type(text: str, path: Path) -> str:
    if text.lower() not in TYPES:
        raise FieldError(path, f"{text!r} is not a mount type (bind, volume, tmpfs)")
    return text.lower()


Setter = Callable[[Mount, str, Path], None]


def _plain(*keys: str) -> Setter:
    def put(mount: Mount, value: str, _: Path) -> None:
        _inside(mount, keys[:-1])[keys[-1]] = value

    return put


def _flag(*keys: str) -> Setter:
    def put(mount: Mount, value: str, path: Path) -> None:
        _inside(mount, keys[:-1])[keys[-1]] = boolean(value, path)

    return put


def _pairs(*keys: str) -> Setter:
    def put(mount: Mount, value: str, _path: Path) -> None:
        name, _, text = value.partition("=")
        _inside(mount, keys)[name] = text

    return put


def _inside(mount: Mount, keys: tuple[str, ...]) -> dict[str, Any]:
    inner = mount
    for key in keys:
        inner = inner.setdefault(key, {})
    return inner


def _set_type(mount: Mount, value: str, path: Path) -> None:
    mount["Type"] = _type(value, path)


def _set_tmpfs_size(mount: Mount, value: str, path: Path) -> None:
    _inside(mount, ("TmpfsOptions",))["SizeBytes"] = size(value, path)


def _set_tmpfs_mode(mount: Mount, value: str, path: Path) -> None:
    _inside(mount, ("TmpfsOptions",))["Mode"] = integer(value, path, base=8)


def _set_recursive(mount: Mount, value: str, path: Path) -> None:
    known: dict[str, dict[str, bool]] = {
        "enabled": {},
        "disabled": {"NonRecursive": True},
        "writable": {"ReadOnlyNonRecursive": True},
        "readonly": {"ReadOnlyForceRecursive": True},
    }
    if value not in known:
        raise FieldError(path, f"bind-recursive is one of {', '.join(known)}")
    _inside(mount, ("BindOptions",)).update(known[value])


_KEYS: dict[str, Setter] = (
    {
        "bind-create-src": _flag("BindOptions", "CreateMountpoint"),
        "bind-nonrecursive": _flag("BindOptions", "NonRecursive"),
        "bind-propagation": _plain("BindOptions", "Propagation"),
        "bind-recursive": _set_recursive,
        "consistency": _plain("Consistency"),
        "image-subpath": _plain("ImageOptions", "Subpath"),
        "readonly": _flag("ReadOnly"),
        "ro": _flag("ReadOnly"),
        "tmpfs-mode": _set_tmpfs_mode,
        "tmpfs-size": _set_tmpfs_size,
        "type": _set_type,
        "volume-driver": _plain("VolumeOptions", "DriverConfig", "Name"),
        "volume-label": _pairs("VolumeOptions", "Labels"),
        "volume-nocopy": _flag("VolumeOptions", "NoCopy"),
        "volume-opt": _pairs("VolumeOptions", "DriverConfig", "Options"),
        "volume-subpath": _plain("VolumeOptions", "Subpath"),
    }
    | {name: _plain("Source") for name in ("source", "src")}
    | {name: _plain("Target") for name in ("target", "dst", "destination")}
)
