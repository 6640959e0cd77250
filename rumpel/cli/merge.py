"""`rumpel merge`: take a pod's commits into the current branch, when that goes without conflict."""

from __future__ import annotations

import shlex
import sys

from rumpel import names, text, ui
from rumpel.cli import merge_run, merge_words, session
from rumpel.cli.answer import Answer, show
from rumpel.cli.interrupt import Interrupts
from rumpel.cli.plain import SUPPRESS
from rumpel.errors import Conflict, Interrupted, RumpelError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rumpel.cli.options import Options
    from rumpel.cli.plain import Arguments, Declared

USAGE = "rumpel merge [options] NAME[:BRANCH] [git merge options]"
DESCRIPTION = (
    "Merge a pod's branch into the current one, with git merge: your hooks, filters,\n"
    "signing and editor. Its commits are imported first. When there are conflicts,\n"
    "nothing is touched, and they are listed. Then the pod is stopped.\n"
    "\n"
    "All options of git merge are passed on, also behind --. A file DESCRIPTION that\n"
    "the pod added at the top becomes the message and is left out of the tree.\n"
    "When the pod has moved since `rumpel review`, you are asked (without a terminal:\n"
    "warned); --reviewed refuses instead."
)
EXAMPLES = (
    ("rumpel merge fix-login", "take its commits, stop it"),
    ("rumpel merge fix-login:other/branch", "another branch of the pod"),
    ("rumpel merge fix-login --squash", "one change, for you to commit"),
    ("rumpel merge fix-login --no-ff -m 'Fix it'", "options of git merge"),
    ("rumpel merge fix-login --keep", "the pod goes on"),
    ("rumpel merge fix-login --reviewed", "only what was reviewed"),
)


def split_words(words: list[str]) -> tuple[list[str], list[str]]:
    return merge_words.split(words)


def add_arguments(parser: Declared) -> None:
    parser.add_argument("name", metavar="NAME[:BRANCH]", help="the pod, or one of its branches")
    parser.add_argument("stray", nargs="*", help=SUPPRESS)
    parser.add_argument("--keep", action="store_true", help="leave the pod running")
    parser.add_argument(
        "--reviewed",
        action="store_true",
        help="refuse unless `rumpel review` has shown the pod's last commit",
    )
    parser.add_argument(
        "--allow-hooks",
        action="store_true",
        help="also when the merge changes hooks that git runs (core.hooksPath)",
    )


def run(args: Arguments, passed: list[str], options: Options) -> int:
    name, _, branch = args.name.partition(":")
    names.check_pod_name(name)
    if args.stray:
        raise UsageError(
            f"merge takes one pod, and {text.safe(args.stray[0])!r} is another word",
            hint=f"rumpel merge {args.name}",
        )
    words = merge_words.Words(passed)
    with Interrupts(look="rumpel list") as interrupts:
        answer = session.ask(
            options, "merge", {"name": name, "branch": branch or None}, interrupts=interrupts
        )
    if answer.error:
        return show(options, "merge", answer)
    return _Merging(args, words, options, answer).run()


class _Merging:
    """One merge of a pod whose commits are here. Remarks are told at once, or in the envelope."""

    def __init__(
        self, args: Arguments, words: merge_words.Words, options: Options, answer: Answer
    ) -> None:
        self.args, self.words, self.options = args, words, options
        self.facts: dict[str, Any] = answer.data
        self.warnings: list[str] = []
        self.result: dict[str, Any] = {
            "name": self.facts["name"],
            "branch": self.facts["branch"],
            "commit": self.facts["commit"],
            "dirty": self.facts["dirty"],
            "stopped": False,
        }
        for warning in answer.warnings:
            self.warn(warning)

    def run(self) -> int:
        message: dict[str, Any] = {"warnings": self.warnings}
        try:
            self._warn_of_the_pod()
            merge = merge_run.Merge(self.facts, self.words, is_quiet=self.options.json)
            self.result.update(merge.state())
            if merge.is_merged:
                self.warn(f"nothing to merge: {merge.into} has all commits of {self.args.name}")
                self._tell_others()
            else:
                self._merge(merge)
            message["result"] = self.result
        except RumpelError as err:
            if isinstance(err, Interrupted):
                raise
            message |= {"error": err.to_json(), "data": self.result}
        if not self.options.json:
            message["warnings"] = []  # told already
        return show(self.options, "merge", Answer(message))

    def _merge(self, merge: merge_run.Merge) -> None:
        self._check_review()
        for warning in merge.prepare(may_run_hooks=self.args.allow_hooks):
            self.warn(warning)
        self.result.update(merge.run())
        if merge.is_done and not self.args.keep and self.facts["runs"]:
            self._stop()
        if merge.has_moved():
            self.warn(
                f"pod {self.args.name} committed more meanwhile: "
                f"rumpel merge {self.args.name} takes that, too"
            )

    def warn(self, message: str) -> None:
        self.warnings.append(message)
        if not self.options.json:
            ui.flush_results()
            ui.warning(message, color=ui.use_color(self.options.color, sys.stderr))

    @property
    def name(self) -> str:
        return str(self.facts["name"])

    def _tell_others(self) -> None:
        for other in self.facts.get("others") or ():
            if other["branch"] != self.facts["branch"]:
                where = f"{self.name}:{other['branch']}"
                self.warn(
                    f"pod {self.name} has {text.count(other['ahead'], 'commit')} on branch "
                    f"{text.safe(other['branch'])}: rumpel merge {text.safe(where)}"
                )

    def _warn_of_the_pod(self) -> None:
        name, dirty = self.name, self.facts["dirty"]
        if dirty:
            self.warn(
                f"pod {name} has {text.count(dirty, 'uncommitted file')}, "
                f"{'which is' if dirty == 1 else 'which are'} not in this merge"
            )
        if self.facts["detached"]:
            commits = text.count(self.facts["detached"], "commit")
            self.warn(
                f"pod {name} has {commits} on a detached HEAD, not in this merge: "
                f"rumpel enter {name} -- git branch NEW   gives HEAD's commits a branch"
            )
        if not self.facts["was_asked"] and self.facts["status"] not in ("stopped", "unreachable"):
            self.warn(
                f"pod {name} is {self.facts['status']} and could not be asked: "
                "its last commits may be missing"
            )

    def _check_review(self) -> None:
        """`--reviewed` demands it; else a person is asked, and a script is warned."""
        name, branch, seen = self.name, self.facts["branch"], self.facts["reviewed"]
        shown = name if branch == name else text.safe(shlex.quote(f"{name}:{branch}"))
        hint = f"rumpel review {shown}"
        who = f"pod {name}" if branch == name else f"branch {text.safe(branch)} of pod {name}"
        if seen is None:
            if self.args.reviewed:
                raise Conflict(f"{who} was not reviewed", hint=hint)
            return
        if seen["oid"] == self.facts["commit"]:
            return
        moved = seen["moved"]
        if moved == 0:
            return  # only commits that are on the host already
        count = text.count(moved, "commit") if moved else "rewritten commits"
        what = f"{who} has {count} since it was reviewed"
        if self.args.reviewed:
            raise Conflict(what, hint=hint)
        self.warn(f"{what}: {hint}   shows it now")
        if self.options.json or not ui.can_ask():
            return
        sys.stderr.write("Merge it all the same? [y/N] ")
        sys.stderr.flush()
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            raise Conflict("not merged", hint=hint)

    def _stop(self) -> None:
        """The merge is done whatever becomes of this."""
        name, agent = self.name, self.facts["agent"]
        if agent:
            self.warn(f"pod {name} goes on, {agent} works in it: rumpel stop {name}")
            return
        try:
            answer = session.ask(self.options, "stop", {"names": [name], "all": False})
            problem = answer.error and str(answer.error.get("message"))
        except Interrupted:
            raise
        except RumpelError as err:
            problem = err.message
        if problem:
            self.warn(f"pod {name} was not stopped: {problem}")
            return
        self.result["stopped"] = True
        if not self.options.json and not self.options.quiet:
            ui.flush_results()
            ui.err(f"pod {name} is stopped: rumpel enter {name}   starts it again")
