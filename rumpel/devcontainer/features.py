"""Features of a configuration, resolved: what each is installed with, and what it adds to a pod.

Spec: containers.dev/implementors/features, "Option Resolution", "Feature Lifecycle Hooks",
"Merge Logic". What a feature says is untrusted: it reads nothing of this machine, and what it does
to the host is consented to like the file's own.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rumpel import text
from rumpel.devcontainer import feature_ref, lifecycle, variables
from rumpel.devcontainer.document import Caller, Document, private_reads
from rumpel.devcontainer.lifecycle import Command
from rumpel.devcontainer.positions import FieldError, Path
from rumpel.devcontainer.sizes import number_text
from rumpel.model import FeatureSpec

if TYPE_CHECKING:
    from rumpel.devcontainer.feature_order import Fetch, Node

MountEntry = tuple[Path, str | dict[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Features:
    """In the order they are installed, and what they add, merged in that order."""

    specs: tuple[FeatureSpec, ...] = ()
    mounts: tuple[MountEntry, ...] = ()
    hooks: tuple[tuple[str, str, Command], ...] = ()
    """(name of the hook, whose it is, steps)."""
    entrypoints: tuple[str, ...] = ()
    init: bool | None = None
    privileged: bool | None = None
    cap_add: tuple[tuple[Path, str], ...] = ()
    security_opt: tuple[tuple[Path, str], ...] = ()
    warnings: tuple[str, ...] = field(default=())


def resolve(
    document: Document, caller: Caller, fetch: Fetch | None, *, first: Iterable[str] = ()
) -> Features:
    """`first`: `overrideFeatureInstallOrder`. `fetch` may be None where nothing is to be made.

    Raises FieldError, ConfigError.
    """
    declared = document.config.get("features") or {}
    for name, given in declared.items():
        feature_ref.parse(name, ("features", name))
        options(given, ("features", name))
    if not declared or fetch is None:
        return Features()
    from rumpel.devcontainer import feature_order  # pydantic's model of it costs milliseconds

    nodes = feature_order.ordered(declared, fetch, first=first)
    return _merged(nodes, document, caller)


def _merged(nodes: tuple[Node, ...], document: Document, caller: Caller) -> Features:
    folders = variables.Folders(local=caller.root, container=document.workspace_folder)
    mounts, hooks, warnings = list[MountEntry](), list[tuple[str, str, Command]](), list[str]()
    names = _names(nodes)
    for node, name in zip(nodes, names, strict=True):
        about, path = node.fetched.about, node.path
        _refuse_reads(about.mounts, path, node.ref.written)
        _refuse_reads(about.hooks(), path, node.ref.written)

        def read(value: Any) -> Any:
            found = variables.read_stage(value, folders, {}, variables.Reads())
            return variables.pod_stage(found, caller.devcontainer_id)

        mounts += [(path, one) for one in read(about.mounts)]
        for hook, said in read(about.hooks()).items():
            try:
                steps = lifecycle.command(said, path)
            except FieldError as error:
                raise FieldError(path, f"{hook} of feature {name} is no command") from error
            if steps:
                hooks.append((hook, name, steps))
        place = document.parsed.where(path, key=True)
        if about.deprecated:
            warnings.append(f"{place}: the feature is deprecated")
        warnings += [f"{place}: {one}" for one in _unknown(node, name)]
    every = [(node.path, node.fetched.about) for node in nodes]
    reads = [read for read in private_reads(document) if read.path[0] == "features"]
    private = {caller.local_env[read.name] for read in reads} - {""}
    return Features(
        specs=tuple(_spec(node, name, private) for node, name in zip(nodes, names, strict=True)),
        mounts=tuple(mounts),
        hooks=tuple(hooks),
        entrypoints=tuple(about.entrypoint for _, about in every if about.entrypoint),
        init=True if any(about.init for _, about in every) else None,
        privileged=True if any(about.privileged for _, about in every) else None,
        cap_add=tuple((path, one) for path, about in every for one in about.cap_add),
        security_opt=tuple((path, one) for path, about in every for one in about.security_opt),
        warnings=tuple(warnings),
    )


def _unknown(node: Node, name: str) -> Iterator[str]:
    """What is said of options that it does not have; install.sh gets them all the same."""
    known = node.fetched.about.options
    for option, value in node.options.items():
        declared = known.get(option)
        if declared is None and not node.is_short:
            close = text.suggestion(option, known)
            guess = f", did you mean {close}?" if close else ""
            yield f"feature {name} has no option {text.safe(option)}{guess}"
        elif declared is not None and declared.enum and _text(value) not in declared.enum:
            choices = text.listing(declared.enum, "or")
            yield f"{option} of feature {name} is {text.safe(_text(value))!r}, not {choices}"


def _names(nodes: Iterable[Node]) -> list[str]:
    """Its id, with a number when it is installed again with other options."""
    found = list[str]()
    for node in nodes:
        own = node.fetched.about.id or node.ref.short
        names = itertools.chain([own], (f"{own}-{number}" for number in itertools.count(2)))
        found.append(next(name for name in names if name not in found))
    return found


def _spec(node: Node, name: str, private: Collection[str]) -> FeatureSpec:
    """`private`: values of the caller's environment that features are given."""
    about = node.fetched.about
    declared = about.options.items()
    hidden = {
        option
        for option, said in node.options.items()
        if any(value in _text(said) for value in private)
    }
    return FeatureSpec(
        name=name,
        written=node.ref.written,
        version=about.version or "",
        content=node.fetched.content,
        options=environment(
            {name: "" if one.default is None else one.default for name, one in declared},
            node.options,
            is_short=node.is_short,
        ),
        private=tuple(sorted(map(variable, hidden))),
        container_env=dict(about.container_env),
    )


def options(given: Any, path: Path) -> Mapping[str, str | bool]:
    """A string or boolean is the option `version`. Raises FieldError."""
    if isinstance(given, str | bool):
        return {"version": given}
    if given is None:
        return {}
    if not isinstance(given, dict):
        raise FieldError(path, "the options of a feature are an object, a string or a boolean")
    for name, value in given.items():
        if not isinstance(value, str | bool | int | float):
            raise FieldError((*path, name), "an option is a string or a boolean")
    return {
        name: value if isinstance(value, str | bool) else number_text(value)
        for name, value in given.items()
    }


def environment(
    defaults: Mapping[str, str | bool], given: Mapping[str, str | bool], *, is_short: bool = False
) -> dict[str, str]:
    """What install.sh sees of the options. `is_short`: a version that was given without its name
    counts only where one is declared.
    """
    known = {**defaults, **given}
    if is_short and "version" not in defaults:
        known = dict(defaults)
    return {variable(name): _text(value) for name, value in known.items() if variable(name)}


def variable(option: str) -> str:
    """Spec: every character that is no letter, digit or underscore becomes one; what leads, too."""
    found = re.sub(r"[^\w_]", "_", option, flags=re.ASCII)
    return re.sub(r"^[\d_]+", "_", found).upper()


def _text(value: str | bool) -> str:
    return value if isinstance(value, str) else str(value).lower()


def _refuse_reads(value: Any, path: Path, written: str) -> None:
    """A feature has no business with the variables of who installs it."""
    for _, name in variables.left(value, ()):
        if name.startswith(("${localEnv", "${env:")):
            raise FieldError(path, f"feature {written} reads {name} of this machine")
