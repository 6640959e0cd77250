"""`rumpel list`: the pods of this repository, or of all. The hot path: imports little."""

from __future__ import annotations

import sys
import time

from rumpel import text, ui
from rumpel.cli import session
from rumpel.cli.answer import show

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rumpel.cli.options import Options
    from rumpel.cli.plain import Arguments, Declared

DESCRIPTION = (
    "Show the pods of this repository: running ones first, newest commit first.\n"
    "GIT compares with the branch the pod was made from. +dirty: files are not\n"
    "committed, as last seen (--refresh looks now); +dirty? when that is not known.\n"
    "merged: the branch has all of it under other names, as after merge --squash.\n"
    "+1 on BRANCH: commits on another branch of the pod, or on a detached HEAD;\n"
    "+1 in PATH: in a submodule, for git -C PATH merge rumpelpod/NAME.\n"
    "+refused: a branch of the pod is not taken; below the table it says why."
)
EXAMPLES = (
    ("rumpel list", "this repository's pods"),
    ("rumpel list --all", "the pods of all repositories"),
    ("rumpel list --host ssh://build", "those on one host"),
    ("rumpel list --refresh", "with uncommitted files as they are now"),
    ("rumpel list -q | xargs rumpel stop", "names only, for scripts"),
    ("rumpel list --json", "everything that is known"),
)
SHOWN_REFUSED = 3
STYLES = {"running": "green", "failed": "red", "gone": "red", "unreachable": "yellow"}


def add_arguments(parser: Declared) -> None:
    parser.add_argument("-a", "--all", action="store_true", help="pods of all repositories")
    parser.add_argument(
        "-r", "--refresh", action="store_true", help="ask every running pod for changed files"
    )


def run(args: Arguments, passed: list[str], options: Options) -> int:
    request: dict[str, object] = {
        "all": args.all,
        "quiet": options.quiet,
        "refresh": args.refresh,
    }
    answer = session.ask(options, "list", request, within_s=60)
    return show(options, "list", answer, lambda pods: render(pods, options, with_repo=args.all))


def render(pods: list[dict[str, Any]], options: Options, *, with_repo: bool) -> None:
    if options.quiet:
        for pod in pods:
            ui.out(text.safe(str(pod["name"])))
        return
    if not pods and ui.is_terminal(sys.stdout):
        where = f" on {text.safe(options.host)}" if options.host else " yet"
        host = f" --host {text.safe(options.host)}" if options.host else ""
        ui.err(f"no pods{where}: rumpel create NAME{host} makes one")
        return
    headers, rows = cells(pods, time.time(), with_repo=with_repo)
    # What is said of a failure, and the name one has to type, are cut last.
    lines = text.table(headers, rows, columns=ui.columns(sys.stdout), first=("CREATED", "GIT"))
    if ui.use_color(options.color, sys.stdout):
        lines = _colored(lines, headers, pods)
    for line in lines:
        ui.out(line)
    for line in refusals(pods):
        ui.out(line)


def refusals(pods: list[dict[str, Any]]) -> list[str]:
    """A line for each branch the host did not take, below the table; a few of each pod."""
    found = []
    for pod in pods:
        git = pod.get("git")
        refused = git.get("refused") if git else None
        for item in (refused or ())[:SHOWN_REFUSED]:
            what = "further branches" if item["branch"] == "*" else f"branch {item['branch']}"
            found.append(text.safe(f"{pod.get('name')}: {what} refused: {item['reason']}"))
        if refused and len(refused) > SHOWN_REFUSED:
            more = text.count(len(refused) - SHOWN_REFUSED, "more branch", "more branches")
            found.append(text.safe(f"{pod.get('name')}: and {more}, see --json"))
    return ["", *found] if found else []


def cells(
    pods: list[dict[str, Any]], now: float, *, with_repo: bool
) -> tuple[list[str], list[list[str]]]:
    """Headers and rows. HOST only where hosts differ, REPO only where they can."""
    with_host = len({pod.get("host") for pod in pods}) > 1
    headers = ["NAME", "AGENT", "GIT", "STATUS", "CREATED"]
    rows = []
    for pod in pods:
        created = text.unix_time(str(pod.get("created_at") or ""))
        row = [
            str(pod.get("name")),
            str((pod.get("agent") or {}).get("state") or "-"),
            git_state(pod.get("git"), str(pod.get("branch"))),
            status(pod),
            "-" if created is None else text.ago(now - created),
        ]
        if with_host:
            row.append(str(pod.get("host") or "-"))
        if with_repo:
            row.append(str(pod.get("repo") or "-"))
        rows.append(row)
    headers += ["HOST"] * with_host + ["REPO"] * with_repo
    return headers, rows


def git_state(git: dict[str, Any] | None, branch: str = "") -> str:
    """`up to date`, `ahead 1`, `ahead 1, behind 2 +dirty`; `-` when nothing is known.

    With a `?` when the last commits of the pod's own branch are refused: how many, nobody knows.
    """
    if not git:
        return "-"
    parts = [f"{side} {git[side]}" for side in ("ahead", "behind") if git.get(side)]
    known = git.get("ahead") is not None or git.get("behind") is not None
    if any(item["branch"] in (branch, "*") for item in git.get("refused") or ()):
        parts = [f"ahead {git.get('ahead') or ''}?", *parts[1 if git.get("ahead") else 0 :]]
    base = ", ".join(parts) or ("up to date" if known else "-")
    if git.get("merged"):
        base = "merged"
    marks = [f" +{item['ahead']} on {item['branch']}" for item in git.get("others") or ()]
    marks += [f" +{item['ahead']} in {item['path']}" for item in git.get("submodules") or ()]
    if git.get("detached"):
        marks.append(f" +{git['detached']} on a detached HEAD")
    if git.get("dirty") or (known and git.get("dirty") is None):
        marks.append(" +dirty" if git.get("dirty") else " +dirty?")
    return base + "".join(marks) + (" +refused" if git.get("refused") else "")


def status(pod: dict[str, Any]) -> str:
    """The status; a failed pod's names the step: `failed at postCreateCommand`."""
    return str(pod.get("status") or "-")


def _colored(lines: list[str], headers: list[str], pods: list[dict[str, Any]]) -> list[str]:
    """Bold header; the status word of each line painted. Widths are done, so nothing shifts."""
    at = lines[0].index("STATUS")
    painted = [ui.paint(lines[0], "bold", True)]
    for line, pod in zip(lines[1:], pods, strict=True):
        word = status(pod).partition(" ")[0]
        style = STYLES.get(word)
        if style and line[at:].startswith(word):
            line = line[:at] + ui.paint(word, style, True) + line[at + len(word) :]
        painted.append(line)
    return painted
