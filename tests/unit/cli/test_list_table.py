"""The table of `list`: the column HOST is there only where hosts differ (spec 49)."""

from __future__ import annotations

from typing import Any

from rumpel.cli import list as list_verb


def pod(name: str, host: str) -> dict[str, Any]:
    return {"name": name, "host": host, "status": "running", "created_at": "", "git": None}


def test_a_column_for_hosts_that_differ() -> None:
    same, _ = list_verb.cells([pod("a", "local"), pod("b", "local")], 0.0, with_repo=False)
    assert "HOST" not in same
    remote = "ssh://box"
    headers, rows = list_verb.cells([pod("a", "local"), pod("b", remote)], 0.0, with_repo=False)
    assert [row[headers.index("HOST")] for row in rows] == ["local", remote]
