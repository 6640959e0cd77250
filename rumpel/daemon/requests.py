"""From a request to what a pod is made of: repository, settings, devcontainer.json, consent.

Everything a repository says is hostile until checked: what touches the host needs the user's
consent once per repository and content, kept in the daemon's own state.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rumpel import config as settings_module
from rumpel import paths
from rumpel.adapters import git, ssh_name, threads
from rumpel.cache.records import TrustRow
from rumpel.cache.store import Store
from rumpel.daemon import image_specs, outside
from rumpel.daemon import pods as pods_module
from rumpel.daemon.client import Client
from rumpel.daemon.hosts import LOCAL
from rumpel.devcontainer import consent, jsonc, prebuild
from rumpel.devcontainer.locate import SeveralConfigs
from rumpel.errors import ConfigError
from rumpel.model import ContainerSpec, HookSpec, ImageSpec, PodSpec, PrebuildSpec, RepoRef

if TYPE_CHECKING:
    from rumpel.devcontainer import config as devcontainer

REPO_CONFIG = ".rumpelpod.json"
ASKED = {"memory": "memory", "cpus": "cpus", "secretsFile": "secrets_file"}
"""Settings that have a flag wherever a pod is made."""
OnProblem = Callable[[ConfigError], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The repository a request is about."""

    repo: git.Repo
    ref: RepoRef
    root: str
    settings: settings_module.Settings
    asked: Mapping[str, str | None] = field(default_factory=dict)
    """What a pod is given by flags, to stay with it; None: as the settings say again."""

    @property
    def host(self) -> str:
        return local_host(str(self.settings.get("host")))


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """Where a pod starts from: a branch of the host, or just a commit, or nothing (unborn)."""

    branch: str | None
    oid: str | None


async def target(client: Client) -> Target:
    """Raises UsageError when the folder is in no repository, ConfigError for bad settings."""
    return await threads.call(_target, client)


async def lenient(client: Client, repo: git.Repo | None = None) -> Target:
    """For what saves, shows or removes pods that are there: wrong settings are told, not used.

    An agent's commit can bring them in: they must not come between a user and the work.
    `repo`: another one than that of the request's folder.
    """
    found, problems = await judged(client, repo)
    for problem in problems:
        client.warn(f"{problem.message} (not used now)")
    return found


async def judged(client: Client, repo: git.Repo | None = None) -> tuple[Target, list[ConfigError]]:
    """And what is wrong with the settings."""
    problems: list[ConfigError] = []
    return await threads.call(_target, client, problems.append, repo), problems


def _target(
    client: Client, on_problem: OnProblem | None = None, repo: git.Repo | None = None
) -> Target:
    env, host, args = client.request.env, client.request.host, client.request.args
    asked = {key: args[name] for key, name in ASKED.items() if args.get(name) is not None}
    flags = {key: value for key, value in asked.items() if value != settings_module.DEFAULT}
    repo = git.discover(client.request.cwd) if repo is None else repo
    ref = client.places.known(pods_module.repo_ref(repo))
    found = settings_module.resolve(
        flags={**flags, **({"host": host} if host else {})},
        env=env,
        repo=json_file(Path(ref.work_tree) / REPO_CONFIG, on_problem),
        user=json_file(Path(paths.user_config_path(env)), on_problem),
        on_problem=on_problem,
    )
    taken = {
        key: str(found.get(key)) if key in flags else None
        for key in asked
        if key not in flags or found.origins[key] == flag(key)  # else it was refused
    }
    return Target(repo=repo, ref=ref, root=ref.work_tree, settings=found, asked=taken)


def flag(key: str) -> str:
    return f"--{ASKED[key].replace('_', '-')}"


def good_asks(asked: Mapping[str, str]) -> dict[str, str]:
    """Those of the settings a pod was given by flags that are still good ones."""
    found = {}
    for key in ASKED:
        with contextlib.suppress(ValueError, TypeError, KeyError):
            found[key] = str(settings_module.SETTINGS[key].check(asked[key]))
    return found


def json_file(path: Path, on_problem: OnProblem | None = None) -> dict[str, Any]:
    """{} when there is none. Raises ConfigError, or tells `on_problem` and is {}."""
    try:
        return _json_file(path)
    except ConfigError as error:
        if on_problem is None:
            raise
        on_problem(error)
        return {}


def _json_file(path: Path) -> dict[str, Any]:
    try:
        text = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise ConfigError(f"{path.name} cannot be read: {error.strerror}") from error
    parsed = jsonc.parse(text, str(path))
    if not isinstance(parsed.value, dict):
        raise ConfigError(f"{path.name} must contain a JSON object")
    return parsed.value


async def base(where: Target, wanted: str | None) -> Base:
    """The commit a new pod starts from; `wanted` is what --from named."""
    if wanted is None:
        head = await threads.call(git.head, where.repo)
        return Base(branch=head.branch, oid=head.oid)
    branch, oid = await threads.call(git.resolve, where.repo, wanted)
    return Base(branch=branch, oid=oid)


async def dev_config(
    where: Target,
    client: Client,
    *,
    pod: str,
    pod_id: str,
    config_file: str | None = None,
    may_ask: bool = True,
    is_whole: bool = True,
) -> devcontainer.DevConfig:
    """`config_file`: what is read when the request names none, else a person is asked.

    `is_whole`: features too, which may have to be fetched, and what compose makes of its files.
    Raises ConfigError, NotTrusted when files must not even be read.
    """
    try:
        return await threads.call(
            _load,
            where.root,
            config_path=client.request.args.get("config") or config_file,
            local_env=client.request.env,
            pod=pod,
            pod_id=pod_id,
            repo_basename=where.ref.basename,
            default_image=str(where.settings.get("defaultImage")),
            is_newer=bool(client.request.args.get("pull")),
            is_whole=is_whole,
            granted=granted(client.places.store, where),
        )
    except SeveralConfigs as error:
        await choose(client, error, may_ask=may_ask)
        return await dev_config(where, client, pod=pod, pod_id=pod_id)
    except consent.Unasked as error:
        await agreed(client.places.store, where, client, error.effects, may_ask=may_ask)
    return await dev_config(where, client, pod=pod, pod_id=pod_id, config_file=config_file)


async def choose(client: Client, error: SeveralConfigs, *, may_ask: bool = True) -> None:
    """One of several, for all that this request reads. Raises `error` where nobody chooses."""
    chosen = None
    if may_ask and client.request.ask:
        chosen = await client.ask_choice("configurations", error.candidates)
    if chosen is None:
        raise error
    client.request.args["config"] = chosen


def _load(*args: Any, **more: Any) -> devcontainer.DevConfig:
    """Its model is a quarter of what a daemon would load at its start."""
    from rumpel.daemon import dev_file

    return dev_file.load(*args, **more)


async def consented(
    store: Store,
    where: Target,
    client: Client,
    dev: devcontainer.DevConfig,
    *,
    may_ask: bool = True,
) -> None:
    """Raises NotTrusted with the list when what touches the host was not agreed to."""
    await agreed(store, where, client, dev.effects, may_ask=may_ask)


async def consented_host(store: Store, where: Target, client: Client, *, may_ask: bool) -> str:
    """The host for new pods. Before anybody goes there: a repository may have named it."""
    host = where.host
    if host != LOCAL and where.settings.origins["host"] == settings_module.REPO_FILE:
        await agreed(store, where, client, [consent.remote_host(host)], may_ask=may_ask)
    return host


async def agreed(
    store: Store,
    where: Target,
    client: Client,
    wanted: Iterable[consent.Effect],
    *,
    may_ask: bool = True,
) -> None:
    """As `consented`, of these."""
    granted_keys = granted(store, where)
    effects = consent.missing(wanted, granted_keys)
    if not effects:
        return
    items = [{"kind": effect.kind, "text": effect.text} for effect in effects]
    is_granted = bool(client.request.args.get("trust"))
    if not is_granted and may_ask and client.request.ask:
        is_granted = await client.ask_consent(where.root, items)
        if not is_granted:
            raise consent.Refused
    if not is_granted:
        raise consent.Unasked(effects)
    digest, now = consent.digest(effects), time.time()
    row = TrustRow(repo_id=where.ref.repo_id, digest=digest, granted_at=now, items=tuple(items))
    keys = sorted({*granted_keys, *(effect.key for effect in effects)})
    await asyncio.gather(store.grant_trust(row), store.kv_set(f"trust/{where.ref.repo_id}", keys))


def granted(store: Store, where: Target) -> list[str]:
    """Keys of the effects that were agreed to."""
    found: list[str] = store.kv_get(f"trust/{where.ref.repo_id}", [])
    return found


async def pod_spec(
    where: Target,
    dev: devcontainer.DevConfig,
    *,
    pod: str,
    pod_id: str,
    start: Base,
    asked: Mapping[str, str] | None = None,
    image: ImageSpec | None = None,
) -> PodSpec:
    """`asked`: settings it was given by flags before. `image`: where that is known already."""
    settings = where.settings
    merged = {**(asked or {}), **where.asked}
    given = {key: value for key, value in merged.items() if value is not None}
    trusted = await threads.call(outside.trusted, settings)
    return PodSpec(
        repo=where.ref,
        host=where.host,
        pod=pod,
        pod_id=pod_id,
        base_branch=start.branch,
        base_oid=start.oid,
        image=(
            replace(await threads.call(image_specs.of_pod, dev, where.root), certificates=trusted)
            if image is None
            else image
        ),
        container=_container(settings, dev, given),
        **_commands(settings, dev, given),
        shares_branches=bool(settings.get("shareBranches")),
        ports=dev.ports,
        config_file=dev.source,
        prebuild=_prebuild_spec(settings, dev),
        project=await threads.call(
            image_specs.project, dev, where.root, trusted, int(settings.get("pidsLimit"))
        ),
        asked=given,
    )


def _commands(
    settings: settings_module.Settings, dev: devcontainer.DevConfig, given: Mapping[str, str]
) -> dict[str, Any]:
    """What is run in it, and with what."""
    return {
        "hooks": _hooks(dev),
        "remote_env": dict(dev.remote_env),
        "env_probe": dev.user_env_probe,
        "waits_for": dev.wait_for,
        "secrets": dev.secrets,
        "secrets_file": given.get("secretsFile") or outside.secrets_file(settings),
        "hidden": dev.private_values,
    }


def _container(
    settings: settings_module.Settings, dev: devcontainer.DevConfig, given: Mapping[str, str]
) -> ContainerSpec:
    config = {key: value for key, value in dev.run_args.config.items() if key != "User"}
    parts = {"config": config, "host_config": dict(dev.run_args.host_config)}
    return ContainerSpec(
        workspace_folder=dev.workspace_folder,
        container_user=dev.run_args.config.get("User") or dev.container_user,
        remote_user=dev.remote_user,
        entrypoints=dev.features.entrypoints,
        env=dict(dev.container_env),
        private_env=tuple(sorted(dev.private_env)),
        private=tuple(sorted({*dev.private_parts, *image_specs.places_in(parts, dev)}, key=str)),
        volumes=tuple(dev.pod_volumes),
        mounts=tuple(dev.mounts),
        config=config,
        host_config=dict(dev.run_args.host_config),
        networking=dict(dev.run_args.networking),
        platform=dev.run_args.platform,
        override_command=dev.override_command is not False,
        init=dev.init is not False,
        memory=given.get("memory") or _optional(settings.get("memory")),
        cpus=given.get("cpus") or _optional(settings.get("cpus")),
        pids_limit=int(settings.get("pidsLimit")),
        bound=dev.bound,
        gpu=bool(dev.requires.gpu),
    )


async def spec_now(
    where: Target, dev: devcontainer.DevConfig, known: PodSpec, *, image: ImageSpec | None = None
) -> PodSpec:
    """As the configuration wants it now, with its host, base, and what it was given or asked."""
    spec = await pod_spec(
        where,
        dev,
        pod=known.pod,
        pod_id=known.pod_id,
        start=Base(branch=known.base_branch, oid=known.base_oid),
        asked=known.asked,
        image=image,
    )
    return replace(spec, host=known.host, forwards=known.forwards, copy_in=known.copy_in)


def _hooks(dev: devcontainer.DevConfig) -> tuple[HookSpec, ...]:
    """Those of features go before the configuration's own of the same name."""
    return tuple(
        HookSpec(name=name, by=by, steps=tuple((step.name, tuple(step.argv)) for step in steps))
        for hook, own in dev.hooks.items()
        for name, by, steps in (*dev.features.hooks, (hook, "", own))
        if name == hook and steps
    )


def _prebuild_spec(
    settings: settings_module.Settings, dev: devcontainer.DevConfig
) -> PrebuildSpec | None:
    found = settings.get("prebuild")
    if not found["on"]:
        return None
    return PrebuildSpec(
        inputs=found["inputs"],
        max_age_s=found["maxAge"],
        least_s=found["minDuration"],
        barrier=prebuild.barrier(dev),
    )


def _optional(value: Any) -> str | None:
    return None if value in (None, "") else str(value)


def local_host(host: str) -> str:
    """The name as pods are known by it. Raises UsageError for a malformed one."""
    if host in (LOCAL, "localhost"):
        return LOCAL
    return ssh_name.parse(host).url
