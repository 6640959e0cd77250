"""One service of a compose project, in the words of rumpel: see compose.py."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path as HostPath
from typing import Any

from rumpel.devcontainer import (
    build_options,
    compose_table,
    consent,
    forwards,
    networks,
    ports,
    runargs,
)
from rumpel.devcontainer.body import HostSide, side_file
from rumpel.devcontainer.build import Build
from rumpel.devcontainer.compose_table import pairs, table, word, words
from rumpel.devcontainer.compose_volumes import Volume, bind, volumes
from rumpel.devcontainer.consent import Effect
from rumpel.devcontainer.document import Caller
from rumpel.devcontainer.options import Option
from rumpel.devcontainer.positions import FieldError, Path
from rumpel.model import LOCALHOST, PortSpec

STARTED = "service_started"
CONDITIONS = (STARTED, "service_healthy", "service_completed_successfully")
SHELL = re.compile(r"(?:/usr)?(?:/bin/)?(?:sh|bash|ash|dash)")
WAITING = re.compile(
    r"(?:exec )?(?:sleep (?:infinity|inf|\d{4,}|\d+[hd])|tail -[fF] /dev/null"
    r"|while (?:true|:|sleep \d+\w?); ?do (?::|true|sleep \d+\w?); ?done)"
)
SHARED = ("ipc", "network_mode", "pid")
"""May be another service's."""
BUILD_OPTIONS = {
    "network": "network",
    "shm_size": "shm-size",
    "isolation": "isolation",
}
BUILD_HANDLED = frozenset({"args", "cache_from", "context", "dockerfile", "target"})
BUILD_TOLD = frozenset({"cache_to", "no_cache", "pull", "tags", "provenance", "sbom"})


@dataclass(slots=True, kw_only=True)
class Service:
    """`given`: its entry in the canonical model."""

    name: str
    given: Mapping[str, Any]
    image: str | None = None
    build: Build | None = None
    options: tuple[Option, ...] = ()
    env: Mapping[str, str | None] = field(default_factory=dict)
    volumes: tuple[Volume, ...] = ()
    config: dict[str, Any] = field(default_factory=dict)
    networks: Mapping[str, Mapping[str, Any]] | None = None
    """None: it is in none of the project's."""
    shares: str = ""
    """Another service in whose network it is."""
    needs: Mapping[str, str] = field(default_factory=dict)
    ports: tuple[PortSpec, ...] = ()
    notes: list[str] = field(default_factory=list)
    """What is done in another way."""
    lost: list[str] = field(default_factory=list)
    """What has no effect."""


def read(name: str, model: Mapping[str, Any], caller: Caller, *, pod: str) -> Service:
    """Raises FieldError with the key, for what cannot be had. `pod`: the service that is."""
    given, is_pod = model["services"][name], name == pod
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,60}", name):
        raise FieldError((name,), "this is not the name of a service")
    found = Service(name=name, given=given)
    _tell(found, is_pod=is_pod)
    found.shares = _shares(found, model, pod=pod)
    found.options = tuple(_options(found, is_pod=is_pod, pod=pod))
    found.image, found.build = _image(found, caller)
    found.env = _env(given.get("environment"))
    found.volumes = tuple(volumes(given, model))
    found.config, health = _health(given.get("healthcheck"))
    found.options += health
    found.networks = None if given.get("network_mode") else _networks(given.get("networks"))
    there = model["services"]
    found.needs = {other: how for other, how in needs(given).items() if other in there}
    found.ports = forwards.bounded(_ports(found, is_pod=is_pod), ("ports",))
    runargs.apply([], _side(caller), more=found.options)  # what docker refuses is refused here
    return found


def _side(caller: Caller) -> HostSide:
    return HostSide(root=caller.root, local_env={}, read_file=side_file)


def _tell(found: Service, *, is_pod: bool) -> None:
    told = {**compose_table.TOLD, **(compose_table.TOLD_OF_POD if is_pod else {})}
    for key, value in found.given.items():
        if key in compose_table.REFUSED and value:
            raise FieldError((key,), f"it cannot be had: {compose_table.REFUSED[key]}")
        is_known = key in compose_table.OPTIONS or key in compose_table.HANDLED or key in told
        if not is_known and not key.startswith("x-") and key not in compose_table.REFUSED:
            raise FieldError((key,), "this key of a service is not handled")
        if key in told and (_is_count(value) if key == "scale" else value):
            kept = found.notes if key in ("container_name", "ports") else found.lost
            kept.append(f"{key} {told[key]}")
    for key, value in table(found.given.get("deploy") or {}, ("deploy",)).items():
        is_known = key in (("resources",) if is_pod else compose_table.DEPLOY_KNOWN)
        if not is_known and (_is_count(value) if key == "replicas" else value):
            found.lost.append(f"deploy.{key} has no effect")


def _is_count(value: Any) -> bool:
    """Another one than the one that there is."""
    return value is not None and str(value) != "1"


def is_off(given: Mapping[str, Any]) -> bool:
    """None of it is wanted."""
    deploy = given.get("deploy")
    replicas = deploy.get("replicas") if isinstance(deploy, Mapping) else None
    return "0" in (str(given.get("scale")), str(replicas))


def _options(found: Service, *, is_pod: bool, pod: str) -> Iterator[Option]:
    for key, value in found.given.items():
        other = str(value).partition(":")[2] if str(value).startswith("service:") else ""
        if other and (key == "network_mode" or (key in SHARED and not is_pod and other != pod)):
            continue  # beside the pod compose does that
        if key in compose_table.OPTIONS and value is not None:
            path: Path = (key,)
            for option, text in compose_table.OPTIONS[key](value, path):
                yield Option(option, text, path)


def _shares(found: Service, model: Mapping[str, Any], *, pod: str) -> str:
    path: Path = ("network_mode",)
    kind, mark, other = str(found.given.get("network_mode") or "").partition(":")
    if kind != "service" or not mark:
        return ""
    if other not in model["services"] or other == found.name:
        raise FieldError(path, f"there is no service {other} whose network it could be in")
    if other == pod:
        raise FieldError(path, f"{other} is the pod, which comes after its services")
    return other


def _image(found: Service, caller: Caller) -> tuple[str | None, Build | None]:
    build = found.given.get("build")
    if not build:
        image = found.given.get("image")
        if not image:
            raise FieldError(("image",), "it has neither an image nor a build")
        return word(image, ("image",)), None
    if isinstance(build, str):
        build = {"context": build}
    build = table(build, ("build",))
    known = BUILD_HANDLED | BUILD_TOLD | BUILD_OPTIONS.keys() | {"labels", "extra_hosts"}
    for key, value in build.items():
        if key not in known and value:
            raise FieldError(("build", key), "it is not handled")
        if key in BUILD_TOLD and value:
            found.lost.append(f"build.{key} has no effect")
    options = [
        f"--{option}={word(build[key], ('build', key))}"
        for key, option in BUILD_OPTIONS.items()
        if build.get(key)
    ]
    for key, option in (("labels", "label"), ("extra_hosts", "add-host")):
        listed = pairs(build.get(key) or {}, ("build", key)).items()
        options += [f"--{option}={name}={text or ''}" for name, text in listed]
    context = _inside(HostPath(word(build.get("context", "."), ("build",))), caller)
    name = word(build.get("dockerfile") or "Dockerfile", ("build",))
    dockerfile = _inside(context / name, caller)
    if not dockerfile.is_file():
        raise FieldError(("build", "dockerfile"), f"there is no file {dockerfile}")
    args = pairs(build.get("args") or {}, ("build", "args"))
    return None, Build(
        dockerfile=str(dockerfile),
        context=str(context),
        args={name: text for name, text in args.items() if text is not None},
        target=build.get("target") or None,
        cache_from=tuple(words(build.get("cache_from") or [], ("build", "cache_from"))),
        options=tuple(options),
        api=build_options.parse(options),
    )


def _inside(path: HostPath, caller: Caller) -> HostPath:
    real = path.resolve()
    if not real.is_relative_to(caller.root):
        raise FieldError(("build",), f"{real} is outside the repository")
    return real


def _env(value: Any) -> dict[str, str | None]:
    """One without a value was not set: then it is in no container."""
    found = pairs(value or {}, ("environment",))
    if not all(found):
        raise FieldError(("environment",), "a variable has no name")
    return {name: text for name, text in found.items() if text is not None}


def _health(value: Any) -> tuple[dict[str, Any], tuple[Option, ...]]:
    path: Path = ("healthcheck",)
    found = table(value or {}, path)
    if found.get("disable"):
        return {}, (Option("no-healthcheck", "true", path),)
    options = [
        Option(f"health-{key.replace('_', '-')}", word(found[key], path), path)
        for key in ("interval", "timeout", "retries", "start_period", "start_interval")
        if found.get(key) is not None
    ]
    test = found.get("test")
    if test is None:
        return {}, tuple(options)
    argv = ["CMD-SHELL", test] if isinstance(test, str) else words(test, path)
    return {"Healthcheck": {"Test": argv}}, tuple(options)


def _networks(value: Any) -> dict[str, Mapping[str, Any]]:
    path: Path = ("networks",)
    if value is None:
        return {"default": {}}
    if isinstance(value, list):
        return {name: {} for name in words(value, path)}
    return {name: table(one or {}, path) for name, one in table(value, path).items()}


def needs(given: Mapping[str, Any]) -> dict[str, str]:
    """What has to run before it, and how far."""
    path: Path = ("depends_on",)
    value = given.get("depends_on") or {}
    if isinstance(value, list):
        found = dict.fromkeys(words(value, path), STARTED)
    else:
        found = {
            name: str(table(one or {}, path).get("condition") or STARTED)
            for name, one in table(value, path).items()
        }
    for how in found.values():
        if how not in CONDITIONS:
            raise FieldError(path, f"the condition {how} is not handled")
    for key in SHARED:
        kind, mark, other = str(given.get(key) or "").partition(":")
        if kind == "service" and mark:
            found.setdefault(other, STARTED)
    return found


def _ports(found: Service, *, is_pod: bool) -> Iterator[PortSpec]:
    path: Path = ("ports",)
    host = LOCALHOST if is_pod else found.name
    value = found.given.get("ports") or []
    for one in value if isinstance(value, list) else [value]:
        if isinstance(one, dict):
            kind = str(one.get("protocol") or "tcp")
            outer = word(one.get("published") or "", path)
            listed = [(f"{word(one.get('target'), path)}/{kind}", outer)]
        else:
            listed = [(port, outer) for port, _, outer in ports.publish(word(one, path), path)]
        for port, outer in listed:
            number, _, kind = port.partition("/")
            inner = _number(number)
            if kind != "tcp":
                found.lost.append(f"port {port} is not forwarded")
            elif inner is not None:
                yield PortSpec(port=inner, host=host, wish=_number(outer))
            else:
                raise FieldError(path, f"{port} is not a port")


def _number(text: str) -> int | None:
    """Of a port: Python itself refuses the digits of a very long number."""
    number = int(text) if text.isdecimal() and len(text) < 10 else 0
    return number if 0 < number < 65_536 else None


def is_idle(pod: Service) -> bool:
    """Does its command do nothing but wait?"""
    if pod.given.get("entrypoint"):
        return False
    argv = _argv(pod.given.get("command"), ("command",)) or []
    if len(argv) == 3 and SHELL.fullmatch(argv[0]) and argv[1] == "-c":
        text = argv[2]
    else:
        text = " ".join(argv)
    clean = " ".join(text.strip().rstrip(";").split())
    return bool(WAITING.fullmatch(clean))


def command(pod: Service) -> dict[str, Any]:
    """As in the create body: with an entrypoint of its own the image's command is none of it."""
    entrypoint = _argv(pod.given.get("entrypoint"), ("entrypoint",))
    argv = _argv(pod.given.get("command"), ("command",))
    found: dict[str, Any] = {}
    if entrypoint is not None:
        found = {"Entrypoint": entrypoint or [""], "Cmd": []}
    if argv:
        found["Cmd"] = argv
    return found


def _argv(value: Any, path: Path) -> list[str] | None:
    if value is None:
        return None
    try:
        return shlex.split(value) if isinstance(value, str) else words(value, path)
    except ValueError as error:
        raise FieldError(path, f"{value!r} is not a command: {error}") from error


def effects(one: Service, caller: Caller) -> tuple[Effect, ...]:
    """What a service beside the pod does to the host."""
    given = runargs.apply([], _side(caller), more=one.options)
    if given.host_files:
        raise FieldError(("security_opt",), "a profile of a service beside the pod is not handled")
    binds = [bind(volume) for volume in one.volumes if volume.kind == "bind"]
    return consent.host_effects(
        {**given.host_config, "Binds": binds},
        mounts=(),
        host_files=(),
        host_env={},
        networks=networks.of_others(given.host_config, given.networking, ()),
        build=one.build.api if one.build else None,
    )


def body(one: Service, pod: str, networks: Mapping[str, Any] | None) -> dict[str, Any]:
    """Its entry as compose is given it. `pod`: the service that compose does not see."""
    dropped = (
        compose_table.TOLD.keys()
        | compose_table.REFUSED.keys()
        | {"build", "configs", "env_file", "extends", "image", "networks", "profiles", "secrets"}
    )
    kept = {
        key: value
        for key, value in one.given.items()
        if key not in dropped and not key.startswith("x-")
    }
    kept["environment"] = {name: text for name, text in one.env.items() if text is not None}
    kept["labels"] = {
        name: text or "" for name, text in pairs(one.given.get("labels") or {}, ("labels",)).items()
    }
    if kept.get("deploy"):
        kept["deploy"] = {key: of for key, of in kept["deploy"].items() if key != "replicas"}
    kept["volumes"] = [volume.written for volume in one.volumes]
    kept["depends_on"] = {
        name: {"condition": how} for name, how in one.needs.items() if name != pod
    }
    if networks is not None:
        kept["networks"] = networks
    return {key: value for key, value in kept.items() if value not in ({}, [], None)}
