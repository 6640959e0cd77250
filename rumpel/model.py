"""The values the product is about: repositories, pods, what a pod is made of. Frozen, JSON-able."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

LOCALHOST = "localhost"


@dataclass(frozen=True, slots=True, kw_only=True)
class RepoRef:
    """A git repository of the host, known by the real path of its common git dir."""

    repo_id: str
    common_dir: str
    work_tree: str
    object_format: str = "sha1"
    first_name: str = ""
    """Of one that was moved: what is named after it keeps its name."""

    @classmethod
    def at(cls, common_dir: str, work_tree: str, object_format: str = "sha1") -> RepoRef:
        """`common_dir` is a real path: worktrees of one repository share its pods."""
        digest = hashlib.blake2b(os.fsencode(common_dir), digest_size=16)
        return cls(
            repo_id=digest.hexdigest(),
            common_dir=common_dir,
            work_tree=work_tree,
            object_format=object_format,
        )

    @property
    def basename(self) -> str:
        """Of the folder, as UTF-8: it names things in Docker and in pods."""
        name = self.first_name or self.work_tree.rstrip("/").rsplit("/", 1)[-1]
        text = name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        return text.replace("\ufffd", "_") or "root"


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureSpec:
    """A dev container feature as it is installed into an image."""

    name: str
    """Its id; with a number when it is there before with other options."""
    written: str
    """As the configuration names it."""
    version: str = ""
    content: str = ""
    """Digest of its files, by which they are kept (`adapters.feature_files`)."""
    options: dict[str, str] = field(default_factory=dict)
    """Variables for its install.sh."""
    private: tuple[str, ...] = ()
    """Options whose values come from the caller's environment: never stored, never shown."""
    container_env: dict[str, str] = field(default_factory=dict)
    """Variables of the image after it, in which others may be named."""

    @property
    def sealed_options(self) -> dict[str, str | None]:
        return sealed(self.options, self.private)


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
    options: dict[str, Any] = field(default_factory=dict)
    """`build.options` as parameters of the Engine API."""
    certificates: tuple[str, ...] = ()
    """That it is to trust besides its own."""
    features: tuple[FeatureSpec, ...] = ()
    """Installed on top of it, in this order."""

    @property
    def is_of_a_pod(self) -> bool:
        """The very image some pod has, by its id; a configuration names none like that."""
        return self.ref is not None and self.ref.startswith("sha256:")


@dataclass(frozen=True, slots=True, kw_only=True)
class HookSpec:
    """One lifecycle command: named steps that run at once; a plain command has one step."""

    name: str
    steps: tuple[tuple[str, tuple[str, ...]], ...]
    by: str = ""
    """The feature whose command it is; empty: the configuration's own."""

    @property
    def key(self) -> str:
        """Among all of a pod: `onCreateCommand`, or `onCreateCommand.docker` of a feature."""
        return f"{self.name}.{self.by}" if self.by else self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class PortSpec:
    """A port of a pod that appears on this machine."""

    port: int
    host: str = LOCALHOST
    """As the pod sees it; another one is a neighbour of the container."""
    local: int | None = None
    """The local port asked for: this one or none."""
    may_be_low: bool = False
    """A local port below 1024 was asked for, if it can be had."""
    label: str | None = None
    protocol: str | None = None
    """`http` or `https`, when it is known what is spoken there."""
    is_announced: bool = True

    @property
    def key(self) -> str:
        """What it is called: `3000`, or `db:5432`."""
        return str(self.port) if self.host == LOCALHOST else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PrebuildSpec:
    """How the first commands of new pods are run beforehand, once for all of them."""

    inputs: tuple[str, ...] = ()
    """Patterns of the files that they depend on; none = every file of the commit."""
    max_age_s: float = 0.0
    least_s: float = 0.0
    """Commands that are quicker are not worth an image."""
    barrier: str = ""
    """What speaks against it in this configuration, if anything does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerSpec:
    """What the Engine API's create body is made of, besides image, labels and our mounts."""

    workspace_folder: str
    container_user: str | None = None
    remote_user: str | None = None
    env: dict[str, str | None] = field(default_factory=dict)
    private_env: tuple[str, ...] = ()
    """Variables whose values come from the caller's environment: never stored, never shown."""
    volumes: tuple[str, ...] = ()
    """Volumes that belong to this pod alone and go with it."""
    mounts: tuple[dict[str, Any], ...] = ()
    config: dict[str, Any] = field(default_factory=dict)
    host_config: dict[str, Any] = field(default_factory=dict)
    networking: dict[str, Any] = field(default_factory=dict)
    platform: str | None = None
    override_command: bool = True
    entrypoints: tuple[str, ...] = ()
    """Of features: run before the command, each to its end."""
    init: bool = True
    memory: str | None = None
    cpus: str | None = None
    pids_limit: int = 4096
    gpu: bool = False
    """All that the engine has, where it can give any."""


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
    shares_branches: bool = True
    ports: tuple[PortSpec, ...] = ()
    """Of the configuration."""
    forwards: tuple[PortSpec, ...] = ()
    """Asked for by `forward-port`; such a one stands for the configured port of its key."""
    config_file: str | None = None
    """The devcontainer.json it was made from, relative to the repository."""

    prebuild: PrebuildSpec | None = None
    """None = not wanted."""
    asked: dict[str, str] = field(default_factory=dict)
    """Settings that this pod was given by flags, such as `memory`: they stay with it."""

    @property
    def open_ports(self) -> tuple[PortSpec, ...]:
        """All of them, each once."""
        found = {port.key: port for port in (*self.ports, *self.forwards)}
        return tuple(found.values())

    def to_json(self) -> dict[str, Any]:
        """For the database: private values only as digests."""
        data = asdict(self)
        data["container"]["env"] = sealed(self.container.env, self.container.private_env)
        for one, stored in zip(self.image.features, data["image"]["features"], strict=True):
            stored["options"] = one.sealed_options
        return data

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> PodSpec:
        """Inverse of `to_json`; unknown members (of a newer version) are dropped."""
        known = _known(cls, data)
        known["repo"] = RepoRef(**_known(RepoRef, data["repo"]))
        image = _known(ImageSpec, data["image"])
        for name in ("cache_from", "certificates"):
            image[name] = tuple(image.get(name, ()))
        image["features"] = tuple(
            FeatureSpec(**{**_known(FeatureSpec, one), "private": tuple(one.get("private", ()))})
            for one in image.get("features", ())
        )
        known["image"] = ImageSpec(**image)
        container = _known(ContainerSpec, data["container"])
        for name in ("entrypoints", "mounts", "private_env", "volumes"):
            container[name] = tuple(container.get(name, ()))
        known["container"] = ContainerSpec(**container)
        known["hooks"] = tuple(
            HookSpec(
                name=hook["name"],
                steps=tuple((name, tuple(argv)) for name, argv in hook["steps"]),
                by=hook.get("by", ""),
            )
            for hook in data.get("hooks", ())
        )
        for name in ("ports", "forwards"):
            listed = data.get(name, ())
            known[name] = tuple(PortSpec(**_known(PortSpec, port)) for port in listed)
        prebuild = known.get("prebuild")
        if prebuild is not None:
            prebuild = _known(PrebuildSpec, prebuild)
            prebuild["inputs"] = tuple(prebuild.get("inputs", ()))
            known["prebuild"] = PrebuildSpec(**prebuild)
        return cls(**known)


SEAL = "sealed:"


def sealed(env: Mapping[str, str | None], private: Iterable[str]) -> dict[str, str | None]:
    """`env` with the values of `private` names as digests; sealing twice changes nothing."""
    hidden = set(private)
    return {
        name: SEAL + hashlib.blake2b(value.encode(), digest_size=16, key=b"rumpel").hexdigest()
        if name in hidden and value is not None and not value.startswith(SEAL)
        else value
        for name, value in env.items()
    }


def _known(cls: Any, data: dict[str, Any]) -> dict[str, Any]:
    names = {item.name for item in fields(cls)}
    return {key: value for key, value in data.items() if key in names}
