"""`hostRequirements`: what a configuration wishes of the machine of its containers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from rumpel.devcontainer.schema import HostRequirements

GPU = {"Driver": "", "Count": -1, "Capabilities": [["gpu"]]}
"""As `docker run --gpus all` asks for it."""
UNITS = {"t": 1 << 40, "g": 1 << 30, "m": 1 << 20, "k": 1 << 10}


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirements:
    """0 or empty: no wish."""

    cpus: int = 0
    memory_bytes: int = 0
    gpu: Literal["", "optional", "needed"] = ""


def of(wanted: HostRequirements | None) -> Requirements:
    """An object for `gpu` says how many cores and how much memory; an engine gives all or none."""
    if wanted is None:
        return Requirements()
    gpu = wanted.gpu
    return Requirements(
        cpus=wanted.cpus or 0,
        memory_bytes=size(wanted.memory),
        gpu="optional" if gpu == "optional" else "needed" if gpu else "",
    )


def most(wanted: Iterable[HostRequirements | None]) -> HostRequirements | None:
    """Of several, the greatest of each; spec: an object for `gpu` goes before a boolean."""
    every = [one for one in wanted if one is not None]
    if not every:
        return None
    gpus = [one.gpu for one in every if one.gpu is not None]
    sizes = {
        name: max((getattr(one, name) for one in every), key=size) for name in ("memory", "storage")
    }
    return every[-1].model_copy(
        update={
            **sizes,
            "cpus": max((one.cpus or 0 for one in every), default=0) or None,
            "gpu": max(gpus, key=_strength, default=None),
        }
    )


def _strength(gpu: object) -> int:
    return {False: 0, "optional": 1, True: 2}.get(gpu, 3) if isinstance(gpu, bool | str) else 3


def size(text: str | None) -> int:
    """Bytes; spec: units are powers of 1024: `8gb`, `512mb`, and a number alone is bytes."""
    if not text:
        return 0
    unit = UNITS.get(text[-2], 1) if text.endswith("b") else 1
    return int(text.rstrip("tgmkb")) * unit


def devices(wanted: Requirements, host_config: Mapping[str, Any]) -> dict[str, Any]:
    """`host_config` with what it may be given: that is a device of the host as any other."""
    if not wanted.gpu:
        return {}
    return {"DeviceRequests": [*host_config.get("DeviceRequests", ()), GPU]}
