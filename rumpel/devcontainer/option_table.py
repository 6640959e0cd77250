"""What each option of `docker run` does to the create body: one entry an option.

Options are the ones of the docker command line 28. What an older engine does not know, that
engine refuses by name.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from rumpel.devcontainer import devices, mounts, networks, ports, sizes
from rumpel.devcontainer.body import Body, variables
from rumpel.devcontainer.options import Option
from rumpel.devcontainer.positions import FieldError, Path

Handler = Callable[[Body, Option], None]
Convert = Callable[[str, Path], Any]


def _text(value: str, _: Path) -> str:
    return value


def _one_of(*known: str) -> Convert:
    """One of these words, or what follows one that ends with a colon."""

    def convert(value: str, path: Path) -> str:
        if (
            value
            and value not in known
            and not value.startswith(tuple(word for word in known if word.endswith(":")))
        ):
            raise FieldError(path, f"{value!r} is not one of {', '.join(known)}")
        return value

    return convert


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


def _sysctl(body: Body, option: Option) -> None:
    name, equals, value = option.value.partition("=")
    if not equals:
        raise FieldError(option.path, f"{option.value!r} is not NAME=VALUE")
    body.host.setdefault("Sysctls", {})[name] = value


def _network(put: Callable[[networks.Network, str, Path], None]) -> Handler:
    return lambda body, option: put(body.network, option.value, option.path)


def _env(body: Body, option: Option) -> None:
    name, equals, value = option.value.partition("=")
    if not name:
        raise FieldError(option.path, f"{option.value!r} has no variable name")
    if not equals:
        if name in body.side.local_env:
            body.host_env.append(name)
        body.env[name] = body.side.local_env.get(name)
    else:
        body.env[name] = value


def _env_file(body: Body, option: Option) -> None:
    text = body.read(option, option.value)
    for name, (origin, value) in variables(text, body.side.local_env, option.path).items():
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
    target = rest.partition(":")[0] if colon else source
    if not source or not target.startswith("/") or option.value.count(":") > 2:
        raise FieldError(option.path, f"{option.value!r} is not SOURCE:/TARGET[:OPTIONS]")
    if not colon:
        body.mounts.append((option.path, {"Type": "volume", "Target": target}))
        return
    if source.startswith("."):
        source = body.absolute(source)
    body.binds.append((option.path, f"{source}:{rest}"))


def _mount(body: Body, option: Option) -> None:
    mount = mounts.parse(option.value, option.path, root=body.side.root)
    body.mounts.append((option.path, mount))


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
        profile = body.read(option, value)
        try:
            compact = json.dumps(json.loads(profile), separators=(",", ":"), ensure_ascii=False)
        except ValueError:
            raise FieldError(option.path, f"--security-opt: {value} is not JSON") from None
        text = f"seccomp={compact}"
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
    "cap-add": _host_list("CapAdd", devices.capability),
    "cap-drop": _host_list("CapDrop", devices.capability),
    "cgroup-parent": _host("CgroupParent"),
    "cgroupns": _host("CgroupnsMode", _one_of("host", "private")),
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
    "memory-swappiness": _host("MemorySwappiness", sizes.between(-1, 100)),
    "mount": _mount,
    "network": _network(networks.Network.join),
    "network-alias": _network(networks.Network.add_alias),
    "no-healthcheck": _no_healthcheck,
    "oom-kill-disable": _host("OomKillDisable", _BOOL),
    "oom-score-adj": _host("OomScoreAdj", _INT),
    "pid": _host("PidMode", _one_of("host", "container:")),
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
    "sysctl": _sysctl,
    "tmpfs": _tmpfs,
    "ulimit": lambda body, option: devices.add_ulimit(body.host, option.value, option.path),
    "user": _config("User"),
    "userns": _host("UsernsMode", _one_of("host")),
    "uts": _host("UTSMode", _one_of("host")),
    "volume": _volume,
    "volume-driver": _host("VolumeDriver"),
    "volumes-from": _host_list("VolumesFrom"),
    "workdir": _config("WorkingDir"),
}
