"""The pods there are: rows of the database read as values, and what state each one is in."""

from __future__ import annotations

import asyncio
import contextlib
import difflib
import os
import secrets
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from rumpel import names, text
from rumpel.adapters import git
from rumpel.adapters.docker_types import ContainerState
from rumpel.cache.records import PodRow, Record
from rumpel.cache.store import Store
from rumpel.engine import faults
from rumpel.errors import NotFound, UsageError
from rumpel.graphs.ids import feature_id, image_id, node_id, service_id
from rumpel.model import PodSpec, RepoRef
from rumpel.tasks import container
from rumpel.tasks.world import Access

NEAR = 0.75
MOST_MEANT = 5
UNASKED = "unasked"
"""Pods that nobody could be asked about: they stay as they are until somebody makes them."""
KEPT_BY_ID = (
    *(
        "agents",
        "agent-home",
        "at-work",
        "bare",
        "dirty",
        "fresh",
        "git-passwords",
        UNASKED,
        "left",
        "lent",
        "made-of",
        "modules",
        "modules-back",
        "pending",
        "ports",
    ),
    *("reviewed", "undelete"),
)
"""Keys of the store with the id of a pod in them."""
OWN_KINDS = (
    *(
        "image",
        "tools",
        "services",
        "container",
        "clone",
        "copy-in",
        "sync",
        "commits",
        "imported",
        "uncommitted",
        "range",
    ),
    *("risk", "run", "arrived"),
    *("stop", "guard", "keep", "remove", "snapshot", "restore", "replace", "retire"),
)
"""Kinds of nodes that belong to one pod, besides its lifecycle commands."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    """A pod as it was made: its spec is what its container was, or will be, created from."""

    spec: PodSpec
    created_at: float

    @property
    def name(self) -> str:
        return self.spec.pod

    @property
    def pod_id(self) -> str:
        return self.spec.pod_id


def repo_ref(repo: git.Repo) -> RepoRef:
    return RepoRef.at(os.path.realpath(repo.common_dir), str(repo.work_tree), repo.object_format)


def new_pod_id() -> str:
    return secrets.token_hex(8)


class Pods:
    """Reads are from memory; writes are durable before they return."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._cache: dict[str, tuple[PodRow, Pod]] = {}
        self.open_sessions: dict[str, int] = {}
        self.ending: dict[str, str] = {}
        """Pods that are stopped or deleted just now: what becomes of them."""

    def all(self) -> list[Pod]:
        return [self._read(row) for row in self._store.pods() if row.deleted_at is None]

    def of_repo(self, repo_id: str) -> list[Pod]:
        return [
            self._read(row)
            for row in self._store.pods()
            if row.repo_id == repo_id and row.deleted_at is None
        ]

    def find(self, repo_id: str, name: str) -> Pod | None:
        for row in self._store.pods():
            if row.repo_id == repo_id and row.name == name and row.deleted_at is None:
                return self._read(row)
        return None

    def by_id(self, pod_id: str) -> Pod | None:
        row = self._store.pod(pod_id)
        return None if row is None else self._read(row)

    def get(self, repo_id: str, name: str, *, prefix: bool = False) -> Pod:
        """Raises NotFound; `prefix` allows a unique beginning (for verbs that only read)."""
        found = self.find(repo_id, name)
        if found is not None:
            return found
        known = sorted(pod.name for pod in self.of_repo(repo_id))
        if prefix:
            matching = [candidate for candidate in known if candidate.startswith(name)]
            if len(matching) == 1:
                return self.get(repo_id, matching[0])
            if matching:
                raise UsageError(f"{name!r} is the beginning of {', '.join(matching)}")
        names.check_pod_name(name)
        raise NotFound(
            f"there is no pod {name!r} of this repository",
            hint="; ".join((*meant(name, known), "rumpel list   shows those there are")),
            details={"name": name, "known": known},
        )

    @contextlib.contextmanager
    def are_ending(self, pods: Iterable[Pod], word: str) -> Iterator[None]:
        """For those who are in one of them: their shells just end."""
        ids = [pod.pod_id for pod in pods]
        self.ending.update(dict.fromkeys(ids, word))
        try:
            yield
        finally:
            for pod_id in ids:
                self.ending.pop(pod_id, None)

    async def put(
        self,
        spec: PodSpec,
        *,
        created_at: float | None = None,
        made: Mapping[str, str] | None = None,
    ) -> Pod:
        """`made`: as `remember_made_of`; the two are written together, or neither."""
        row = PodRow(
            pod_id=spec.pod_id,
            repo_id=spec.repo.repo_id,
            name=spec.pod,
            host=spec.host,
            definition=spec.to_json(),
            created_at=time.time() if created_at is None else created_at,
        )
        kept = None if made is None else {f"made-of/{spec.pod_id}": dict(made)}
        await self._store.put_pod(row, kept)
        return self._read(row)

    async def remove(self, pod: Pod) -> None:
        """All that is written down about it goes, its row last: until then it can be deleted."""
        await asyncio.gather(
            self._store.forget(self.node_ids(pod.spec)),
            *(self._store.kv_set(f"{kind}/{pod.pod_id}", None) for kind in KEPT_BY_ID),
        )
        await faults.reach("delete.forgotten")
        await self._store.delete_pod(pod.pod_id)
        self._cache.pop(pod.pod_id, None)

    def node_ids(self, spec: PodSpec) -> list[str]:
        own = [node_id(kind, spec) for kind in OWN_KINDS]
        many = tuple(f"{node_id(kind, spec)}/" for kind in ("lifecycle", "port"))
        return own + [name for name in list(self._store.records) if name.startswith(many)]

    def record(self, kind: str, spec: PodSpec) -> Record | None:
        return self._store.records.get(node_id(kind, spec))

    def access(self, spec: PodSpec) -> Access | None:
        """How to talk to the pod's container, as last recorded."""
        record = self.record("container", spec)
        if record is None or record.output is None:
            return None
        output, cloned = record.output, self.record("clone", spec)
        made = None if cloned is None else cloned.output
        return Access(
            container_id=output["container_id"],
            user=output["user"],
            as_main=output["as_main"],
            is_set_up=made is not None and made["container_id"] == output["container_id"],
        )

    def made_of(self, spec: PodSpec) -> container.Inputs | None:
        """The inputs the pod's container was created with; None before it was."""
        image = self._store.kv_get(f"made-of/{spec.pod_id}")
        if image is None:
            return None
        return container.Inputs(
            repo=spec.repo,
            host=spec.host,
            pod=spec.pod,
            pod_id=spec.pod_id,
            image_id=image["image_id"],
            image_key=image.get("image_key", ""),
            image_user=image["image_user"],
            user=image["user"],
            seed_volume=image["seed_volume"],
            spec=spec.container,
            base_branch=spec.base_branch,
            base_oid=spec.base_oid,
            spec_label=image.get("spec_label"),
            service_images=tuple(filter(None, image.get("service_images", "").split())),
            ended_services=self.ended(spec),
        )

    def ended(self, spec: PodSpec) -> dict[str, str]:
        """Services that came to a good end, as far as was seen, and what they were made of."""
        record = self.record("services", spec)
        output = {} if record is None else record.output or {}
        made = output.get("ended_as", {})
        return {name: made.get(name, "") for name in output.get("ended", ())}

    async def remember_made_of(self, spec: PodSpec, made: Mapping[str, str]) -> None:
        if self._store.kv_get(f"made-of/{spec.pod_id}") != dict(made):
            await self._store.kv_set(f"made-of/{spec.pod_id}", dict(made))

    def failed_node(self, spec: PodSpec) -> str | None:
        """Kind (or hook) of the first node of the pod whose last attempt failed."""
        found = self.unfinished(spec)
        return None if found is None else found[1]

    def unfinished(self, spec: PodSpec, *, runs: bool = False) -> tuple[str, str] | None:
        """The same, behind `failed` or `cancelled`; a container that `runs` did not fail, it was
        kept as it is.
        """
        hooks = [item for item in self.node_ids(spec) if item.startswith("lifecycle/")]
        order = [node_id("clone", spec), node_id("copy-in", spec), *hooks]
        if not runs:
            order.insert(0, node_id("container", spec))
        if self.record("container", spec) is None:
            images = (image_id("image", spec), image_id("tools", spec))
            beside = () if spec.project is None else spec.project.services
            of_services = [*(service_id(spec, one) for one in beside), node_id("services", spec)]
            features = [feature_id(spec, one) for one in spec.image.features]
            seed = node_id("seed", spec, shared=True)
            order = [*images, *features, seed, *of_services, *order]
        for name in order:
            record = self._store.records.get(name)
            if record is not None and record.failure is not None:
                how = "cancelled" if record.failure.get("state") == "cancelled" else "failed"
                part = name.partition("//")[2]  # a feature, or the image of a service
                is_hook = name.startswith("lifecycle/")
                what = name.rsplit("/", 1)[-1] if is_hook else record.kind
                return how, f"{what}/{part}" if part else what
        return None

    def _read(self, row: PodRow) -> Pod:
        cached = self._cache.get(row.pod_id)
        if cached is None or cached[0] is not row:
            spec = PodSpec.from_json(dict(row.definition))
            cached = (row, Pod(spec=spec, created_at=row.created_at))
            self._cache[row.pod_id] = cached
        return cached[1]


def meant(name: str, known: Sequence[str]) -> list[str]:
    """A question that names the pods that were probably meant, if there are such."""
    found = [candidate for candidate in known if candidate.startswith(name)][:MOST_MEANT]
    near = nearest(name, known)
    found = found or ([near] if near else [])
    return [f"did you mean {text.listing(found, 'or')}?"] if found else []


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The pod that was probably meant."""
    found = difflib.get_close_matches(name, list(known), 1, NEAR)
    return found[0] if found else None


def find_container(containers: Iterable[ContainerState], pod_id: str) -> ContainerState | None:
    """By our label only; a started one before one that never was."""
    found = [
        state
        for state in containers
        if state.labels.get(names.LABEL_POD_ID) == pod_id
        and state.labels.get(names.LABEL_KIND) == "pod"
    ]
    return min(
        found,
        key=lambda state: (names.place_in_line(state.name), state.status == "created"),
        default=None,
    )


def with_repo(spec: PodSpec, repo: RepoRef) -> PodSpec:
    """The same pod seen from another worktree of its repository."""
    return spec if spec.repo == repo else replace(spec, repo=repo)
