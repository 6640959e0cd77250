"""What happened in a run, as values. Every subscriber gets the same ones, in order."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple

from rumpel.engine.states import DONE, LIVE, NodeState

if TYPE_CHECKING:
    from rumpel.engine.operation import Reason
    from rumpel.errors import RumpelError


__all__ = ["DONE", "LIVE", "Event", "EventKind", "NodeState", "reason_json"]


class EventKind(StrEnum):
    RUN_PLANNED = "run-planned"
    RUN_EXPANDED = "run-expanded"
    RUN_ENDED = "run-ended"
    CACHED = "node-cached"
    WAITING = "node-waiting"
    RUNNING = "node-running"
    LOG = "node-log"
    RETRY = "node-retry"
    OK = "node-ok"
    FAILED = "node-failed"
    UPSTREAM_FAILED = "node-upstream-failed"
    CANCELLED = "node-cancelled"
    BLOCKED = "node-blocked"


class Event(NamedTuple):
    """`elapsed_s` counts from the start of the node (of the run, for `run-…`), queueing apart."""

    kind: EventKind
    run_id: int
    node_id: str = ""
    pod: str | None = None
    title: str = ""
    group: str = ""
    elapsed_s: float = 0.0
    text: str = ""
    """A line of output, or what is waited for."""
    reasons: tuple[Reason, ...] = ()
    error: RumpelError | None = None
    nodes: tuple[dict[str, Any], ...] = ()
    """For `run-planned` and `run-expanded`: id, kind, title, pod and verdict of the nodes."""

    def to_json(self) -> dict[str, Any]:
        found: dict[str, Any] = {"kind": str(self.kind), "run_id": self.run_id}
        if self.node_id:
            found |= {"node_id": self.node_id, "pod": self.pod, "title": self.title}
        if self.group:
            found["group"] = self.group
        found["elapsed_s"] = round(self.elapsed_s, 6)
        if self.text:
            found["text"] = self.text
        if self.reasons:
            found["reasons"] = [reason_json(reason) for reason in self.reasons]
        if self.error is not None:
            found["error"] = self.error.to_json()
        if self.nodes:
            found["nodes"] = list(self.nodes)
        return found


def reason_json(reason: Reason) -> dict[str, Any]:
    return {
        "kind": str(reason.kind),
        "subject": reason.subject,
        "before": reason.before,
        "after": reason.after,
    }
