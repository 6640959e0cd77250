"""`rumpel batch land`: merge what is done, one task after the other, each tree verified first."""

from __future__ import annotations

import sys

from rumpel import text, ui
from rumpel.cli import merge_run, merge_words, session
from rumpel.cli.answer import Answer, show
from rumpel.cli.interrupt import Interrupts
from rumpel.errors import Interrupted, RumpelError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rumpel.cli.options import Options


def run(options: Options, request: dict[str, object], words: list[str]) -> int:
    """Stops at the first task that cannot be merged; the merges before it stay."""
    answer = session.ask(options, "batch", {**request, "action": "land"})
    if answer.error:
        return show(options, "batch", answer)
    data: dict[str, Any] = {**answer.data, "landed": []}
    message: dict[str, Any] = {"result": data, "warnings": answer.warnings}
    for left in data["left"]:
        message["warnings"].append(f"{left['name']} is {left['state']}: it is left out")
    try:
        for task in data["tasks"]:
            data["landed"].append(_land(options, request, task, words))
            if not options.json and not options.quiet:
                _tell(data["landed"][-1])
    except Interrupted:
        raise
    except RumpelError as error:
        error.message = f"{task['name']}: {error.message}"
        message = {"error": error.to_json(), "data": data, "warnings": message["warnings"]}
    return show(options, "batch", Answer(message), lambda found: render(found, options))


def _land(
    options: Options, request: dict[str, object], task: dict[str, Any], words: list[str]
) -> dict[str, Any]:
    name = str(task["name"])
    answer = session.ask(options, "merge", {"name": name, "branch": None})
    if answer.error:
        raise failed(answer.error)
    facts = {**answer.data, "commit": task["commit"]}  # what was verified, and nothing later
    merge = merge_run.Merge(facts, merge_words.Words(words), is_quiet=True)
    row = {"name": name, "commit": task["commit"], "by": None, **merge.state()}
    if merge.is_merged:
        return row
    merge.prepare(may_run_hooks=False)
    if merge.head is not None and task["verify"]:
        prove = {**request, "action": "prove", "names": [name], "text": merge.head}
        with Interrupts(look="rumpel batch status") as interrupts:
            proof = session.ask(options, "batch", prove, interrupts=interrupts)
        if proof.error:
            raise failed(proof.error)
        row["by"] = proof.data["by"]
    return {**row, **merge.run()}


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
