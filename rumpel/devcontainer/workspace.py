"""The mounts of a pod, kept apart from its workspace, which is a clone of its own.

A host folder mounted over the workspace would make the pod work in the user's own checkout, and
a shared volume there would make pods share one; both are prevented here.
"""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from rumpel.devcontainer import mounts, variables
from rumpel.devcontainer.document import Caller
from rumpel.devcontainer.mounts import Mount
from rumpel.devcontainer.positions import FieldError, Parsed, Path

_OWN_VOLUME = re.compile(r"rumpel-.+-[0-9a-f]{6,12}(-.*)?")


@dataclass(slots=True)
class Mounts:
    """What is left of the mounts, and why something was changed."""

    mounts: list[Mount] = field(default_factory=list)
    binds: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def folder(text: str) -> str:
    """Raises: FieldError when the workspace folder is no absolute path of its own."""
    clean = posixpath.normpath(text)
    if not clean.startswith("/") or clean == "/" or "${" in clean:
        raise FieldError(("workspaceFolder",), f"{text!r} is not an absolute path below /")
    if mounts.covers(mounts.RESERVED, clean):
        raise FieldError(("workspaceFolder",), f"{mounts.RESERVED} is rumpel's own folder in a pod")
    return "/" + clean.lstrip("/")


def gather(
    written: Iterable[str | dict[str, Any]],
    host_config: dict[str, Any],
    *,
    caller: Caller,
    workspace: str,
    parsed: Parsed,
) -> Mounts:
    """Mounts of the file, then those of runArgs; a later one of the same target counts."""
    found = Mounts()
    wanted: list[tuple[Path, Mount]] = [
        (("mounts", i), mounts.parse(one, ("mounts", i), root=caller.root))
        for i, one in enumerate(written)
    ]
    wanted += [(("runArgs",), mount) for mount in host_config.get("Mounts", ())]
    for path, mount in wanted:
        kept = _kept(mount, path, caller, workspace, parsed, found)
        if kept is not None:
            found.mounts.append(mounts.named(kept, caller.pod, caller.pod_id))
    found.mounts = mounts.last_by_target(found.mounts)
    for bind in host_config.get("Binds", ()):
        source, target = bind.split(":")[:2]
        as_mount: Mount = {
            "Type": "bind" if source.startswith("/") else "volume",
            "Source": source,
            "Target": target,
        }
        kept = _kept(as_mount, ("runArgs",), caller, workspace, parsed, found)
        if kept is as_mount:
            found.binds.append(bind)
        elif kept is not None:
            found.mounts.append(kept)
    return found


def pod_volumes(all_mounts: Iterable[Mount], caller: Caller) -> tuple[str, ...]:
    """Names of the volumes that belong to this pod alone."""
    if not caller.pod_id:
        return ()
    own = mounts.pod_volume(caller.pod, caller.pod_id, "/").rpartition("-")[0].rpartition("-")[0]
    names = (str(mount.get("Source", "")) for mount in all_mounts if mount["Type"] == "volume")
    return tuple(sorted({name for name in names if name.startswith(own)}))


def _kept(
    mount: Mount, path: Path, caller: Caller, workspace: str, parsed: Parsed, found: Mounts
) -> Mount | None:
    """The mount, another one in its place, or None when the clone makes it void."""
    target = mount["Target"]
    left = next(iter(variables.left([mount.get("Source", ""), target], ())), None)
    if left and not left[1].startswith("${devcontainerId"):
        raise FieldError(path, f"{left[1]} in a mount is not known")
    if mounts.covers(mounts.RESERVED, target) or mounts.covers(target, mounts.RESERVED):
        raise FieldError(path, f"{mounts.RESERVED} is rumpel's own folder in a pod")
    if mount["Type"] == "volume":
        return _kept_volume(mount, path, caller, workspace, parsed, found)
    is_over = mounts.covers(target, workspace) or mounts.covers(f"{workspace}/.git", target)
    if mount["Type"] != "bind" or not is_over:
        return mount
    source = os.path.realpath(posixpath.normpath(mount["Source"]))
    if source != caller.root and not source.startswith(caller.root + "/"):
        raise FieldError(path, f"{source} would be mounted over the pod's clone in {workspace}")
    found.warnings.append(
        f"{parsed.where(path)}: the mount on {target} has no effect: "
        "a pod has its own clone of the repository"
    )
    return None


def _kept_volume(
    mount: Mount, path: Path, caller: Caller, workspace: str, parsed: Parsed, found: Mounts
) -> Mount:
    name = str(mount.get("Source") or "")
    if _OWN_VOLUME.fullmatch(name):
        raise FieldError(path, f"the volume {name} is one of rumpel's own")
    is_shared = bool(name) and not (caller.pod_id and caller.pod_id in name)
    if not is_shared or not mounts.covers(mount["Target"], workspace):
        return mount
    found.warnings.append(
        f"{parsed.where(path)}: instead of the volume {name} on {mount['Target']} the pod gets "
        "one of its own, since pods do not share a workspace"
    )
    own = {key: value for key, value in mount.items() if key != "Source"}
    return mounts.named(own, caller.pod, caller.pod_id)
