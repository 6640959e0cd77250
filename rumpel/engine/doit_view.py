"""A pod's graph for plain doit: `doit list --status`, `doit info NODE`.

This text is also the first part of the dodo.py that `rumpel graph --format doit` prints, so it is
standard library only, imports nothing of rumpel and works with any doit. Nothing is recorded and
nothing is run here: doit shows what the daemon says.
"""

from __future__ import annotations

import json
import socket

FRESH = ("fresh", "cached")


class Verdict:
    """doit's `uptodate` protocol over the daemon's answer; `repr` is what `doit info` shows."""

    def __init__(self, node: dict) -> None:  # type: ignore[type-arg] # plain JSON
        self.state = node.get("state") or node.get("verdict") or "unknown"
        self.reasons = [reason_text(reason) for reason in node.get("reasons", ())]

    def __call__(self) -> bool:
        return self.state in FRESH

    def __repr__(self) -> str:
        return "; ".join([self.state, *self.reasons])


def reason_text(reason: dict) -> str:  # type: ignore[type-arg] # also runs without typing
    """`input config.run_args: [] -> ["--init"]`"""
    text = f"{reason['kind']} {reason['subject']}".strip()
    before, after = reason.get("before"), reason.get("after")
    if before is None and after is None:
        return text
    if before is None:
        return f"{text}: {json.dumps(after)}"
    return f"{text}: {json.dumps(before)} -> {json.dumps(after)}"


def refuse(node_id: str) -> bool:
    """The action of every task: only the daemon can run a node."""
    raise RuntimeError(f"rumpel runs {node_id}: use `rumpel create`")


def dicts_of(nodes: list) -> list:  # type: ignore[type-arg] # also runs without typing
    """doit's tasks for the nodes in the JSON of `rumpel graph`.

    Not called `task_…`: in a dodo.py doit would take it for a maker of tasks.
    """
    known = {node["id"] for node in nodes}
    return [
        {
            "basename": node["id"],
            "actions": [(refuse, [node["id"]])],
            "doc": node.get("title") or node.get("kind"),
            "task_dep": [need for need in node.get("needs", ()) if need in known],
            "uptodate": [Verdict(node)],
            "meta": {
                key: node[key]
                for key in ("kind", "pod", "state", "fingerprint", "duration_s", "reasons")
                if node.get(key)
            },
        }
        for node in nodes
    ]


def ask(socket_path: str, request: dict) -> list:  # type: ignore[type-arg] # also runs without typing
    """The nodes, from the running daemon."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(socket_path)
        connection.sendall(json.dumps(request).encode() + b"\n")
        for line in connection.makefile("rb"):
            answer = json.loads(line)
            if "result" in answer:
                return list(answer["result"]["nodes"])
            if answer.get("error"):
                raise SystemExit(f"rumpel: {answer['error']['message']}")
    raise SystemExit("rumpel: the daemon did not answer; `rumpel daemon status` says more")
