"""`runArgs` as a patch of the Engine API's create body: every option of `docker run` or an error.

The result is laid over what rumpel itself asks for. Options are the ones of the docker command
line 28; what an older engine does not know, that engine refuses by name.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rumpel.devcontainer import devices, mounts, networks, ports, sizes
from rumpel.devcontainer.options import Option, split
from rumpel.devcontainer.positions import FieldError, Path

FileReader = Callable[[str], str]
"""Text of a host file by absolute path; raises OSError or UnicodeError."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunArgs:
    """Parts of the create body. `host_config["Mounts"]` and `["Binds"]` hold -v and --mount."""

    config: Mapping[str, Any] = field(default_factory=dict)
    host_config: Mapping[str, Any] = field(default_factory=dict)
    networking: Mapping[str, Any] = field(default_factory=dict)
    platform: str | None = None
    env_files: Mapping[str, str | None] = field(default_factory=dict)
    """From --env-file; weaker than containerEnv."""
    env: Mapping[str, str | None] = field(default_factory=dict)
    """From -e; stronger than containerEnv. None = taken out of the image's environment."""
    host_files: tuple[tuple[str, str], ...] = ()
    """(option, absolute path) of every host file that was read."""
    host_env: tuple[str, ...] = ()
    """Variables of the caller's environment whose value was taken (`-e NAME`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """What options may refer to on the side of the caller."""

    root: str
    """Relative paths start here."""
    local_env: Mapping[str, str]
    read_file: FileReader


@dataclass(slots=True)
class Body:
    """The create body while options are added to it."""

    caller: Caller
    config: dict[str, Any] = field(default_factory=dict)
    host: dict[str, Any] = field(default_factory=dict)
    network: networks.Network = field(default_factory=networks.Network)
    platform: str | None = None
    env_files: dict[str, str | None] = field(default_factory=dict)
    env: dict[str, str | None] = field(default_factory=dict)
    host_files: list[tuple[str, str]] = field(default_factory=list)
    host_env: list[str] = field(default_factory=list)

    def read(self, option: Option, name: str) -> str:
        """Text of a host file that an option names."""
        path = self.absolute(name)
        self.host_files.append((option.name, path))
        try:
            return self.caller.read_file(path)
        except (OSError, UnicodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
            raise FieldError(option.path, f"--{option.name} {name}: {reason}") from error

    def absolute(self, name: str) -> str:
        return posixpath.normpath(posixpath.join(self.caller.root, name))


def apply(run_args: Sequence[str], caller: Caller) -> RunArgs:
    """Raises: FieldError that names the option, for what cannot be passed on."""
    body = Body(caller)
    for option in split(run_args, KNOWN):
        HANDLERS[option.name](body, option)
    body.network.finish(body.config, body.host)
    return RunArgs(
        config=body.config,
        host_config=body.host,
        networking=body.network.endpoints(),
        platform=body.platform,
        env_files=body.env_files,
        env=body.env,
        host_files=tuple(body.host_files),
        host_env=tuple(body.host_env),
    )


def variables(text: str, env: Mapping[str, str], path: Path) -> dict[str, tuple[str, str | None]]:
    """An env file, as docker reads it: NAME=value verbatim, NAME alone = from the caller.

    Returns name -> (`file` or `caller`, value).
    """
    found: dict[str, tuple[str, str | None]] = {}
    for number, raw in enumerate(text.removeprefix("\ufeff").split("\n"), 1):
        line = raw.removesuffix("\r").lstrip(" \t")
        if not line or line.startswith("#"):
            continue
        name, equals, value = line.partition("=")
        if not name or any(char.isspace() for char in name):
            raise FieldError(path, f"line {number} of the file has no variable name: {name!r}")
        if equals:
            found[name] = ("file", value)
        elif name in env:
            found[name] = ("caller", env[name])
    return found


Handler = Callable[[Body, Option], None]
Convert = Callable[[str, Path], Any]


def _text(value: str, _: Path) -> str:
    return value


def _host(key: str, convert: Convert = _text) -> Handler:
    def put(body: Body, option: Option) -> None:
        body.host[key] = convert(option.value, option.path)

    return put


def _config(key: str, convert: Convert = _text) -> Handler:
    def put(body: Body, option: Option) -> None:
        body.config[key] = convert(option.value, option.path)

    return put


def _host_list(key: str, convert: Convert = _text) -> Handler:
    def put(body: Body, option: Option) -> None:
        body.host.setdefault(key, []).append(convert(option.value, option.path))

    return put


def _host_map(key: str) -> Handler:
    def put(body: Body, option: Option) -> None:
        name, _, value = option.value.partition("=")
        body.host.setdefault(key, {})[name] = value

    return put


def _network(put: Callable[[networks.Network, str, Path], None]) -> Handler:
    return lambda body, option: put(body.network, option.value, option.path)


def _env(body: Body, option: Option) -> None:
    name, equals, value = option.value.partition("=")
    if not name:
        raise FieldError(option.path, f"{option.value!r} has no variable name")
    if not equals:
        if name in body.caller.local_env:
            body.host_env.append(name)
        body.env[name] = body.caller.local_env.get(name)
    else:
        body.env[name] = value


def _env_file(body: Body, option: Option) -> None:
    text = body.read(option, option.value)
    for name, (origin, value) in variables(text, body.caller.local_env, option.path).items():
        body.env_files[name] = value
        if origin == "caller":
            body.host_env.append(name)


def _label(body: Body, option: Option) -> None:
    _add_label(body, option.value, option.path)


def _label_file(body: Body, option: Option) -> None:
    text = body.read(option, option.value)
    for name, (_, value) in variables(text, {}, option.path).items():
        _add_label(body, f"{name}={value or ''}", option.path)


def _add_label(body: Body, label: str, path: Path) -> None:
    name, _, value = label.partition("=")
    if not name:
        raise FieldError(path, f"{label!r} has no label name")
    if name == "rumpel" or name.startswith("rumpel."):
        raise FieldError(path, f"labels that start with rumpel. are rumpel's own: {name}")
    body.config.setdefault("Labels", {})[name] = value


def _volume(body: Body, option: Option) -> None:
    source, colon, rest = option.value.partition(":")
    if not colon:
        mount = {"Type": "volume", "Target": option.value}
        body.host.setdefault("Mounts", []).append(mount)
        return
    if source.startswith("."):
        source = body.absolute(source)
    target = rest.partition(":")[0]
    if not source or not target.startswith("/"):
        raise FieldError(option.path, f"{option.value!r} is not SOURCE:/TARGET[:OPTIONS]")
    body.host.setdefault("Binds", []).append(f"{source}:{rest}")


def _mount(body: Body, option: Option) -> None:
    mount = mounts.parse(option.value, option.path, root=body.caller.root)
    body.host.setdefault("Mounts", []).append(mount)


def _tmpfs(body: Body, option: Option) -> None:
    target, _, settings = option.value.partition(":")
    body.host.setdefault("Tmpfs", {})[target] = settings


def _publish(body: Body, option: Option) -> None:
    for port, address, outer in ports.publish(option.value, option.path):
        body.config.setdefault("ExposedPorts", {})[port] = {}
        binding = {"HostIp": address, "HostPort": outer}
        body.host.setdefault("PortBindings", {}).setdefault(port, []).append(binding)


def _expose(body: Body, option: Option) -> None:
    for port in ports.expose(option.value, option.path):
        body.config.setdefault("ExposedPorts", {})[port] = {}


def _restart(body: Body, option: Option) -> None:
    name, colon, count = option.value.partition(":")
    if name not in ("no", "always", "on-failure", "unless-stopped") or (
        colon and name != "on-failure"
    ):
        raise FieldError(option.path, f"{option.value!r} is not a restart policy")
    policy: dict[str, Any] = {"Name": name}
    if colon:
        policy["MaximumRetryCount"] = sizes.integer(count, option.path)
    body.host["RestartPolicy"] = policy


def _log_driver(body: Body, option: Option) -> None:
    body.host.setdefault("LogConfig", {})["Type"] = option.value


def _log_opt(body: Body, option: Option) -> None:
    name, _, value = option.value.partition("=")
    body.host.setdefault("LogConfig", {}).setdefault("Config", {})[name] = value


def _health(key: str, convert: Convert) -> Handler:
    def put(body: Body, option: Option) -> None:
        body.config.setdefault("Healthcheck", {})[key] = convert(option.value, option.path)

    return put


def _no_healthcheck(body: Body, option: Option) -> None:
    if sizes.boolean(option.value, option.path):
        body.config["Healthcheck"] = {"Test": ["NONE"]}


def _security_opt(body: Body, option: Option) -> None:
    name, equals, value = option.value.partition("=")
    if not equals:
        name, equals, value = option.value.partition(":")
    if not equals and name != "no-new-privileges":
        raise FieldError(option.path, f"{option.value!r} is not a security option")
    if (name, value) == ("systempaths", "unconfined"):
        body.host.update(MaskedPaths=[], ReadonlyPaths=[])
        return
    text = option.value
    if name == "seccomp" and value not in ("unconfined", "builtin"):
        text = f"seccomp={body.read(option, value)}"
    body.host.setdefault("SecurityOpt", []).append(text)


def _trust(body: Body, option: Option) -> None:
    if not sizes.boolean(option.value, option.path):
        raise FieldError(
            option.path, "--disable-content-trust=false cannot be passed on: the Engine API has "
            "no signature check"
        )  # fmt: skip


def _platform(body: Body, option: Option) -> None:
    body.platform = option.value


_INT, _BOOL, _SIZE = sizes.integer, sizes.boolean, sizes.size

HANDLERS: dict[str, Handler] = {
    "add-host": _host_list("ExtraHosts", networks.host_entry),
    "annotation": _host_map("Annotations"),
    "blkio-weight": _host("BlkioWeight", _INT),
    "blkio-weight-device": _host_list("BlkioWeightDevice", devices.weight),
    "cap-add": _host_list("CapAdd"),
    "cap-drop": _host_list("CapDrop"),
    "cgroup-parent": _host("CgroupParent"),
    "cgroupns": _host("CgroupnsMode"),
    "cpu-count": _host("CpuCount", _INT),
    "cpu-percent": _host("CpuPercent", _INT),
    "cpu-period": _host("CpuPeriod", _INT),
    "cpu-quota": _host("CpuQuota", _INT),
    "cpu-rt-period": _host("CpuRealtimePeriod", _INT),
    "cpu-rt-runtime": _host("CpuRealtimeRuntime", _INT),
    "cpu-shares": _host("CpuShares", _INT),
    "cpus": _host("NanoCpus", sizes.nano_cpus),
    "cpuset-cpus": _host("CpusetCpus"),
    "cpuset-mems": _host("CpusetMems"),
    "device": lambda body, option: devices.add(body.host, option.value, option.path),
    "device-cgroup-rule": _host_list("DeviceCgroupRules", devices.cgroup_rule),
    "device-read-bps": _host_list("BlkioDeviceReadBps", devices.bytes_per_second),
    "device-read-iops": _host_list("BlkioDeviceReadIOps", devices.per_second),
    "device-write-bps": _host_list("BlkioDeviceWriteBps", devices.bytes_per_second),
    "device-write-iops": _host_list("BlkioDeviceWriteIOps", devices.per_second),
    "disable-content-trust": _trust,
    "dns": _host_list("Dns", networks.address),
    "dns-option": _host_list("DnsOptions"),
    "dns-search": _host_list("DnsSearch"),
    "domainname": _config("Domainname"),
    "env": _env,
    "env-file": _env_file,
    "expose": _expose,
    "gpus": lambda body, option: devices.add_gpus(body.host, option.value, option.path),
    "group-add": _host_list("GroupAdd"),
    "health-cmd": _health("Test", lambda text, _: ["CMD-SHELL", text]),
    "health-interval": _health("Interval", sizes.duration_ns),
    "health-retries": _health("Retries", _INT),
    "health-start-interval": _health("StartInterval", sizes.duration_ns),
    "health-start-period": _health("StartPeriod", sizes.duration_ns),
    "health-timeout": _health("Timeout", sizes.duration_ns),
    "hostname": _config("Hostname"),
    "init": _host("Init", _BOOL),
    "io-maxbandwidth": _host("IOMaximumBandwidth", _SIZE),
    "io-maxiops": _host("IOMaximumIOps", _INT),
    "ip": _network(networks.Network.set_ip),
    "ip6": _network(networks.Network.set_ip6),
    "ipc": _host("IpcMode"),
    "isolation": _host("Isolation"),
    "kernel-memory": _host("KernelMemory", _SIZE),
    "label": _label,
    "label-file": _label_file,
    "link": _network(networks.Network.add_link),
    "link-local-ip": _network(networks.Network.add_link_local),
    "log-driver": _log_driver,
    "log-opt": _log_opt,
    "mac-address": _network(networks.Network.set_mac),
    "memory": _host("Memory", _SIZE),
    "memory-reservation": _host("MemoryReservation", _SIZE),
    "memory-swap": _host("MemorySwap", sizes.size_or_unlimited),
    "memory-swappiness": _host("MemorySwappiness", _INT),
    "mount": _mount,
    "network": _network(networks.Network.join),
    "network-alias": _network(networks.Network.add_alias),
    "no-healthcheck": _no_healthcheck,
    "oom-kill-disable": _host("OomKillDisable", _BOOL),
    "oom-score-adj": _host("OomScoreAdj", _INT),
    "pid": _host("PidMode"),
    "pids-limit": _host("PidsLimit", _INT),
    "platform": _platform,
    "privileged": _host("Privileged", _BOOL),
    "publish": _publish,
    "publish-all": _host("PublishAllPorts", _BOOL),
    "read-only": _host("ReadonlyRootfs", _BOOL),
    "restart": _restart,
    "runtime": _host("Runtime"),
    "security-opt": _security_opt,
    "shm-size": _host("ShmSize", _SIZE),
    "stop-signal": _config("StopSignal"),
    "stop-timeout": _config("StopTimeout", _INT),
    "storage-opt": _host_map("StorageOpt"),
    "sysctl": _host_map("Sysctls"),
    "tmpfs": _tmpfs,
    "ulimit": _host_list("Ulimits", devices.ulimit),
    "user": _config("User"),
    "userns": _host("UsernsMode"),
    "uts": _host("UTSMode"),
    "volume": _volume,
    "volume-driver": _host("VolumeDriver"),
    "volumes-from": _host_list("VolumesFrom"),
    "workdir": _config("WorkingDir"),
}
KNOWN = frozenset(HANDLERS)
