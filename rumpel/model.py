"""The values the product is about: repositories, pods, what a pod is made of. Frozen, JSON-able."""

from __future__ import annotations

import hashlib
import os
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from rumpel.sealing import read_back, read_back_at, read_back_in, sealed, sealed_at, sealed_in

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

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> FeatureSpec:
        private = tuple(data.get("private", ()))
        options = read_back(data.get("options", {}), private)
        return cls(**{**_known(cls, data), "private": private, "options": options})

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
    private_args: tuple[str, ...] = ()
    """Those whose whole values are never stored, never shown."""
    target: str | None = None
    cache_from: tuple[str, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)
    """`build.options` as parameters of the Engine API."""
    hidden: tuple[str, ...] = field(default=(), repr=False)
    """Values of the caller's environment in `args` and `options`: never stored, never shown."""
    certificates: tuple[str, ...] = ()
    """That it is to trust besides its own."""
    features: tuple[FeatureSpec, ...] = ()
    """Installed on top of it, in this order."""

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> ImageSpec:
        known = _known(cls, data)
        for name in ("cache_from", "certificates", "private_args"):
            known[name] = tuple(known.get(name, ()))
        for name in known.keys() & {"args", "options"}:
            known[name] = read_back_in(known[name])
        known["features"] = tuple(FeatureSpec.from_json(one) for one in known.get("features", ()))
        return cls(**known)

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
    wish: int | None = None
    """The local port that is tried first; None: that of the pod."""
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
    private: tuple[tuple[str | int, ...], ...] = ()
    """Places below `config` and `host_config` of such values."""
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
    bound: tuple[str, ...] = ()
    """Where links in paths of this machine that it mounts lead, see `devcontainer.bound`."""
    gpu: bool = False
    """All that the engine has, where it can give any."""

    @property
    def sealed_parts(self) -> dict[str, Any]:
        """`config` and `host_config`."""
        parts = {"config": self.config, "host_config": self.host_config}
        found: dict[str, Any] = sealed_at(parts, self.private)
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceSpec:
    """A service of a compose project that runs beside a pod."""

    name: str
    image: ImageSpec
    body: dict[str, Any] = field(default_factory=dict)
    """As compose takes it, without image, ports and what other pods would have, too."""
    private: tuple[tuple[str | int, ...], ...] = ()
    """Places in `body` whose values come from the caller's environment: never stored, never shown.
    """
    needs: dict[str, str] = field(default_factory=dict)
    """Service -> what is waited for: service_started, service_healthy or
    service_completed_successfully."""

    @property
    def private_texts(self) -> list[str]:
        """Those values."""
        found = []
        for place in self.private:
            value: Any = self.body
            for key in place:
                value = value[key]
            found.append(value if isinstance(value, str) else str(value))
        return found

    @property
    def sealed_body(self) -> dict[str, Any]:
        sealed_body: dict[str, Any] = sealed_at(self.body, self.private)
        return sealed_body

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> ServiceSpec:
        known = _known(cls, data)
        known["private"] = tuple(tuple(path) for path in data.get("private", ()))
        known["body"] = read_back_at(data.get("body", {}), known["private"])
        return cls(**{**known, "image": ImageSpec.from_json(data["image"])})


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectSpec:
    """What of a compose project belongs to a pod, besides the pod's own container."""

    service: str
    """Which one the pod is; empty: that is not known any more (`daemon.adopt`)."""
    services: tuple[ServiceSpec, ...] = ()
    networks: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By the key of the file: `name` on the engine, `external`, `settings` of the API, and what
    the `pod` is called in it."""
    volumes: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By the key of the file: `name` on the engine, `external`, `driver` and `options`."""
    waits: dict[str, str] = field(default_factory=dict)
    """As `ServiceSpec.needs`, of the pod."""
    shares: str = ""
    """The service in whose network the pod is, instead of one of its own."""
    ports: tuple[PortSpec, ...] = ()
    """That the file publishes."""
    private: tuple[tuple[str | int, ...], ...] = ()
    """Places below `volumes` and `networks` whose values are never stored."""

    @property
    def sealed_parts(self) -> dict[str, Any]:
        """Volumes and networks."""
        parts = {"volumes": self.volumes, "networks": self.networks}
        found: dict[str, Any] = sealed_at(parts, self.private)
        return found

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> ProjectSpec:
        known = _known(cls, data)
        known["private"] = tuple(tuple(path) for path in data.get("private", ()))
        parts = {name: known[name] for name in known.keys() & {"volumes", "networks"}}
        known |= read_back_at(parts, known["private"])
        known["services"] = tuple(ServiceSpec.from_json(one) for one in data.get("services", ()))
        known["ports"] = tuple(PortSpec(**_known(PortSpec, one)) for one in data.get("ports", ()))
        return cls(**known)


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
    secrets: tuple[str, ...] = ()
    """Variables of lifecycle commands; their values are in `secrets_file` when those run."""
    secrets_file: str = ""
    hidden: tuple[str, ...] = field(default=(), repr=False)
    """Values of the caller's environment, to be masked in what commands print: never stored."""
    waits_for: str = ""
    """The last command that is waited for; empty: all are."""
    shares_branches: bool = True
    ports: tuple[PortSpec, ...] = ()
    """Of the configuration."""
    forwards: tuple[PortSpec, ...] = ()
    """Asked for by `forward-port`; such a one stands for the configured port of its key."""
    config_file: str | None = None
    """The devcontainer.json it was made from, relative to the repository."""

    prebuild: PrebuildSpec | None = None
    """None = not wanted."""
    project: ProjectSpec | None = None
    """Of a compose configuration."""
    asked: dict[str, str] = field(default_factory=dict)
    """Settings that this pod was given by flags, such as `memory`: they stay with it."""
    copy_in: tuple[str, ...] = ()
    """Patterns of files that it was given of this machine when it was made, if they named some."""

    @property
    def open_ports(self) -> tuple[PortSpec, ...]:
        """All of them, each once."""
        published = () if self.project is None else self.project.ports
        found = {port.key: port for port in (*published, *self.ports, *self.forwards)}
        return tuple(found.values())

    def to_json(self) -> dict[str, Any]:
        """For the database: private values only as digests."""
        data = asdict(self)
        del data["hidden"]
        data["container"]["env"] = sealed(self.container.env, self.container.private_env)
        data["container"] |= self.container.sealed_parts
        _seal_image(data["image"])
        for one, stored in zip(self.image.features, data["image"]["features"], strict=True):
            stored["options"] = one.sealed_options
        services = () if self.project is None else self.project.services
        for service, stored in zip(
            services, (data["project"] or {}).get("services", ()), strict=True
        ):
            stored["body"] = service.sealed_body
            _seal_image(stored["image"])
        if self.project is not None:
            data["project"] |= self.project.sealed_parts
        return data

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> PodSpec:
        """Inverse of `to_json`; unknown members (of a newer version) are dropped."""
        known = _known(cls, data)
        known["repo"] = RepoRef(**_known(RepoRef, data["repo"]))
        known["image"] = ImageSpec.from_json(data["image"])
        container = _known(ContainerSpec, data["container"])
        for name in ("bound", "entrypoints", "mounts", "private_env", "volumes"):
            container[name] = tuple(container.get(name, ()))
        container["private"] = tuple(tuple(path) for path in data["container"].get("private", ()))
        container["env"] = read_back(container.get("env", {}), container["private_env"])
        parts = {name: container[name] for name in container.keys() & {"config", "host_config"}}
        container |= read_back_at(parts, container["private"])
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
        for name in ("secrets", "copy_in"):
            known[name] = tuple(data.get(name, ()))
        prebuild = known.get("prebuild")
        if prebuild is not None:
            prebuild = _known(PrebuildSpec, prebuild)
            prebuild["inputs"] = tuple(prebuild.get("inputs", ()))
            known["prebuild"] = PrebuildSpec(**prebuild)
        if known.get("project") is not None:
            known["project"] = ProjectSpec.from_json(known["project"])
        return cls(**known)


def _seal_image(stored: dict[str, Any]) -> None:
    hidden = stored.pop("hidden")
    stored["args"] = sealed(stored["args"], stored["private_args"])
    for name in ("args", "options"):
        stored[name] = sealed_in(stored[name], hidden)


def _known(cls: Any, data: dict[str, Any]) -> dict[str, Any]:
    names = {item.name for item in fields(cls)}
    return {key: value for key, value in data.items() if key in names}
