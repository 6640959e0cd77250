"""Agents across a renewal of the sign-in they live on: how many are signed out, how often it is."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from world import DEV, Figure, Rumpel

sys.path.append(str(Path(__file__).resolve().parents[1]))  # behind the installed package

from tests.support import fake_sign_in
from tests.support.fake_sign_in import Server

VERSION = "2.1.332"
CONFIG = '{"image": "%s", "remoteUser": "dev", "runArgs": ["--network=host"]}'
KEPT = "/rumpel/home/claude/.credentials.json"
LONG_S, SHORT_S, LIMIT_S = 3600.0, 60.0, 60.0


def measure(rumpel: Rumpel, pods: int) -> list[Figure]:
    """The real Claude Code in each pod, against a model and a sign-in server on loopback."""
    with fake_sign_in.server(lasts_s=LONG_S) as server:
        before = dict(rumpel.env)
        rumpel.env |= {
            "ANTHROPIC_BASE_URL": server.url,
            "CLAUDE_CODE_CUSTOM_OAUTH_URL": server.url,
            "RUMPEL_LEND_SIGN_IN": "true",
            "RUMPEL_AGENT_VERSIONS": f"claude={VERSION}",
            "npm_config_cache": os.environ.get("NPM_CONFIG_CACHE") or str(Path.home() / ".npm"),
        }
        try:
            return _measured(rumpel, server, pods)
        finally:
            rumpel.env = before


def _measured(rumpel: Rumpel, server: Server, pods: int) -> list[Figure]:
    repo = rumpel.repo("signed-in", CONFIG % DEV)
    names = [f"agent-{number}" for number in range(pods)]
    file = fake_sign_in.claude_file(rumpel.folder / ".claude", server)
    rumpel.run("create", *names, "--trust", cwd=repo)
    for name in names:
        rumpel.run("claude", "-d", name, "--", "first", cwd=repo)
    rumpel.run("wait", *names, "--timeout", "120", cwd=repo)
    handed_s = _renewed(rumpel, server, file, names, repo)
    for name in names:
        rumpel.run("send", name, "again", cwd=repo)
    rumpel.run("wait", *names, "--timeout", "120", cwd=repo)
    shown = [rumpel.run("capture", name, cwd=repo) for name in names]
    rumpel.run("delete", "--force", *names, cwd=repo)
    out = sum(text.count("PONG") != 2 for text in shown)
    what, note = f"of {pods} agents, across a renewal", "bar: none"
    return [
        Figure(f"signed out {what}", out, "", bar=0, note=note),
        Figure(f"requests refused {what}", len(server.refused), "", bar=0, note=note),
        Figure("refresh called", len(server.renewals) + server.reused, "", bar=1, note="bar: once"),
        Figure(f"new token in {pods} pods", handed_s, "s", note="looked at in turn"),
    ]


def _renewed(rumpel: Rumpel, server: Server, file: Path, names: list[str], repo: Path) -> float:
    """The user signed in with what is soon over; then all that was before is over."""
    server.lasts_s = SHORT_S
    fake_sign_in.claude_file(file.parent, server)
    begun, server.lasts_s = time.monotonic(), LONG_S
    while not server.renewals and time.monotonic() - begun < LIMIT_S:
        time.sleep(0.05)
    token = max(server.ends, key=lambda one: server.ends[one])
    for name in names:
        while token not in rumpel.run("enter", name, "--", "cat", KEPT, cwd=repo):
            if time.monotonic() - begun > LIMIT_S:
                break
    handed_s = time.monotonic() - begun
    server.ends = {token: server.ends[token]}
    return handed_s
