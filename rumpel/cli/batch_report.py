"""The report of a batch: Markdown, or one HTML file with its graph and timeline. Pure.

No network, no script; the same data give the same bytes. Foreign text is made safe here.
"""

from __future__ import annotations

import re

from rumpel import text
from rumpel.cli.render_html import META, escaped, places

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

    Row = dict[str, Any]

WIDTH, HEIGHT, GAP_X, GAP_Y = 170, 40, 50, 12
BAR_WIDTH, NAME_WIDTH, BAR_HEIGHT = 620, 200, 20
MAX_TEXT_CHARS = 4000
COLORS = {
    "done": "#d9f2dd",
    "ok": "#7cc68a",
    "failed": "#f6b8b0",
    "skipped": "#eeeeee",
    "working": "#cfe3fa",
    "verifying": "#cfe3fa",
    "starting": "#cfe3fa",
}
STEP_COLORS = {
    "start": "#c9c9c9",
    "pod": "#b9c7e8",
    "work": "#7cc68a",
    "verify": "#f0cf7a",
    "leave": "#d8d0e6",
}
STEP_WORDS = {
    "start": "merging what it needs",
    "pod": "making the pod",
    "work": "working",
    "verify": "verifying",
    "leave": "stopping the pod",
}
STYLE = """
body{font:14px/1.5 system-ui,sans-serif;margin:24px auto;max-width:1000px;padding:0 16px;color:#222;
background:#fff}h1{font-size:22px;margin-bottom:4px}h2{font-size:16px;margin-top:32px}
.sum{color:#555;margin-top:0}svg text{font:12px system-ui,sans-serif}.faint{fill:#666}
.box{stroke:#888;rx:6}.edge{fill:none;stroke:#aaa}.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:4px 12px 4px 0;
vertical-align:top;border-bottom:1px solid #eee;white-space:nowrap}th{border-bottom-color:#bbb}
td.n,th.n{text-align:right;padding-right:28px}
.s{padding:0 8px;border-radius:6px;border:1px solid #bbb;white-space:nowrap}
.key{display:inline-block;padding:0 9px;margin-right:8px;border:1px solid #aaa;border-radius:6px}
pre{background:#f6f6f6;padding:8px 12px;border-radius:6px;white-space:pre-wrap;font-size:12.5px}
details{margin:6px 0}summary{cursor:pointer}.bad{color:#a3160b}
"""


def summary(data: Row) -> str:
    """`7 of 9 tasks done, 1 failed, 1 skipped · 12 commits · $3.20 · 41.2k tokens · 12.3 min`."""
    counts: dict[str, int] = {}
    for task in data["tasks"]:
        counts[str(task["state"])] = counts.get(str(task["state"]), 0) + 1
    done, whole = counts.pop("done", 0), text.count(len(data["tasks"]), "task")
    parts = [", ".join([f"{done} of {whole} done", *(f"{n} {word}" for word, n in counts.items())])]
    totals = data["totals"]
    parts.append(text.count(int(totals["commits"]), "commit"))
    if totals["cost_usd"] is not None:
        parts.append(f"${totals['cost_usd']:.2f}")
    tokens = int(totals["tokens_in"]) + int(totals["tokens_out"])
    if tokens:
        parts.append(f"{tokens} tokens" if tokens < 10_000 else f"{tokens / 1000:.1f}k tokens")
    took = _took(data["tasks"])
    return " · ".join([*parts, text.duration(took)] if took else parts)


def markdown(data: Row) -> list[str]:
    lines = [f"# Batch {_cell(data['name'])}", "", summary(data), ""]
    lines += [
        "| task | state | agent | commits | verify | cost | time |",
        "|---|---|---|---|---|---|---|",
    ]
    for task in data["tasks"]:
        cells = [_cell(cell) for cell in _cells(task)]
        lines.append(f"| {' | '.join(cells)} |")
    for task in data["tasks"]:
        said, error = str(task.get("text") or "").strip(), task.get("error")
        if not said and not error:
            continue
        lines += ["", f"## {_cell(task['name'])}", ""]
        if error:
            lines.append(f"**{task['state']}**: {_cell(error.get('message') or '')}")
            said = str((error.get("details") or {}).get("tail") or said).strip()
        if said:
            lines += [*([""] if error else []), *_as_it_is(said)]
    return lines


def _as_it_is(said: str) -> list[str]:
    """No Markdown: a pod could have a reader's browser fetch a picture from anywhere."""
    lines = list(text.safe_lines(said[:MAX_TEXT_CHARS]))
    longest = max((len(found) for line in lines for found in re.findall("`+", line)), default=0)
    fence = "`" * max(3, longest + 1)
    return [f"{fence}text", *lines, fence]


def _cell(value: object) -> str:
    """Of a line, also in a table."""
    words = text.safe(str(value)).replace("\n", " ")
    return "".join(f"\\{char}" if char in "\\`[<|" else char for char in words)


def _cells(task: Row) -> list[str]:
    cost, took = task.get("cost_usd"), _took([task])
    return [
        str(task["name"]),
        str(task["state"]),
        str(task.get("agent") or "command"),
        "-" if task.get("commits") is None else str(task["commits"]),
        str(task.get("verify") or "-"),
        "-" if cost is None else f"${float(cost):.2f}",
        text.duration(took) if took else "-",
    ]


def html(data: Row) -> list[str]:
    head = escaped(f"Batch {data['name']}")
    return [
        "<!DOCTYPE html>",
        f'<html lang="en">{META}<title>{head}</title><style>{STYLE}</style>',
        f"<h1>{head}</h1>",
        f'<p class="sum">{escaped(summary(data))}</p>',
        *_table(data["tasks"]),
        *_graph(data["tasks"]),
        *_timeline(data["tasks"]),
        *_details(data["tasks"]),
        "</html>",
    ]


def _table(tasks: Sequence[Row]) -> list[str]:
    words = ("Task", "State", "Agent", "Commits", "Verify", "Cost", "Time", "Commit")
    numbers = ("Commits", "Cost", "Time")
    heads = "".join(
        f'<th class="n">{word}</th>' if word in numbers else f"<th>{word}</th>" for word in words
    )
    lines = [f'<div class="scroll"><table><tr>{heads}</tr>']
    for task in tasks:
        name, state, agent, commits, verify, cost, took = map(escaped, _cells(task))
        color = COLORS.get(str(task["state"]), "#fff")
        commit = escaped(str(task.get("commit") or "-")[:10])
        lines.append(
            f'<tr><td>{name}<td><span class="s" style="background:{color}">{state}</span>'
            f'<td>{agent}<td class="n">{commits}<td>{verify}<td class="n">{cost}'
            f'<td class="n">{took}<td><code>{commit}</code></tr>'
        )
    return [*lines, "</table></div>"]


def _graph(tasks: Sequence[Row]) -> list[str]:
    """Which task starts from which; nothing when none needs another."""
    known = {str(task["name"]) for task in tasks}
    edges = [
        (str(need), str(task["name"])) for task in tasks for need in task["needs"] if need in known
    ]
    if not edges:
        return []
    linked = {name for edge in edges for name in edge}
    shown = _in_order([task for task in tasks if task["name"] in linked])
    at = {
        name: (column * (WIDTH + GAP_X) + 2, row * (HEIGHT + GAP_Y) + 2)
        for name, (column, row) in places([{"id": t["name"]} for t in shown], edges).items()
    }
    width = max(x for x, _ in at.values()) + WIDTH + 4
    height = max(y for _, y in at.values()) + HEIGHT + 4
    lines = ["<h2>What needs what</h2>"]
    lines.append(f'<div class="scroll"><svg width="{width}" height="{height}" role="img">')
    for before, after in edges:
        (x1, y1), (x2, y2), bend = at[before], at[after], GAP_X // 2
        x1, y1, y2 = x1 + WIDTH, y1 + HEIGHT // 2, y2 + HEIGHT // 2
        path = f"M{x1} {y1}C{x1 + bend} {y1} {x2 - bend} {y2} {x2} {y2}"
        lines.append(f'<path class="edge" d="{path}"/>')
    for task in shown:
        x, y = at[str(task["name"])]
        color, took = COLORS.get(str(task["state"]), "#fff"), _took([task])
        words = str(task["state"]) + (f" · {text.duration(took)}" if took else "")
        lines.append(
            f'<rect class="box" x="{x}" y="{y}" width="{WIDTH}" height="{HEIGHT}" fill="{color}"/>'
            f'<text x="{x + 9}" y="{y + 17}">{escaped(text.clip(str(task["name"]), 22))}</text>'
            f'<text class="faint" x="{x + 9}" y="{y + 33}">{escaped(words)}</text>'
        )
    return [*lines, "</svg></div>"]


def _in_order(tasks: Iterable[Row]) -> list[Row]:
    """What is needed first."""
    found: list[Row] = []
    left, done = list(tasks), set[str]()
    names = {str(task["name"]) for task in left}
    while left:
        ready = [task for task in left if set(task["needs"]) & names <= done] or left
        found += ready
        done |= {str(task["name"]) for task in ready}
        left = [task for task in left if task["name"] not in done]
    return found


def _spans(task: Row) -> list[tuple[str, float, float, str]]:
    """(kind, began, seconds, state) of its steps; unix times."""
    found = []
    for step in task.get("steps") or ():
        began = text.unix_time(str(step["started_at"]))
        if began is not None:
            took = float(step["duration_s"])
            found.append((str(step["kind"]), began, took, str(step["state"])))
    return found


def _took(tasks: Iterable[Row]) -> float:
    """From the first step to the end of the last one, without waiting for other tasks."""
    spans = [span for task in tasks for span in _spans(task) if span[0] not in ("start", "leave")]
    if not spans:
        return 0.0
    return max(began + took for _, began, took, _ in spans) - min(span[1] for span in spans)


def _timeline(tasks: Sequence[Row]) -> list[str]:
    rows = [(task, _spans(task)) for task in tasks]
    every = [span for _, spans in rows for span in spans]
    if not every:
        return []
    first, last = min(span[1] for span in every), max(span[1] + span[2] for span in every)
    scale = BAR_WIDTH / max(last - first, 0.001)
    keys = "".join(
        f'<span class="key" style="background:{color}">{STEP_WORDS[kind]}</span>'
        for kind, color in STEP_COLORS.items()
        if any(span[0] == kind for span in every)
    )
    height = len(rows) * BAR_HEIGHT + 22
    width = NAME_WIDTH + BAR_WIDTH + 90
    lines = ["<h2>Timeline</h2>", f"<p>{keys}</p>"]
    lines.append(f'<div class="scroll"><svg width="{width}" height="{height}" role="img">')
    for number, (task, spans) in enumerate(rows):
        y = number * BAR_HEIGHT + 2
        lines.append(f'<text x="0" y="{y + 13}">{escaped(text.clip(str(task["name"]), 28))}</text>')
        for kind, began, took, state in spans:
            x, wide = NAME_WIDTH + (began - first) * scale, max(took * scale, 1.5)
            color = COLORS["failed"] if state == "failed" else STEP_COLORS.get(kind, "#ddd")
            words = escaped(f"{STEP_WORDS.get(kind, kind)}: {text.duration(took)}")
            lines.append(
                f'<rect class="box" x="{x:.1f}" y="{y}" width="{wide:.1f}" height="15"'
                f' fill="{color}"><title>{words}</title></rect>'
            )
    y = len(rows) * BAR_HEIGHT + 16
    lines.append(f'<text class="faint" x="{NAME_WIDTH}" y="{y}">0</text>')
    end = escaped(text.duration(last - first))
    x = NAME_WIDTH + BAR_WIDTH
    lines.append(f'<text class="faint" x="{x}" y="{y}" text-anchor="end">{end}</text>')
    return [*lines, "</svg></div>"]


def _details(tasks: Sequence[Row]) -> list[str]:
    lines = ["<h2>What they said</h2>"]
    for task in tasks:
        said, error = str(task.get("text") or "").strip(), task.get("error")
        if not said and not error:
            continue
        mark = " open" if error else ""
        lines.append(f"<details{mark}><summary>{escaped(str(task['name']))}</summary>")
        if error:
            lines.append(f'<p class="bad">{escaped(str(error.get("message") or ""))}</p>')
            said = str((error.get("details") or {}).get("tail") or said)
        if said:
            safe = "\n".join(escaped(line) for line in text.safe_lines(said[:MAX_TEXT_CHARS]))
            lines.append(f"<pre>{safe}</pre>")
        lines.append("</details>")
    return lines if len(lines) > 1 else []
