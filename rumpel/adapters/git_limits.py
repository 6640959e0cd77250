"""What one import from a pod may cost, and the error that says which limit was passed."""

from __future__ import annotations

import resource
from dataclasses import dataclass

from rumpel.adapters import proc
from rumpel.errors import RumpelError


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Git has almost none of these for a fetch (notes/reliability.md G6)."""

    pack_bytes: int = 4 << 30
    object_bytes: int = 512 << 20
    unpacked_bytes: int = 64 << 30
    """Of all objects of one import together; a long history of a large file has much of it."""
    objects: int = 2_000_000
    delta_depth: int = 4095
    """Git's own programs never write a longer chain; each link costs time at every later read."""
    refs: int = 2_000
    paths: int = 2_000_000
    """Of one new tree, not counting what the host has already: git walks every one of them."""
    tree_bytes: int = 64 << 20
    tree_depth: int = 512
    path_bytes: int = 4096
    seconds: float = 600.0
    idle_seconds: float = 30.0
    """Without a byte from the pod; git's server says something every five seconds."""
    memory_bytes: int = 2 << 30
    quota_bytes: int = 8 << 30
    """What the host holds of one pod and of nobody else."""


class Refused(RumpelError):
    """A pod's objects or refs were looked at and are not taken; trying again changes nothing."""

    code = "refused"


def passed(what: str, number: int, unit: str) -> Refused:
    """`what` as in: the pod WHAT than 5 bytes."""
    return Refused(f"refused: the pod {what} than {number} {unit}", details={"limit": unit})


def restrict(child: proc.Child, limits: Limits) -> None:
    """Before git has read a byte: index-pack and unpack-objects inherit them."""
    child.limit(resource.RLIMIT_FSIZE, limits.pack_bytes)
    child.limit(resource.RLIMIT_DATA, limits.memory_bytes)
    child.limit(resource.RLIMIT_CPU, int(limits.seconds) + 1)
    child.limit(resource.RLIMIT_CORE, 0)
