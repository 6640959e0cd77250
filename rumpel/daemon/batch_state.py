"""Where each task of a batch is: told by the events of its steps, or by what they left."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rumpel.daemon.times import iso_ms
from rumpel.errors import Interrupted, RumpelError
from rumpel.graphs.batch import node_id
from rumpel.tasks import task_pod, task_verify, task_work

if TYPE_CHECKING:
    from rumpel.batch.items import Item
    from rumpel.cache.records import Record
    from rumpel.cache.store import Store
    from rumpel.daemon.batch_claims import Claim

WAITING, QUEUED, STARTING = "waiting", "queued", "starting"
WORKING, VERIFYING, DONE = "working", "verifying", "done"
FAILED, SKIPPED, CANCELLED, INTERRUPTED = "failed", "skipped", "cancelled", "interrupted"
OPEN = frozenset({WAITING, QUEUED, STARTING, WORKING, VERIFYING})
BATCH = "batch/"
"""`batch/<repo>/<batch>` in the store: when it was begun and with which tasks (`daemon.batch`)."""
MAX_SAID_CHARS, MOST_TEXT_CHARS = 200, 4000
SPENT = ("cost_usd", "tokens_in", "tokens_out", "duration_s")
"""What tries before the last one took is added to."""
BEGUN = {task_pod.KIND: QUEUED, task_work.KIND: WORKING, task_verify.KIND: VERIFYING}


@dataclass(slots=True, kw_only=True)
class State:
    """Of one task, as it is now."""

    item: Item
    claim: Claim
    state: str = WAITING
    host: str = ""
    began: float = 0.0
    ended: float = 0.0
    said: str = ""
    """The last line of what it is doing."""
    tokens_in: int = 0
    tokens_out: int = 0
    error: RumpelError | None = None
    failure: dict[str, Any] | None = None
    """The error of an earlier daemon."""
    work: dict[str, Any] = field(default_factory=dict)
    verify: str = ""
    """`passed`, `failed` or nothing."""

    @property
    def name(self) -> str:
        return self.item.name

    @property
    def pod(self) -> str:
        """The name of its pod."""
        return self.claim.pod or self.item.name

    def began_step(self, kind: str) -> None:
        self.state, self.said = BEGUN.get(kind, self.state), ""
        if kind == task_work.KIND:
            self.verify = ""  # that was of the work before
        if kind != task_pod.KIND:  # which waits for room, first
            self.began = self.began or time.time()

    def worked(self, output: Mapping[str, Any], at: float | None) -> None:
        """`at`: when, if it was done before."""
        self.work, self.error, self.failure = dict(output), None, None
        self.ended = at or self.ended

    def done(self, *, is_cached: bool) -> None:
        self.state, self.said = DONE, ""
        self.ended = self.ended if is_cached and self.ended else time.time()

    def failed(self, kind: str, error: RumpelError) -> None:
        if kind == task_verify.KIND:
            self.verify = "failed"
        if kind == task_work.KIND:
            said: Any = error.details.get("run", {})
            self.work = dict(said) if isinstance(said, dict) else {}
        self.error, self.ended = error, time.time()
        self.state = INTERRUPTED if isinstance(error, Interrupted) else FAILED

    def again(self) -> None:
        """One more try."""
        self.state, self.error, self.failure, self.verify = WAITING, None, None, ""
        self.work, self.ended = {}, 0.0

    def say(self, words: str) -> None:
        lines = [line for line in words.splitlines() if line.strip()]
        if lines:
            self.said = lines[-1].strip()[:MAX_SAID_CHARS]

    def unspend(self) -> None:
        self.tokens_in = self.tokens_out = 0

    def spend(self, said: Mapping[str, Any]) -> None:
        """Tokens, as the agent tells of them."""
        self.tokens_in += int(said.get("input") or 0)
        self.tokens_out += int(said.get("output") or 0)

    def _spent(self, name: str, now: float | None = None) -> float | None:
        """By all tries."""
        before, last = self.claim.spent.get(name), self.work.get(name, now)
        known = [one for one in (before, last) if one is not None]
        return round(sum(known), 6) if known else None

    def row(self) -> dict[str, Any]:
        item, work = self.item, self.work
        error = self.error.to_json() if self.error is not None else self.failure
        return {
            "name": item.name,
            "state": self.state,
            "agent": item.agent or None,
            "model": item.model,
            "host": self.host or None,
            "pod": self.claim.pod or item.name,
            "left": [{"pod": pod, "host": host} for pod, host in self.claim.left],
            "needs": list(item.needs),
            "base": self.claim.base,
            "attempt": self.claim.attempt,
            "commit": work.get("commit"),
            "commits": work.get("commits"),
            "dirty": work.get("dirty"),
            "verify": self.verify or None,
            "turns": work.get("turns"),
            "cost_usd": self._spent("cost_usd"),
            "tokens_in": self._spent("tokens_in", self.tokens_in),
            "tokens_out": self._spent("tokens_out", self.tokens_out),
            "started_at": iso_ms(self.began) if self.began else None,
            "ended_at": iso_ms(self.ended) if self.ended else None,
            "duration_s": self._spent("duration_s"),
            "text": _clipped(work.get("text")),
            "said": self.said or None,
            "error": error,
        }


def _clipped(said: str | None) -> str | None:
    """A thousand of them are one line to a client."""
    if said is None or len(said) <= MOST_TEXT_CHARS:
        return said
    return f"{said[:MOST_TEXT_CHARS]} …"


def judge(store: Store, repo_id: str, state: State) -> None:
    """What the engine's records say of a task that does not run. Their inputs are taken as right:
    whether they are still those of the file is for a plan.
    """
    records = store.records
    work = records.get(node_id(task_work.KIND, repo_id, state.name))
    verify = records.get(node_id(task_verify.KIND, repo_id, state.name))
    state.began = _began(records.get(node_id(task_pod.KIND, repo_id, state.name)))
    if work is None or state.claim.at == 0.0:
        state.state = WAITING if state.claim.at == 0.0 else INTERRUPTED
        return
    if work.output is not None and work.failure is None:
        state.work = dict(work.output)
        state.ended = work.updated_at
        state.state = DONE
    else:
        _failed(state, work)
        return
    if state.item.verify:
        if verify is None:
            state.state = INTERRUPTED
        elif verify.failure is not None:
            state.verify = "failed"
            _failed(state, verify)
        else:
            state.verify = "passed"
            state.ended = verify.updated_at


def _began(pod: Record | None) -> float:
    """When its pod was made or started, without waiting for room; 0: not known."""
    if pod is None or pod.output is None:
        return 0.0
    return pod.updated_at - pod.elapsed_s + float(pod.output.get("waited_s") or 0.0)


def _failed(state: State, record: Record) -> None:
    failure = record.failure or {}
    state.failure = failure.get("error")
    is_end = failure.get("state") == "failed"
    state.state = FAILED if is_end else INTERRUPTED
    if failure.get("state") == "cancelled":
        state.state = CANCELLED
