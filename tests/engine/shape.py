"""Random graphs for random histories: what is asked for, and what a clean world would hold."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

from rumpel.engine.graph import Graph, Handle
from rumpel.engine.operation import Policy
from rumpel.engine.retry import Retry
from rumpel.errors import HostUnreachable
from tests.engine.sim import Inputs, Making, value_of

KINDS = (
    Making(POLICY=Policy(slots=("narrow",), retries=1, timeout_s=900.0)),
    Making(KIND="patient", POLICY=Policy(slots=("wide",), retries={HostUnreachable: Retry(3)})),
    Making(KIND="hasty", POLICY=Policy(timeout_s=20.0, slots=("narrow", "wide"))),
    Making(KIND="free"),
)
ITEMS = "pqr"
"""What a barrier may expand to: a node for each letter of its text."""


@dataclass
class Shape:
    """Nodes with edges, each of one kind; the last one may be a barrier."""

    needs: dict[str, tuple[str, ...]]
    after: dict[str, tuple[str, ...]]
    kinds: dict[str, Making]
    has_barrier: bool

    @classmethod
    def of(cls, rng: random.Random) -> Shape:
        names = [f"n{number}" for number in range(rng.randint(1, 7))]
        before = {name: names[:place] for place, name in enumerate(names)}
        return cls(
            {name: some(rng, before[name], 2) for name in names},
            {name: some(rng, before[name], 1) for name in names},
            {name: rng.choice(KINDS) for name in (*names, *ITEMS)},
            rng.random() < 0.4,
        )

    def graph(self, texts: dict[str, str], *, only: set[str] | None = None) -> Graph:
        graph = Graph("test", subject="history")
        handles: dict[str, Handle] = {}
        for name, needs in self.needs.items():
            if only is None or name in only:
                handles[name] = self._add(graph, name, texts, handles, needs)
        last = [*self.needs][-1]
        if self.has_barrier and last in handles:
            graph.expand(handles[last], lambda output: self._items(output, texts, handles[last]))
        return graph

    def _items(self, output: Any, texts: dict[str, str], last: Handle) -> Graph:
        more = Graph("more")
        for item in dict.fromkeys(letter for letter in output.items if letter in ITEMS):
            self._add(more, item, texts, {"last": last}, (), after=("last",))
        return more

    def _add(
        self,
        graph: Graph,
        name: str,
        texts: dict[str, str],
        handles: dict[str, Handle],
        needs: tuple[str, ...],
        after: tuple[str, ...] | None = None,
    ) -> Handle:
        order = self.after[name] if after is None else after
        return graph.add(
            self.kinds[name],
            f"x/{name}",
            Inputs(
                name=name,
                text=texts.get(name, name),
                up=tuple(handles[need].out("value") for need in needs),
                host=f"h{sum(map(ord, name)) % 2}",
            ),
            after=[handles[need] for need in order],
        )

    def expected(self, texts: dict[str, str]) -> dict[str, str]:
        """What a clean world would look like."""
        found: dict[str, str] = {}
        for name, needs in self.needs.items():
            text, up = texts.get(name, name), tuple(found[need] for need in needs)
            found[name] = value_of(Inputs(name=name, text=text, up=up))
        last = [*self.needs][-1]
        for letter in texts.get(last, last) if self.has_barrier else "":
            if letter in ITEMS:
                found[letter] = value_of(Inputs(name=letter, text=texts.get(letter, letter)))
        return found

    def closed(self, rng: random.Random) -> set[str]:
        """Some of the nodes, with all they need."""
        found: set[str] = set()
        for name in self.needs:
            if rng.random() < 0.8 and {*self.needs[name], *self.after[name]} <= found:
                found.add(name)
        return found


def some(rng: random.Random, names: list[str], most: int) -> tuple[str, ...]:
    return tuple(sorted(rng.sample(names, rng.randint(0, min(most, len(names))))))
