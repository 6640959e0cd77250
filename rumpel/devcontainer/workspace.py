"""The mounts of a pod, kept apart from its workspace, which is a clone of its own.

A host folder mounted over the workspace would make the pod work in the user's own checkout, and
a shared volume there would make pods share one; both are prevented here.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from rumpel.devcontainer import mounts, variables
from rumpel.devcontainer.document import Caller
from rumpel.devcontainer.mounts import Mount
from rumpel.devcontainer.positions import FieldError, Path
from rumpel.devcontainer.runargs import RunArgs


@dataclass(slots=True)
class Mounts:
    """What is left of the mounts, and why something was changed."""

    mounts: list[Mount] = field(default_factory=list)
    binds: list[str] = field(default_factory=list)
    notes: list[tuple[Path, str]] = field(default_factory=list)
    """Entries of which something else is made, and what; an end of a sentence."""


def folder(text: str, devcontainer_id: str | None = None) -> str:
    """Raises: FieldError when the workspace folder is no absolute path of its own."""
    clean = posixpath.normpath(str(variables.pod_stage(text, devcontainer_id)))
    if not clean.startswith("/") or clean == "/" or "${" in clean:
        raise FieldError(("workspaceFolder",), f"{text!r} is not an absolute path below /")
    if mounts.covers(mounts.RESERVED, clean):
        raise FieldError(("workspaceFolder",), f"{mounts.RESERVED} is rumpel's own folder in a pod")
    return "/" + clean.lstrip("/")


def gather(
    written: Iterable[tuple[Path, str | dict[str, Any]]],
    run_args: RunArgs,
    *,
    caller: Caller,
    workspace: str,
    own: frozenset[str] = frozenset(),
) -> Mounts:
    """Mounts of the file, then those of runArgs; a later one of the same target counts.

    `own`: names of volumes that are the pod's own, whatever they look like.
    """
    found = Mounts()
    place = _Place(caller, workspace, found.notes, own)
    wanted: list[tuple[Path, Mount]] = [
        (path, mounts.parse(one, path, root=caller.root)) for path, one in written
    ]
    for path, mount in [*wanted, *run_args.mounts]:
        kept = place.kept(mount, path)
        if kept is not None:
            found.mounts.append(mounts.named(kept, caller.pod, caller.pod_id))
    for path, bind in run_args.binds:
        source, target = bind.split(":")[:2]
        kind = "bind" if source.startswith("/") else "volume"
        as_mount: Mount = {"Type": kind, "Source": source, "Target": target}
        kept = place.kept(as_mount, path)
        if kept is as_mount:
            found.binds.append(bind)
        elif kept is not None:
            found.mounts.append(kept)
    for target in run_args.host_config.get("Tmpfs", ()):
        place.kept({"Type": "tmpfs", "Target": target}, ("runArgs",))
    found.mounts = mounts.last_by_target(found.mounts)
    return found


def pod_volumes(all_mounts: Iterable[Mount], caller: Caller) -> tuple[str, ...]:
    """Names of the volumes that belong to this pod alone."""
    if not caller.pod_id:
        return ()
    own = mounts.pod_volume(caller.pod, caller.pod_id, "/").rpartition("-")[0].rpartition("-")[0]
    names = (str(mount.get("Source", "")) for mount in all_mounts if mount["Type"] == "volume")
    return tuple(sorted({name for name in names if name.startswith(own)}))


@dataclass(frozen=True, slots=True)
class _Place:
    """Where mounts go: the pod's workspace, and where to say what was changed."""

    caller: Caller
    workspace: str
    notes: list[tuple[Path, str]]
    own: frozenset[str] = frozenset()

    def kept(self, mount: Mount, path: Path) -> Mount | None:
        """The mount, another one in its place, or None when the clone makes it void."""
        target = mount["Target"]
        left = next(iter(variables.left([mount.get("Source", ""), target], ())), None)
        if left and not left[1].startswith("${devcontainerId"):
            raise FieldError(path, f"{left[1]} in a mount is not known")
        if mounts.covers(mounts.RESERVED, target) or mounts.covers(target, mounts.RESERVED):
            raise FieldError(path, f"{mounts.RESERVED} is rumpel's own folder in a pod")
        is_over = mounts.covers(target, self.workspace)
        if mount["Type"] == "volume":
            return self._volume(mount, path, is_over=is_over)
        if mount["Type"] == "tmpfs" and is_over:
            raise FieldError(path, f"a tmpfs on {target} would lose the workspace at every stop")
        if mount["Type"] != "bind":
            return mount
        if not is_over and not mounts.covers(f"{self.workspace}/.git", target):
            return mount
        self._leave_out(mount, path)
        return None

    def _leave_out(self, mount: Mount, path: Path) -> None:
        source = os.path.realpath(posixpath.normpath(mount["Source"]))
        root = self.caller.root
        if source != root and not source.startswith(root + "/"):
            raise FieldError(
                path, f"{source} would be mounted over the pod's clone in {self.workspace}"
            )
        told = "has no effect: a pod has its own clone of the repository"
        self.notes.append((path, f"on {mount['Target']} {told}"))

    def _volume(self, mount: Mount, path: Path, *, is_over: bool) -> Mount:
        name = str(mount.get("Source") or "")
        if name in self.own:
            return mount
        if mounts.is_own_name(name):
            raise FieldError(path, f"the volume {name} is one of rumpel's own")
        own_id = self.caller.devcontainer_id
        is_shared = bool(name) and not (own_id and own_id in name)
        if not is_shared or not is_over:
            return mount
        told = "is one of the pod's own, since pods do not share a workspace"
        self.notes.append((path, f"on {mount['Target']} {told}"))
        own = {key: value for key, value in mount.items() if key != "Source"}
        return mounts.named(own, self.caller.pod, self.caller.pod_id)
