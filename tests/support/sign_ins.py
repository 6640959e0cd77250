"""A sign-in of a user's in a folder, and its renewal against a server on loopback."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from rumpel.adapters import credentials
from rumpel.agents.claude_stored import CLAUDE_STORED
from rumpel.agents.codex_stored import CODEX_STORED
from rumpel.daemon.lent_file import Known, renewal
from rumpel.daemon.sign_in import Source
from tests.support import fake_sign_in
from tests.support.fake_sign_in import Server

BOTH = {"claude": CLAUDE_STORED, "codex": CODEX_STORED}


def made(agent: str, folder: Path, server: Server) -> Source:
    writer = fake_sign_in.claude_file if agent == "claude" else fake_sign_in.codex_file
    path = writer(folder, server)
    return Source(agent=agent, path=str(path), url=f"{server.url}/v1/oauth/token")


def value(source: Source) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path(source.path).read_text())
    return found


def renewed(source: Source, early_s: float = 4000.0) -> bool:
    return credentials.renew(renewal(source, Known(early_s=early_s)))


def answers(source: Source, change: Any) -> credentials.Renewal:
    """Its renewal, with something done between the answer and the file."""
    how = renewal(source, Known(early_s=4000.0))

    def done(raw: bytes, answer: Any, now: float) -> bytes | None:
        change()
        return how.renewed(raw, answer, now)

    return dataclasses.replace(how, renewed=done)
