"""A graph: operations applied to resources, and the edges between them.

A graph builder is a pure function. Passing `handle.out("field")` as an input makes an edge that
selects one field of the other node's output; `after=` makes an edge that is only an order.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from rumpel.errors import Bug

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from rumpel.engine.operation import Operation, Policy

NODE_ID: Final = re.compile(r"[^\s=*\x00-\x1f\x7f]{1,500}")
"""doit refuses `=` in a task name and reads `*` as a wildcard."""
_field_names: dict[type[Any], tuple[str, ...]] = {}


Expand = Callable[[Any], "Graph"]
"""From the output of a node to the nodes that follow it."""
Parts = tuple[dict[str, Any], tuple[tuple[str, Any], ...]]
"""The inputs without references, and those that are one or are a tuple with some in it."""
_NO_PARTS: Final[Parts] = ({}, ())


@dataclasses.dataclass(frozen=True, slots=True)
class OutputRef:
    """A value that is known when the other node is done."""

    node_id: str
    field: str


@dataclasses.dataclass(frozen=True, slots=True)
class Handle:
    """A node of a graph, as its builder sees it."""

    id: str

    def out(self, field: str) -> Any:
        """A field of this node's output; Any, because an input field has the real type."""
        return OutputRef(self.id, field)


class Ref(NamedTuple):
    """Where an input of a node comes from; `place` is set for an element of a tuple."""

    input: str
    place: int | None
    node_id: str
    output: str


@dataclasses.dataclass(slots=True, eq=False)
class Node:
    """An operation applied to one resource."""

    id: str
    operation: Operation[Any, Any]
    inputs: Any
    refs: tuple[Ref, ...]
    after: tuple[str, ...]
    deps: tuple[str, ...]
    """All nodes that must be done before: those of `refs` and `after`, each once."""
    pod: str | None
    title: str
    parts: Parts
    """The inputs again, when some of them have references."""
    policy: Policy
    group: str = ""
    """The part of the graph it came with: `snapshot` in a recreate."""
    expand: Expand | None = None
    """What follows is known only when this node is done."""

    def resolve(self, outputs: Mapping[str, Any]) -> Any:
        """The inputs with every reference replaced. Raises AttributeError for a wrong field."""
        fixed, linked = self.parts
        if not linked:
            return self.inputs
        values = fixed.copy()
        for name, given in linked:
            if given.__class__ is OutputRef:
                values[name] = getattr(outputs[given.node_id], given.field)
            else:
                values[name] = tuple(
                    [
                        getattr(outputs[item.node_id], item.field)
                        if item.__class__ is OutputRef
                        else item
                        for item in given
                    ]
                )
        return self.operation.Inputs(**values)

    def meet(
        self, operation: Operation[Any, Any], inputs: Any, after: tuple[str, ...], pod: str | None
    ) -> None:
        """It is asked for again. Raises Bug if that is another node by the same name."""
        if self.operation is not operation or self.inputs != inputs:
            raise Bug(f"two different nodes are called {self.id}")
        self.pod = self.pod if self.pod == pod else None
        self.after = tuple(dict.fromkeys((*self.after, *after)))
        self.deps = _deps(self.refs, self.after)

    def files(self, inputs: Any) -> tuple[str, ...]:
        """The files the operation says it reads; shown by doit, hashed by who made the inputs."""
        files = getattr(self.operation, "files", None)
        return () if files is None else tuple(files(inputs))


class Graph:
    """Nodes in insertion order. `verb` and `subject` say what it is for, in the history."""

    def __init__(self, verb: str, *, subject: str = "") -> None:
        self.verb = verb
        self.subject = subject
        self.nodes: dict[str, Node] = {}
        self._order: tuple[Node, ...] | None = None
        self._dependants: Mapping[str, tuple[str, ...]] = {}

    def add(
        self,
        operation: Operation[Any, Any],
        node_id: str,
        inputs: Any,
        *,
        after: Iterable[Handle] = (),
        pod: str | None = None,
        title: str | None = None,
        policy: Policy | None = None,
        group: str = "",
    ) -> Handle:
        """Add a node, or meet one that several pods of a batch share.

        The same id with equal operation and inputs is the same node (its `after` edges add up,
        and it belongs to no single pod); with other inputs it is a Bug. `policy`: not its own.
        """
        if not NODE_ID.fullmatch(node_id):
            raise Bug(f"node id {node_id!r} has white space, '=' or '*', or is too long")
        order = tuple(handle.id for handle in after)
        known = self.nodes.get(node_id)
        if known is not None:
            known.meet(operation, inputs, order, pod)
        else:
            refs = references(inputs)
            self.nodes[node_id] = Node(
                id=node_id,
                operation=operation,
                inputs=inputs,
                refs=refs,
                after=order,
                deps=_deps(refs, order),
                pod=pod,
                title=title or operation.TITLE,
                parts=_parts(inputs, refs),
                policy=policy or operation.POLICY,
                group=group,
            )
        self._order = None
        return Handle(node_id)

    def expand(self, handle: Handle, build: Expand) -> None:
        """A barrier: when this node is done, `build(output)` says what else there is to do.

        It is pure, and gives nodes that may stand on any of this graph. Their ids come from the
        output alone, so that the same output gives the same graph, expanded once or twice.
        """
        self.nodes[handle.id].expand = build

    def merge(self, other: Graph, *, group: str = "") -> None:
        """Take over all nodes of another graph; shared ones must be equal.

        `group` names it as a part of this one: in events, pictures and explanations.
        """
        for node in other.nodes.values():
            self.add(
                node.operation,
                node.id,
                node.inputs,
                after=[Handle(dep) for dep in node.after],
                pod=node.pod,
                title=node.title,
                policy=node.policy,
                group="/".join(filter(None, (group, node.group))),
            )
            mine = self.nodes[node.id]
            mine.expand = mine.expand or node.expand

    def expanded(self, more: Graph) -> tuple[Graph, tuple[Node, ...]]:
        """This graph and `more`, and the nodes that are new, in an order they can run.

        The nodes that are there stay as they are. Raises Bug if `more` says other things of them.
        """
        known = {node_id: node.deps for node_id, node in self.nodes.items()}
        whole = Graph(self.verb, subject=self.subject)
        whole.nodes = {node_id: dataclasses.replace(node) for node_id, node in self.nodes.items()}
        whole.merge(more)
        for node_id, deps in known.items():
            if whole.nodes[node_id].deps != deps:
                raise Bug(f"{node_id} cannot wait for what became known after it")
        return whole, tuple(node for node in whole.validate() if node.id not in known)

    def validate(self) -> tuple[Node, ...]:
        """The nodes in topological order, stable; computed once.

        Raises Bug naming the missing node or the cycle.
        """
        if self._order is None:
            self._dependants = self._edges_back()
            self._order = self._sorted()
        return self._order

    @property
    def dependants(self) -> Mapping[str, tuple[str, ...]]:
        """For each node, those that wait for it."""
        self.validate()
        return self._dependants

    def _edges_back(self) -> Mapping[str, tuple[str, ...]]:
        found: dict[str, list[str]] = {node_id: [] for node_id in self.nodes}
        for node in self.nodes.values():
            for dep in node.deps:
                if dep not in found:
                    raise Bug(f"{node.id} depends on {dep}, which is not in the graph")
                found[dep].append(node.id)
        return {node_id: tuple(ids) for node_id, ids in found.items()}

    def _sorted(self) -> tuple[Node, ...]:
        waiting = {node.id: len(node.deps) for node in self.nodes.values()}
        order = [node for node in self.nodes.values() if not node.deps]
        for node in order:  # grows while it is walked
            for dependant in self._dependants[node.id]:
                waiting[dependant] -= 1
                if not waiting[dependant]:
                    order.append(self.nodes[dependant])
        if len(order) < len(self.nodes):
            raise Bug(f"the graph has a cycle: {' -> '.join(self._cycle(order))}")
        return tuple(order)

    def _cycle(self, done: list[Node]) -> list[str]:
        """One cycle among the nodes that could not be ordered."""
        left = self.nodes.keys() - {node.id for node in done}
        path: list[str] = [min(left)]
        while path.count(path[-1]) == 1:
            path.append(next(dep for dep in self.nodes[path[-1]].deps if dep in left))
        return path[path.index(path[-1]) :][::-1]


def references(inputs: Any) -> tuple[Ref, ...]:
    """Every OutputRef in the fields of `inputs`, or directly in a tuple of them."""
    found = []
    for name in field_names(type(inputs)):
        value = getattr(inputs, name)
        if isinstance(value, OutputRef):
            found.append(Ref(name, None, value.node_id, value.field))
        elif isinstance(value, tuple):
            found += [
                Ref(name, place, item.node_id, item.field)
                for place, item in enumerate(value)
                if isinstance(item, OutputRef)
            ]
    return tuple(found)


def field_names(kind: type[Any]) -> tuple[str, ...]:
    """The fields of a dataclass; asked for every node that runs, so remembered."""
    found = _field_names.get(kind)
    if found is None:
        found = _field_names[kind] = tuple(field.name for field in dataclasses.fields(kind))
    return found


def _parts(inputs: Any, refs: tuple[Ref, ...]) -> Parts:
    if not refs:
        return _NO_PARTS
    fixed = {name: getattr(inputs, name) for name in field_names(type(inputs))}
    linked = dict.fromkeys(ref.input for ref in refs)
    return fixed, tuple((name, fixed.pop(name)) for name in linked)


def _deps(refs: tuple[Ref, ...], after: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*(ref.node_id for ref in refs), *after)))
