"""Volumes, bind mounts, secrets and configs of a compose project.

A named volume becomes one of the pod; a secret or config, which is a file of the host, a bind mount
of it, as compose makes it. The bind mount by which the repository comes into the service is the
pod's clone instead.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from rumpel.devcontainer import bound, consent, mounts, sizes
from rumpel.devcontainer.compose_table import table, word
from rumpel.devcontainer.consent import Effect
from rumpel.devcontainer.document import Caller
from rumpel.devcontainer.mounts import Mount
from rumpel.devcontainer.options import Option
from rumpel.devcontainer.positions import FieldError, Path

if TYPE_CHECKING:
    from rumpel.devcontainer.compose_service import Service

AT: Path = ("volumes",)
KINDS = ("bind", "volume", "tmpfs")
LONG = frozenset({"type", "source", "target", "read_only", "consistency", *KINDS})
INNER = {
    "bind": frozenset({"propagation", "create_host_path", "selinux"}),
    "volume": frozenset({"nocopy", "subpath"}),
    "tmpfs": frozenset({"size", "mode"}),
}
WORDS = {
    "propagation": ("private", "rprivate", "rshared", "rslave", "shared", "slave"),
    "selinux": ("z", "Z"),
}
"""Of a bind mount: what is written there stands among its options, and is none of them."""
FILES = {"secrets": "/run/secrets/", "configs": "/"}
"""Top-level key -> where they are in a service that does not say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    """One mount of a service; `written` is what compose is given."""

    kind: str
    source: str
    target: str
    is_read_only: bool = False
    options: tuple[str, ...] = ()
    """Of the short form, besides `ro` and `rw`."""
    more: Mapping[str, Any]
    written: Any


def volumes(given: Mapping[str, Any], model: Mapping[str, Any]) -> Iterator[Volume]:
    value = given.get("volumes") or []
    if not isinstance(value, list):
        raise FieldError(AT, "a list is expected")
    found = [_long(one) if isinstance(one, dict) else _short(word(one, AT)) for one in value]
    for kind, place in FILES.items():
        found += [_file(kind, one, model, place) for one in given.get(kind) or []]
    yield from map(_real, found)


def _real(one: Volume) -> Volume:
    """A bind mount of what its path leads to now: that is what is agreed to."""
    if one.kind != "bind":
        return one
    source = os.path.realpath(one.source)
    if isinstance(one.written, dict):
        written: Any = {**one.written, "source": source}
    else:
        written = f"{source}:{one.written.partition(':')[2]}"
    return replace(one, source=source, written=written)


def _short(text: str) -> Volume:
    parts = text.split(":")
    if len(parts) > 3 or not all(parts):
        raise FieldError(AT, f"{text!r} is not SOURCE:/TARGET[:OPTIONS]")
    source, target = (parts[0], parts[1]) if len(parts) > 1 else ("", parts[0])
    options = tuple(parts[2].split(",")) if len(parts) == 3 else ()
    if not target.startswith("/"):
        raise FieldError(AT, f"{target!r} is not an absolute path")
    if source.startswith((".", "~")):
        raise FieldError(AT, f"{source!r} is not an absolute path")
    return Volume(
        kind="bind" if source.startswith("/") else "volume",
        source=source,
        target=target,
        is_read_only="ro" in options,
        options=tuple(one for one in options if one not in ("ro", "rw")),
        more={},
        written=text,
    )


def _long(given: dict[str, Any]) -> Volume:
    kind = str(given.get("type"))
    if kind not in KINDS:
        raise FieldError(AT, f"the type {kind} is not handled")
    more = table(given.get(kind) or {}, AT)
    wrong = (given.keys() - LONG) | (more.keys() - INNER[kind])
    if wrong:
        raise FieldError(AT, f"{', '.join(sorted(wrong))} of a volume is not handled")
    if kind == "tmpfs":
        _tmpfs(more)
    source, target = word(given.get("source") or "", AT), word(given.get("target"), AT)
    if not target.startswith("/") or (kind == "bind" and not source.startswith("/")):
        raise FieldError(AT, f"{target!r} and {source!r} are not both absolute paths")
    return Volume(
        kind=kind,
        source=source,
        target=target,
        is_read_only=given.get("read_only") is True,
        more=more,
        written={key: one for key, one in given.items() if key != kind}
        | ({kind: more} if more else {}),
    )


def _file(kind: str, given: Any, model: Mapping[str, Any], place: str) -> Volume:
    at: Path = (kind,)
    one = given if isinstance(given, dict) else {"source": given}
    name = word(one.get("source"), at)
    defined = (model.get(kind) or {}).get(name)
    file = defined.get("file") if isinstance(defined, dict) else None
    if not isinstance(file, str) or not file.startswith("/") or "\0" in file:
        raise FieldError(at, f"{name}: only a file of this machine is handled")
    target = word(one.get("target") or name, at)
    target = target if target.startswith("/") else place + target
    written = {"type": "bind", "source": file, "target": target, "read_only": True}
    return Volume(
        kind="bind", source=file, target=target, is_read_only=True, more={}, written=written
    )


def used(
    model: Mapping[str, Any], read: Mapping[str, Service], caller: Caller
) -> dict[str, dict[str, Any]]:
    """Named volumes of these services. Raises FieldError."""
    defined = table(model.get("volumes") or {}, AT)
    wanted = {one.source for service in read.values() for one in service.volumes if _is_named(one)}
    found: dict[str, dict[str, Any]] = {}
    for key in sorted(wanted):
        if key not in defined:
            raise FieldError(AT, f"there is no volume {key}")
        one = table(defined[key] or {}, AT)
        is_external = bool(one.get("external"))
        if is_external:
            external = one["external"]
            inner = external.get("name") if isinstance(external, dict) else None
            called = word(one.get("name") or inner or key, AT)
            if mounts.is_own_name(called):
                raise FieldError(AT, f"the volume {called} is one of rumpel's own")
            found[key] = {"name": called, "external": True}
            continue
        name = mounts.pod_volume(caller.pod, caller.pod_id, f"compose:{key}")
        driver = word(one.get("driver") or "local", AT)
        said = {option: word(text, AT) for option, text in (one.get("driver_opts") or {}).items()}
        found[key] = {
            "name": name if caller.pod_id else key,
            "external": False,
            "driver": driver,
            "options": _led(driver, said),
        }
    return found


def _led(driver: str, options: dict[str, str]) -> dict[str, str]:
    """As for a bind mount: with the folder that its path leads to now."""
    folder = bound.device({"Name": driver, "Options": options})
    return {**options, "device": os.path.realpath(folder)} if folder else options


def _is_named(one: Volume) -> bool:
    return one.kind == "volume" and bool(one.source)


def effects(defined: Mapping[str, Mapping[str, Any]]) -> Iterator[Effect]:
    for key, one in defined.items():
        if one["external"]:
            name = str(one["name"])
            yield Effect("volume", name, f"uses the volume {name}, which is not the pod's own")
            continue
        driver = {"Name": one["driver"], "Options": dict(one["options"])}
        mount = {"Type": "volume", "Target": "/", "VolumeOptions": {"DriverConfig": driver}}
        for effect in consent.host_effects({}, mounts=[mount], host_files=(), host_env={}):
            yield consent.of_part(effect, f"volume {key}")


def of_pod(
    own: tuple[Volume, ...],
    defined: Mapping[str, Mapping[str, Any]],
    caller: Caller,
    folder: str,
) -> tuple[tuple[tuple[Path, Mount], ...], tuple[Option, ...], str]:
    """Mounts, options for bind mounts, and where the repository would be, if it is mounted."""
    kept: list[tuple[Path, Mount]] = []
    binds: list[Option] = []
    workspace = ""
    path: Path = ("service",)
    for one in own:
        if one.kind == "bind":
            inside = _repository(one, caller, folder)
            if inside and not workspace:
                workspace = inside
            else:
                binds.append(Option("volume", bind(one), path))
        elif one.kind == "tmpfs":
            given = _tmpfs(one.more)
            more = {"TmpfsOptions": given} if given else {}
            kept.append((path, {"Type": "tmpfs", "Target": one.target, **more}))
        else:
            kept.append((path, _mount(one, defined)))
    return tuple(kept), tuple(binds), workspace


def _repository(one: Volume, caller: Caller, folder: str) -> str:
    """Where the repository is by this bind mount; empty when it shows something else."""
    source, root = PurePosixPath(os.path.realpath(one.source)), PurePosixPath(caller.root)
    if not root.is_relative_to(source):
        return ""
    place = posixpath.normpath(posixpath.join(one.target, str(root.relative_to(source))))
    return "" if folder and not mounts.covers(one.target, folder) else place


def bind(one: Volume) -> str:
    """As in `docker run -v`: a folder that is not there is made, as compose does."""
    for place in (one.source, one.target):
        if ":" in place:  # what follows would be read as options
            raise FieldError(AT, f"{place!r} cannot be mounted: there is a colon in it")
    options = [*one.options, *(["ro"] if one.is_read_only else [])]
    for key, known in WORDS.items():
        if said := one.more.get(key):
            if said not in known:
                raise FieldError(AT, f"{key} {said!r} of a volume is not handled")
            options.append(said)
    return ":".join([one.source, one.target, *([",".join(options)] if options else [])])


def _tmpfs(more: Mapping[str, Any]) -> dict[str, int]:
    """As the engine has it. Raises FieldError."""
    found = {}
    if "size" in more:
        found["SizeBytes"] = sizes.size(word(more["size"], AT), AT)
    if "mode" in more:
        found["Mode"] = sizes.integer(word(more["mode"], AT), AT, base=10)
    return found


def _mount(one: Volume, defined: Mapping[str, Mapping[str, Any]]) -> Mount:
    mount: Mount = {"Type": "volume", "Target": one.target}
    if one.source:
        mount["Source"] = str(defined[one.source]["name"])
    if one.is_read_only:
        mount["ReadOnly"] = True
    options: dict[str, Any] = {}
    if one.more.get("nocopy") or "nocopy" in one.options:
        options["NoCopy"] = True
    if subpath := one.more.get("subpath"):
        options["Subpath"] = word(subpath, AT)
    return mount | ({"VolumeOptions": options} if options else {})
