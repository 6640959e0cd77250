"""What becomes of each field of one file; warnings and `rumpel config --check` are made of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from rumpel.devcontainer.field_table import FIELDS, FOR_OTHERS, SAME, Known, Verdict
from rumpel.devcontainer.positions import Parsed, Path, dotted

_PORTS = "portsAttributes"
_OTHER_PORTS = "otherPortsAttributes"
NAMES = frozenset({_OTHER_PORTS, *(name.partition(".")[0] for name in FIELDS)})
"""Of the top level."""
HONOURED = frozenset(
    {_OTHER_PORTS}
    | {
        name.partition(".")[0]
        for name, known in FIELDS.items()
        if known.verdict is Verdict.HONOURED
    }
)
"""Of the top level, those that a pod, or what is run in it, may differ by."""

_INSIDE = {
    (name.partition(".")[0], name.rpartition(".")[2]): known
    for name, known in FIELDS.items()
    if "." in name
}
_MOUNT = frozenset({"readOnly", "readonly", "source", "target", "type"})
_WISHES = frozenset(f"hostRequirements.{name}" for name in ("cpus", "memory", "gpu"))
_QUIET = frozenset({_PORTS, _OTHER_PORTS, "dockerComposeFile", "service"}) | _WISHES
"""A warning with each create would only tell of what nobody waits for."""

Context = Mapping[Path, Known]
"""What the rest of the file makes of a field: it goes before the table."""


@dataclass(frozen=True, slots=True)
class FieldReport:
    """What becomes of one field of one file, and how or why."""

    field: str
    line: int
    column: int
    verdict: Verdict
    note: str

    @property
    def is_missed(self) -> bool:
        """Nothing is made of it, though somebody may expect it."""
        return self.verdict is Verdict.IGNORED and self.note != FOR_OTHERS


def report(parsed: Parsed, context: Context) -> tuple[FieldReport, ...]:
    """One entry for each field of the file, in its order."""
    found = dict(_judge(parsed.value))
    for path, known in context.items():
        if known.verdict is not Verdict.REFUSED and path[0] != "mounts":
            for inner in [one for one in found if one[: len(path)] == path]:
                del found[inner]
        found[path] = known
    placed = [
        FieldReport(dotted(path), *parsed.at(path, key=True), known.verdict, known.note)
        for path, known in found.items()
    ]
    return tuple(sorted(placed, key=lambda one: (one.line, one.column)))


def warnings(parsed: Parsed, reports: tuple[FieldReport, ...]) -> Iterator[str]:
    """`file:line:col: field ...` for what is not honoured and is not for other tools."""
    for one in reports:
        names = {one.field, one.field.partition(".")[0]}
        is_quiet = one.note == FOR_OTHERS or not names.isdisjoint(_QUIET)
        if one.verdict in (Verdict.APPROXIMATED, Verdict.IGNORED) and not is_quiet:
            yield f"{parsed.filename}:{one.line}:{one.column}: {one.field} {one.note}"


def _judge(config: dict[str, Any]) -> Iterator[tuple[Path, Known]]:
    for name, value in config.items():
        if name in SAME and value == SAME[name] and type(value) is type(SAME[name]):
            yield (name,), Known(Verdict.HONOURED, "asks for what is done anyway")
        elif isinstance(value, dict) and value and name in ("build", "hostRequirements"):
            yield from _members((name,), value)
        elif isinstance(value, dict) and name == _PORTS:
            for key, attributes in value.items():
                yield from _port((name, key), attributes)
        elif name == _OTHER_PORTS:
            yield from _port((name,), value)
        else:
            yield (name,), _known(name)
        yield from _in_mounts(value) if name == "mounts" else ()


def _port(path: Path, attributes: Any) -> Iterator[tuple[Path, Known]]:
    if isinstance(attributes, dict) and attributes:
        yield from _members(path, attributes)
    else:
        yield path, Known(Verdict.HONOURED, "nothing is said of it")


def _members(path: Path, value: dict[str, Any]) -> Iterator[tuple[Path, Known]]:
    group = _PORTS if path[0] == _OTHER_PORTS else path[0]
    known = {name: one for (first, name), one in _INSIDE.items() if first == group}
    for name, inner in value.items():
        found = known.get(name) or _unknown(name, known.keys())
        if name == "onAutoForward" and inner not in ("notify", "silent"):
            found = Known(Verdict.APPROXIMATED, _OPENED.get(str(inner), "is not known: it is told"))
        yield (*path, name), found


_OPENED = {
    **dict.fromkeys(
        ("openBrowser", "openBrowserOnce", "openPreview"), "its address is told, nothing is opened"
    ),
    "ignore": "it is not told of, and forwarded all the same where forwardPorts has it",
}


def _in_mounts(mounts: Any) -> Iterator[tuple[Path, Known]]:
    for index, mount in enumerate(mounts if isinstance(mounts, list) else ()):
        for name in mount.keys() - _MOUNT if isinstance(mount, dict) else ():
            yield ("mounts", index, name), _unknown(name, _MOUNT)


def _known(name: str) -> Known:
    if name in FIELDS:
        return FIELDS[name]
    if name in NAMES:
        return Known(Verdict.HONOURED, "nothing is said of it")
    return _unknown(name, NAMES)


def _unknown(name: str, known: frozenset[str] | Any) -> Known:
    import difflib  # milliseconds, and only for a file with an unknown field

    close = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.75)
    note = "is not a field of the specification and has no effect"
    return Known(Verdict.IGNORED, f"{note} (did you mean {close[0]}?)" if close else note)
