"""What a batch came to, step by step: for a report that is read elsewhere and later."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rumpel.daemon.times import iso_ms
from rumpel.graphs.batch import node_id
from rumpel.tasks import starting, task_leave, task_pod, task_verify, task_work

if TYPE_CHECKING:
    from rumpel.daemon.app import App

STEPS = tuple(one.KIND for one in (starting, task_pod, task_work, task_verify, task_leave))


def report(app: App, repo_id: str, row: dict[str, Any]) -> dict[str, Any]:
    """`row` with the steps of each task, and the sums."""
    tasks = [{**task, "steps": _steps(app, repo_id, str(task["name"]))} for task in row["tasks"]]
    costs = [task["cost_usd"] for task in tasks if task["cost_usd"] is not None]
    return {
        **row,
        "tasks": tasks,
        "totals": {
            "cost_usd": round(sum(costs), 6) if costs else None,
            "tokens_in": sum(task["tokens_in"] or 0 for task in tasks),
            "tokens_out": sum(task["tokens_out"] or 0 for task in tasks),
            "commits": sum(task["commits"] or 0 for task in tasks),
        },
    }


def _steps(app: App, repo_id: str, task: str) -> list[dict[str, Any]]:
    """Of the last time each ran."""
    found = []
    for kind in STEPS:
        record = app.store.records.get(node_id(kind, repo_id, task))
        if record is None:
            continue
        failure = record.failure or {}
        ended = float(failure.get("at") or record.updated_at)
        if record.output is None and not failure:
            continue
        waited = float((record.output or {}).get("waited_s") or 0.0) if not failure else 0.0
        took = max(0.0, record.elapsed_s - waited)
        found.append(
            {
                "kind": kind,
                "state": failure.get("state", "ok"),
                "started_at": iso_ms(ended - took),
                "duration_s": round(took, 3),
            }
        )
    return found
