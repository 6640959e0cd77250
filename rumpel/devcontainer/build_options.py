"""`build.options`: options of `docker build`, as parameters of the Engine API's build.

What that API has no parameter for (secrets, ssh, extra contexts, outputs) is refused by name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from rumpel.devcontainer import sizes
from rumpel.devcontainer.networks import host_entry
from rumpel.devcontainer.options import Option, split
from rumpel.devcontainer.positions import FieldError, Path

SHORT = {"c": "cpu-shares", "f": "file", "m": "memory", "q": "quiet", "t": "tag", "o": "output"}
SWITCHES = frozenset({"force-rm", "no-cache", "pull", "quiet", "rm", "squash"})

_BUILDKIT = "the Engine API's builder has no such parameter"
REFUSED = {
    "allow": "it would lift a limit of the builder",
    "attest": _BUILDKIT,
    "build-context": _BUILDKIT,
    "builder": _BUILDKIT,
    "cache-to": _BUILDKIT,
    "file": "use build.dockerfile",
    "iidfile": "it would write a file on the host",
    "load": "the image is always kept in the engine",
    "metadata-file": "it would write a file on the host",
    "output": "it would write files on the host",
    "progress": "rumpel shows the progress itself",
    "provenance": _BUILDKIT,
    "push": "an image is never sent anywhere",
    "quiet": "rumpel shows the progress itself",
    "sbom": _BUILDKIT,
    "secret": _BUILDKIT,
    "security-opt": _BUILDKIT,
    "ssh": _BUILDKIT,
    "tag": "rumpel names its images itself",
}

Parameters = dict[str, Any]
"""`buildargs`, `labels`, `extrahosts`, `cachefrom`, `networkmode`, `nocache` ... as the API has."""


def parse(options: Sequence[str]) -> Parameters:
    """Raises: FieldError that names the option, for what cannot be passed on."""
    found: Parameters = {}
    known = frozenset(HANDLERS)
    for option in split(
        options, known, field=("build", "options"), short=SHORT, switches=SWITCHES, refused=REFUSED
    ):
        HANDLERS[option.name](found, option)
    return found


Handler = Callable[[Parameters, Option], None]


def _put(key: str, convert: Callable[[str, Path], Any] = lambda text, _: text) -> Handler:
    def put(found: Parameters, option: Option) -> None:
        found[key] = convert(option.value, option.path)

    return put


def _pair(key: str) -> Handler:
    def put(found: Parameters, option: Option) -> None:
        name, equals, value = option.value.partition("=")
        if not name or not equals:
            raise FieldError(option.path, f"{option.value!r} is not NAME=VALUE")
        found.setdefault(key, {})[name] = value

    return put


def _list(key: str, convert: Callable[[str, Path], Any] = lambda text, _: text) -> Handler:
    def put(found: Parameters, option: Option) -> None:
        found.setdefault(key, []).append(convert(option.value, option.path))

    return put


HANDLERS: dict[str, Handler] = {
    "add-host": _list("extrahosts", host_entry),
    "build-arg": _pair("buildargs"),
    "cache-from": _list("cachefrom"),
    "cgroup-parent": _put("cgroupparent"),
    "cpu-period": _put("cpuperiod", sizes.integer),
    "cpu-quota": _put("cpuquota", sizes.integer),
    "cpu-shares": _put("cpushares", sizes.integer),
    "cpuset-cpus": _put("cpusetcpus"),
    "cpuset-mems": _put("cpusetmems"),
    "force-rm": _put("forcerm", sizes.boolean),
    "label": _pair("labels"),
    "memory": _put("memory", sizes.size),
    "memory-swap": _put("memswap", sizes.size_or_unlimited),
    "network": _put("networkmode"),
    "no-cache": _put("nocache", sizes.boolean),
    "platform": _put("platform"),
    "pull": _put("pull", sizes.boolean),
    "rm": _put("rm", sizes.boolean),
    "shm-size": _put("shmsize", sizes.size),
    "squash": _put("squash", sizes.boolean),
    "target": _put("target"),
}
