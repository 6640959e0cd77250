"""What is known of an agent. Values and pure functions only."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from rumpel.agents.headless import Headless
from rumpel.agents.stored import Stored
from rumpel.names import AGENT_HOME_PATH, AGENTS_PATH

STATUS_FILE = ".status.sh"
STATUS = f"/bin/sh {AGENT_HOME_PATH}/{STATUS_FILE}"
"""Run with AGENT STATE by an agent's hooks (resources/pod_status.sh)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Platform:
    """What a program is built for."""

    arch: str
    """`x64` or `arm64`."""
    is_musl: bool = False

    @property
    def key(self) -> str:
        return f"{self.arch}-musl" if self.is_musl else self.arch


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """What runs the program of an agent that is none by itself; one for all of them."""

    name: str
    version: str
    package: Callable[[Platform], str]
    """The npm package. Raises ConfigError where there is none for the platform."""
    program: str
    """Relative to the package's folder."""

    def path(self, platform: Platform) -> str:
        return posixpath.join(AGENTS_PATH, self.folder(platform), self.program)

    def folder(self, platform: Platform) -> str:
        return f"{self.name}/{self.version}-{platform.key}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Seat:
    """Where an agent sits in a pod, and what it may do."""

    pod: str
    branch: str
    workspace: str
    user: str
    secrets: Mapping[str, str] = field(repr=False)
    """Variables that sign it in: for the process that is started, and for nothing else."""
    given: Mapping[str, str] = field(default_factory=dict)
    """What the caller set of those that are `passed`."""
    found: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    """Of the files that it `reads`, those that lie in its home."""
    is_lent: bool = False
    """It lives on a sign-in of the user's that is lent to it as a file."""
    asks: bool = False
    """It asks before it does things; else it does them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    name: str
    """Of the command, of its session and of its folders."""
    title: str
    package: Callable[[Platform], str]
    """The npm package that holds the program for a platform."""
    program: Callable[[Platform], str]
    """The program, relative to the package's folder."""
    home_variable: str
    """The variable that moves everything the agent writes."""
    signs_in: tuple[str, ...]
    """Variables that sign it in, the one that wins first."""
    passed: tuple[str, ...]
    """Other variables of the caller that it obeys: addresses and models, no secrets."""
    env: Mapping[str, str]
    to_sign_in: str
    """What to do when nothing signs it in."""
    files: Callable[[Seat, Mapping[str, bytes]], dict[str, bytes]]
    """What has to lie in its home before it starts, from what lies there (file -> content)."""
    reads: tuple[str, ...]
    """The files of its home that `files` wants to see."""
    argv: Callable[[Seat, str], list[str]]
    """Behind the program, with what the agent is told about the pod; the caller's come after."""
    headless: Headless | None = None
    """None: it knows no work without a terminal."""
    stored: Stored | None = None
    """Where the user's own sign-in lies; None: it is not known."""
    key_variable: str | None = None
    """What it finds its key in, when that is none of the variables in `signs_in`."""
    release: Callable[[str, Platform], str] = lambda version, platform: version
    """The version of the package that is a version of the program for a platform."""
    told_files: Callable[[str], dict[str, bytes]] = lambda told: {}
    """What tells it about the pod where no argument can; empty: nothing."""
    runtime: Runtime | None = None
    """What its program is given to; None: that runs by itself."""
    enter_after_s: float = 0.0
    """An Enter that comes sooner after a text that was pasted is taken for a part of it; counted
    from when the text is on the screen."""

    @property
    def home(self) -> str:
        return posixpath.join(AGENT_HOME_PATH, self.name)

    def path(self, version: str, platform: Platform) -> str:
        """The program in a pod."""
        return posixpath.join(AGENTS_PATH, self.folder(version, platform), self.program(platform))

    def command(self, version: str, platform: Platform) -> list[str]:
        """What starts it in a pod."""
        program = self.path(version, platform)
        return [program] if self.runtime is None else [self.runtime.path(platform), program]

    def folder(self, version: str, platform: Platform) -> str:
        return f"{self.name}/{version}-{platform.key}"
