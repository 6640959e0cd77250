"""What is written down of each task of a batch, so that the next daemon goes on with it.

The results themselves are the engine's records; here is only what those do not say: from which
commit a task starts, how often it was tried, which pod is its own.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING

from rumpel.cache.fingerprint import digest
from rumpel.errors import Conflict
from rumpel.graphs.batch import node_id
from rumpel.tasks import task_work

if TYPE_CHECKING:
    from rumpel.batch.items import Item
    from rumpel.cache.store import Store
    from rumpel.daemon.pods import Pod

TASK = "batch-task/"
"""`batch-task/<repo>/<batch>/<task>` in the store: what `Claim` has."""


@dataclass(slots=True, kw_only=True)
class Claim:
    base: str | None = None
    branch: str | None = None
    attempt: int = 1
    at: float = 0.0
    """Since when a pod of its name is its own; 0: it has none yet."""
    pod_id: str = ""
    is_left: bool = True
    """Nothing of it is to be done in its pod any more: that was stopped, or is to be kept."""
    pod: str = ""
    """The name of its pod, if that is not the task's own: it was moved."""
    left: list[list[str]] = field(default_factory=list)
    """(pod, host) that it had before, and that were lost."""
    work: list[str] = field(default_factory=list)
    """What its next pod is to have besides commits: (id of the pod that had it, snapshot)."""
    said: str = ""
    """Digest of what it was told to do."""
    wanted: str | None = None
    """Its base as the file names it: another one is another start."""
    start: str = ""
    """What its pod has of what it needs: a commit; empty: what the pod was made from."""
    spent: dict[str, float] = field(default_factory=dict)
    """By tries before this one: dollars, tokens and seconds, as far as they were told."""
    clock: str = ""
    clock_at: float = 0.0
    """Its work in this folder of the pod was begun then."""


def read(store: Store, repo_id: str, batch: str, task: str) -> Claim:
    found = store.kv_get(f"{TASK}{repo_id}/{batch}/{task}", {})
    return Claim(**{one.name: found[one.name] for one in fields(Claim) if one.name in found})


async def write(store: Store, repo_id: str, batch: str, task: str, claim: Claim) -> None:
    key = f"{TASK}{repo_id}/{batch}/{task}"
    if store.kv_get(key) != asdict(claim):
        await store.kv_set(key, asdict(claim))


def is_settled(store: Store, repo_id: str, item: Item, claim: Claim) -> bool:
    """Its work came to a bad end, and what it says is what it said then; and there was somebody
    to decide that it is not tried again.
    """
    if not claim.is_left:
        return False
    record = store.records.get(node_id(task_work.KIND, repo_id, item.name))
    if record is None or record.failure is None or record.failure.get("state") != "failed":
        return False
    error = record.failure.get("error") or {}
    return error.get("code") in task_work.ENDS and claim.said == work_digest(item)


def check_own(claim: Claim, pod: Pod) -> None:
    """Raises Conflict when the pod of its name is somebody else's."""
    is_announced = not claim.pod_id and 0.0 < claim.at <= pod.created_at
    if claim.pod_id != pod.pod_id and not is_announced:
        raise Conflict(
            f"there is a pod {pod.name} already, and it is not of this batch",
            hint=f"give the task another name, or: rumpel delete {pod.name}",
        )


def around_digest(item: Item) -> str:
    """Of what its verification sees besides the tree: variables, and files of this machine."""
    env = [f"{key}={value}" for key, value in sorted(item.env.items())]
    return digest([*env, *(f"{one.target}\0{one.digest}" for one in item.files)])


def work_digest(item: Item) -> str:
    """Of everything that makes it another piece of work."""
    limits: tuple[float | None, ...]
    limits = (item.limits.time_s, item.limits.turns, item.limits.dollars)
    limits += () if item.limits.tokens is None else (item.limits.tokens,)
    env = tuple(sorted(item.env.items()))
    files = [(one.target, one.digest, one.is_executable) for one in item.files]
    words = (item.prompt, item.command, item.agent, item.model or "")
    return digest([*words, repr(env), repr(limits), *map(repr, files)])
