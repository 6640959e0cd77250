"""The tasks of a batch as values: with defaults filled in, each matrix unrolled, needs resolved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from rumpel.batch.files import FileIn

PER_HOST = 8
MAX_TASKS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """None: no limit of its own. Seconds, turns of the model, tokens, dollars."""

    time_s: int | None = None
    turns: int | None = None
    dollars: float | None = None
    tokens: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One task. Either `prompt` or `command` is empty."""

    name: str
    prompt: str = ""
    command: str = ""
    agent: str = ""
    """Empty: it is a command."""
    model: str | None = None
    base: str | None = None
    host: str | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    needs: tuple[str, ...] = ()
    verify: str = ""
    limits: Limits = Limits()
    files: tuple[FileIn, ...] = ()
    retries: int = 0
    keep: bool = False

    def to_json(self) -> dict[str, Any]:
        """For `batch check`, and to tell whether it changed."""
        return asdict(self)


def from_json(said: Mapping[str, Any]) -> Item:
    """Inverse of `to_json`; what a newer version added is dropped."""
    known = {name: said[name] for name in Item.__dataclass_fields__ if name in said}
    limits = known.get("limits") or {}
    known["limits"] = Limits(**{k: limits.get(k) for k in Limits.__dataclass_fields__})
    known["files"] = tuple(FileIn(**one) for one in known.get("files") or ())
    known["needs"] = tuple(known.get("needs") or ())
    return Item(**known)


@dataclass(frozen=True, slots=True, kw_only=True)
class HostRule:
    """Bytes that are to be free on a host, or it gets no new tasks."""

    min_disk: int = 2 << 30
    min_memory: int = 256 << 20
    move_s: float | None = None
    """Tasks of one that is away for so long go on elsewhere; None: they wait for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Concurrency:
    per_host: int = PER_HOST
    total: int | None = None
    agents: Mapping[str, int] = field(default_factory=dict)
    hosts: Mapping[str, int] = field(default_factory=dict)
    """Slots of each host of the pool; empty: the host that pods are made on anyway."""
    rule: HostRule = HostRule()
    rules: Mapping[str, HostRule] = field(default_factory=dict)
    """Of hosts that have one of their own."""

    def rule_of(self, host: str) -> HostRule:
        return self.rules.get(host, self.rule)


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """In the order of the file; `items` by name."""

    name: str
    concurrency: Concurrency
    items: Mapping[str, Item]
