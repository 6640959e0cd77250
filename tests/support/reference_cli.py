"""The reference's own program, found or fetched once by npm, and one container of it."""

from __future__ import annotations

import contextlib
import fcntl
import functools
import hashlib
import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support import agents
from tests.support.engine import Engine
from tests.support.home import Home

PACKAGE, VERSION = "@devcontainers/cli", "0.89.0"
LABEL = "rumpel.test.reference"
CONTENT = "dev_container_feature_content_temp"
RUN_LIMIT_S = 300


@functools.cache
def program() -> str:
    """On PATH, or in a cache of its own; skips the test where neither can be."""
    if found := shutil.which("devcontainer"):
        return found
    home = pwd.getpwuid(os.getuid()).pw_dir  # a test has another HOME
    folder = Path(home, ".cache/rumpel-tests", f"devcontainers-cli-{VERSION}")
    installed = folder / "node_modules/.bin/devcontainer"
    if not installed.exists():
        agents.npm_cache(PACKAGE)
        # Another worker may do the same: what is whole is put in place in one step.
        own = folder.with_name(f"{folder.name}.{os.getpid()}")
        argv = ["npm", "install", "--no-audit", "--no-fund", "--prefix", str(own)]
        done = subprocess.run(
            [*argv, f"{PACKAGE}@{VERSION}"],
            capture_output=True,
            text=True,
            timeout=RUN_LIMIT_S,
            check=False,
        )
        if done.returncode != 0:
            pytest.skip(f"npm cannot install {PACKAGE}: {done.stderr.strip()[-200:]}")
        with contextlib.suppress(OSError):
            own.rename(folder)
        shutil.rmtree(own, ignore_errors=True)
    return str(installed)


def run(*argv: str, env: Mapping[str, str], check: bool = True) -> subprocess.CompletedProcess[str]:
    """`devcontainer ARGV`; Docker's context and the like are those of `env`."""
    done = subprocess.run(
        [program(), *argv],
        env=env,
        capture_output=True,
        text=True,
        timeout=RUN_LIMIT_S,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    if check and done.returncode:
        raise AssertionError(f"devcontainer {' '.join(argv)}\n{done.stdout}\n{done.stderr}")
    return done


@dataclass(frozen=True)
class Peer:
    """The reference's container for one repository."""

    root: Path
    env: Mapping[str, str]
    token: str

    def up(self, *, is_failure: bool = False) -> None:
        """Made or started, its hooks run. Raises AssertionError when that is not as expected."""
        more = ("--buildkit", "never", "--update-remote-user-uid-default", "never")
        done = self._run("up", *more, "--no-lockfile", check=not is_failure)
        assert (done.returncode != 0) == is_failure, done

    def enter(self, *argv: str) -> str:
        return self._run("exec", *argv).stdout

    def _run(self, verb: str, *more: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        at = ("--workspace-folder", str(self.root), "--id-label", f"{LABEL}={self.token}")
        return run(verb, *at, *more, env=self.env, check=check)

    @property
    def label(self) -> str:
        return f"{LABEL}={self.token}"


@contextlib.contextmanager
def peer(home: Home, root: Path, docker: Engine) -> Iterator[Peer]:
    """Afterwards its container and images are gone, and volumes without a name."""
    env = home.environment({"DOCKER_BUILDKIT": "0", "TMPDIR": str(home.path / "run")})
    digest = hashlib.sha256(str(root).encode()).hexdigest()
    made = Peer(root, env, home.path.name)
    # What holds its features while it builds has one name for all.
    with Path(home.path.parent, f"rumpel-reference-{os.getuid()}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            yield made
        finally:
            for row in docker.containers(made.label):
                docker.api.remove_container(row["Id"], force=True, v=True)
            for row in docker.api.images():
                for tag in row["RepoTags"] or ():
                    if tag.startswith((f"vsc-{root.name}-{digest}", CONTENT)):
                        docker.api.remove_image(tag, force=True)
