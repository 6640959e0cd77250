"""`graph --history`: the runs that concern these nodes; and the path that decides how long."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from rumpel.cache import runs
from rumpel.cache.records import Attempt, RunRow
from rumpel.cache.store import Store
from rumpel.engine.durations import critical_path
from rumpel.engine.plan import Plan

SHOWN = 30
LOOKED_AT = 300


async def history(store: Store, node_ids: Collection[str]) -> list[dict[str, Any]]:
    """Newest first: those with one of the nodes in them. What only looked is left out."""
    wanted = set(node_ids)
    found = []
    for row in await store.query(runs.recent_runs, limit=LOOKED_AT):
        if wanted & row.nodes.keys() and not set(row.nodes.values()) <= {"cached"}:
            found.append(run_json(row, await store.query(runs.attempts_of_run, row.id)))
            if len(found) == SHOWN:
                break
    return found


def run_json(row: RunRow, attempts: Collection[Attempt]) -> dict[str, Any]:
    """`trigger` is the first reason of the first node that ran."""
    first = next((entry for entry in attempts if entry.reasons), None)
    return {
        "run": row.id,
        "verb": row.verb,
        "state": row.state,
        "started_at": row.started_at,
        "duration_s": None if row.ended_at is None else round(row.ended_at - row.started_at, 3),
        "nodes": len(row.nodes),
        "ran": len({entry.node_id for entry in attempts}),
        "failed": sorted(node for node, state in row.nodes.items() if state == "failed"),
        "trigger": None
        if first is None
        else {"node": first.node_id, "kind": first.kind, "reason": dict(first.reasons[0])},
    }


def slowest(plan: Plan, took_s: Mapping[str, float]) -> dict[str, Any]:
    """The chain of nodes that decides how long all of it takes, by what the last runs took."""
    needs = {node_id: plan.graph.nodes[node_id].deps for node_id in plan.nodes}
    path, total = critical_path(needs, took_s)
    return {
        "nodes": list(path),
        "total_s": round(total, 3),
        "sum_s": round(sum(took_s.get(node_id, 0.0) for node_id in needs), 3),
    }
