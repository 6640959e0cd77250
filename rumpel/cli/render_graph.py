"""A graph, from the daemon's JSON, as a tree, as dot, as mermaid, or one node with its reasons.

Nodes: id, kind, title, pod, state, reasons [{kind, subject, before, after}], duration_s,
updated_at, error. Edges: [from, to], what is needed first. Pure; foreign text is made safe here.
"""

from __future__ import annotations

from rumpel import text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import Any

    Node = Mapping[str, Any]
    Edge = Sequence[str]

MAX_VALUE = 60
NEEDS_COLUMNS = 68
NARROW = 72
WORDS = {
    "cached": "up to date",
    "stale": "will run",
    "may-run": "may run",
    "unknown": "unknown",
    "failed": "failed",
    "crashed": "interrupted",
    "cancelled": "cancelled",
    "running": "running",
    "waiting": "waiting",
    "ok": "done",
    "upstream-failed": "not run",
    "blocked": "blocked",
}
ENDS = {
    "crashed": "was interrupted",
    "cancelled": "was cancelled",
    "upstream-failed": "did not get to it",
}
"""Of an attempt that did not just fail."""
STYLES = {
    "cached": "green",
    "ok": "green",
    "failed": "red",
    "crashed": "red",
    "running": "cyan",
    "stale": "yellow",
    "may-run": "yellow",
    "unknown": "yellow",
    "blocked": "yellow",
}
COLORS = {
    "green": "#d3f0d3",
    "red": "#f6c6c6",
    "cyan": "#c9e8f5",
    "yellow": "#f8edc0",
}
_encoders: list[Callable[[object], str]] = []


def state_of(node: Node) -> str:
    return str(node.get("state") or node.get("verdict") or "unknown")


def words_of(state: str) -> str:
    return WORDS.get(state, text.safe(state))


def label(node: Node, *, with_pod: bool = True) -> str:
    """`container a`, `postCreateCommand a`, `port/3000 a`, `image`: what it is, and whose."""
    name = step(str(node["id"]), str(node.get("kind") or node["id"]))
    pod = node.get("pod")
    return text.safe(f"{name} {pod}" if pod and with_pod else name)


def step(node_id: str, kind: str) -> str:
    """An id is kind/host/repository, of a pod's own step /pod, and what tells several apart."""
    rest = node_id.split("/", 4)[4:]
    if not rest:
        return kind
    return rest[0] if kind == "lifecycle" else f"{kind}/{rest[0]}"


def has_several_pods(nodes: Iterable[Node]) -> bool:
    return len({node["pod"] for node in nodes if node.get("pod")}) > 1


def parents(nodes: Sequence[Node], edges: Iterable[Edge]) -> dict[str, list[str]]:
    """What each node needs, the one to draw it under first: the last in the given order.

    Nodes come in the order they can run, so under its last need a node is drawn after all."""
    order = {str(node["id"]): number for number, node in enumerate(nodes)}
    needs: dict[str, list[str]] = {node_id: [] for node_id in order}
    for before, after in edges:
        if before in order and after in order:
            needs[after].append(before)
    for wanted in needs.values():
        wanted.sort(key=order.__getitem__, reverse=True)
    return needs


def tree(nodes: Sequence[Node], edges: Iterable[Edge]) -> list[tuple[str, Node]]:
    """(line beginning, node) in drawing order, every node once."""
    needs = parents(nodes, edges)
    by_id = {str(node["id"]): node for node in nodes}
    with_pod = has_several_pods(nodes)
    others_of = _not_implied(needs)
    children: dict[str | None, list[str]] = {}
    for node_id, wanted in needs.items():
        children.setdefault(wanted[0] if wanted else None, []).append(node_id)
    out: list[tuple[str, Node]] = []
    stack: list[tuple[str, str, str]] = [
        ("", "", root) for root in reversed(children.get(None, []))
    ]
    while stack:  # by hand: a chain may be longer than the recursion limit
        lead, hang, node_id = stack.pop()
        node = by_id[node_id]
        others = [label(by_id[other], with_pod=with_pod) for other in others_of(node_id)]
        extra = f" (and {text.listing(others)})" if others else ""
        out.append((lead + label(node, with_pod=with_pod) + extra, node))
        below = children.get(node_id, [])
        for number, child in enumerate(reversed(below)):
            is_last = number == 0
            stack.append(
                (hang + ("└─ " if is_last else "├─ "), hang + ("   " if is_last else "│  "), child)
            )
    return out


def _not_implied(needs: Mapping[str, Sequence[str]]) -> Callable[[str], list[str]]:
    """What a node needs beside the one it is drawn under and all that stands above that one."""
    bit = {node_id: 1 << number for number, node_id in enumerate(needs)}
    above: dict[str, int] = {}
    for node_id, wanted in needs.items():  # in an order they can run: needs come first
        above[node_id] = bit[node_id]
        for one in wanted:
            above[node_id] |= above.get(one, bit[one])

    def others_of(node_id: str) -> list[str]:
        drawn, *others = needs[node_id] or [node_id]
        return [other for other in others if not above.get(drawn, 0) & bit[other]]

    return others_of


def tree_rows(nodes: Sequence[Node], edges: Iterable[Edge]) -> list[tuple[str, str, str, str]]:
    """NODE, STATE, TIME and WHY of each line."""
    rows = []
    for beginning, node in tree(nodes, edges):
        took = node.get("duration_s")
        time = "" if took is None else text.duration(float(took))
        rows.append((beginning, words_of(state_of(node)), time, summary(node)))
    return rows


def summary(node: Node) -> str:
    """The first reason in a few words; how many more there are."""
    error = node.get("error")
    if error and state_of(node) in ("failed", "crashed"):
        return text.safe(str(error.get("message") or "").split("\n")[0])
    reasons = node.get("reasons") or []
    if not reasons:
        return f"done by {text.safe(str(node['by']))}" if node.get("by") else ""
    more = len(reasons) - 1
    return reason(reasons[0]) + (f" (and {text.count(more, 'more reason')})" if more else "")


def reason(one: Mapping[str, Any]) -> str:
    """One reason as a phrase: `runArgs changed: [] -> ["--init"]`."""
    subject = text.safe(str(one.get("subject") or ""))
    before, after = one.get("before"), one.get("after")
    match one.get("kind"):
        case "never-ran":
            return "never ran"
        case "input":
            return f"{subject} changed: {value(before)} → {value(after)}"
        case "version" if after is not None:
            return "the step itself changed with this version of rumpel"
        case "failed":
            message = text.safe(str(after or "").split("\n")[0])
            how = ENDS.get(subject, subject or "failed")
            return f"last attempt {how}" + (f": {message}" if message else "")
        case "refresh":
            return "asked for"
        case "always":
            return "runs every time"
        case "age":
            return f"its result is {_age(before)} old, at most {_age(after)} are allowed"
        case "upstream" if "/" in subject:
            return f"depends on {short_id(subject)}"
        case "unknown" if "/" in subject:
            return f"depends on {short_id(subject)}, which is unknown"
    return subject or "no reason given"


def _age(seconds: object) -> str:
    return text.duration(float(seconds)) if isinstance(seconds, (int, float)) else "too"


def value(found: object, limit: int = MAX_VALUE) -> str:
    """A component of a fingerprint, short: `not set`, `a`, `["--init"]`."""
    if found is None:
        return "not set"
    if isinstance(found, str):
        shown = found if found.isprintable() and found.strip() == found and found else repr(found)
    else:
        shown = _json(found)
    return text.clip(text.safe(shown), limit)


def _json(found: object) -> str:
    """json.dumps() makes an encoder each time, which costs more than a short value."""
    if not _encoders:
        import json

        _encoders.append(json.JSONEncoder(ensure_ascii=False).encode)
    return _encoders[0](found)


def why(node: Node, nodes: Sequence[Node], edges: Iterable[Edge], *, now: float) -> list[str]:
    """Everything about one node: its state, when it ran, each reason with before and after."""
    state = state_of(node)
    lines = [f"{text.safe(str(node['id']))}: {words_of(state)}"]
    if node.get("title"):
        lines.append(f"  what      {text.safe(str(node['title']))}")
    lines += _history(node, now)
    if node.get("by"):
        lines.append(f"  done by   {text.safe(str(node['by']))}")
    needs = parents(nodes, edges).get(str(node["id"]), [])
    if needs:
        first, *more = _joined([text.safe(need) for need in needs], NEEDS_COLUMNS)
        lines += [f"  needs     {first}", *(f"            {line}" for line in more)]
    for one in node.get("reasons") or []:
        lines += _because(one)
    if state == "cached" and not node.get("reasons"):
        lines.append("  because   nothing it depends on has changed, and its result is still there")
    error = node.get("error")
    if error:
        first, *rest = text.safe_lines(str(error.get("message") or "")) or [""]
        lines += [f"  failed    {first}", *(f"            {line}" for line in rest)]
        tail = (error.get("details") or {}).get("tail") or ""
        joined = tail if isinstance(tail, str) else "\n".join(str(line) for line in tail)
        lines += [f"  | {line}" for line in text.safe_lines(joined)]
    return lines


def _joined(words: Sequence[str], columns: int) -> list[str]:
    """`a, b,` and `c`: lines of at most so many columns, but for a word that is longer."""
    lines = [""]
    for word in (f"{word}," for word in words):
        if lines[-1] and text.width(lines[-1]) + text.width(word) >= columns:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".lstrip()
    lines[-1] = lines[-1].removesuffix(",")
    return lines


def history(
    runs: Iterable[Mapping[str, Any]], *, now: float, columns: int | None = None
) -> list[str]:
    """A table of runs: when, what for, how it ended, how long, how much of it, and why."""
    rows: list[tuple[str, ...]] = []
    for run in runs:
        took, trigger = run.get("duration_s"), run.get("trigger")
        why = f"{short_id(trigger['node'])}: {reason(trigger['reason'])}" if trigger else ""
        rows.append(
            (
                str(run["run"]),
                text.ago(now - float(run["started_at"])),
                text.safe(str(run["verb"])),
                words_of(str(run["state"])),
                "" if took is None else text.duration(float(took)),
                f"{run['ran']} of {run['nodes']}",
                why,
            )
        )
    if not rows:
        return ["nothing has run yet"]
    headers: tuple[str, ...] = ("RUN", "WHEN", "WHAT", "STATE", "TIME", "RAN", "WHY")
    if columns is not None and columns < NARROW:  # a reason says more than how many steps ran
        headers, rows = (*headers[:5], "WHY"), [(*row[:5], row[6]) for row in rows]
    return text.table(headers, rows, columns=columns, first=("WHY",))


def slowest(path: Mapping[str, Any], nodes: Sequence[Node]) -> list[str]:
    """The critical path, one step a line, and what it is of the whole work."""
    by_id = {str(node["id"]): node for node in nodes}
    total, whole = float(path.get("total_s") or 0.0), float(path.get("sum_s") or 0.0)
    rows = []
    for node_id in path.get("nodes") or ():
        took = float(by_id[node_id].get("duration_s") or 0.0)
        part = f"{took / total:.0%}" if total else ""
        rows.append((label(by_id[node_id]), text.duration(took), part))
    return [
        *text.table(("STEP", "TIME", "PART"), rows),
        f"{text.duration(total)} on this path, {text.duration(whole)} of work in all steps",
    ]


def dot(nodes: Sequence[Node], edges: Iterable[Edge]) -> list[str]:
    lines = ["digraph rumpel {", '  rankdir="LR";', '  node [shape="box", style="filled,rounded"];']
    for node in nodes:
        state = state_of(node)
        color = COLORS.get(STYLES.get(state, ""), "#eeeeee")
        shown = f"{_dot(label(node))}\\n{_dot(words_of(state))}"
        lines.append(f'  "{_dot(str(node["id"]))}" [label="{shown}", fillcolor="{color}"];')
    lines += [f'  "{_dot(before)}" -> "{_dot(after)}";' for before, after in edges]
    return [*lines, "}"]


def mermaid(nodes: Sequence[Node], edges: Iterable[Edge]) -> list[str]:
    """Ids in mermaid are words, so nodes are numbered; what people see is the label."""
    number = {str(node["id"]): f"n{index}" for index, node in enumerate(nodes)}
    lines = ["flowchart LR"]
    for node in nodes:
        shown = _mermaid(f"{label(node)}: {words_of(state_of(node))}")
        style = STYLES.get(state_of(node))
        lines.append(f'  {number[str(node["id"])]}["{shown}"]' + (f":::{style}" if style else ""))
    known = [edge for edge in edges if edge[0] in number and edge[1] in number]
    lines += [f"  {number[before]} --> {number[after]}" for before, after in known]
    used = {STYLES[state_of(node)] for node in nodes if state_of(node) in STYLES}
    return lines + [f"  classDef {name} fill:{COLORS[name]}" for name in sorted(used)]


def short_id(node_id: str) -> str:
    """`container/local/4f…/a` -> `container`, `lifecycle/…/onCreateCommand` -> its last part."""
    return step(node_id, node_id.partition("/")[0])


def _history(node: Node, now: float) -> list[str]:
    took, when = node.get("duration_s"), node.get("updated_at")
    if isinstance(when, str):
        when = text.unix_time(when)
    if when is None:
        return []
    lasted = "" if took is None else f", took {text.duration(float(took))}"
    return [f"  last ran  {text.ago(now - float(when))}{lasted}"]


def _because(one: Mapping[str, Any]) -> list[str]:
    if one.get("kind") != "input":
        return [f"  because   {reason(one)}"]
    return [
        f"  because   {text.safe(str(one.get('subject')))} changed",
        f"    before  {value(one.get('before'), 2000)}",
        f"    after   {value(one.get('after'), 2000)}",
    ]


def _dot(words: str) -> str:
    return text.safe(words).replace("\\", "\\\\").replace('"', '\\"')


def _mermaid(words: str) -> str:
    """Mermaid's own entity codes; it knows no backslash escapes."""
    return "".join(f"#{ord(c)};" if c in '"#<>&;`\\' else c for c in text.safe(words))
