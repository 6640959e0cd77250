"""`rumpel batch land`: merge what is done, one task after the other, each tree verified first."""

from __future__ import annotations

import sys

from rumpel import text, ui
from rumpel.cli import merge_run, merge_words, session
from rumpel.cli.answer import Answer, show
from rumpel.cli.interrupt import Interrupts
from rumpel.errors import Conflict, Interrupted, RumpelError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rumpel.cli.options import Options


WORDS = ("-q", "--commit", "--no-squash")
"""Each merge is whole before the next one, whatever the user's git is configured to do."""


def run(options: Options, request: dict[str, object]) -> int:
    """Stops at the first task that cannot be merged; the merges before it stay."""
    answer = session.ask(options, "batch", {**request, "action": "land"})
    if answer.error:
        return show(options, "batch", answer)
    data: dict[str, Any] = {**answer.data, "landed": []}
    message: dict[str, Any] = {"result": data, "warnings": answer.warnings}
    message["warnings"] += [remark for left in data["left"] for remark in _left_out(left)]
    try:
        for task in data["tasks"]:
            message["warnings"] += _remarks(task)
            data["landed"].append(_land(options, request, task))
            if not options.json and not options.quiet:
                _tell(data["landed"][-1])
    except Interrupted:
        raise
    except RumpelError as error:
        error.message = f"{task['name']}: {error.message}"
        message = {"error": error.to_json(), "data": data, "warnings": message["warnings"]}
    return show(options, "batch", Answer(message), lambda found: render(found, options))


def _left_out(task: dict[str, Any]) -> list[str]:
    needs = f" needs {task['needs']}, which" if task["needs"] else ""
    return [f"{task['name']}{needs} is {task['state']}: it is left out"]


def _remarks(task: dict[str, Any]) -> list[str]:
    name, dirty = str(task["name"]), int(task["dirty"] or 0)
    found = [f"{name} has later commits, left out: rumpel merge {name}"] if task["moved"] else []
    files = text.count(dirty, "file")
    return [*found, f"{name} has {files} not committed: left out"] if dirty else found


def _land(options: Options, request: dict[str, object], task: dict[str, Any]) -> dict[str, Any]:
    """What was verified, and nothing later. Raises RumpelError; nothing is changed then."""
    name = str(task["name"])
    facts = {"name": name, "commit": task["commit"], "base_commit": task["base"]}
    facts |= {"shown": f"rumpelpod/{name}", "ref": f"refs/remotes/rumpelpod/{name}"}
    merge = merge_run.Merge(facts, merge_words.Words(list(WORDS)), is_quiet=True)
    row = {"name": name, "commit": task["commit"], "by": None, **merge.state()}
    if merge.is_merged:
        return row
    merge.prepare(may_run_hooks=False)
    tree = merge.result() if task["verify"] else None
    if tree is not None:
        row["by"] = _proven(options, request, name, head=str(merge.head), tree=tree)
    if not merge.is_where_it_was():
        raise Conflict(
            f"{merge.into} moved while the tree was verified; nothing was merged",
            hint="rumpel batch land   goes on",
        )
    return {**row, **_merged(merge, tree)}


def _proven(
    options: Options, request: dict[str, object], name: str, *, head: str, tree: str
) -> str:
    """For which task the very tree was verified."""
    prove = {**request, "action": "prove", "names": [name], "text": head, "tree": tree}
    with Interrupts(look="rumpel batch status") as interrupts:
        proof = session.ask(options, "batch", prove, interrupts=interrupts)
    if proof.error:
        raise failed(proof.error)
    return str(proof.data["by"])


def _merged(merge: merge_run.Merge, tree: str | None) -> dict[str, Any]:
    try:
        done = merge.run()
    except RumpelError as error:
        if merge.git.says("rev-parse", "-q", "--verify", "MERGE_HEAD"):  # a hook ended it
            merge.git.ask("merge", "--abort")
            error.message = f"{error.message}; it was undone"
            error.hint = None
        raise
    if tree is not None and merge.git.line("rev-parse", "HEAD^{tree}") != tree:
        raise Conflict(
            "it was merged, but a hook changed what was verified",
            hint="git show   to see it; rumpel batch land   goes on",
        )
    return done


def failed(said: dict[str, Any]) -> RumpelError:
    error = RumpelError(str(said["message"]), hint=said.get("hint"), details=said.get("details"))
    error.code, error.exit_code = str(said["code"]), int(said.get("exit_code", 1))
    return error


def _tell(row: dict[str, Any]) -> None:
    ui.out(f"{text.safe(str(row['name']))}: {_words(row)}")
    ui.flush_results()


def _words(row: dict[str, Any]) -> str:
    if row["outcome"] == "up to date":
        return "merged already"
    proof = f", its tree verified for {row['by']}" if row["by"] else ""
    return f"{row['outcome']}{proof if row['by'] != row['name'] else ', verified'}"


def render(data: dict[str, Any], options: Options) -> None:
    """The lines were told as they came."""
    if options.quiet:
        return
    landed = [row for row in data["landed"] if row["outcome"] != "up to date"]
    ui.err(f"{text.safe(str(data['name']))}: {text.count(len(landed), 'task')} merged now")
    if landed and ui.is_terminal(sys.stderr):
        ui.err("next: rumpel prune   removes the pods whose work is merged")
