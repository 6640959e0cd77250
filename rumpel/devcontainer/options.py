"""The words of a docker command as name and value, by the rules of its own flag parser.

`--name=value`, `--name value`, `-nvalue`, `-n=value`, `-n value`, grouped switches (`-it`), and
switches that take a value only after `=`. The first word that is no option would be the image
for docker, so it is refused.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from rumpel.devcontainer.positions import FieldError, Path, dotted

SHORT = {
    "a": "attach", "c": "cpu-shares", "d": "detach", "e": "env", "h": "hostname",
    "i": "interactive", "l": "label", "m": "memory", "p": "publish", "P": "publish-all",
    "q": "quiet", "t": "tty", "u": "user", "v": "volume", "w": "workdir",
}  # fmt: skip

ALIASES = {"dns-opt": "dns-option", "net": "network", "net-alias": "network-alias"}

SWITCHES = frozenset(
    {
        "detach", "disable-content-trust", "help", "init", "interactive", "no-healthcheck",
        "oom-kill-disable", "privileged", "publish-all", "quiet", "read-only", "rm", "sig-proxy",
        "tty", "use-api-socket",
    }
)  # fmt: skip

_OWN_STREAMS = "rumpel opens its own streams to the pod"
REFUSED = {
    "attach": _OWN_STREAMS,
    "cidfile": "it would write a file on the host; `rumpel list --json` has the container id",
    "detach": "pods always run in the background",
    "detach-keys": _OWN_STREAMS,
    "entrypoint": "rumpel sets its own; use overrideCommand to choose what the container runs",
    "help": "it starts no container",
    "interactive": _OWN_STREAMS,
    "name": "several pods share this file and each has its own name",
    "pull": "the image is pulled when the engine does not have it",
    "quiet": "it only quietens the docker command line",
    "rm": "a pod keeps its container until `rumpel delete`",
    "sig-proxy": _OWN_STREAMS,
    "tty": _OWN_STREAMS,
    "use-api-socket": "it would hand the engine and your registry credentials to the pod",
}
"""Options that cannot be passed on, with the reason given to the user."""


@dataclass(frozen=True, slots=True)
class Option:
    """One option with its long name; switches have `true` or `false`."""

    name: str
    value: str
    path: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class _Grammar:
    """The options of one docker command."""

    known: Collection[str]
    short: Mapping[str, str]
    switches: Collection[str]
    refused: Mapping[str, str]


def split(
    words: Sequence[str],
    known: Collection[str],
    *,
    field: Path = ("runArgs",),
    short: Mapping[str, str] = SHORT,
    switches: Collection[str] = SWITCHES,
    refused: Mapping[str, str] = REFUSED,
) -> list[Option]:
    """Raises: FieldError for what is no option, an unknown or refused one, or a lacking value."""
    grammar = _Grammar(known=known, short=short, switches=switches, refused=refused)
    options: list[Option] = []
    position = iter(enumerate(words))
    for index, word in position:
        path: Path = (*field, index)
        if word.startswith("--") and len(word) > 2:
            options.append(_long(word, path, grammar, position))
        elif word.startswith("-") and len(word) > 1 and word != "--":
            options.extend(_short(word, path, grammar, position))
        else:
            raise FieldError(path, f"{word!r} is not an option of docker")
    for option in options:
        if option.name in refused:
            reason = refused[option.name]
            raise FieldError(
                option.path,
                f"--{option.name} cannot be passed on: {reason}",
                hint=f"take it out of {dotted(field)}",
            )
    return options


def _long(word: str, path: Path, grammar: _Grammar, rest: Iterator[tuple[int, str]]) -> Option:
    name, equals, value = word[2:].partition("=")
    name = ALIASES.get(name, name)
    if name not in grammar.known and name not in grammar.refused:
        raise FieldError(path, f"docker has no option --{name}", hint=_hint(name, grammar.known))
    if equals:
        return Option(name, value, path)
    if name in grammar.switches:
        return Option(name, "true", path)
    return Option(name, _following(f"--{name}", path, rest), path)


def _short(
    word: str, path: Path, grammar: _Grammar, rest: Iterator[tuple[int, str]]
) -> Iterator[Option]:
    letters = word[1:]
    while letters:
        letter, letters = letters[0], letters[1:]
        name = grammar.short.get(letter)
        if name is None:
            raise FieldError(path, f"docker has no option -{letter}")
        if letters.startswith("="):
            yield Option(name, letters[1:], path)
            return
        if name in grammar.switches:
            yield Option(name, "true", path)
        elif letters:
            yield Option(name, letters, path)
            return
        else:
            yield Option(name, _following(f"-{letter}", path, rest), path)


def _following(shown: str, path: Path, rest: Iterator[tuple[int, str]]) -> str:
    following = next(rest, None)
    if following is None:
        raise FieldError(path, f"{shown} needs a value")
    return following[1]


def _hint(name: str, known: Collection[str]) -> str | None:
    word, space, value = name.partition(" ")
    if space and ALIASES.get(word, word) in known:
        return f'write "--{word}", "{value.strip()}" as two words'
    import difflib  # milliseconds, and only on this error

    close = difflib.get_close_matches(name, sorted(known), n=1)
    return f"--{close[0]}" if close else None
