"""What each key of a compose service means: an option of `docker run`, or why it means nothing.

A key that is not here is refused by name. The forms are those of `compose config` of either
version: short and long ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from rumpel.devcontainer import sizes
from rumpel.devcontainer.positions import FieldError, Path

Pair = tuple[str, str]
"""An option and its value."""
Key = Callable[[Any, Path], Iterator[Pair]]


def words(value: Any, path: Path) -> list[str]:
    """A text, or a list of them."""
    items = value if isinstance(value, list) else [value]
    return [word(one, path) for one in items]


def word(value: Any, path: Path) -> str:
    """As compose writes a scalar."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return sizes.number_text(value)
    if not isinstance(value, str) or "\0" in value:
        raise FieldError(path, "a text is expected")
    return value


def table(value: Any, path: Path) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise FieldError(path, "a mapping is expected")
    return value


def pairs(value: Any, path: Path) -> dict[str, str | None]:
    """A mapping, or a list of NAME=VALUE; None where only a name stands."""
    if isinstance(value, dict):
        return {name: None if one is None else word(one, path) for name, one in value.items()}
    found: dict[str, str | None] = {}
    for text in words(value, path):
        name, mark, rest = text.partition("=")
        found[name] = rest if mark else None
    return found


def _each(option: str) -> Key:
    def put(value: Any, path: Path) -> Iterator[Pair]:
        yield from ((option, one) for one in words(value, path))

    return put


def _one(option: str) -> Key:
    def put(value: Any, path: Path) -> Iterator[Pair]:
        yield option, word(value, path)

    return put


def _pairs(option: str) -> Key:
    def put(value: Any, path: Path) -> Iterator[Pair]:
        for name, text in pairs(value, path).items():
            yield option, f"{name}={text or ''}"

    return put


def _seconds(option: str) -> Key:
    def put(value: Any, path: Path) -> Iterator[Pair]:
        yield option, str(round(sizes.duration_ns(word(value, path), path) / 1e9))

    return put


def _hosts(value: Any, path: Path) -> Iterator[Pair]:
    if isinstance(value, dict):
        for name, found in value.items():
            yield from (("add-host", f"{name}={one}") for one in words(found, path))
    else:
        yield from _each("add-host")(value, path)


def _not_of_a_service(option: str) -> Key:
    def put(value: Any, path: Path) -> Iterator[Pair]:
        text = word(value, path)
        if text.startswith("service:"):
            raise FieldError(path, f"{text} is not handled")
        yield option, text

    return put


def _ulimits(value: Any, path: Path) -> Iterator[Pair]:
    for name, limit in table(value, path).items():
        if isinstance(limit, dict):
            soft, hard = limit.get("soft", limit.get("hard")), limit.get("hard", limit.get("soft"))
            yield "ulimit", f"{name}={word(soft, path)}:{word(hard, path)}"
        else:
            yield "ulimit", f"{name}={word(limit, path)}"


def _logging(value: Any, path: Path) -> Iterator[Pair]:
    found = table(value, path)
    if found.get("driver"):
        yield "log-driver", word(found["driver"], path)
    yield from _pairs("log-opt")(found.get("options") or {}, path)


def _devices(value: Any, path: Path) -> Iterator[Pair]:
    for one in value if isinstance(value, list) else [value]:
        if isinstance(one, dict):
            parts = (one.get("source"), one.get("target"), one.get("permissions"))
            yield "device", ":".join(word(part, path) for part in parts if part)
        else:
            yield "device", word(one, path)


def _gpus(value: Any, path: Path) -> Iterator[Pair]:
    if isinstance(value, str):
        yield "gpus", value
        return
    for one in value if isinstance(value, list) else [value]:
        yield "gpus", _gpu(table(one, path), path)


def _gpu(wanted: dict[str, Any], path: Path) -> str:
    parts = []
    if "count" in wanted:
        parts.append(f"count={word(wanted['count'], path)}")
    if ids := wanted.get("device_ids"):
        parts.append(f'"device={",".join(words(ids, path))}"')
    if wanted.get("driver"):
        parts.append(f"driver={word(wanted['driver'], path)}")
    if capabilities := wanted.get("capabilities"):
        parts.append(f'"capabilities={",".join(words(capabilities, path))}"')
    return ",".join(parts) or "all"


DEPLOY_LIMITS = {"cpus": "cpus", "memory": "memory", "pids": "pids-limit"}


def _deploy(value: Any, path: Path) -> Iterator[Pair]:
    """Of a service's resources; what is about a cluster is told in NOTES."""
    resources = table(table(value, path).get("resources") or {}, path)
    for key, limit in table(resources.get("limits") or {}, path).items():
        if key not in DEPLOY_LIMITS:
            raise FieldError(path, f"the limit {key} is not handled")
        yield DEPLOY_LIMITS[key], word(limit, path)
    reserved = table(resources.get("reservations") or {}, path)
    if "memory" in reserved:
        yield "memory-reservation", word(reserved["memory"], path)
    for one in reserved.get("devices") or []:
        yield "gpus", _gpu(table(one, path), path)


def _blkio(value: Any, path: Path) -> Iterator[Pair]:
    for key, found in table(value, path).items():
        if key == "weight":
            yield "blkio-weight", word(found, path)
            continue
        option = "blkio-weight-device" if key == "weight_device" else key.replace("_", "-")
        if option not in _BLKIO:
            raise FieldError(path, f"{key} is not handled")
        for one in found if isinstance(found, list) else []:
            part = table(one, path)
            amount = part.get("weight") if key == "weight_device" else part.get("rate")
            yield option, f"{word(part.get('path'), path)}:{word(amount, path)}"


_BLKIO = frozenset(
    {
        "blkio-weight-device", "device-read-bps", "device-read-iops", "device-write-bps",
        "device-write-iops",
    }
)  # fmt: skip

OPTIONS: dict[str, Key] = {
    "annotations": _pairs("annotation"),
    "blkio_config": _blkio,
    "cap_add": _each("cap-add"),
    "cap_drop": _each("cap-drop"),
    "cgroup": _one("cgroupns"),
    "cgroup_parent": _one("cgroup-parent"),
    "cpu_count": _one("cpu-count"),
    "cpu_percent": _one("cpu-percent"),
    "cpu_period": _one("cpu-period"),
    "cpu_quota": _one("cpu-quota"),
    "cpu_rt_period": _one("cpu-rt-period"),
    "cpu_rt_runtime": _one("cpu-rt-runtime"),
    "cpu_shares": _one("cpu-shares"),
    "cpus": _one("cpus"),
    "cpuset": _one("cpuset-cpus"),
    "deploy": _deploy,
    "device_cgroup_rules": _each("device-cgroup-rule"),
    "devices": _devices,
    "dns": _each("dns"),
    "dns_opt": _each("dns-option"),
    "dns_search": _each("dns-search"),
    "domainname": _one("domainname"),
    "expose": _each("expose"),
    "extra_hosts": _hosts,
    "gpus": _gpus,
    "group_add": _each("group-add"),
    "hostname": _one("hostname"),
    "init": _one("init"),
    "ipc": _not_of_a_service("ipc"),
    "isolation": _one("isolation"),
    "labels": _pairs("label"),
    "logging": _logging,
    "mem_limit": _one("memory"),
    "mem_reservation": _one("memory-reservation"),
    "mem_swappiness": _one("memory-swappiness"),
    "memswap_limit": _one("memory-swap"),
    "network_mode": _not_of_a_service("network"),
    "oom_kill_disable": _one("oom-kill-disable"),
    "oom_score_adj": _one("oom-score-adj"),
    "pid": _not_of_a_service("pid"),
    "pids_limit": _one("pids-limit"),
    "platform": _one("platform"),
    "privileged": _one("privileged"),
    "read_only": _one("read-only"),
    "runtime": _one("runtime"),
    "security_opt": _each("security-opt"),
    "shm_size": _one("shm-size"),
    "stop_grace_period": _seconds("stop-timeout"),
    "stop_signal": _one("stop-signal"),
    "storage_opt": _pairs("storage-opt"),
    "sysctls": _pairs("sysctl"),
    "tmpfs": _each("tmpfs"),
    "ulimits": _ulimits,
    "user": _one("user"),
    "userns_mode": _one("userns"),
    "uts": _one("uts"),
    "working_dir": _one("workdir"),
}

HANDLED = frozenset(
    {
        "build", "command", "configs", "container_name", "depends_on", "entrypoint", "env_file",
        "environment", "extends", "healthcheck", "image", "networks", "ports", "profiles",
        "restart", "scale", "secrets", "stdin_open", "tty", "volumes",
    }
)  # fmt: skip
"""By compose.py, in another way."""

REFUSED = {
    "credential_spec": "it is of Windows",
    "external_links": "it names containers of other projects",
    "label_file": "write labels",
    "links": "a service is reached by its own name",
    "mac_address": "every pod would have the same",
    "models": "it is of a program that rumpel does not start",
    "provider": "it runs a program on this machine",
    "use_api_socket": "it would hand the engine and your registry credentials to the pod",
    "volumes_from": "name the volumes",
}

TOLD = {
    "attach": "has no effect: logs are the engine's",
    "container_name": "is a name in the pod's network: the container's own is of one pod",
    "develop": "has no effect: pods have a clone",
    "ports": "are not published but forwarded to 127.0.0.1, to the next one where a port is taken",
    "post_start": "is not run: use postStartCommand",
    "pre_stop": "is not run",
    "pull_policy": "has no effect: an image is pulled when it is not there",
    "scale": "has no effect: there is one of each",
}
"""What is made of it instead; the end of a sentence."""
TOLD_OF_POD = {"restart": "has no effect: a pod runs until `rumpel stop`"}
"""More of the service that is the pod."""
DEPLOY_KNOWN = frozenset({"resources", "restart_policy"})
