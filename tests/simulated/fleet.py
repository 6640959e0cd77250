"""Hosts, pods and programs that are not there: what a batch meets, in no time.

Real are the batch, its pool, its graph, the engine, the store and SQLite, and the graphs of create
and stop; simulated are the clock (`tests.engine.sim.Loop`), git, and what steps do on a host. A
host outlives the daemon, as its containers do: programs go on when a daemon is killed.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

CONTAINER_S = (0.73, 0.80, 0.83, 0.86, 0.92, 0.97, 1.04, 1.18)
CLONE_S = (0.04, 0.05, 0.05, 0.06, 0.07, 0.08, 0.10, 0.13)
STOP_S = (0.42, 0.49, 0.57, 0.61, 0.69, 0.75, 0.87, 1.00)
"""By ninths, of 80 tasks of which 8 ran at once, on two cores that had other work (load 12), on
2026-11-27: bench/batch_steps.py.
"""
BUILD_S, MOVE_S = 45.0, 9.0
"""Of the image, on the first host, and onto each other one."""
VERIFY_S = (2.0, 30.0)
AGENT_MEDIAN_S, AGENT_SPREAD = 300.0, 0.9
"""An agent's turn: log-normal, so that one in twenty takes more than 20 minutes."""


@dataclass
class Program:
    """What a task has begun in its container."""

    task: str
    host: str
    container: str
    ends: float
    code: int
    is_cut: bool = False


@dataclass
class Far:
    """A host, and how it is doing."""

    name: str
    slots: int
    is_reachable: bool = True
    running: set[str] = field(default_factory=set)
    """Containers."""
    images: int = 0
    free_disk: int = 100 << 30


class Fleet:
    """What outlives a daemon; and what was seen to be wrong."""

    def __init__(self, rng: random.Random, hosts: int, slots: int) -> None:
        self.rng = rng
        self.hosts = {name: Far(name, slots) for name in (f"ssh://h{n:02d}" for n in range(hosts))}
        self.containers: dict[str, str] = {}
        """Container -> task."""
        self.container_of: dict[str, str] = {}
        self.move: str | bool = False
        """`move` of each host."""
        self.programs: dict[tuple[str, str], Program] = {}
        """(container, folder) -> what was begun there."""
        self.inside: dict[str, list[Program]] = {}
        self.begun: Counter[str] = Counter()
        """Task -> how often it was told what to do."""
        self.fails: dict[str, int] = {}
        """Task -> how many of its tries fail."""
        self.began_at: dict[str, float] = {}
        self.placed: list[tuple[str, str]] = []
        """(task, host), in order."""
        self.spread: list[int] = []
        """At each start: pods on the fullest host less those on the emptiest that is there."""
        self.at_work: Counter[str] = Counter()
        """Agent -> programs that run now."""
        self.most: Counter[str] = Counter()
        self.busy_s: dict[str, float] = {}
        self.wrong: list[str] = []
        self.now: Callable[[], float] = lambda: 0.0
        self.agent_of: Callable[[str], str] = lambda task: ""

    # Times

    def quick(self, octiles: tuple[float, ...]) -> float:
        """Between the first and the last of them."""
        at = self.rng.random() * (len(octiles) - 1)
        low = int(at)
        return octiles[low] + (at - low) * (octiles[min(low + 1, len(octiles) - 1)] - octiles[low])

    def turn_s(self) -> float:
        return math.exp(self.rng.gauss(math.log(AGENT_MEDIAN_S), AGENT_SPREAD))

    def image_s(self, host: str) -> float:
        first = not any(far.images for far in self.hosts.values())
        self.hosts[host].images += 1
        return BUILD_S if first else MOVE_S

    # What happens on a host

    def started(self, host: str, task: str, container: str) -> None:
        far = self.hosts[host]
        if self.container_of.setdefault(task, container) != container and not self.move:
            self.wrong.append(f"{task} has two containers: {self.container_of[task]}, {container}")
        if container not in self.containers:
            self.placed.append((task, host))
        self.containers[container] = task
        far.running.add(container)
        if len(far.running) > far.slots:
            self.wrong.append(f"{len(far.running)} pods run on {host}, which has {far.slots}")

    def given(self, load: Mapping[str, int]) -> None:
        """Room was given to one more."""
        loads = [load[name] for name, far in self.hosts.items() if far.is_reachable]
        self.spread.append(max(loads) - min(loads))

    def stopped(self, host: str, container: str) -> None:
        self.hosts[host].running.discard(container)
        for program in self.inside.get(container, ()):
            program.is_cut = program.is_cut or program.ends > self.now()

    def begin(self, host: str, container: str, folder: str) -> Program:
        """Or what was begun with this folder."""
        found = self.programs.get((container, folder))
        if found is None:
            task = self.containers[container]
            self.begun[task] += 1
            self.began_at.setdefault(task, self.now())
            code = 1 if self.begun[task] <= self.fails.get(task, 0) else 0
            took = self.turn_s()
            found = Program(task, host, container, self.now() + took, code)
            self.programs[container, folder] = found
            self.inside.setdefault(container, []).append(found)
            agent = self.agent_of(task)
            self.busy_s[agent] = self.busy_s.get(agent, 0.0) + took
        return found

    def enter(self, program: Program) -> None:
        agent = self.agent_of(program.task)
        self.at_work[agent] += 1
        self.most[agent] = max(self.most[agent], self.at_work[agent])

    def leave(self, program: Program) -> None:
        self.at_work[self.agent_of(program.task)] -= 1

    def lose(self, host: str, *, is_machine: bool) -> None:
        """The way to it; or the machine, and with it all that runs there."""
        far = self.hosts[host]
        far.is_reachable = False
        if is_machine:
            for container in list(far.running):
                self.stopped(host, container)

    def found(self, host: str) -> None:
        self.hosts[host].is_reachable = True


def tasks_of(count: int, rng: random.Random) -> list[dict[str, Any]]:
    """Of a batch file: three agents in stretches, a tenth needs others, most are verified."""
    agents = ("claude", "codex", "gemini")
    found: list[dict[str, Any]] = []
    for number in range(count):
        task: dict[str, Any] = {
            "name": f"t{number:04d}",
            "prompt": f"do {number}",
            "agent": agents[number * 9 // max(count, 1) % 3],
            "retries": 2,
        }
        if rng.random() < 0.8:
            task["verify"] = "make test"
        if number >= 20 and rng.random() < 0.1:
            task["needs"] = sorted(rng.sample([one["name"] for one in found[-20:]], 2))
        found.append(task)
    return found
