"""One user's world for one test: home, XDG folders, git identity, and at most one daemon."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rumpel import names
from tests.support import processes
from tests.support.engine import Engine, describe, unavailable
from tests.support.outcome import Outcome

GITCONFIG = """\
[user]
	name = Test User
	email = test@example.com
[init]
	defaultBranch = main
[protocol]
	allow = never
[protocol "file"]
	allow = always
[protocol "ssh"]
	allow = always
"""
PARENT = Path("/tmp")
"""Not tempfile's choice: a socket's path may have 104 bytes, macOS's own TMPDIR has 50."""
DROPPED_PREFIXES = ("GIT_", "RUMPEL_", "XDG_", "PYTEST_", "PYTHON")
RUN_ID = os.environ.get("PYTEST_XDIST_TESTRUNUID") or uuid.uuid4().hex
"""Of this pytest run, the same in all its workers."""
RUN_LABEL = f"test.run={RUN_ID}"
"""Of all that daemons of this run make."""
STOP_LIMIT_S = 15.0
SETTLE_LIMIT_S = 5.0
RUN_LIMIT_S = 60.0


def program() -> list[str]:
    """How a user would start rumpel: the console script beside this interpreter."""
    script = Path(sys.executable).with_name("rumpel")
    return [str(script)] if script.exists() else [sys.executable, "-P", "-m", "rumpel"]


class Home:
    """`close` it: that ends what was started and removes the folder and all Docker objects."""

    def __init__(self) -> None:
        self.older = processes.running()
        # Not tempfile's name, which may have an underscore where one of an image has none.
        self.path = PARENT / f"{prefix(RUN_ID)}{secrets.token_hex(4)}"
        self.path.mkdir()
        self.path.chmod(0o711)  # what a test mounts is reached by an engine of another user
        for name in ("home", "run", "state", "cache", "config"):
            (self.path / name).mkdir(mode=0o700)
        (self.path / "home/.gitconfig").write_text(GITCONFIG)
        self.env = self._environment(os.environ)
        self.started: list[subprocess.Popen[bytes]] = []
        self.terminals: list[Any] = []
        """pexpect children."""

    def _environment(self, outer: Mapping[str, str]) -> dict[str, str]:
        env = {k: v for k, v in outer.items() if not k.startswith(DROPPED_PREFIXES)}
        env |= {f"XDG_{n.upper()}_HOME": str(self.path / n) for n in ("state", "cache", "config")}
        return env | {
            "HOME": str(self.path / "home"),
            "XDG_RUNTIME_DIR": str(self.path / "run"),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{outer.get('PATH', os.defpath)}",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_ALLOW_PROTOCOL": "file:ssh",
            "LC_ALL": "C.UTF-8",
            "TERM": "dumb",
            "RUMPEL_LABELS": RUN_LABEL,
        }

    @property
    def state(self) -> Path:
        return self.path / "state/rumpel"

    @property
    def socket(self) -> Path:
        return self.path / "run/rumpel/daemon.sock"

    @property
    def log(self) -> str:
        """The daemon's log so far."""
        path = self.state / "log/daemon.log"
        return path.read_text(errors="replace") if path.exists() else ""

    @property
    def label(self) -> str | None:
        """The label of everything this home's daemon made, None when it never ran."""
        return label_of(self.path)

    def environment(self, changes: Mapping[str, str | None] | None) -> dict[str, str]:
        """`env` with `changes`; None removes a variable."""
        merged = {**self.env, **(changes or {})}
        return {name: value for name, value in merged.items() if value is not None}

    def run(
        self,
        *args: str,
        cwd: Path,
        env: Mapping[str, str | None] | None = None,
        input: str | bytes | None = None,
        timeout: float = RUN_LIMIT_S,
    ) -> Outcome:
        """Run `rumpel ARGS` to its end. Raises AssertionError, with its output, on a timeout."""
        argv = [*program(), *args]
        data = input.encode() if isinstance(input, str) else input
        begun = time.monotonic()
        process = self.start(
            argv, cwd=cwd, env=env, stdin=subprocess.DEVNULL if data is None else subprocess.PIPE
        )
        try:
            out, err = process.communicate(data, timeout=timeout)
        except subprocess.TimeoutExpired:
            end_group(process)
            out, err = process.communicate()
            outcome = Outcome(argv, -1, out, err, time.monotonic() - begun)
            raise AssertionError(
                f"no end after {timeout} s\n{outcome}\n{self.log_tail()}"
            ) from None
        return Outcome(argv, process.returncode, out, err, time.monotonic() - begun)

    def start(
        self,
        argv: Sequence[str],
        *,
        cwd: Path,
        env: Mapping[str, str | None] | None = None,
        stdin: int = subprocess.DEVNULL,
    ) -> subprocess.Popen[bytes]:
        """A process of the test, in a group of its own, ended with the test at the latest."""
        process = subprocess.Popen(
            argv,
            cwd=cwd,
            env=self.environment(env),
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        self.started.append(process)
        return process

    def log_tail(self, lines: int = 60) -> str:
        return "--- daemon log\n" + "\n".join(self.log.splitlines()[-lines:])

    def daemon_pids(self) -> list[int]:
        found = processes.mentioning(self.path, older=self.older)
        return [process.pid for process in found if "rumpel.daemon" in process.command]

    def kill_daemon(self) -> None:
        """As the kernel's out-of-memory killer would."""
        killed = set(self.daemon_pids())
        for pid in killed:
            os.kill(pid, signal.SIGKILL)
        while killed & (there := set(self.daemon_pids())):
            time.sleep(0.005)
        # A dying process loses its memory, so its command, before its sockets are closed. Where
        # there is another daemon by now, as a client that lost this one may start it, that listens.
        while not there and processes.listens(self.socket):
            time.sleep(0.005)
            there = set(self.daemon_pids())

    def living_pods(self) -> set[str] | None:
        """Names of the pods the daemon knows, of all repositories; None when it cannot say."""
        listed = self.run("list", "--all", "--json", cwd=self.path, timeout=STOP_LIMIT_S)
        return {pod["name"] for pod in listed.data} if listed.code == 0 else None

    def orphans(self, engine: Engine, living: set[str], *, settle_s: float = SETTLE_LIMIT_S) -> str:
        """Objects that should have gone with their pod, as text; empty when all is well.

        `living` pods are the test's to leave: `close` removes them. Everything else must be gone
        within `settle_s`, and the gateway with the last pod. Volumes that belong to no pod (the
        seed of a repository) may stay, as a cache.
        """
        label = self.label
        if label is None:
            return ""
        deadline = time.monotonic() + settle_s
        while True:
            containers = [c for c in engine.containers(label) if is_orphan(c["Labels"], living)]
            volumes = [
                v
                for v in engine.volumes(label)
                if names.LABEL_POD in v["Labels"] and is_orphan(v["Labels"], living)
            ]
            if not containers and not volumes:
                return ""
            if time.monotonic() > deadline:
                return f"left by deleted pods:\n{describe(containers, volumes)}"
            time.sleep(0.1)

    def stop_daemon(self) -> str:
        """End the daemon as a user would; what went wrong, as text."""
        if not self.daemon_pids():
            return ""
        try:
            done = self.run("daemon", "stop", "--force", cwd=self.path, timeout=STOP_LIMIT_S)
        except AssertionError as err:
            return f"`rumpel daemon stop --force` hangs: {err}"
        return "" if done.code == 0 else f"`rumpel daemon stop --force` failed\n{done}"

    def close(self, engine: Engine | None, *, settle_s: float = SETTLE_LIMIT_S) -> list[str]:
        """End and remove everything; what the test should not have left, as texts."""
        problems: list[str] = []
        for process in self.started:
            end_group(process)
        for terminal in self.terminals:
            terminal.close(force=True)
        if engine is not None and self.daemon_pids():
            with collected(problems):
                living = self.living_pods()
                problems.append("" if living is None else self.orphans(engine, living))
        problems.append(self.stop_daemon())
        left = processes.wait_until_gone(self.path, self.older, settle_s)
        processes.kill(left)
        problems += [f"process {p.pid} still runs: {p.command}" for p in left]
        if engine is not None and (label := self.label) is not None:
            left_over = engine.remove_labelled(label, keeps_shared=True)
            problems += [f"could not remove {text}" for text in left_over]
        if engine is not None:
            problems += [f"of another state folder: {text}" for text in self._strangers(engine)]
        shutil.rmtree(self.path, ignore_errors=True)
        return [text for text in problems if text]

    def _strangers(self, engine: Engine) -> list[str]:
        """Containers of repositories of this home that another daemon's state has made."""
        found = [
            one
            for one in engine.containers(RUN_LABEL)
            if str(one["Labels"].get(names.LABEL_REPO_PATH, "")).startswith(f"{self.path}/")
        ]
        return describe(found, ()).splitlines()


def prefix(run_id: str) -> str:
    return f"rp-{run_id[:6]}-"


def label_of(path: Path) -> str | None:
    home_id = path / "state/rumpel/home-id"
    return f"{names.LABEL_HOME}={home_id.read_text().strip()}" if home_id.exists() else None


def sweep(run_id: str) -> list[str]:
    """Remove the homes that tests of a run left because they were killed themselves."""
    swept = []
    for path in PARENT.glob(f"{prefix(run_id)}*"):
        processes.kill(processes.mentioning(path))
        label = label_of(path)
        if label is not None and unavailable() is None:
            engine = Engine.connect()
            engine.remove_labelled(label)
            engine.close()
        shutil.rmtree(path, ignore_errors=True)
        swept.append(path.name)
    return swept


def is_orphan(labels: Mapping[str, str], living: set[str]) -> bool:
    if labels.get(names.LABEL_KIND) == "gateway":
        return not living
    return labels.get(names.LABEL_POD) not in living


@contextlib.contextmanager
def collected(problems: list[str]) -> Iterator[None]:
    """An assertion that fails while cleaning up must not stop the cleaning."""
    try:
        yield
    except AssertionError as err:
        problems.append(str(err))


def end_group(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL the process group of a test's process, reap it and close its pipes."""
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            with contextlib.suppress(BrokenPipeError):
                pipe.close()
