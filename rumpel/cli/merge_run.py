"""One merge by the user's own git: first whether it would conflict, then it.

The commit is the one the daemon named; the ref may move on while we work.
"""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack

from rumpel import text
from rumpel.cli import merge_description, merge_hooks, merge_trial, usergit
from rumpel.errors import CommandFailed, Conflict, RumpelError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rumpel.cli.merge_words import Words

SHOWN = 20
FALSE_WORDS = ("", "0", "false", "no", "off")


class Merge:
    """Ask `is_merged`, then `prepare`, then `run`."""

    def __init__(self, facts: dict[str, Any], words: Words, *, is_quiet: bool) -> None:
        """`is_quiet`: nothing may be written to stdout, and nobody can be asked."""
        self.git = usergit.here()
        self.facts, self.words, self.is_quiet = facts, words, is_quiet
        self.pod, self.theirs = str(facts["name"]), str(facts["commit"])
        self.shown = str(facts["shown"])
        self.head = self.git.line("rev-parse", "-q", "--verify", "HEAD^{commit}")
        self.branch = self.git.line("symbolic-ref", "-q", "--short", "HEAD")
        self.outcome = "up to date"
        self._description: merge_description.Description | None = None
        self._tree: str | None = None

    @property
    def into(self) -> str:
        return self.branch or "HEAD"

    @property
    def is_merged(self) -> bool:
        return self.head is not None and self._contains(self.head, self.theirs)

    @property
    def is_done(self) -> bool:
        """The pod's work is here: committed, or (squashed) ready to be."""
        return self.outcome in ("merged", "fast-forwarded", "squashed")

    def state(self) -> dict[str, Any]:
        after = self.git.line("rev-parse", "-q", "--verify", "HEAD^{commit}")
        return {
            "outcome": self.outcome,
            "into": self.branch,
            "before": self.head,
            "after": after,
        }

    def has_moved(self) -> bool:
        """A ref that is not there, removed by hand perhaps, tells nothing."""
        now = self.git.line("rev-parse", "-q", "--verify", self.facts["ref"])
        return now is not None and now != self.theirs

    def prepare(self, *, may_run_hooks: bool) -> list[str]:
        """Remarks. Raises Conflict with the files when git would not merge; touches nothing."""
        if self.git.says("rev-parse", "-q", "--verify", "MERGE_HEAD"):
            raise Conflict(
                "a merge is in progress here",
                hint="git merge --continue   or   git merge --abort",
            )
        remarks = []
        if self.branch is None:
            remarks.append("HEAD is detached: the merge is on no branch")
        if not may_run_hooks:
            self._refuse_new_hooks()
        if self.head is None:
            return remarks
        self._description, remark = merge_description.find(
            self.git, self.head, self.theirs, self.facts["base_commit"]
        )
        if self._description is not None and self.words.ff == "--ff-only":
            self._description = None
            remark = "DESCRIPTION is merged as a file: with --ff-only there is no merge commit"
        self._try()
        return [*remarks, remark] if remark else remarks

    def result(self) -> str | None:
        """The tree that `run` will give; it is in the repository then. None: an unborn branch."""
        if self._tree is not None or self.head is None:
            return self._tree
        if self._contains(self.theirs, self.head):
            return self.git.line("rev-parse", "-q", "--verify", f"{self.theirs}^{{tree}}")
        return self._attempt([*self._configured(), *self.words.strategy], {}).tree

    def is_where_it_was(self) -> bool:
        """HEAD, since we looked first."""
        now = self.git.line("rev-parse", "-q", "--verify", "HEAD^{commit}")
        branch = self.git.line("symbolic-ref", "-q", "--short", "HEAD")
        return (now, branch) == (self.head, self.branch)

    def run(self) -> dict[str, Any]:
        """Raises Conflict, CommandFailed. Answers what has become of it."""
        with ExitStack() as stack:
            folder = stack.enter_context(merge_trial.scratch())
            options, more = self._options(folder)
            env = {"GIT_REFLOG_ACTION": f"merge {self.shown}", **more}
            argv = ["merge", *options, self.theirs]
            code, said = self.git.attached(argv, env=env, is_quiet=self.is_quiet)
        if self.is_quiet and not code:  # else it is in the error
            sys.stderr.write("".join(f"{line}\n" for line in text.safe_lines(said)))
        if code:
            raise self._failed(code, said)
        if self.words.is_squash:
            self.outcome = "squashed"
            self._finish_squash()
        elif self.git.says("rev-parse", "-q", "--verify", "MERGE_HEAD"):
            self.outcome = "staged"
        elif self.git.line("rev-parse", "HEAD") == self.theirs:
            self.outcome = "fast-forwarded"
        else:
            self.outcome = "merged"
        return self.state()

    def _contains(self, commit: str, other: str) -> bool:
        return self.git.says("merge-base", "--is-ancestor", other, commit)

    def _try(self) -> None:
        """Raises Conflict. With a description, the merged tree is in the repository then."""
        assert self.head is not None  # noqa: S101 - the caller looked
        is_ahead = self._contains(self.theirs, self.head)
        if is_ahead and self._description is None:
            return
        strategy = [*self._configured(), *self.words.strategy]
        with merge_trial.scratch() as folder:
            env = merge_trial.quarantine(self.git, folder)
            found = self._attempt(strategy, env)
        if found.conflicts:
            raise self._conflict(found.conflicts)
        if self._description is not None:
            self._tree = self._attempt(strategy, {}).tree

    def _attempt(self, strategy: list[str], env: dict[str, str]) -> merge_trial.Trial:
        assert self.head is not None  # noqa: S101 - the caller looked
        theirs = self.theirs
        if self._description is not None:
            theirs = merge_description.without(self.git, theirs, env=env)
        return merge_trial.attempt(self.git, self.head, theirs, strategy, env=env)

    def _configured(self) -> list[str]:
        """Strategies from the configuration, which only `git merge` itself would heed."""
        import shlex

        from rumpel.cli.merge_words import Words

        found = []
        twohead = self.git.line("config", "--get", "pull.twohead")
        if twohead:
            found += [word for name in twohead.split() for word in ("-s", name)]
        if self.branch:
            line = self.git.line("config", "--get", f"branch.{self.branch}.mergeOptions")
            found += Words(shlex.split(line)).strategy if line else []
        return found

    def _conflict(self, files: list[str]) -> Conflict:
        shown = [f"\n  {text.safe(name)}" for name in files[:SHOWN]]
        if len(files) > SHOWN:
            shown.append(f"\n  and {len(files) - SHOWN} more")
        return Conflict(
            f"{self.into} and pod {self.pod} conflict in {text.count(len(files), 'file')}; "
            f"nothing was changed{''.join(shown)}",
            hint=f"rumpel enter {self.pod} -- git merge host/{self.branch or 'HEAD'}   "
            f"and resolve it there; or here: git merge {self.shown}",
            details={"conflicts": [text.safe(name) for name in files]},
        )

    def _refuse_new_hooks(self) -> None:
        """Where hooks lie in the working tree, git would run those the pod wrote."""
        if self.head is None:
            return
        names = merge_hooks.changed(self.git, self.head, self.theirs)
        if names:
            raise Conflict(
                f"pod {self.pod} changes hooks that git runs: "
                + text.listing([text.safe(name) for name in names[:SHOWN]]),
                hint=f"rumpel review {self.pod}   shows them; then say --allow-hooks",
                details={"hooks": [text.safe(name) for name in names]},
            )

    def _options(self, folder: str) -> tuple[list[str], dict[str, str]]:
        """For `git merge`: our words before the user's, so that theirs win."""
        found, more, words = list[str](), dict[str, str](), self.words.all
        if self._description is not None and self._tree is not None:
            options, more = merge_description.strategy(folder, self._tree)
            if not self.words.is_squash:
                options.append("--no-ff")
            words = [word for word in self._without_strategy() if word != "--ff"]
            found += options
        has_message = self.words.has_message or self.words.is_squash
        if self.head and not has_message and not self._is_fast_forward():
            found += ["-F", self._message(folder)]
            if self._is_edited() and not self.is_quiet:
                found.append("--edit")
        last = ["--no-edit"] if self.is_quiet else []
        return [*found, *words, *last], more

    def _is_fast_forward(self) -> bool:
        """Then there is no commit for a message, and git would remark on one."""
        if self.head is None or self._description is not None or self.words.ff == "--no-ff":
            return False
        options = self.branch and self.git.line(
            "config", "--get", f"branch.{self.branch}.mergeOptions"
        )
        if self.words.ff is None and (
            self.git.line("config", "--get", "merge.ff") == "false" or "--no-ff" in (options or "")
        ):
            return False
        return self._contains(self.theirs, self.head)

    def _without_strategy(self) -> list[str]:
        """The tree is made already, by the strategy the user named."""
        left, taken = list[str](), list(self.words.strategy)
        for word in self.words.all:
            if taken and word == taken[0] and word != "--allow-unrelated-histories":
                taken.pop(0)
            else:
                left.append(word)
        return left

    def _message(self, folder: str) -> str:
        """Git's own text for this ref, as if it had not been pinned; or the pod's."""
        path = os.path.join(folder, "message")
        line = f"{self.theirs}\t\tremote-tracking branch '{self.shown}'\n"
        data = self.git.ask("fmt-merge-msg", input=line.encode())
        if self._description is not None and self._description.text:
            data = self._description.text.encode()
        with open(path, "wb") as file:
            file.write(data + b"\n")
        return path

    def _is_edited(self) -> bool:
        """What git does without a message of ours; the pod's own text is taken as it is."""
        if self.words.edit is not None or self._description is not None:
            return bool(self.words.edit)
        wish = os.environ.get("GIT_MERGE_AUTOEDIT")
        return wish.lower() not in FALSE_WORDS if wish is not None else usergit.has_terminal()

    def _finish_squash(self) -> None:
        """No commit is made, so the text waits where `git commit` looks for it."""
        if self._description is None:
            return
        name = merge_description.NAME
        if self.git.says("ls-files", "--error-unmatch", "--", name):
            self.git.ask("rm", "-q", "-f", "--", name)
        path = self.git.line("rev-parse", "--git-path", "SQUASH_MSG")
        if path and self._description.text:
            with open(os.path.join(self.git.folder, path), "w") as file:
                file.write(self._description.text + "\n")

    def _failed(self, code: int, said: str) -> RumpelError:
        details = {"exit_code": code, "tail": said}
        if self.git.line("ls-files", "-u"):
            self.git.tell("merge", "--abort")
            return Conflict(
                f"the merge of pod {self.pod} conflicts and was undone", details=details
            )
        if self.git.says("rev-parse", "-q", "--verify", "MERGE_HEAD"):
            return CommandFailed(
                f"the merge of pod {self.pod} is not committed: a hook or the editor ended it",
                hint="git commit   completes it; git merge --abort   undoes it",
                details=details,
            )
        return Conflict(
            f"git refuses to merge pod {self.pod}; nothing was changed", details=details
        )
