"""The services operations work on: Docker hosts, links into pods, publishing of their refs.

Operations get a `World` as `ctx.world`. What is long-lived behind it (event streams, parked
execs, watchers) is run by the daemon; here are only the shapes.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from rumpel import names, paths
from rumpel.adapters import feature_files
from rumpel.adapters.docker_api import DockerHost
from rumpel.adapters.docker_snapshot import HostSnapshot
from rumpel.adapters.docker_types import ContainerDetail, ContainerState
from rumpel.adapters.git import Head
from rumpel.adapters.git_trash import Deleted, DeletedModule, Snapshot
from rumpel.adapters.pod_link import Ask
from rumpel.engine.operation import OK, Probe, changed, gone, unknown
from rumpel.errors import HostUnreachable
from rumpel.model import PortSpec, RepoRef

if TYPE_CHECKING:
    from rumpel.tasks.batching import Batches


@dataclass(frozen=True, slots=True, kw_only=True)
class PodAddress:
    """Which pod, and where its workspace lies."""

    repo: RepoRef
    host: str
    pod: str
    pod_id: str
    workspace_folder: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """How to talk to a pod's container."""

    container_id: str
    user: str
    """User of the workspace and of everything run in it; never empty."""
    as_main: bool
    """The link is the container's main process (else an exec, e.g. overrideCommand false)."""
    is_set_up: bool = True
    """A workspace was made in it: without one there is nothing to import, and nothing to lose."""


@dataclass(frozen=True, slots=True)
class SyncReport:
    """Branches of a pod as they are on the host now, and what was refused on the way."""

    branches: Mapping[str, str]
    rejected: tuple[tuple[str, str], ...] = ()
    large_files: int = 0
    """Content of Git LFS that is only in the pod."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """A snapshot that is on the host, held and read again."""

    snapshot: Snapshot
    is_work: bool
    """Else it only tells which branch was checked out."""
    files: int
    """Changed files in it."""
    left: tuple[str, ...]
    """What is not in it, in the words of the pod."""


Tips = tuple[Head, Mapping[str, str]]
"""HEAD and the branches of a repository at one moment."""

Poured = Mapping[RepoRef, Tips]
"""What a seed was born with: the repository, and those of its submodules."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModuleWork:
    """Commits of a pod in one of its submodules that nobody else has."""

    path: str
    work_tree: str
    """Of the host's submodule."""
    shown: str
    """The branch with them there: `rumpelpod/NAME`."""
    commits: list[tuple[str, str]]
    """(commit, subject)."""

    def taken_by(self, folder: str) -> str:
        """The command that merges them; `folder`: as it is called where that is typed."""
        return f"git -C {shlex.quote(folder)} merge {shlex.quote(self.shown)}"


class Links(Protocol):
    """Links into pods: control channel, import door, published refs. One per running pod."""

    def is_live(self, pod_id: str, container_id: str) -> bool: ...

    async def prepare(self, pod: PodAddress, access: Access) -> None:
        """Attach before the start, so that the set-up needs no exec."""

    async def connect(self, pod: PodAddress, access: Access) -> None:
        """Make the link live (idempotent)."""

    async def request(self, pod_id: str, verb: str, *args: str, timeout_s: float) -> str: ...

    def near(self, pod: PodAddress, container_id: str) -> Ask | None:
        """What a process of this user can be started with, in place of an exec."""

    async def set_up(self, pod: PodAddress, setup: Setup) -> str:
        """Make the workspace; answers the oid of the pod's branch, `-` when unborn."""

    async def setup_words(self, repo: RepoRef, host: str, setup: Setup) -> list[str]:
        """What a container that is no pod is told for a workspace; the seed has all it needs."""

    async def publish_fresh(self, pod: PodAddress, branch: str, oid: str) -> None:
        """Publish a branch whose commit the host already has; no transfer."""

    async def sync(self, pod: PodAddress) -> SyncReport:
        """Import everything the pod has now and publish it."""

    async def catch_up(self, pod: PodAddress) -> bool:
        """Import what moved in the pod just now, if anything did: is its HEAD on the host?"""

    async def look(self, pod: PodAddress, access: Access) -> SyncReport:
        """As `sync`, past the live link, whose other end may be frozen; ends the link."""

    def lacks_files(self, pod_id: str) -> bool:
        """Were the files left to a snapshot that was not put there yet?"""

    async def bring_files(self, pod: PodAddress) -> None:
        """Then those of the commit come, unless the snapshot has come by now (idempotent)."""

    async def refresh_dirty(self, pod: PodAddress) -> int:
        """Ask the pod for its number of uncommitted files (untracked ones count)."""

    def branches(self, pod_id: str) -> Mapping[str, str]:
        """Branches of the pod as last imported."""

    async def unmerged_in_submodules(self, pod: PodAddress) -> list[ModuleWork]:
        """Of submodules with some. Raises RumpelError when nobody can tell."""

    def deleted_modules(self, pod: PodAddress) -> tuple[DeletedModule, ...]:
        """What the trash has to know of its submodules."""

    async def keep(self, pod: PodAddress) -> int:
        """Hold all imported branches under refs/rumpel/keep/ and verify; answers how many."""

    async def close(self, pod_id: str) -> None:
        """Drop the link (the pod stops); nothing on the host changes."""

    async def forget(self, pod: PodAddress) -> None:
        """The pod is deleted: its published refs and its door go."""

    async def seeded(self, repo: RepoRef, host: str, poured: Poured) -> None:
        """A gateway runs: keep its repositories equal to the host's branches from now on.

        `poured`: what was put into it just now; empty when that is not known.
        """

    async def unseeded(self, repo: RepoRef, host: str) -> None:
        """The gateway is about to go."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A port of a pod at a local port."""

    local: int
    note: str | None
    """Why it is not the local port one would expect."""


class Ports(Protocol):
    """Local ports that lead into running pods."""

    def local(self, pod_id: str, key: str, container_id: str) -> int | None:
        """Where a port is open now; None when it is not."""

    def why(self, pod_id: str, key: str) -> str | None:
        """Why it is not at the local port one would expect, or at none."""

    async def open(self, pod: PodAddress, access: Access, port: PortSpec) -> Opened:
        """Listen for it, at the local port it had (idempotent). Raises Conflict."""

    async def close(self, pod_id: str) -> None:
        """The pod stops: what is open for it is closed, and connections end."""


class Works(Protocol):
    """Uncommitted work of pods: onto the host, back into a pod, into the trash."""

    async def freeze(self, pod: PodAddress, access: Access) -> None:
        """Nothing the user runs in the pod changes anything any more, where that is possible."""

    async def thaw(self, pod: PodAddress, access: Access) -> None:
        """It goes on; harmless when nothing was frozen."""

    async def take(self, pod: PodAddress, access: Access, kind: str) -> Taken | None:
        """Bring a snapshot onto the host; None when there is nothing to be kept."""

    async def put(self, pod: PodAddress, access: Access, oid: str) -> tuple[str, ...]:
        """Make the pod's workspace what the snapshot is. What it had is overwritten.

        Answers what could not be put back.
        """

    async def bury(self, pod: PodAddress, entry: Deleted, *, was_seen: bool) -> None:
        """Into the trash, durably; with the work known of it when it `was_seen` no more."""

    async def unbury(self, pod: PodAddress) -> None:
        """The pod is back."""


class ByHand(Protocol):
    """What somebody did by hand where no event tells: known from the last look."""

    def seed(self, repo: RepoRef, host: str) -> str | None:
        """What is wrong with the repository behind the remote `host`."""

    def branches(self, pod_id: str) -> str | None:
        """Which published branch of the pod is not what was published."""

    async def look_at_seed(self, repo: RepoRef, host: str) -> str | None:
        """Look now."""

    async def mend_seed(self, repo: RepoRef, host: str) -> None:
        """It was poured anew over what was left of it. Raises RumpelError when that is not good."""

    async def mend_branches(self, pod: PodAddress) -> None:
        """Publish them again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What the pod's workspace is made from."""

    branch: str
    oid: str | None
    upstream: str | None
    restore: Mapping[str, str] = field(default_factory=dict)
    """Branches of an earlier container of this pod, as imported: nothing committed is lost."""
    prebuilt: str = ""
    """Key of the prebuild whose workspace lies in the container's image."""
    leaves_files: bool = False
    """A snapshot brings them: where nothing lies there yet, only HEAD is set."""
    is_carried: bool = False
    """The workspace came from an earlier container of the pod: nothing in it may be made anew."""


class MadeHere(Protocol):
    """What a step like this one has made on this machine's engine."""

    async def __call__(
        self, node_id: str, version: int, components: Mapping[str, Any]
    ) -> Mapping[str, Any] | None: ...


@dataclass(slots=True, kw_only=True)
class World:
    """`ctx.world`."""

    home_id: str
    hosts: dict[str, DockerHost]
    snapshots: dict[str, HostSnapshot]
    links: Links
    ports: Ports
    works: Works
    by_hand: ByHand
    made_here: MadeHere
    extra_labels: dict[str, str]
    default_parallel: int
    scratch_dir: Path
    """A 0700 folder of the daemon for build contexts and seeds."""
    proxies: dict[str, Mapping[str, str]] = field(default_factory=dict)
    """Host -> variables for its builds and for commands in its pods. In memory only."""
    crashed: set[str] = field(default_factory=set)
    """Nodes a killed daemon was running: what they started in a pod may still run."""
    features: feature_files.Store = field(
        default_factory=lambda: feature_files.store(Path(paths.cache_dir()))
    )
    """Files of dev container features."""
    batches: Batches | None = None
    stand_ins: set[str] = field(default_factory=set)
    """Ids of pods that are looked into by a `stand_in`."""

    def host(self, name: str) -> DockerHost:
        """Raises HostUnreachable when the engine is not connected."""
        host = self.hosts.get(name)
        if host is None:
            raise HostUnreachable(f"no connection to the Docker engine of host {name!r}")
        return host

    def label_filter(self, kind: str, **more: str) -> list[str]:
        """Labels to look our own objects up by; `more` are names without `rumpel.`."""
        pairs = {"home": self.home_id, "kind": kind, **more}
        return [f"rumpel.{key.replace('_', '-')}={value}" for key, value in pairs.items()]

    def image_labels(self) -> dict[str, str]:
        """No nonce: a rebuild must be able to give the same id. And one label is one step."""
        return {names.LABEL_HOME: self.home_id, **self.extra_labels}

    def labels(self, kind: str, node_id: str, nonce: str) -> dict[str, str]:
        return {
            names.LABEL_HOME: self.home_id,
            names.LABEL_KIND: kind,
            names.LABEL_NODE: node_id,
            names.LABEL_NONCE: nonce,
            **self.extra_labels,
        }

    def snapshot(self, host: str) -> HostSnapshot | None:
        """The warm view of a host, None while it cannot be trusted."""
        found = self.snapshots.get(host)
        return found if found is not None and found.state == "live" else None

    def has_image(self, host: str, image_id: str) -> Probe:
        snapshot = self.snapshot(host)
        if snapshot is None:
            return unknown(f"Docker on {host} does not answer")
        return OK if image_id in snapshot.images else gone("image removed")

    async def saw_image(self, host: str) -> None:
        """An image was made just now: let the view have it before anybody plans."""
        await self.snapshots[host].refresh_images()

    def saw(self, host: str, detail: ContainerDetail) -> None:
        """The same for a container."""
        self.snapshots[host].note(detail)

    async def started(self, host: str, container_id: str) -> ContainerState | None:
        """A container of ours that was started just now; None when it is gone already."""
        return await self.snapshots[host].started(container_id)

    async def looked(self, host: str, container_id: str) -> None:
        """Something was done to a container: let the view have it before anybody plans."""
        await self.snapshots[host].refresh(container_id)

    def container(self, host: str, container_id: str) -> ContainerState | Probe:
        """The state of a container, or the probe that says why there is none."""
        snapshot = self.snapshot(host)
        if snapshot is None:
            return unknown(f"Docker on {host} does not answer")
        state = snapshot.containers.get(container_id)
        return gone("container removed") if state is None else state

    def running(self, host: str, container_id: str) -> Probe | None:
        """None when the container runs, else the probe that says why not."""
        state = self.container(host, container_id)
        if isinstance(state, Probe):
            return state
        if state.status != "running":
            return changed(f"container is {state.status}")
        return None
