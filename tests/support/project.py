"""A repository with rumpel in it: what most end-to-end tests need."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pexpect

from rumpel import names
from tests.support.engine import MINI_IMAGE, Engine, Executed
from tests.support.home import RUN_LIMIT_S, Home, program
from tests.support.outcome import Outcome
from tests.support.repo import Content, Repo

DEFAULT_CONFIG: Mapping[str, Any] = {"image": MINI_IMAGE, "runArgs": ["--network=none"]}
"""Without a network a container starts in half the time, and nothing of ours may need one."""
CONFIG_NAMES = (".devcontainer/devcontainer.json", ".devcontainer.json")
WAIT_LIMIT_S = 45.0
"""Only a failure waits so long: a busy or slow machine is none."""


class Project:
    """`repo` and a private daemon; `docker` looks at the engine without rumpel."""

    def __init__(self, home: Home, docker: Engine, repo: Repo) -> None:
        self.home = home
        self.docker = docker
        self.repo = repo

    @property
    def root(self) -> Path:
        return self.repo.root

    def run(
        self,
        *args: str,
        cwd: Path | None = None,
        env: Mapping[str, str | None] | None = None,
        input: str | bytes | None = None,
        timeout: float = RUN_LIMIT_S,
    ) -> Outcome:
        """`rumpel ARGS` in the repository, to its end; stdin is empty unless `input` is given."""
        return self.home.run(*args, cwd=cwd or self.root, env=env, input=input, timeout=timeout)

    def start(
        self,
        *args: str,
        cwd: Path | None = None,
        env: Mapping[str, str | None] | None = None,
        stdin: int = subprocess.DEVNULL,
    ) -> subprocess.Popen[bytes]:
        """`rumpel ARGS` in the background; ended with the test."""
        argv = [*program(), *args]
        return self.home.start(argv, cwd=cwd or self.root, env=env, stdin=stdin)

    def spawn(
        self,
        *args: str,
        cwd: Path | None = None,
        env: Mapping[str, str | None] | None = None,
        size: tuple[int, int] = (24, 80),
        timeout: float = 30.0,
    ) -> Any:
        """`rumpel ARGS` on a terminal of `size` (rows, columns), as a pexpect child."""
        command, *rest = [*program(), *args]
        environment = self.home.environment({"TERM": "xterm-256color", **(env or {})})
        child = pexpect.spawn(
            command,
            rest,
            cwd=str(cwd or self.root),
            env=environment,
            dimensions=size,
            timeout=timeout,
            encoding=None,
        )
        self.home.terminals.append(child)
        return child

    def git(self, *args: str) -> str:
        return self.repo.git(*args)

    def write(self, files: Mapping[str, Content]) -> None:
        self.repo.write(files)

    def commit(self, message: str = "change", files: Mapping[str, Content] | None = None) -> str:
        return self.repo.commit(message, files)

    def containers(self, pod: str | None = None) -> list[dict[str, Any]]:
        """Containers of pods (of `pod`) of this test's daemon, as the engine lists them."""
        label = self.home.label
        if label is None:
            return []
        labels = [label, f"{names.LABEL_KIND}=pod"]
        return self.docker.containers(*labels, *([f"{names.LABEL_POD}={pod}"] if pod else []))

    def container_id(self, pod: str) -> str:
        """Of the one container of `pod`. Raises AssertionError when there is none, or two.

        One that was replaced does not count: it is removed in the background.
        """
        found = [row for row in self.containers(pod) if not row["Names"][0].endswith(names.ASIDE)]
        if len(found) != 1:
            raise AssertionError(f"expected one container of pod {pod!r}, found {found}")
        return str(found[0]["Id"])

    def inside(self, pod: str, script: str) -> str:
        """What a shell in the pod prints; the pod is made, or started, when it has to be."""
        return self.run("enter", pod, "--", "sh", "-ec", script).assert_ok().stdout.strip()

    def exec(self, pod: str, *argv: str, **options: Any) -> Executed:
        """A command in the pod, past rumpel (see Engine.exec)."""
        return self.docker.exec(self.container_id(pod), *argv, **options)

    @contextlib.contextmanager
    def network(self) -> Iterator[str]:
        """Afterwards it is gone, and what was stopped meanwhile can start no more."""
        name = f"{self.home.path.name.lower()}-net"
        self.docker.api.create_network(name)
        try:
            yield name
        finally:
            # After a failure somebody may still be in it, and the failure is what is to be told.
            for container in self.docker.api.inspect_network(name)["Containers"]:
                self.docker.api.disconnect_container_from_network(container, name, force=True)
            self.docker.api.remove_network(name)

    def wait_until(
        self, is_so: Callable[[], bool], what: str, *, timeout_s: float = WAIT_LIMIT_S
    ) -> float:
        """Poll until `is_so()`; the seconds it took. Raises AssertionError, with the log."""
        begun = time.monotonic()
        while not is_so():
            if time.monotonic() - begun > timeout_s:
                raise AssertionError(f"not within {timeout_s} s: {what}\n{self.home.log_tail()}")
            time.sleep(0.01)
        return time.monotonic() - begun

    def wait_for_ref(self, name: str, oid: str, *, timeout_s: float = WAIT_LIMIT_S) -> float:
        """Wait until refs/remotes/rumpelpod/`name` is `oid`; the seconds it took."""
        return self.wait_until(
            lambda: self.repo.published().get(name) == oid,
            f"rumpelpod/{name} at {oid}, there is {self.repo.published()}",
            timeout_s=timeout_s,
        )


class ProjectFactory:
    """The `rumpel_project` fixture. Projects of one test share its home, so also the daemon."""

    def __init__(self, home: Home, docker: Engine) -> None:
        self.home = home
        self.docker = docker

    def __call__(
        self,
        files: Mapping[str, Content] | None = None,
        *,
        config: Mapping[str, Any] | None = DEFAULT_CONFIG,
        name: str = "repo",
        git_options: tuple[str, ...] = (),
    ) -> Project:
        """A repository `name` with one commit of `files`.

        `config` becomes its devcontainer.json unless `files` has one; None for none at all.
        """
        files = {"README.md": "# A project\n", **(files or {})}
        if config is not None and not any(path in files for path in CONFIG_NAMES):
            files[CONFIG_NAMES[0]] = dict(config)
        repo = Repo.create(self.home.path / name, self.home.env, *git_options)
        repo.commit("first", files)
        return Project(self.home, self.docker, repo)
