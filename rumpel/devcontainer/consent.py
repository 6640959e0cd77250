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
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rumpel.devcontainer.mounts import Mount, volume_device

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


@dataclass(frozen=True, slots=True, order=True)
class Effect:
    """One effect. `kind` and `value` identify it; `text` is for people."""

    kind: str
    value: str
    text: str

    @property
    def key(self) -> str:
        return f"{self.kind}:{self.value}"


def host_effects(
    host_config: Mapping[str, Any],
    *,
    mounts: Sequence[Mount],
    host_files: Iterable[tuple[str, str]],
    host_env: Mapping[str, str],
    build_network: str | None = None,
    commands: Mapping[str, str] | None = None,
) -> tuple[Effect, ...]:
    """All effects, sorted, each once. `host_env`: variables that are read -> the fields that do;
    `commands`: what is run here -> digest of the files it names.
    """
    found = {
        *_namespaces(host_config),
        *_privileges(host_config),
        *(_bind(path) for path in _bound(host_config, mounts)),
        *_devices_of_volumes(mounts),
        *(_file(option, path) for option, path in host_files),
        *_build_network(build_network),
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


def remote_host(host: str) -> Effect:
    """A repository that says itself where its pods are made."""
    return Effect("host", host, f"sends your commits to {host} and makes pods there")


def taken(path: str) -> Effect:
    """A file or folder, without symbolic links, that its batch gives to pods."""
    return Effect("batch-file", path, f"copies {path} of the host into pods")


def missing(effects: Iterable[Effect], granted: Collection[str]) -> tuple[Effect, ...]:
    """Effects whose `key` was not granted."""
    return tuple(effect for effect in effects if effect.key not in granted)


def digest(effects: Iterable[Effect]) -> str:
    """One word for a set of effects; the wording is not in it."""
    text = json.dumps(sorted(effect.key for effect in effects))
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _bound(host_config: Mapping[str, Any], mounts: Iterable[Mount]) -> Iterator[str]:
    """Host folders and files that are mounted, however it is written."""
    for bind in host_config.get("Binds", ()):
        source = bind.partition(":")[0]
        if source.startswith("/"):
            yield source
    for mount in mounts:
        if mount["Type"] == "bind":
            yield mount["Source"]
        elif (device := volume_device(mount)) is not None and device.startswith("/"):
            yield device
        elif mount["Type"] == "npipe":
            yield str(mount.get("Source"))


def _devices_of_volumes(mounts: Iterable[Mount]) -> Iterator[Effect]:
    for mount in mounts:
        device = volume_device(mount)
        if device is not None and not device.startswith("/"):
            yield Effect("volume-device", device, f"mounts {device} through a volume driver")


def _bind(source: str) -> Effect:
    # The engine cleans the path as text before it follows links.
    real = os.path.realpath(posixpath.normpath(source))
    if posixpath.basename(real) in _ENGINE_SOCKETS:
        return Effect("engine-socket", real, f"gives the pod full control of the host ({real})")
    return Effect("bind", real, f"mounts {real} of the host")


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
        path = device["PathOnHost"]
        yield Effect("device", path, f"gives the pod the device {path}")
    for rule in host.get("DeviceCgroupRules") or ():
        yield Effect("device", rule, f"opens devices by the rule {rule!r}")
    for request in host.get("DeviceRequests") or ():
        wanted = ",".join(request.get("DeviceIDs") or ()) or str(request.get("Count"))
        driver = request["Driver"] or "gpu"
        yield Effect("device", f"{driver}={wanted}", f"gives the pod devices of the host: {driver}")
    for option in host.get("SecurityOpt") or ():
        if option not in _HARMLESS_SECURITY:
            yield _security(option)
    if "MaskedPaths" in host:
        yield Effect("security-opt", "systempaths=unconfined", "shows all of /proc and /sys")


def _security(option: str) -> Effect:
    name = option.replace(":", "=", 1) if "=" not in option.partition(":")[0] else option
    if name.startswith("seccomp=") and name not in ("seccomp=unconfined", "seccomp=builtin"):
        name = f"seccomp={hashlib.blake2b(name.encode(), digest_size=16).hexdigest()}"
        return Effect("security-opt", name, "replaces the system call filter (seccomp)")
    return Effect("security-opt", name, f"weakens the isolation: {name}")


def _build_network(mode: str | None) -> Iterator[Effect]:
    if mode and (mode == "host" or mode.startswith("container:")):
        yield Effect("namespace", f"build-network={mode}", f"builds in the network of {mode}")


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
    if host.get("CgroupParent"):
        parent = host["CgroupParent"]
        yield Effect("cgroup-parent", parent, f"runs in the cgroup {parent} of the host")
    for other in host.get("VolumesFrom") or ():
        yield Effect("volumes-from", other, f"mounts all volumes of the container {other}")
