"""What a configuration does to the host, as effects a person can agree to.

Computed from what will be asked of the engine, not from the text of the file, so that no
notation gets around it. Consent is held once per repository and effect: a request needs consent
for the effects that are not granted yet.
"""

from __future__ import annotations

import hashlib
import json
import os
import posixpath
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rumpel.devcontainer import bound, ports
from rumpel.devcontainer.mounts import Mount
from rumpel.errors import NotTrusted

HARMLESS_ENV = frozenset(
    {
        "CI", "COLORTERM", "DISPLAY", "HOME", "HOSTNAME", "LANG", "LANGUAGE", "LC_ALL", "LC_CTYPE",
        "LOGNAME", "OS", "PWD", "SHELL", "TERM", "TZ", "UID", "USER", "USERNAME", "USERPROFILE",
        "WAYLAND_DISPLAY", "WSLENV", "WSL_DISTRO_NAME", "XAUTHORITY", "XDG_RUNTIME_DIR",
        "XDG_SESSION_TYPE",
    }
)  # fmt: skip
"""Names whose values say who and where, and open nothing."""

_ENGINE_SOCKETS = ("docker.sock", "podman.sock", "containerd.sock", "crio.sock")
_HARMLESS_SECURITY = frozenset(
    {"no-new-privileges", "no-new-privileges=true", "no-new-privileges:true", "seccomp=builtin"}
)
_HARMLESS_RUNTIMES = frozenset({"runc", "crun", "youki", "runsc", "io.containerd.runc.v2"})
"""Others hand out devices (nvidia), or are a program of the host that the file names."""
_OWN_LOGS = frozenset({"json-file", "local", "none", "journald"})
_PLAIN_READS = frozenset(
    {"cached", "consistent", "delegated", "nocopy", "private", "readonly", "ro", "rprivate",
     "rro", "rslave", "slave"}
)  # fmt: skip
"""Words of `-v` beside which `ro` changes nothing on the host: `Z` and `U` change what is there."""
_READS = frozenset({"readonly", "ro", "rro"})
_SHARED = frozenset({"rshared", "shared"})
_OWN_NETWORKS = frozenset({"", "bridge", "default", "none"})
_EVERY_RIGHT = "rwm"
MANY_PROCESSES = 32_768
"""All that a small machine has numbers for (kernel.pid_max)."""


@dataclass(frozen=True, slots=True, order=True)
class Effect:
    """One effect. `kind` and `value` identify it; `text` is for people."""

    kind: str
    value: str
    text: str
    within: str = ""
    """Key of a stronger one: who agreed to that agreed to this."""

    @property
    def key(self) -> str:
        return f"{self.kind}:{self.value}"


class Refused(NotTrusted):
    """Who was asked did not agree."""

    def __init__(self) -> None:
        super().__init__("you did not agree to what touches the host: no pod was made")


class Unasked(NotTrusted):
    """What touches the host, and was not agreed to."""

    def __init__(self, effects: Iterable[Effect]) -> None:
        self.effects = tuple(effects)
        items = [{"kind": effect.kind, "text": effect.text} for effect in self.effects]
        listed = "".join(f"\n  {item['text']}" for item in items)
        super().__init__(
            f"the configuration of this repository touches the host:{listed}",
            hint="read it, then say --trust",
            details={"items": items},
        )


def host_effects(
    host_config: Mapping[str, Any],
    *,
    mounts: Sequence[Mount],
    host_files: Iterable[tuple[str, str]],
    host_env: Mapping[str, str],
    networks: Iterable[str] = (),
    build: Mapping[str, Any] | None = None,
    commands: Mapping[str, str] | None = None,
) -> tuple[Effect, ...]:
    """All effects, sorted, each once. `host_env`: variables that are read -> the fields that do;
    `networks`: of others; `build`: parameters of the Engine API; `commands`: what is run here ->
    digest of the files it names.
    """
    found = {
        *_namespaces(host_config),
        *(joined(name) for name in networks),
        *(Effect("publish", *told) for told in ports.reachable(host_config)),
        *_privileges(host_config),
        *_hunger(host_config),
        *_of_the_engine(host_config),
        *_binds(host_config.get("Binds") or ()),
        *_mounted(mounts),
        *(_file(option, path) for option, path in host_files),
        *_building(build or {}),
        *(
            Effect("command", f"{text} {named}", f"runs on this machine: {text}")
            for text, named in (commands or {}).items()
        ),
        *(
            Effect("local-env", name, f"hands over {name} of your environment ({where})")
            for name, where in host_env.items()
            if name not in HARMLESS_ENV
        ),
    }
    return tuple(sorted(found))


def of_part(effect: Effect, part: str) -> Effect:
    """The same of a part of the configuration that has a name, such as `service db`."""
    return Effect(
        effect.kind,
        f"{part}: {effect.value}",
        f"{part} {effect.text}",
        effect.within and effect.within.replace(":", f":{part}: ", 1),
    )


OPTIONS = frozenset(
    {"annotation", "log-driver", "network-option", "volume-device", "volume-driver"}
)
"""Effects with options that a driver reads. Of all others the value is what a person agrees to: a
path or a name, wherever it comes from.
"""
_PASSWORD = re.compile(
    r"((?:pass|secret|token|key|cred)[\w-]*=)(?:[^\s,]|,,|\s(?![\w.-]+=))+", re.IGNORECASE
)
"""In options of a mount a comma of a value is written twice; between two of a driver is a blank."""


def masked(effects: Iterable[Effect], own: Iterable[str]) -> tuple[Effect, ...]:
    """The same without passwords in options, and without `own` values there: a digest is kept.

    `own`: of the caller's environment. What the repository says itself, in its `.env` say, is shown
    unless it is called a password: else a value there would hide where a path leads.
    """
    hidden = tuple(own)
    return tuple(_masked(effect, hidden) for effect in effects)


def _masked(effect: Effect, own: tuple[str, ...]) -> Effect:
    value, text, within = effect.value, effect.text, effect.within
    if effect.kind in OPTIONS:
        value = _PASSWORD.sub(lambda match: match[1] + _short(match[0]), value)
        text = _PASSWORD.sub(r"\1***", text)
        for one in own if effect.kind != "volume-device" else ():
            value, within = value.replace(one, _short(one)), within.replace(one, _short(one))
            text = text.replace(one, "***")
    return Effect(effect.kind, value, text, within)


def _short(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def joined(network: str) -> Effect:
    """Whoever is in it can be reached from the pod."""
    text = f"joins the network {network}, which is not the pod's own"
    return Effect("network", network, text)


def remote_host(host: str) -> Effect:
    """A repository that says itself where its pods are made."""
    return Effect("host", host, f"sends your commits to {host} and makes pods there")


def taken(path: str) -> Effect:
    """A file or folder, without symbolic links, that its batch gives to pods."""
    return Effect("batch-file", path, f"copies {path} of the host into pods")


def copied_in(pattern: str) -> Effect:
    """A repository that says itself which files git does not have its pods get."""
    return Effect("copy-in", pattern, f"copies files of this folder that match {pattern} into pods")


def missing(effects: Iterable[Effect], granted: Collection[str]) -> tuple[Effect, ...]:
    """Effects of which neither the `key` nor a stronger one was granted."""
    known = {*granted}
    found = (one for one in effects if known.isdisjoint({one.key, one.within or one.key}))
    return tuple(_changed(one) if _is_another(one, known) else one for one in found)


def _is_another(effect: Effect, known: Collection[str]) -> bool:
    """A command that was agreed to, with other content of a file that it names."""
    command = effect.key.rpartition(" ")[0]
    return effect.kind == "command" and any(key.rpartition(" ")[0] == command for key in known)


def _changed(effect: Effect) -> Effect:
    text = f"{effect.text}   (a file that it names is another one since you agreed)"
    return replace(effect, text=text)


def digest(effects: Iterable[Effect]) -> str:
    """One word for a set of effects; the wording is not in it."""
    text = json.dumps(sorted(effect.key for effect in effects))
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _binds(binds: Iterable[str]) -> Iterator[Effect]:
    """Of `-v`, as written."""
    for bind in binds:
        source, _, rest = bind.partition(":")
        words = {word for word in rest.partition(":")[2].split(",") if word}
        reads = bool(words & _READS) and words <= _PLAIN_READS
        if source.startswith("/"):
            yield from _bind(source, reads=reads, is_shared=bool(words & _SHARED))


def _mounted(mounts: Iterable[Mount]) -> Iterator[Effect]:
    """Host folders and files, however it is written."""
    for mount in mounts:
        if mount["Type"] == "volume":
            yield from _volume((mount.get("VolumeOptions") or {}).get("DriverConfig") or {})
        elif mount["Type"] in ("bind", "npipe"):
            shared = (mount.get("BindOptions") or {}).get("Propagation") in _SHARED
            reads = bool(mount.get("ReadOnly"))
            yield from _bind(str(mount.get("Source")), reads=reads, is_shared=shared)


def _volume(driver: Mapping[str, Any]) -> Iterator[Effect]:
    """What a volume's driver mounts: `device=/etc,o=bind` is a bind mount, whatever its type."""
    options = {name: str(value) for name, value in (driver.get("Options") or {}).items()}
    told = " ".join(f"{name}={value}" for name, value in sorted(options.items()))
    if (name := driver.get("Name") or "local") != "local":
        value = f"{name} {told}".strip()
        yield Effect("volume-driver", value, f"mounts through the volume driver {value}")
    elif folder := bound.device(driver):
        yield from _bind(folder)
    elif options.get("device") and options.get("type") != "tmpfs":
        yield Effect("volume-device", told, f"mounts {told} through a volume driver")


def _bind(source: str, *, reads: bool = False, is_shared: bool = False) -> Iterator[Effect]:
    # The engine cleans the path as text before it follows links.
    real = os.path.realpath(posixpath.normpath(source))
    if posixpath.basename(real) in _ENGINE_SOCKETS:  # to read it is all that it takes
        yield Effect("engine-socket", real, f"gives the pod full control of the host ({real})")
    elif reads:
        yield Effect("bind-read", real, f"mounts {real} of the host, to read", f"bind:{real}")
    else:
        yield Effect("bind", real, f"mounts {real} of the host")
    if is_shared:
        yield Effect("bind-shared", real, f"mounts on the host what the pod mounts below {real}")


def _file(option: str, path: str) -> Effect:
    real = os.path.realpath(path)
    return Effect(option, real, f"reads the host file {real} (--{option})")


def _privileges(host: Mapping[str, Any]) -> Iterator[Effect]:
    if host.get("Privileged"):
        yield Effect("privileged", "true", "runs privileged: the pod can take over the host")
    for name in host.get("CapAdd") or ():
        capability = name.upper().removeprefix("CAP_")
        yield Effect("cap-add", capability, f"adds the capability {capability}")
    for device in host.get("Devices") or ():
        yield _device(os.path.realpath(device["PathOnHost"]), device["CgroupPermissions"])
    for rule in host.get("DeviceCgroupRules") or ():
        yield Effect("device", rule, f"opens devices by the rule {rule!r}")
    for request in host.get("DeviceRequests") or ():
        yield _request(request)
    for option in host.get("SecurityOpt") or ():
        if option not in _HARMLESS_SECURITY:
            yield _security(option)
    if "MaskedPaths" in host:
        yield Effect("security-opt", "systempaths=unconfined", "shows all of /proc and /sys")


def _hunger(host: Mapping[str, Any]) -> Iterator[Effect]:
    """What takes the machine from everything else that runs there."""
    most = host.get("PidsLimit")
    if most is not None and not 0 < most <= MANY_PROCESSES:
        told = "any number of" if most <= 0 else f"{most}"
        yield Effect("limit", f"pids-limit={most}", f"lets the pod start {told} processes")
    if (score := host.get("OomScoreAdj") or 0) < 0:
        text = f"has other programs ended first when memory is short (oom-score-adj {score})"
        yield Effect("limit", f"oom-score-adj={score}", text)
    if host.get("OomKillDisable"):
        text = "has other programs ended when memory is short, and never its own"
        yield Effect("limit", "oom-kill-disable", text)
    if runtime := host.get("CpuRealtimeRuntime"):
        text = f"takes the processor before everything else ({runtime} µs a period)"
        yield Effect("limit", f"cpu-rt-runtime={runtime}", text)


def _device(path: str, rights: str) -> Effect:
    if rights == _EVERY_RIGHT:
        return Effect("device", path, f"gives the pod the device {path}")
    text = f"gives the pod the device {path} ({rights})"
    return Effect("device", f"{path} {rights}", text, f"device:{path}")


def _request(request: Mapping[str, Any]) -> Effect:
    """GPUs and the like, of all or some of their abilities."""
    wanted = ",".join(request.get("DeviceIDs") or ()) or str(request.get("Count"))
    driver = request["Driver"] or "gpu"
    value = f"{driver}={wanted}"
    able = sorted({one for every in request.get("Capabilities") or () for one in every} - {"gpu"})
    more = [*able, *(f"{name}={said}" for name, said in (request.get("Options") or {}).items())]
    if more:
        value += f" {','.join(more)}"
    return Effect("device", value, f"gives the pod devices of the host: {value}")


def _of_the_engine(host: Mapping[str, Any]) -> Iterator[Effect]:
    """What the engine, or a program that it starts, does outside of the container."""
    runtime = host.get("Runtime")
    if runtime and runtime not in _HARMLESS_RUNTIMES:
        yield Effect("runtime", runtime, f"runs in the engine's runtime {runtime}")
    for name, value in (host.get("Annotations") or {}).items():
        text = f"tells the engine's runtime {name}={value}"
        yield Effect("annotation", f"{name}={value}", text)
    if driver := host.get("VolumeDriver"):
        yield from _volume({"Name": driver})
    log = host.get("LogConfig") or {}
    if (kind := log.get("Type")) and kind not in _OWN_LOGS:
        options = sorted((log.get("Config") or {}).items())
        value = " ".join([kind, *(f"{name}={said}" for name, said in options)])
        yield Effect("log-driver", value, f"sends the pod's output through the engine to {value}")
    for link in host.get("Links") or ():
        other = link.partition(":")[0]
        yield Effect("link", other, f"hands over the environment of the container {other}")


def _security(option: str) -> Effect:
    name = option.replace(":", "=", 1) if "=" not in option.partition(":")[0] else option
    if name.startswith("seccomp=") and name not in ("seccomp=unconfined", "seccomp=builtin"):
        name = f"seccomp={hashlib.blake2b(name.encode(), digest_size=16).hexdigest()}"
        return Effect("security-opt", name, "replaces the system call filter (seccomp)")
    return Effect("security-opt", name, f"weakens the isolation: {name}")


def _building(build: Mapping[str, Any]) -> Iterator[Effect]:
    mode = str(build.get("networkmode") or "")
    if mode not in _OWN_NETWORKS:
        text = "the network of" if mode == "host" or ":" in mode else "the network"
        yield Effect("namespace", f"build-network={mode}", f"builds in {text} {mode}")
    if parent := build.get("cgroupparent"):
        yield Effect("cgroup-parent", f"build={parent}", f"builds in the cgroup {parent}")


_NAMESPACES = (
    ("NetworkMode", "network"),
    ("PidMode", "pid"),
    ("IpcMode", "ipc"),
    ("UTSMode", "uts"),
    ("UsernsMode", "userns"),
    ("CgroupnsMode", "cgroupns"),
)


def _namespaces(host: Mapping[str, Any]) -> Iterator[Effect]:
    for key, name in _NAMESPACES:
        mode = str(host.get(key) or "")
        if mode == "host":
            yield Effect("namespace", f"{name}=host", f"shares the host's {name} namespace")
        elif mode.startswith("container:"):
            other = mode.removeprefix("container:")
            yield Effect("namespace", f"{name}={mode}", f"joins the {name} namespace of {other}")
        elif ":" in mode:  # Podman's: ns:PATH, and networks with settings that reach the host
            yield Effect("namespace", f"{name}={mode}", f"uses the {name} namespace {mode}")
    if host.get("CgroupParent"):
        parent = host["CgroupParent"]
        yield Effect("cgroup-parent", parent, f"runs in the cgroup {parent} of the host")
    for other in host.get("VolumesFrom") or ():
        yield Effect("volumes-from", other, f"mounts all volumes of the container {other}")
