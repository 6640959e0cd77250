"""What an operation is: a module with these names, in this order.

An operation makes one thing true in the world (an image exists, a container runs, a clone is
set up). The engine decides whether it has to run, from its fingerprint and its probe, and runs
it. Values only: nothing here knows Docker, git or SSH.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol, TypeVar

from rumpel.engine.retry import Retries

Json = Any  # recursive JSON aliases cost mypy more than they give; validated at the borders


W = TypeVar("W")
I = TypeVar("I")  # noqa: E741 - the inputs, as in the docstrings
O = TypeVar("O")  # noqa: E741 - the output


class ProbeState(StrEnum):
    OK = "ok"
    GONE = "gone"
    CHANGED = "changed"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Probe:
    """Does the recorded effect still hold? `unknown` blocks a node, it never rebuilds."""

    state: ProbeState
    detail: str = ""


OK = Probe(ProbeState.OK)


def gone(detail: str) -> Probe:
    return Probe(ProbeState.GONE, detail)


def changed(detail: str) -> Probe:
    return Probe(ProbeState.CHANGED, detail)


def unknown(detail: str) -> Probe:
    return Probe(ProbeState.UNKNOWN, detail)


class ReasonKind(StrEnum):
    """Why a node is not fresh."""

    NEVER_RAN = "never-ran"
    INPUT = "input"  # a fingerprint component differs: subject names it
    VERSION = "version"  # the operation itself changed
    PROBE = "probe"  # the effect is gone or was changed by hand
    FAILED = "failed"  # the last attempt failed or was interrupted
    REFRESH = "refresh"  # asked for
    ALWAYS = "always"  # its operation is never reused
    AGE = "age"  # older than its operation allows
    UPSTREAM = "upstream"  # a dependency will run, its output is not known yet
    UNKNOWN = "unknown"  # the world cannot be asked


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason; `subject` is a component such as `config.run_args`, before/after are short."""

    kind: ReasonKind
    subject: str
    before: Json = None
    after: Json = None


@dataclass(frozen=True, slots=True)
class Policy:
    """How a node is run. Never part of a fingerprint: changing it reruns nothing."""

    slots: tuple[str, ...] = ()
    """Slot classes to hold while running, e.g. `("create",)`: counted for each host by itself."""
    timeout_s: float = 600.0
    """For each attempt; an attempt that is not done by then is cancelled, undone and failed."""
    retries: Retries = 0
    """Extra attempts: a number, for an unreachable host alone, or a rule for each class."""
    is_reused: bool = True
    """False: it runs in every run, whatever it depends on."""
    max_age_s: float | None = None
    """A result older than this is made anew."""


class Context(Protocol[W]):
    """What a running operation gets. `world` is the product's services, opaque to the engine."""

    world: W
    node_id: str
    attempt: int
    nonce: str
    """128-bit hex, new for every attempt; goes on labels, so that effects can be found again."""
    is_again: bool
    """It was asked for by name, or it failed: what was made of it elsewhere does not count."""

    def log(self, text: str) -> None:
        """Append to the node's log and stream it to whoever watches."""

    def fault(self, point: str) -> None:
        """A named fault point inside an effect (`RUMPEL_FAULT=<kind>.<point>:<n>:<action>`)."""


class Operation(Protocol[I, O]):
    """The module-level names of `tasks/*.py`. Modules satisfy this protocol directly.

    A module may also have `files(inputs) -> tuple[str, ...]`: the files it reads, for doit's
    `file_dep`. Their content is part of the inputs, so that `fingerprint` stays pure.
    """

    KIND: str
    TITLE: str
    """Present participle shown to users: `Building image`."""
    VERSION: int
    POLICY: Policy
    Inputs: type[I]
    Output: type[O]

    def fingerprint(self, inputs: I) -> Mapping[str, Json]:
        """Everything that makes the node stale, as named components. Pure."""

    def check(self, world: Any, inputs: I, output: O) -> Probe:
        """Synchronous and without I/O: reads the warm snapshot only. Exceptions = unknown."""

    async def run(self, ctx: Any, inputs: I) -> O:
        """Make it true. Idempotent: safe after a crash at any point, adopts what it finds."""

    async def undo(self, ctx: Any, inputs: I) -> None:
        """Remove what a cancelled or failed `run` left half-made. Idempotent."""
