"""Work that is held in the user's repository: snapshots of pods, and pods that were deleted.

All of it is refs and objects, so that it outlives our database, and a `git gc` spares it:

    refs/rumpel/keep/<pod id>/heads/*, old/*        branches and former tips (git_refs.keep)
    refs/rumpel/keep/<pod id>/snapshots/<time>-<kind>   a commit made by pod_work.sh
    refs/rumpel/keep/<pod id>/deleted               a blob: what `undelete` has to know

A submodule's branches and snapshots are held in the same way in its own repository.
What a snapshot says comes from a pod: it is only ever shown, or given back to a pod.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from rumpel.adapters import git, git_files, git_refs, git_run, git_snapshot, threads
from rumpel.adapters.git_refs import KEEP
from rumpel.errors import Conflict, NotFound, RumpelError, UsageError
from rumpel.model import PortSpec
from rumpel.names import is_pod_name

log = logging.getLogger(__name__)

SNAPSHOT = re.compile(r"([0-9a-f]{1,32})/snapshots/([0-9]{1,12})-([a-z]{1,16})(?:-[0-9]{1,4})?")
POD_ID = re.compile(r"[0-9a-f]{1,32}")
DELETED = re.compile(rf"{KEEP}[0-9a-f]{{1,32}}/deleted")
HOST = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,252}")
MAX_PORT = 65535
SHORT = 12
AUTOMATIC = ("stop", "restore", "review", "batch")
"""Kinds of snapshots nobody asked for: only the newest are kept."""
MOST_AUTOMATIC = 10
READ_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """Work of a pod at one moment; `kind` is what it was made for."""

    oid: str
    pod_id: str
    kind: str
    at: int
    ref: str

    @property
    def id(self) -> str:
        return self.oid[:SHORT]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeletedModule:
    """A submodule of a pod in the trash: what its own repository holds."""

    key: str
    work_tree: str
    common_dir: str
    branches: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Deleted:
    """A pod in the trash."""

    pod: str
    pod_id: str
    host: str
    base_branch: str | None
    base_oid: str | None
    branches: dict[str, str]
    snapshot: str | None
    deleted_at: float
    expires_at: float
    files: int = 0
    """Changed files in the snapshot."""
    left: tuple[str, ...] = ()
    """What was too large, or could not be read: it went with the pod."""
    modules: tuple[DeletedModule, ...] = ()
    forwards: tuple[PortSpec, ...] = ()
    """Ports that `forward-port` was asked for."""
    asked: dict[str, str] = field(default_factory=dict)
    """Settings that the pod was given by flags."""
    version: int = field(default=1)


async def hold(repo: git.Repo, pod_id: str, oid: str, *, kind: str, at: int) -> Snapshot:
    """Hold a snapshot that was imported, durably and whole. Raises RumpelError.

    The same work is the same commit: it is the newest again, and no older automatic one. What
    somebody asked for stays as well.
    """
    known = await snapshots(repo, pod_id)
    taken = {snapshot.ref: snapshot.oid for snapshot in known}
    base = f"{KEEP}{pod_id}/snapshots/{at}-{kind}"
    names = (base, *(f"{base}-{number}" for number in range(2, 1000)))
    ref = next(name for name in names if taken.get(name, oid) == oid)
    await git_refs.hold(repo, {ref: oid})
    known = [item for item in known if item.ref != ref]
    old = [item.ref for item in known if item.oid == oid and item.kind in (kind, *AUTOMATIC)]
    if kind in AUTOMATIC:
        peers = [item for item in known if item.oid != oid and _counts_with(kind, item.kind)]
        old += [item.ref for item in peers[MOST_AUTOMATIC - 1 :]]
    if old:
        await git_refs.release(repo, old)
    return Snapshot(oid=oid, pod_id=pod_id, kind=kind, at=at, ref=ref)


def _counts_with(kind: str, other: str) -> bool:
    """Two have their own count: a row of reviews must not push out what was overwritten, nor a
    task that works for hours what its pod had when it was stopped.
    """
    return other in AUTOMATIC and all(
        (kind == one) == (other == one) for one in ("restore", "batch")
    )


async def snapshots(repo: git.Repo, pod_id: str) -> list[Snapshot]:
    """Newest first."""
    found = await threads.call(git.refs, repo, f"{KEEP}{pod_id}/snapshots")
    parsed = (parse(name, oid) for name, oid in found.items())
    return sorted(
        (item for item in parsed if item is not None),
        key=lambda item: (item.at, item.ref),
        reverse=True,
    )


async def holders(repo: git.Repo, oid: str) -> set[str]:
    """Ids of the pods whose snapshot this commit is."""
    found = await threads.call(git.refs, repo, KEEP)
    parsed = (parse(name, oid) for name, held in found.items() if held == oid)
    return {item.pod_id for item in parsed if item is not None}


def parse(ref: str, oid: str) -> Snapshot | None:
    """A snapshot from its ref; None for any other ref."""
    match = SNAPSHOT.fullmatch(ref.removeprefix(KEEP))
    if match is None or not git_files.OID.fullmatch(oid):
        return None
    return Snapshot(oid=oid, pod_id=match[1], kind=match[3], at=int(match[2]), ref=ref)


def choose(found: list[Snapshot], wanted: str | None, *, pod: str) -> Snapshot:
    """The newest, or the one whose id begins with `wanted`. Raises NotFound, UsageError."""
    hint = f"rumpel snapshot --list {pod}   lists them"
    if not found:
        raise NotFound(
            f"there is no snapshot of pod {pod!r}", hint=f"rumpel snapshot {pod}   makes one"
        )
    if wanted is None:
        return found[0]
    if not re.fullmatch(r"[0-9a-f]{4,64}", wanted):
        raise UsageError(
            f"{wanted[:80]!r} is no snapshot: 4 to 64 characters of 0-9, a-f", hint=hint
        )
    matching = {item.oid: item for item in found if item.oid.startswith(wanted)}
    if not matching:
        raise NotFound(f"there is no snapshot {wanted} of pod {pod!r}", hint=hint)
    if len(matching) > 1:
        raise Conflict(f"several snapshots begin with {wanted}", hint=hint)
    return next(iter(matching.values()))


# The trash.


def to_text(entry: Deleted) -> str:
    return json.dumps(asdict(entry), sort_keys=True, ensure_ascii=True) + "\n"


def from_text(text: str) -> Deleted | None:
    """Inverse of `to_text`; None for what is none of ours. Members we do not know are dropped."""
    try:
        data = json.loads(text)
        entry = Deleted(
            pod=str(data["pod"]),
            pod_id=str(data["pod_id"]),
            host=str(data["host"]),
            base_branch=_optional(data["base_branch"]),
            base_oid=_oid(data["base_oid"]),
            branches=_branches(data["branches"]),
            snapshot=_oid(data["snapshot"]),
            deleted_at=float(data["deleted_at"]),
            expires_at=float(data["expires_at"]),
            files=int(data.get("files", 0)),
            left=tuple(str(line) for line in data.get("left", ())),
            modules=tuple(_module(item) for item in data.get("modules", ())),
            forwards=tuple(_port(item) for item in data.get("forwards", ())),
            asked={str(key): str(value) for key, value in data.get("asked", {}).items()},
        )
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
    return entry if is_pod_name(entry.pod) and POD_ID.fullmatch(entry.pod_id) else None


def _module(data: Any) -> DeletedModule:
    return DeletedModule(
        key=str(data["key"]),
        work_tree=str(data["work_tree"]),
        common_dir=str(data["common_dir"]),
        branches=_branches(data["branches"]),
    )


def _port(data: Any) -> PortSpec:
    """Raises ValueError for what `forward-port` would refuse."""
    local = None if data["local"] is None else int(data["local"])
    port = PortSpec(
        port=int(data["port"]),
        host=str(data["host"]),
        local=local,
        may_be_low=bool(data["may_be_low"]),
        label=_optional(data["label"]),
        protocol=_optional(data["protocol"]),
        is_announced=bool(data["is_announced"]),
    )
    if not (
        0 < port.port <= MAX_PORT and 0 <= (local or 0) <= MAX_PORT and HOST.fullmatch(port.host)
    ):
        raise ValueError("no port")
    return port


def _branches(data: Any) -> dict[str, str]:
    return {str(name): str(_oid(oid)) for name, oid in data.items()}


def _optional(value: Any) -> str | None:
    return None if value is None else str(value)


def _oid(value: Any) -> str | None:
    """Raises ValueError for what is neither an oid nor None."""
    if value is not None and not git_files.OID.fullmatch(value):
        raise ValueError("no oid")
    return _optional(value)


async def bury(repo: git.Repo, entry: Deleted) -> None:
    """Write the entry of a pod that is about to go, durably. Raises RumpelError."""
    done = await git_run.run(
        repo.git_dir,
        *git_refs.DURABLE,
        "hash-object",
        "-w",
        "--stdin",
        input=to_text(entry).encode(),
        timeout_s=READ_TIMEOUT_S,
    )
    oid = done.stdout.decode().strip()
    await git_refs.hold(repo, {_deleted_ref(entry.pod_id): oid})
    read = from_text(await git_snapshot.text(repo, oid))
    if read != entry:
        raise RumpelError(f"pod {entry.pod!r} could not be put into the trash: it reads otherwise")


async def with_known_work(repo: git.Repo, entry: Deleted, *, was_seen: bool) -> Deleted:
    """`entry`, which has no snapshot, with the work that was found when the pod was last seen.

    A pod that cannot be looked into may have been: before a delete that was cut off, or when it
    stopped. And one that is clean may be one whose undelete failed before its work was back.
    """
    before = next((item for item in await entries(repo) if item.pod_id == entry.pod_id), None)
    if was_seen:
        is_same = before and {*before.branches.values()} == {*entry.branches.values()}
        return _with_work_of(entry, before) if before and is_same else entry
    if before is not None and not entry.branches:  # they are withdrawn already
        pod = {before.pod: entry.pod}
        branches = {pod.get(name, name): oid for name, oid in before.branches.items()}
        entry = replace(entry, branches=branches, modules=before.modules)
    held = await snapshots(repo, entry.pod_id)
    if before is not None and not (held and held[0].at > before.deleted_at):
        return _with_work_of(entry, before)
    if not held or not await _fits(repo, entry, held[0].oid):
        return entry
    left = await git_snapshot.left_out(repo, held[0].oid)
    return replace(entry, snapshot=held[0].oid, left=_joined(left, entry.left))


async def _fits(repo: git.Repo, entry: Deleted, oid: str) -> bool:
    """Was snapshot `oid` made on the branches of `entry`? Else it would move one of them back."""
    about = await git_snapshot.about(repo, oid)
    branch = about.get("head", "").removeprefix("refs/heads/")
    branch = entry.pod if branch == about.get("branch") else branch
    return entry.branches.get(branch) in (None, about.get("tip"))


def _with_work_of(entry: Deleted, before: Deleted) -> Deleted:
    left = _joined(before.left, entry.left)
    return replace(entry, snapshot=before.snapshot, files=before.files, left=left)


def _joined(*parts: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(line for part in parts for line in part))


async def entries(repo: git.Repo) -> list[Deleted]:
    """Everything in the trash, deleted last first."""
    refs = await threads.call(git.refs, repo, KEEP)
    # Not by its end alone: a branch, and so a commit of any size, may be called `deleted`.
    oids = [oid for ref, oid in refs.items() if DELETED.fullmatch(ref)]
    found = [from_text(text) for text in await git_snapshot.texts(repo, oids)] if oids else []
    known = [entry for entry in found if entry is not None]
    return sorted(known, key=lambda entry: (-entry.deleted_at, entry.pod_id))


async def unbury(repo: git.Repo, pod_id: str) -> None:
    """The pod is back: what it held stays held, but it is not in the trash."""
    await git_refs.release(repo, [_deleted_ref(pod_id)])


async def expire(repo: git.Repo, gone: Iterable[Deleted]) -> None:
    """Let go of everything of these pods; git may drop the objects from now on."""
    for entry in gone:
        pod_id = entry.pod_id
        for module in entry.modules:
            try:
                of_module = await threads.call(git.reopen, module.work_tree, module.common_dir)
                held = await threads.call(git.refs, of_module, f"{KEEP}{pod_id}/")
                await git_refs.release(of_module, held)
            except RumpelError as error:  # it is gone, as a rule: nothing is held there
                log.info("submodule %s of %s: %s", module.key, entry.pod, error.message)
        refs = await threads.call(git.refs, repo, f"{KEEP}{pod_id}")
        # The entry goes last: until then the next one can finish the job.
        last = _deleted_ref(pod_id)
        await git_refs.release(repo, [name for name in refs if name != last])
        await git_refs.release(repo, [last] if last in refs else [])


def pick(found: list[Deleted], name: str) -> Deleted:
    """The one deleted last of that name, or of that pod id. Raises NotFound."""
    for entry in found:
        if name in (entry.pod, entry.pod_id):
            return entry
    raise NotFound(
        f"there is no pod {name!r} in the trash",
        hint="rumpel undelete   lists what is there",
        details={"known": sorted({entry.pod for entry in found})},
    )


def _deleted_ref(pod_id: str) -> str:
    return f"{KEEP}{pod_id}/deleted"
