"""A batch as a table: live on a terminal, a line a change elsewhere, and how it ended."""

from __future__ import annotations

import sys
import time

from rumpel import text, ui
from rumpel.cli import progress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rumpel.cli.options import Options

OVER = frozenset({"done", "failed", "skipped", "cancelled", "interrupted"})
KNOWN = OVER | {"waiting"}
"""What is nothing new when it is told first."""
STOPPED = frozenset({"cancelled", "interrupted"})
WOULD = {"settled": "stays failed"}
HEADERS = ("TASK", "STATE", "AGENT", "COMMITS", "VERIFY", "TOKENS", "COST", "TIME")
LIST_HEADERS = ("BATCH", "STATE", "TASKS", "BEGUN", "FILE")
PLAN_HEADERS = ("TASK", "NEEDS", "AGENT", "VERIFY", "LIMITS", "WOULD")
REFRESH_S = 0.25
ROOM = 4
"""Lines of the screen that are not the table's."""


def start(options: Options) -> Told:
    is_live = ui.is_fancy() and not options.json and not options.quiet
    return Live(options) if is_live else Told(options)


class Told(progress.Quiet):
    """A line for each task that begins or ends."""

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self.rows: dict[str, dict[str, Any]] = {}

    def event(self, message: dict[str, Any]) -> None:
        if message.get("event") != "batch":
            super().event(message)
            return
        for row in message.get("tasks") or ():
            before = self.rows.get(str(row["name"]))
            self.rows[str(row["name"])] = row
            if before is not None and before["attempt"] < row["attempt"]:
                self.again(row)
            if before is None or before["state"] != row["state"]:
                self.moved(row, is_first=before is None)

    def again(self, row: dict[str, Any]) -> None:
        if not self.options.json and not self.options.quiet:
            self.say(f"{text.safe(str(row['name']))} · failed, try {row['attempt']}")

    def moved(self, row: dict[str, Any], *, is_first: bool) -> None:
        is_news = row["state"] in OVER or row["state"] in ("starting", "working", "verifying")
        if self.options.json or self.options.quiet or (is_first and row["state"] in KNOWN):
            return
        if is_news:
            self.say(f"{text.safe(str(row['name']))} · {sentence(row)}")

    def say(self, line: str) -> None:
        ui.notice(line)


class Live(Told):
    """Redrawn in place with rich, which is loaded only here."""

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self.began = time.monotonic()
        self._live: Any = None

    def again(self, row: dict[str, Any]) -> None:
        """All of it is in the table."""

    def moved(self, row: dict[str, Any], *, is_first: bool) -> None:
        """The same."""

    def event(self, message: dict[str, Any]) -> None:
        super().event(message)
        if self.rows:
            self.tick()

    def tick(self) -> None:
        if not self.rows:
            return
        if self._live is None:
            from rich.console import Console
            from rich.live import Live as RichLive

            console = Console(stderr=True, highlight=False, markup=False)
            self._live = RichLive(console=console, auto_refresh=False, transient=True)
            self._live.start()
        from rich.text import Text

        self._live.update(Text("\n".join(self._frame())), refresh=True)

    def timeout_s(self) -> float | None:
        return REFRESH_S

    def pause(self) -> None:
        self.close()

    def close(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _frame(self) -> list[str]:
        columns, room = ui.columns(sys.stderr) or 80, ui.rows(sys.stderr) - ROOM
        rows = sorted(self.rows.values(), key=_rank)
        shown = rows[: max(room, 3)]
        lines = [text.clip(line, columns) for line in table(shown, columns)]
        if len(shown) < len(rows):
            lines.append(f"… and {text.count(len(rows) - len(shown), 'task')} more")
        took = text.duration(time.monotonic() - self.began)
        lines.append(text.clip(f"{summary(list(self.rows.values()))} · {took}", columns))
        said = next((row for row in rows if row["state"] not in OVER and row.get("said")), None)
        if said is not None:
            lines.append(text.clip(f"{said['name']}: {text.safe(str(said['said']))}", columns))
        return lines


def _rank(row: dict[str, Any]) -> int:
    order = ("working", "verifying", "starting", "failed", "queued", "waiting")
    return order.index(row["state"]) if row["state"] in order else len(order)


def table(rows: list[dict[str, Any]], columns: int | None) -> list[str]:
    """Without the columns that say nothing of any task."""
    every = [cells(row) for row in rows]
    told = [at for at in range(len(HEADERS)) if any(row[at] != "-" for row in every) or at < 2]
    return text.table(
        [HEADERS[at] for at in told], [[row[at] for at in told] for row in every], columns=columns
    )


def cells(row: dict[str, Any]) -> list[str]:
    tokens = int(row.get("tokens_in") or 0) + int(row.get("tokens_out") or 0)
    cost = row.get("cost_usd")
    return [
        str(row["name"]),
        str(row["state"]),
        str(row.get("agent") or "command"),
        "-" if row.get("commits") is None else str(row["commits"]),
        str(row.get("verify") or "-"),
        _thousands(tokens) if tokens else "-",
        "-" if cost is None else f"${float(cost):.2f}",
        elapsed(row),
    ]


def elapsed(row: dict[str, Any]) -> str:
    began = text.unix_time(str(row["started_at"])) if row.get("started_at") else None
    ended = text.unix_time(str(row["ended_at"])) if row.get("ended_at") else None
    if began is None:
        seconds = row.get("duration_s")
        return "-" if seconds is None else text.duration(float(seconds))
    return text.duration(max(0.0, (ended or time.time()) - began))


def _thousands(number: int) -> str:
    return str(number) if number < 10_000 else f"{number / 1000:.0f}k"


def sentence(row: dict[str, Any]) -> str:
    state = str(row["state"])
    if state == "done":
        commits = text.count(int(row.get("commits") or 0), "commit")
        verified = ", verified" if row.get("verify") == "passed" else ""
        return f"done, {commits}{verified}{left(row)}"
    if state == "failed":
        error = row.get("error") or {}
        return f"failed: {text.safe(str(error.get('message') or 'unknown'))}"
    return state


def left(row: dict[str, Any]) -> str:
    """What it forgot to commit: nobody gets that by a merge."""
    dirty = int(row.get("dirty") or 0)
    return f", {text.count(dirty, 'file')} not committed" if dirty else ""


def summary(rows: list[dict[str, Any]]) -> str:
    counts: dict[str, int] = {}
    for row in rows:
        counts[str(row["state"])] = counts.get(str(row["state"]), 0) + 1
    order = ("done", "working", "verifying", "starting", "queued", "waiting", "failed")
    words = [*(word for word in order if word in counts), *sorted(set(counts) - set(order))]
    return ", ".join(f"{counts[word]} {word}" for word in words)


def render(data: dict[str, Any], options: Options) -> None:
    """How it is, on stdout."""
    rows = data["tasks"]
    if options.quiet:
        for row in rows:
            ui.out(f"{row['name']}  {row['state']}")
        return
    for line in table(rows, ui.columns(sys.stdout)):
        ui.out(line)
    ui.flush_results()
    cost = sum(float(row["cost_usd"]) for row in rows if row.get("cost_usd") is not None)
    end = " · goes on" if data["is_running"] else ""
    spent = f" · ${cost:.2f}" if cost else ""
    ui.err(f"{text.safe(str(data['name']))}: {summary(rows)}{spent}{end}")
    tell_hosts(data["hosts"])
    for row in rows:
        for old in row.get("left") or ():
            ui.err(
                text.safe(
                    f"{row['name']} · goes on in pod {row['pod']}: {old['host']} was lost, "
                    f"pod {old['pod']} is kept as it was there"
                )
            )
        if row["state"] == "failed" or left(row):
            ui.err(text.safe(f"{row['name']} · {sentence(row)}"))
    if not data["is_running"] and any(row["state"] in STOPPED for row in rows):
        ui.err(f"next: rumpel batch run {text.safe(str(data['file']))}   goes on")


def render_list(rows: list[dict[str, Any]], options: Options) -> None:
    if options.quiet:
        for row in rows:
            ui.out(row["name"])
        return
    lines = []
    for row in rows:
        states = [{"state": state} for state, count in row["counts"].items() for _ in range(count)]
        began = text.unix_time(str(row["started_at"]))
        ago = "-" if began is None else text.ago(time.time() - began)
        is_over = "ended" if row["ended_at"] else "interrupted"
        state = "running" if row["is_running"] else is_over
        lines.append([row["name"], state, summary(states), ago, str(row["file"])])
    for line in text.table(LIST_HEADERS, lines, columns=ui.columns(sys.stdout)):
        ui.out(line)
    if not rows:
        ui.notice("no batch was run in this repository")


def render_plan(data: dict[str, Any], options: Options) -> None:
    rows = []
    for task in data["tasks"]:
        limits = task["limits"]
        said = [
            *([text.duration(float(limits["time_s"]))] if limits["time_s"] else []),
            *([text.count(int(limits["turns"]), "turn")] if limits["turns"] else []),
            *([f"{_thousands(int(limits['tokens']))} tokens"] if limits["tokens"] else []),
            *([f"${limits['dollars']:g}"] if limits["dollars"] else []),
        ]
        rows.append(
            [
                task["name"],
                ", ".join(task["needs"]) or "-",
                task["agent"] or "command",
                (task["verify"].splitlines() or ["-"])[0],
                " ".join(said) or "-",
                WOULD.get(task["would"], task["would"]),
            ]
        )
    if options.quiet:
        return
    for line in text.table(PLAN_HEADERS, rows, columns=ui.columns(sys.stdout)):
        ui.out(line)
    ui.flush_results()
    would = [task["would"] for task in data["tasks"]]
    at_once = data["concurrency"]["total"] or data["concurrency"]["per_host"]
    ui.err(
        f"{text.safe(str(data['name']))}: {text.count(len(would), 'task')}, "
        f"{would.count('run')} to run, {at_once} at once"
    )
    if "settled" in would:
        ui.err("next: rumpel batch retry   for those that failed")
    tell_hosts(data["room"], is_plan=True)


def tell_hosts(hosts: list[dict[str, Any]], *, is_plan: bool = False) -> None:
    """Those that get no tasks; and in a plan, of which it is not known how much room they have."""
    for one in hosts:
        if not one["gets_tasks"]:
            ui.err(text.safe(f"{one['host']} gets no tasks: {one['why']}"))
            if one["free_disk"] is not None and "of disk free" in str(one["why"]):
                ui.err("rumpel gc   shows what can go; tasks go on by themselves after that")
        elif is_plan and one["free_disk"] is None:
            ui.err(text.safe(f"{one['host']}: how much room it has is not known yet"))
