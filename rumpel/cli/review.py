"""`rumpel review`: what a pod changed, risky files first, in the difftool or as a diff."""

from __future__ import annotations

import sys

from rumpel import text, ui
from rumpel.cli import session
from rumpel.cli.answer import show
from rumpel.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rumpel.cli import review_tool
    from rumpel.cli.options import Options
    from rumpel.cli.plain import Arguments, Declared

USAGE = "rumpel review [options] NAME [PATH...]"
DESCRIPTION = (
    "Show what a pod changed since it left the branch it was made from: file by file\n"
    "in your configured git difftool, or as a diff. Files that somebody's machine\n"
    "obeys (hooks, CI, containers, agents, executables, symlinks) come first, with\n"
    "the reason. Nothing of the pod is run; `rumpel merge` warns when it moved on."
)
EXAMPLES = (
    ("rumpel review fix-login", "your difftool; without one a diff"),
    ("rumpel review fix-login --stat", "an overview; what is risky, and why"),
    ("rumpel review fix-login src docs", "some paths only"),
    ("rumpel review fix-login --include-dirty", "with what is not committed yet"),
    ("rumpel review fix-login --patch > x.diff", "for `git apply`"),
    ("rumpel review alice --against bob", "two pods at the same task"),
    ("rumpel review fix-login --tool vimdiff", "another difftool, this once"),
)
MAY_MIX = True

BAR_COLUMNS = 30
STYLES = {"+": "green", "-": "red"}


def add_arguments(parser: Declared) -> None:
    parser.add_argument(
        "name",
        metavar="NAME[:BRANCH]",
        help="a pod (a unique beginning will do), or one of its branches",
    )
    parser.add_argument("paths", nargs="*", metavar="PATH", help="only these, as for git diff")
    parser.add_argument("--stat", action="store_true", help="files and numbers of lines")
    parser.add_argument("-p", "--patch", action="store_true", help="a diff, never a difftool")
    parser.add_argument("--name-only", action="store_true", help="the names of changed files")
    parser.add_argument("-t", "--tool", metavar="TOOL", help="use this difftool of git")
    parser.add_argument(
        "-y", "--no-prompt", action="store_true", help="start the difftool without asking"
    )
    parser.add_argument(
        "--include-dirty", action="store_true", help="also what is not committed in the pod"
    )
    parser.add_argument("--against", metavar="POD", help="compare with another pod's work")


def run(args: Arguments, passed: list[str], options: Options) -> int:
    modes = [bool(args.stat), bool(args.patch), bool(args.name_only), args.tool is not None]
    if sum(modes) > 1:
        raise UsageError("--stat, --patch, --name-only and --tool exclude each other")
    name, _, branch = args.name.partition(":")
    choice = _choice(args, options)
    request = {
        "name": name,
        "branch": branch or None,
        "paths": [*args.paths, *passed],
        "against": args.against,
        "include_dirty": args.include_dirty,
        "unseen": not options.json,
    }
    answer = session.ask(options, "review", request)
    view: dict[str, Any] = {}
    if isinstance(answer.data, dict):
        view = answer.data.pop("view", view)
    code = show(options, "review", answer)
    if options.json or answer.error:
        return code
    if not options.quiet:
        _say(answer.data, view, options, with_risks=not args.stat)
    name = answer.data["name"]
    display(answer.data["files"], {**view, "name": name}, choice, args, options)
    if view["counts"]:
        # Only now: what a tool or pager did not show, nobody has reviewed.
        seen = {"name": name, "branch": branch, "commit": answer.data["commit"]}
        failed = session.ask(options, "reviewed", seen)
        if failed.error:
            return show(options, "review", failed)
    return code


def _choice(args: Arguments, options: Options) -> review_tool.Choice | None:
    """The difftool that will show it; None for everything else."""
    if options.json or args.stat or args.name_only or args.patch:
        return None
    from rumpel.cli import review_tool

    choice = review_tool.chosen(args.tool)
    return choice if choice.is_made else None


def display(
    files: list[dict[str, Any]],
    view: dict[str, Any],
    choice: review_tool.Choice | None,
    args: Arguments,
    options: Options,
) -> None:
    if not files:
        return
    if args.stat:
        for line in stat(files, color=ui.use_color(options.color, sys.stdout)):
            ui.out(line)
    elif args.name_only:
        for file in files:
            ui.out(quoted(file["path"]))
    elif choice is not None:
        from rumpel.cli import review_tool

        review_tool.show(files, view, choice, may_ask=not args.no_prompt)
    else:
        from rumpel.cli import review_patch

        review_patch.show(files, view, color=options.color)


def headline(data: dict[str, Any], view: dict[str, Any]) -> str:
    """What is shown, in one line."""
    name, base, commit = data["name"], data["base"], str(data["commit"])[:12]
    if view["branch"] != name:
        name = f"{name}:{text.safe(view['branch'])}"
    if base is None:
        since = "commits"
    elif base == data["base_commit"]:
        since = f"since {base[:12]}"
    else:
        since = f"that {text.safe(base.removeprefix('pod/'))} does not have"
    if not data["files"]:
        where = "in these paths" if view["paths"] else since
        return f"nothing to review: {name} has no changes {where} (commit {commit})"
    if base is None:
        since = ""
    parts = []
    if data["ahead"] or not data["uncommitted"]:
        parts.append(f"{text.count(data['ahead'], 'commit')} {since}".rstrip())
    if view["behind"]:
        other = text.safe(str(base).removeprefix("pod/"))
        parts.append(f"{text.count(view['behind'], 'commit')} of {other} that it does not have")
    if data["uncommitted"] is not None:
        parts.append(text.count(data["uncommitted"], "uncommitted file"))
    return f"{name}: {text.listing(parts)}, {_summary(data['totals'])}; commit {commit}"


def stat(files: list[dict[str, Any]], *, color: bool = False) -> list[str]:
    """As `git diff --stat`, with a `!` before what is risky and the reason behind it."""
    shown = [(quoted(file["path"]), file) for file in files]
    shown = [(_renamed(name, file), file) for name, file in shown]
    wide = max(text.width(name) for name, _ in shown)
    most = max(_lines(file) for file in files)
    digits = max(len(_number(file)) for file in files)
    lines = []
    for name, file in shown:
        mark = ui.paint("!", "yellow", color) if file["risks"] else " "
        bar = "".join(
            ui.paint(sign * count, STYLES[sign], color) for sign, count in _bar(file, most)
        )
        line = f"{mark} {text.pad(name, wide)} | {_number(file).rjust(digits)} {bar}".rstrip()
        lines.append(line + (f"  ({_reasons(file)})" if file["risks"] else ""))
    totals = {
        "files": len(files),
        "additions": sum(file["additions"] or 0 for file in files),
        "deletions": sum(file["deletions"] or 0 for file in files),
    }
    return [*lines, f"  {_summary(totals)}"]


def quoted(path: str) -> str:
    """As git shows names: what is not printable makes it a C string."""
    if path.isprintable() and '"' not in path and "\\" not in path:
        return path
    escaped = path.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text.safe(escaped)}"'


def _say(data: dict[str, Any], view: dict[str, Any], options: Options, *, with_risks: bool) -> None:
    for line in ui.prose(headline(data, view)):
        ui.err(line)
    color = ui.use_color(options.color, sys.stderr)
    for file in data["files"] if with_risks else ():
        if file["risks"]:
            first, *rest = ui.prose(f"{quoted(file['path'])}: {_reasons(file)}", taken=2)
            for line in (f"{ui.paint('!', 'yellow', color)} {first}", *rest):
                ui.err(line)


def _summary(totals: dict[str, Any]) -> str:
    parts = [f"{text.count(totals['files'], 'file')} changed"]
    if totals["additions"]:
        parts.append(text.count(totals["additions"], "insertion") + "(+)")
    if totals["deletions"]:
        parts.append(text.count(totals["deletions"], "deletion") + "(-)")
    return ", ".join(parts)


def _reasons(file: dict[str, Any]) -> str:
    return "; ".join(text.safe(str(risk["reason"])) for risk in file["risks"])


def _renamed(name: str, file: dict[str, Any]) -> str:
    return f"{quoted(file['old_path'])} => {name}" if "old_path" in file else name


def _lines(file: dict[str, Any]) -> int:
    return (file["additions"] or 0) + (file["deletions"] or 0)


def _number(file: dict[str, Any]) -> str:
    return "Bin" if file["additions"] is None else str(_lines(file))


def _bar(file: dict[str, Any], most: int) -> list[tuple[str, int]]:
    """Signs and how many; what is not nothing has one at least."""
    scale = 1.0 if most <= BAR_COLUMNS else BAR_COLUMNS / most
    counts = {"+": file["additions"] or 0, "-": file["deletions"] or 0}
    return [(sign, max(1, round(count * scale)) if count else 0) for sign, count in counts.items()]
