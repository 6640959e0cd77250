"""Which commit of each branch of a pod `review` showed last: what `merge` compares with."""

from __future__ import annotations

import time
from typing import Any

from rumpel.cache.store import Store
from rumpel.daemon.pods import Pod
from rumpel.engine import faults

KEY = "reviewed"
"""`reviewed/<pod id>` in the store: {"oid", "at"} of the pod's own branch, and of the others by
name in "branches"."""
MOST_BRANCHES = 50


def of(store: Store, pod: Pod, branch: str) -> dict[str, Any] | None:
    """{"oid", "at"} of what was shown last of the branch."""
    found = store.kv_get(f"{KEY}/{pod.pod_id}") or {}
    seen: dict[str, Any] | None = found.get("branches", {}).get(branch)
    if branch == pod.name:
        seen = found
    return seen if seen and "oid" in seen else None


async def remember(store: Store, pod: Pod, branch: str, oid: str) -> None:
    found = dict(store.kv_get(f"{KEY}/{pod.pod_id}") or {})
    seen = {"oid": oid, "at": time.time()}
    if branch == pod.name:
        found |= seen
    else:
        others = {name: item for name, item in found.get("branches", {}).items() if name != branch}
        found["branches"] = dict(list(others.items())[1 - MOST_BRANCHES :]) | {branch: seen}
    await store.kv_set(f"{KEY}/{pod.pod_id}", found)
    await faults.reach("review.remembered")
