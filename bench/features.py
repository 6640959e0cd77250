"""What features cost a pod once their layers are there, and the probe of its environment."""

from __future__ import annotations

import json
from pathlib import Path

from world import MINI, Figure, Rumpel, pairs

CONFIG = {"image": MINI, "runArgs": ["--network=none"]}
NAMES = ("one", "two")


def measure(rumpel: Rumpel, rounds: int) -> list[Figure]:
    """Two trivial ones, beside the same configuration without them."""
    plain, more = rumpel.repo("plain", json.dumps(CONFIG)), featured(rumpel)
    for repo in (plain, more):
        rumpel.run("create", "warm", cwd=repo)
    ours, base = pairs(
        lambda number: rumpel.run("create", f"f{number}", cwd=more),
        lambda number: rumpel.run("create", f"p{number}", cwd=plain),
        3 * rounds,
    )
    what = "create with two features, all cached"
    return [
        Figure(what, ours, "ms", base, "create without them", 1.05),
        probe(rumpel, plain, 3 * rounds),
    ]


def probe(rumpel: Rumpel, probed: Path, rounds: int) -> Figure:
    """A second `enter` is to find what the first one found: 0 ms of it."""
    config = json.dumps({**CONFIG, "userEnvProbe": "none"})
    without = rumpel.repo("without", config)
    rumpel.run("create", "warm", cwd=without)
    for repo in (probed, without):
        rumpel.run("enter", "warm", "--", "true", cwd=repo)
    ours, base = pairs(
        lambda _: rumpel.run("enter", "warm", "--", "true", cwd=probed),
        lambda _: rumpel.run("enter", "warm", "--", "true", cwd=without),
        rounds,
    )
    return Figure(
        "second enter, its environment probed", ours, "ms", base, "userEnvProbe none", 1.05
    )


def featured(rumpel: Rumpel) -> Path:
    repo = rumpel.repo("featured", json.dumps(CONFIG))
    (repo / ".devcontainer.json").unlink()
    config = {**CONFIG, "features": {f"./{name}": {} for name in NAMES}}
    files = {"devcontainer.json": json.dumps(config)}
    for name in NAMES:
        files[f"{name}/devcontainer-feature.json"] = json.dumps({"id": name, "version": "1.0.0"})
        files[f"{name}/install.sh"] = f"#!/bin/sh\ntouch /{name}\n"
    for path, content in files.items():
        place = repo / ".devcontainer" / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(content)
    rumpel.git(repo, "add", "-A")
    rumpel.git(repo, "commit", "-qm", "features")
    return repo
