"""Which words of `rumpel merge` are ours and which are git's, and what git's ones mean. Pure."""

from __future__ import annotations

import re

from rumpel.errors import UsageError

OWN = frozenset({"--keep", "--reviewed", "--allow-hooks", "--json", "-h", "--help"})
OWN_WITH_VALUE = frozenset({"-C", "--color", "--host"})
SHARED = frozenset({"-q", "--quiet", "-v", "--verbose"})
"""Mean the same to both."""
GIT_WITH_VALUE = frozenset(
    {"-m", "--message", "-F", "--file", "-s", "--strategy", "-X", "--strategy-option"}
    | {"--cleanup", "--into-name"}
)
BUNDLED = re.compile(r"-[nevq]+[mFsX]")
"""Short options in one word, the last of which takes the next word."""
STRATEGY = re.compile(r"-[nevq]*[sX].*|--strategy(-option)?(=.*)?")
NOT_OURS = {"--abort": "ends", "--continue": "completes", "--quit": "forgets"}


def split(words: list[str]) -> tuple[list[str], list[str]]:
    """(ours, git's). What stands behind `--` is git's as it is."""
    ours, gits, at = list[str](), list[str](), 0
    while at < len(words):
        word = words[at]
        at += 1
        if word == "--":
            gits += words[at:]
            break
        name, equals, _ = word.partition("=")
        if not word.startswith("-") or word == "-" or name in OWN or word in SHARED:
            ours.append(word)
            if word in SHARED:
                gits.append(word)
        elif name in OWN_WITH_VALUE:
            ours += [word] if equals else words[at - 1 : at + 1]
            at += not equals
        elif takes_next(word):
            gits += words[at - 1 : at + 1]
            at += 1
        else:
            gits.append(word)
    return ours, gits


def takes_next(word: str) -> bool:
    """Is the value of this option the next word?"""
    return word in GIT_WITH_VALUE or bool(BUNDLED.fullmatch(word))


class Words:
    """What git's words ask for. The last of contrary ones wins, as with git."""

    def __init__(self, words: list[str]) -> None:
        """Raises UsageError for what `rumpel merge` does not do."""
        self.all = words
        self.strategy: list[str] = []
        """Those that decide what the merge results in, so the check needs them too."""
        self.has_message = False
        self.is_squash = False
        self.is_committed = True
        self.edit: bool | None = None
        self.ff: str | None = None
        at = 0
        while at < len(words):
            taken = words[at : at + 2] if takes_next(words[at]) else words[at : at + 1]
            at += len(taken)
            self._read(taken)

    def without_ff(self) -> list[str]:
        return [word for word in self.all if word != "--ff"]

    def _read(self, taken: list[str]) -> None:
        word = taken[0]
        if word in NOT_OURS:
            raise UsageError(
                f"{word} is git's own: it {NOT_OURS[word]} a merge that was begun",
                hint=f"git merge {word}",
            )
        if not word.startswith("-") or word == "--":
            raise UsageError(f"merge takes one pod, and {word!r} is neither that nor an option")
        if STRATEGY.fullmatch(word) or word == "--allow-unrelated-histories":
            self.strategy += taken
        elif re.match(r"-[nevq]*[mF]|--(message|file)(=|$)", word):
            self.has_message = True
        elif word in ("--squash", "--no-squash"):
            self.is_squash = word == "--squash"
        elif word in ("--commit", "--no-commit"):
            self.is_committed = word == "--commit"
        elif word in ("-e", "--edit", "--no-edit"):
            self.edit = word != "--no-edit"
        elif word in ("--ff", "--no-ff", "--ff-only"):
            self.ff = word
