"""devcontainer.json read, checked and resolved, as the daemon does it for each request."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from world import Figure, Rumpel

TYPICAL = """// For format details, see https://example.org/reference
{
\t"name": "Typical",
\t"build": {
\t\t"dockerfile": "Dockerfile",
\t\t"context": "..",
\t\t"args": { "VARIANT": "bookworm", "USER_NAME": "${localEnv:USER:dev}" }, // a default
\t},
\t"workspaceFolder": "/workspaces/${localWorkspaceFolderBasename}",
\t"features": { "./tools": { "version": "latest", "docs": false } },
\t"customizations": {
\t\t"vscode": {
\t\t\t"settings": {
\t\t\t\t"terminal.integrated.defaultProfile.linux": "zsh",
\t\t\t\t"files.watcherExclude": { "**/target/**": true, "**/node_modules/**": true },
\t\t\t\t"python.defaultInterpreterPath": "/usr/local/bin/python",
\t\t\t\t"[python]": { "editor.formatOnSave": true, "editor.tabSize": 4 }
\t\t\t},
\t\t\t"extensions": [ "one.python", "one.pylance", "two.toml", "three.docker", "four.yaml" ]
\t\t}
\t},
\t"containerEnv": { "HOST_HOME": "${localEnv:HOME}", "DATABASE_URL": "postgres://db:5432/x" },
\t"remoteEnv": { "PATH": "${containerEnv:PATH}:/home/dev/.local/bin", "EDITOR": null },
\t"mounts": [
\t\t"source=cache-${devcontainerId},target=/home/dev/.cache,type=volume",
\t\t{ "type": "volume", "source": "history", "target": "/commandhistory" }
\t],
\t"runArgs": [ "--cap-add=SYS_PTRACE", "--security-opt", "seccomp=unconfined", "--memory=4g" ],
\t"forwardPorts": [ 3000, 5432, "db:6379" ],
\t"portsAttributes": { "3000": { "label": "web", "onAutoForward": "notify" } },
\t/* once */
\t"postCreateCommand": "pip install --user -r requirements.txt && pre-commit install",
\t"postStartCommand": { "server": "nohup bash -c 'serve &'", "git": ["git", "fetch"] },
\t"remoteUser": "dev"
}
"""
COLLECTED = Path(__file__).resolve().parents[2] / "shared" / "devcontainers" / "corpus"
ENV = {"HOME": "/home/u", "USER": "u", "SHELL": "/bin/bash"}


def measure(rumpel: Rumpel, rounds: int) -> list[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder).resolve() / "demo"
        (root / ".devcontainer").mkdir(parents=True)
        (root / ".devcontainer" / "Dockerfile").write_text("FROM a\n")
        times = asyncio.run(_times(root, TYPICAL.encode(), rounds * 20))
        found = [
            Figure(
                f"devcontainer.json of {len(TYPICAL)} bytes, read and resolved",
                statistics.median(times),
                "ms",
                bar=10,
                note="bar in ms",
            )
        ]
        others = [file.read_bytes() for file in sorted(COLLECTED.glob("*.json"))]
        medians = [statistics.median(asyncio.run(_times(root, one, 5))) for one in others]
        if medians:
            what = f"the slowest of {len(medians)} collected ones, or why it is refused"
            found.append(Figure(what, max(medians), "ms", bar=10, note="bar in ms"))
    return found + _beside_the_reference(rumpel, rounds)


async def _times(root: Path, content: bytes, rounds: int) -> list[float]:
    """Each with the hop into a thread, as a request has it."""
    from rumpel.adapters import threads
    from rumpel.daemon import app  # what a daemon has loaded when a request comes
    from rumpel.devcontainer import config
    from rumpel.errors import ConfigError

    assert app
    (root / ".devcontainer" / "devcontainer.json").write_bytes(content)
    given = {"local_env": ENV, "pod": "a", "pod_id": "0" * 32, "repo_basename": "demo"}
    times = []
    for _ in range(rounds):
        begun = time.perf_counter()
        with contextlib.suppress(ConfigError):
            await threads.call(config.load, str(root), **given)
        times.append((time.perf_counter() - begun) * 1e3)
    return times[1:]


def _beside_the_reference(rumpel: Rumpel, rounds: int) -> list[Figure]:
    """Whole processes, where the reference is installed (npm install -g @devcontainers/cli)."""
    program = shutil.which("devcontainer")
    if program is None:
        return []
    repo = rumpel.repo("reading", TYPICAL.replace('"Dockerfile"', '"README"'))
    theirs = [program, "read-configuration", "--workspace-folder", str(repo)]
    mine, base = [], []
    for _ in range(rounds):
        begun = time.perf_counter()
        rumpel.run("config", "--check", cwd=repo, check=False)
        between = time.perf_counter()
        subprocess.run(theirs, check=True, capture_output=True, env=rumpel.env)
        mine.append((between - begun) * 1e3)
        base.append((time.perf_counter() - between) * 1e3)
    what = "config --check, whole process"
    against = "devcontainer read-configuration"
    ours, other = statistics.median(mine), statistics.median(base)
    return [Figure(what, ours, "ms", other, against, 1.0)]
