"""How long things take: what is still to come behind a node, and the path that decides the end.

From what the last good runs took; a node that never ran counts as the mean of its kind.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from rumpel.cache.records import Record
    from rumpel.engine.graph import Graph

FEW: Final = 500
"""So many records are looked at each time."""


class Usual:
    """What each kind of node takes, as of a moment ago: a thousand runs of a batch ask for it, and
    each would look at the records of all of them.
    """

    def __init__(self, records: Mapping[str, Record]) -> None:
        self._records = records
        self._found: Mapping[str, float] = {}
        self._asked = self._due = 0

    def means(self) -> Mapping[str, float]:
        """Anew after as many questions as an eighth of the records there were."""
        if self._asked >= self._due or len(self._records) < FEW:
            self._found = mean_of_kinds(self._records.values())
            self._asked, self._due = 0, len(self._records) // 8
        self._asked += 1
        return self._found


def remaining_s(
    graph: Graph, records: Mapping[str, Record], usual_of: Usual | None = None
) -> Mapping[str, float]:
    """For each node its own time and the longest way behind it."""
    usual: Mapping[str, float] | None = None
    usual_of = usual_of or Usual(records)
    found: dict[str, float] = {}
    for node in reversed(graph.validate()):
        record = records.get(node.id)
        if record is not None and record.output_text is not None:
            own = record.elapsed_s
        else:
            usual = usual_of.means() if usual is None else usual
            own = usual.get(node.operation.KIND, 0.0)
        behind = max((found[dep] for dep in graph.dependants[node.id]), default=0.0)
        found[node.id] = own + behind
    return found


def mean_of_kinds(records: Iterable[Record]) -> Mapping[str, float]:
    total: dict[str, tuple[float, int]] = {}
    for record in records:
        if record.output_text is not None:
            seconds, count = total.get(record.kind, (0.0, 0))
            total[record.kind] = (seconds + record.elapsed_s, count + 1)
    return {kind: seconds / count for kind, (seconds, count) in total.items()}


def critical_path(
    needs: Mapping[str, Iterable[str]], took_s: Mapping[str, float]
) -> tuple[tuple[str, ...], float]:
    """The chain of nodes that takes longest, first node first, and its time.

    `needs` in an order they can run. Among equals the first that was found: the answer is stable.
    """
    best: dict[str, tuple[float, str | None]] = {}
    for node_id, wanted in needs.items():
        before = max(
            ((best[need][0], need) for need in wanted if need in best),
            key=lambda pair: pair[0],
            default=(0.0, None),
        )
        best[node_id] = (before[0] + took_s.get(node_id, 0.0), before[1])
    at: str | None = max(best, key=lambda node_id: best[node_id][0], default=None)
    total = 0.0 if at is None else best[at][0]
    path: list[str] = []
    while at is not None:
        path.append(at)
        at = best[at][1]
    return tuple(reversed(path)), total
