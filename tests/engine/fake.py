"""Operations and a world for tests of the engine: deterministic, with faults on demand."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rumpel.engine.graph import Graph, Handle
from rumpel.engine.operation import OK, Policy, Probe, changed, gone, unknown
from rumpel.errors import CommandFailed, RumpelError


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    name: str
    text: str = ""
    up: tuple[str, ...] = ()
    one: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    value: str
    noise: int = 0


@dataclass
class World:
    """What exists, what was done, and what shall go wrong."""

    things: dict[str, str] = field(default_factory=dict)
    half: set[str] = field(default_factory=set)
    started: list[str] = field(default_factory=list)
    done: list[str] = field(default_factory=list)
    undone: list[str] = field(default_factory=list)
    running: Counter[str] = field(default_factory=Counter)
    most: Counter[str] = field(default_factory=Counter)
    probes: int = 0
    is_down: bool = False
    errors: dict[str, list[BaseException]] = field(default_factory=dict)
    """For each name, what its next runs raise."""
    holds: dict[str, asyncio.Event] = field(default_factory=dict)
    """A run of this name waits for the event in the middle of its effect."""
    turns: dict[str, int] = field(default_factory=dict)
    """How many turns of the loop an effect takes; 1 if not said."""


DEFAULT_POLICY = Policy()


@dataclass(eq=False)
class Operation:
    """An instance satisfies `engine.operation.Operation`, as a module of tasks/ does."""

    KIND: str = "fake"
    TITLE: str = "Making"
    VERSION: int = 1
    POLICY: Policy = DEFAULT_POLICY
    Inputs: type[Any] = Inputs
    Output: type[Any] = Output

    def fingerprint(self, inputs: Any) -> Mapping[str, Any]:
        return {"text": inputs.text, "up": inputs.up, "one": inputs.one}

    def check(self, world: Any, inputs: Any, output: Any) -> Probe:
        world.probes += 1
        if world.is_down:
            return unknown("the world is down")
        value = world.things.get(inputs.name)
        if value is None:
            return gone(f"{inputs.name} is not there")
        return OK if value == output.value else changed(f"{inputs.name} is {value}")

    async def run(self, ctx: Any, inputs: Any) -> Any:
        world = ctx.world
        world.started.append(inputs.name)
        slots = (*self.POLICY.slots, inputs.name)
        world.running.update(slots)
        world.most |= world.running
        world.half.add(inputs.name)
        ctx.log(f"making {inputs.name}")
        try:
            for _ in range(world.turns.get(inputs.name, 1)):
                await asyncio.sleep(0)
            ctx.fault("middle")
            if inputs.name in world.holds:
                await world.holds[inputs.name].wait()
            if world.errors.get(inputs.name):
                raise world.errors[inputs.name].pop(0)
        finally:
            world.running.subtract(slots)
        value = value_of(inputs)
        world.things[inputs.name] = value
        world.half.discard(inputs.name)
        world.done.append(inputs.name)
        return self.Output(value=value)

    async def undo(self, ctx: Any, inputs: Any) -> None:
        await asyncio.sleep(0)
        ctx.world.undone.append(inputs.name)
        ctx.world.half.discard(inputs.name)


FAKE = Operation()


def value_of(inputs: Any) -> str:
    """Deterministic; an empty text hides what came in, so that changes above are cut off."""
    if inputs.text == "constant":
        return "constant"
    return f"<{inputs.text}{''.join(inputs.up)}{inputs.one}>"


def failure(text: str = "it broke") -> RumpelError:
    return CommandFailed(text)


def graph_of(
    edges: Mapping[str, tuple[str, ...]],
    *,
    texts: Mapping[str, str] | None = None,
    after: Mapping[str, tuple[str, ...]] | None = None,
    operations: Mapping[str, Operation] | None = None,
) -> Graph:
    """A graph whose node `name` takes the values of `edges[name]`, which come before it."""
    graph = Graph("test", subject="fake")
    handles: dict[str, Handle] = {}
    for name, needs in edges.items():
        handles[name] = graph.add(
            (operations or {}).get(name, FAKE),
            f"fake/{name}",
            Inputs(
                name=name,
                text=(texts or {}).get(name, name),
                up=tuple(handles[need].out("value") for need in needs),
            ),
            after=[handles[need] for need in (after or {}).get(name, ())],
        )
    return graph
