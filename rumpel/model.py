"""The values the product is about: repositories, pods, what a pod is made of. Frozen, JSON-able."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class RepoRef:
    """A git repository of the host, known by the real path of its common git dir."""

    repo_id: str
    common_dir: str
    work_tree: str
    object_format: str = "sha1"

    @property
    def basename(self) -> str:
        return self.work_tree.rstrip("/").rsplit("/", 1)[-1]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageSpec:
    """Where the base image comes from: a reference to pull, or a build."""

    ref: str | None = None
    dockerfile: str | None = None
    context: str | None = None
    context_key: str | None = None
    """Digest of Dockerfile and context (.dockerignore honoured, no absolute path in it)."""
    args: dict[str, str] = field(default_factory=dict)
    target: str | None = None
    cache_from: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class HookSpec:
    """One lifecycle command: named steps that run at once; a plain command has one step."""

    name: str
    steps: tuple[tuple[str, tuple[str, ...]], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerSpec:
    """What the Engine API's create body is made of, besides image, labels and our mounts."""

    workspace_folder: str
    container_user: str | None = None
    remote_user: str | None = None
    env: dict[str, str | None] = field(default_factory=dict)
    mounts: tuple[dict[str, Any], ...] = ()
    config: dict[str, Any] = field(default_factory=dict)
    host_config: dict[str, Any] = field(default_factory=dict)
    networking: dict[str, Any] = field(default_factory=dict)
    platform: str | None = None
    override_command: bool = True
    init: bool = True
    memory: str | None = None
    cpus: str | None = None
    pids_limit: int = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class PodSpec:
    """Everything a create graph is built from, for one pod."""

    repo: RepoRef
    host: str
    pod: str
    pod_id: str
    base_branch: str | None
    base_oid: str | None
    image: ImageSpec
    container: ContainerSpec
    hooks: tuple[HookSpec, ...] = ()
    remote_env: dict[str, str | None] = field(default_factory=dict)
    env_probe: str = "loginInteractiveShell"

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> PodSpec:
        """Inverse of `to_json`; unknown members (of a newer version) are dropped."""
        known = _known(cls, data)
        known["repo"] = RepoRef(**_known(RepoRef, data["repo"]))
        image = _known(ImageSpec, data["image"])
        image["cache_from"] = tuple(image.get("cache_from", ()))
        image["options"] = tuple(image.get("options", ()))
        known["image"] = ImageSpec(**image)
        container = _known(ContainerSpec, data["container"])
        container["mounts"] = tuple(container.get("mounts", ()))
        known["container"] = ContainerSpec(**container)
        known["hooks"] = tuple(
            HookSpec(
                name=hook["name"],
                steps=tuple((name, tuple(argv)) for name, argv in hook["steps"]),
            )
            for hook in data.get("hooks", ())
        )
        return cls(**known)


def _known(cls: Any, data: dict[str, Any]) -> dict[str, Any]:
    names = {item.name for item in fields(cls)}
    return {key: value for key, value in data.items() if key in names}
