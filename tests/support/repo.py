"""A real git repository in a folder of the test."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

Content = str | bytes | Mapping[str, Any]
"""Of a file; a mapping is written as JSON."""


class Repo:
    def __init__(self, root: Path, env: Mapping[str, str]) -> None:
        self.root = root
        self.env = dict(env)

    @classmethod
    def create(cls, root: Path, env: Mapping[str, str], *options: str) -> Repo:
        """`git init` with `options`, on branch main, without a commit."""
        root.mkdir(parents=True, exist_ok=True)
        repo = cls(root, env)
        repo.git("init", "-q", "-b", "main", *options)
        return repo

    def run_git(
        self, *args: str, cwd: Path | None = None, input: bytes | None = None
    ) -> subprocess.CompletedProcess[bytes]:
        """git in the repository (or `cwd`), as the test's user; never raises for its exit code."""
        return subprocess.run(
            ["git", *args],
            cwd=cwd or self.root,
            env=self.env,
            input=input,
            stdin=subprocess.DEVNULL if input is None else None,
            capture_output=True,
            timeout=60,
            check=False,
        )

    def git(self, *args: str, cwd: Path | None = None, input: bytes | None = None) -> str:
        """What git printed, without the final newline. Raises AssertionError when it fails."""
        done = self.run_git(*args, cwd=cwd, input=input)
        if done.returncode != 0:
            raise AssertionError(
                f"git {' '.join(args)} -> {done.returncode}\n{done.stderr.decode(errors='replace')}"
            )
        return done.stdout.decode(errors="surrogateescape").rstrip("\n")

    def write(self, files: Mapping[str, Content]) -> None:
        for name, content in files.items():
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, bytes):
                path.write_bytes(content)
            else:
                path.write_text(content if isinstance(content, str) else json.dumps(content))

    def commit(self, message: str = "change", files: Mapping[str, Content] | None = None) -> str:
        """Commit everything (`files` written first; an empty commit is fine); the new oid."""
        self.write(files or {})
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", message)
        return self.oid("HEAD")

    def oid(self, name: str) -> str:
        return self.git("rev-parse", "--verify", "-q", "--end-of-options", name)

    def refs(self, *prefixes: str) -> dict[str, str]:
        """Full ref name -> oid, of those below `prefixes` (all without one)."""
        lines = self.git("for-each-ref", "--format=%(refname) %(objectname)", *prefixes)
        return dict(line.split(" ", 1) for line in lines.splitlines())

    def published(self) -> dict[str, str]:
        """What pods published: the part behind refs/remotes/rumpelpod/ -> oid."""
        prefix = "refs/remotes/rumpelpod/"
        return {name.removeprefix(prefix): oid for name, oid in self.refs(prefix).items()}
