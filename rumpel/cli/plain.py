"""Parses the command lines that people type all day, without argparse.

Importing argparse and filling it takes a quarter of the time of `rumpel list`. This reads the
same declarations, and gives up (None) on everything else than exact options and their arguments:
help, mistakes and rare spellings are argparse's.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Callable, Collection
    from typing import Any, TypeAlias

    Declared: TypeAlias = "ArgumentParser | Plain"
    """What a command declares its arguments to."""

SUPPRESS = "==SUPPRESS=="
"""argparse.SUPPRESS: as help, keeps an argument out of the help."""
LEAST = {None: 1, "?": 0, "*": 0, "+": 1}


class Arguments:
    """The arguments of a command as attributes, whichever parser made them."""

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...


class _Argument:
    __slots__ = ("action", "choices", "default", "dest", "nargs", "type")

    def __init__(self, dest: str, action: str, nargs: str | None, default: object) -> None:
        self.dest = dest
        self.action = action
        self.nargs = nargs
        self.default = default
        self.type: Callable[[str], object] = str
        self.choices: Collection[str] | None = None

    def read(self, word: str) -> object:
        """Raises ValueError."""
        value = self.type(word)
        if self.choices is not None and value not in self.choices:
            raise ValueError(word)
        return value


class Plain:
    """Takes the declarations as ArgumentParser does, as far as our commands need it."""

    def __init__(self) -> None:
        self._options: dict[str, _Argument] = {}
        self._positionals: list[_Argument] = []

    def add_argument_group(self, title: str) -> Plain:
        return self

    def add_argument(
        self,
        *names: str,
        dest: str | None = None,
        action: str = "store",
        nargs: str | None = None,
        default: object = None,
        type: Callable[[str], object] = str,
        choices: Collection[str] | None = None,
        metavar: str | None = None,
        help: str | None = None,
    ) -> None:
        if action == "help":
            return  # so these options are unknown here
        long = [name for name in names if name.startswith("--")] or names
        if action == "store_true":
            default = False
        argument = _Argument(dest or _attribute(long[0]), action, nargs, default)
        argument.type, argument.choices = type, choices
        if not names[0].startswith("-"):
            self._positionals.append(argument)
        elif nargs is None:
            self._options.update(dict.fromkeys(names, argument))

    def parse(self, words: list[str]) -> Arguments | None:
        """None: not plain."""
        values = {one.dest: one.default for one in (*self._options.values(), *self._positionals)}
        try:
            rest = self._take_options(words, values)
            self._take_positionals(rest, values)
        except ValueError:
            return None
        found = Arguments()
        found.__dict__.update(values)
        return found

    def _take_options(self, words: list[str], values: dict[str, Any]) -> list[str]:
        """What is left: names may stand on both sides of options."""
        rest, at = list[str](), 0
        while at < len(words):
            word = words[at]
            at += 1
            if not word.startswith("-"):
                rest.append(word)
                continue
            name, equals, value = word.partition("=")
            option = self._options.get(name)
            if option is None or (equals and not (name.startswith("--") and value)):
                raise ValueError(word)
            if option.action in ("store", "append"):
                if not equals:
                    value, at = (words[at] if at < len(words) else "-"), at + 1
                if value.startswith("-"):
                    raise ValueError(value)
                read = option.read(value)
                is_one = option.action == "store"
                values[option.dest] = read if is_one else [*values[option.dest], read]
            elif equals:
                raise ValueError(word)
            else:
                values[option.dest] = (
                    True if option.action == "store_true" else (values[option.dest] + 1)
                )
        return rest

    def _take_positionals(self, words: list[str], values: dict[str, Any]) -> None:
        """Each takes what it can and leaves the following ones what they need."""
        needed = sum(LEAST[one.nargs] for one in self._positionals)
        for one in self._positionals:
            needed -= LEAST[one.nargs]
            most = len(words) - needed
            taken = words[: min(most, 1) if one.nargs in (None, "?") else max(most, 0)]
            if len(taken) < LEAST[one.nargs]:
                raise ValueError(one.dest)
            words = words[len(taken) :]
            if one.nargs in ("*", "+"):
                values[one.dest] = [one.read(word) for word in taken]
            elif taken:
                values[one.dest] = one.read(taken[0])
        if words:
            raise ValueError(words[0])


def _attribute(name: str) -> str:
    return name.lstrip("-").replace("-", "_")
