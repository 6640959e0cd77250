"""What an image says of the containers that are made of it: its label `devcontainer.metadata`.

Spec: containers.dev/implementors/spec, "Image Metadata" and "Merge Logic". Entries come in order:
the base image's, then those of features and of the configuration it was built from. They stand
below the features and the configuration of the repository. What a label says is untrusted: it is
bounded, a wrong entry is told of and left out, and what it does to the host is consented to.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeVar

from rumpel.devcontainer import (
    forwards,
    lifecycle,
    requirements,
    runargs,
    schema,
    variables,
    workspace,
)
from rumpel.devcontainer.body import HostSide
from rumpel.devcontainer.consent import HARMLESS_ENV
from rumpel.devcontainer.document import Caller, Document
from rumpel.devcontainer.features import Features, MountEntry
from rumpel.devcontainer.lifecycle import Command
from rumpel.devcontainer.options import Option
from rumpel.devcontainer.positions import FieldError, Path
from rumpel.devcontainer.runargs import RunArgs
from rumpel.devcontainer.schema import DevContainer
from rumpel.devcontainer.secret_values import mask, maskable
from rumpel.names import LABEL_METADATA, slug

MAX_CHARS = 1 << 20
MAX_ENTRIES, MOST_TOLD = 500, 20
LAST = (
    "container_user",
    "remote_user",
    "user_env_probe",
    "override_command",
    "wait_for",
    "other_ports_attributes",
)
"""Of these the last one counts, and the configuration's own is the last."""


class Entry(DevContainer):
    """Of one image, feature or configuration; only what the merge takes from it is looked at."""

    id: str | None = None
    entrypoint: str | None = None


TAKEN = frozenset(
    {"id", "entrypoint", "mounts", "init", "privileged", "capAdd", "securityOpt", "containerUser",
     "remoteUser", "userEnvProbe", "overrideCommand", "waitFor", "containerEnv", "remoteEnv",
     "forwardPorts", "portsAttributes", "otherPortsAttributes", "hostRequirements",
     *lifecycle.HOOKS}
)  # fmt: skip


AS_WRITTEN = ("id", "entrypoint")
"""No field of a configuration, so nobody is asked for variables of this machine in them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """All entries of a label, each complete and of the right types."""

    entries: tuple[Entry, ...] = ()
    hooks: tuple[tuple[str, str, Command], ...] = ()
    """(name of the hook, whose it is, steps)."""
    reads: tuple[variables.Read, ...] = ()
    """Of the caller's variables."""
    warnings: tuple[str, ...] = field(default=())


def read(label: str, document: Document, caller: Caller) -> Said:
    """Never raises for what is in the label."""
    try:
        found = json.loads(label) if len(label) <= MAX_CHARS else None
    except (ValueError, RecursionError):
        found = None
    if isinstance(found, dict):
        found = [found]
    if not isinstance(found, list) or len(found) > MAX_ENTRIES:
        return Said(
            warnings=(f"the image's label {LABEL_METADATA} cannot be read, and has no effect",)
        )
    reading = _Reading(document, caller)
    for number, one in enumerate(found, 1):
        reading.take(one, number)
    return reading.said()


def _no_file(path: str) -> str:
    raise FileNotFoundError(2, "an image reads no file of this machine", path)


T = TypeVar("T")


class _Reading:
    def __init__(self, document: Document, caller: Caller) -> None:
        self._caller = caller
        self._folders = variables.Folders(local=caller.root, container=document.workspace_folder)
        self._entries: list[Entry] = []
        self._hooks: list[tuple[str, str, Command]] = []
        self._reads: list[variables.Read] = []
        self._warnings: list[str] = []
        private = caller.local_env.keys() - HARMLESS_ENV
        self._hidden = maskable(caller.local_env[name] for name in private)

    def said(self) -> Said:
        return Said(
            entries=tuple(self._entries),
            hooks=tuple(self._hooks),
            reads=tuple(self._reads),
            warnings=tuple(self._warnings),
        )

    def take(self, one: Any, number: int) -> None:
        if not isinstance(one, dict):
            self._tell(number, "an object is expected")
            return
        given = {name: value for name, value in one.items() if name in TAKEN}
        plain = {name: given.pop(name) for name in AS_WRITTEN if name in given}
        reads = variables.Reads()
        try:
            given = variables.read_stage(given, self._folders, self._caller.local_env, reads)
        except FieldError as error:
            self._tell(number, error.message)
            return
        given = variables.pod_stage({**given, **plain}, self._caller.devcontainer_id)
        entry, problems = schema.of_type(Entry, given)
        for problem in problems:
            self._tell(number, problem.message)
        wrong = {problem.path[0] for problem in problems}
        entry = self._possible(entry, number)
        self._reads += [read for read in reads.seen if read.path[0] not in wrong]
        self._entries.append(entry)
        by = self._name(entry)
        for name in lifecycle.HOOKS:
            try:
                steps = lifecycle.command(given.get(name), (name,))
            except FieldError as error:
                self._tell(number, error.message)
                continue
            if steps:
                self._hooks.append((name, by, steps))

    def _possible(self, entry: Entry, number: int) -> Entry:
        right = partial(self._right, number=number)
        cap_add, security = self._option("cap-add"), self._option("security-opt")
        return entry.model_copy(
            update={
                "mounts": list(right(entry.mounts, "mounts", self._mount)),
                "forward_ports": list(right(entry.forward_ports, "forwardPorts", forwards.address)),
                "cap_add": list(right(entry.cap_add, "capAdd", cap_add)),
                "security_opt": list(right(entry.security_opt, "securityOpt", security)),
            }
        )

    def _right(
        self, wanted: Iterable[T], field: str, judge: Callable[[T, Path], object], *, number: int
    ) -> Iterator[T]:
        """Those that a pod can be made with."""
        for index, one in enumerate(wanted):
            try:
                judge(one, (field, index))
            except FieldError as error:
                self._tell(number, error.message)
            else:
                yield one

    def _mount(self, one: str | dict[str, Any], path: Path) -> None:
        folder = workspace.folder(self._folders.container, self._caller.devcontainer_id)
        workspace.gather([(path, one)], RunArgs(), caller=self._caller, workspace=folder)

    def _option(self, name: str) -> Callable[[str, Path], object]:
        side = HostSide(root=self._caller.root, local_env={}, read_file=_no_file)
        return lambda one, path: runargs.apply([], side, more=[Option(name, one, path)])

    def _name(self, entry: Entry) -> str:
        """Of its commands, in the graph: each once."""
        short = (entry.id or "").rpartition("/")[2].partition(":")[0]
        name = f"image-{slug(short)}" if short else "image"
        taken = {by for _, by, _ in self._hooks}
        number, free = 2, name
        while free in taken:
            number, free = number + 1, f"{name}-{number}"
        return free

    def _tell(self, number: int, problem: str) -> None:
        """Nobody was asked yet for what the caller's variables have in them."""
        if len(self._warnings) < MOST_TOLD:
            where = f"the image's label {LABEL_METADATA}, entry {number}"
            self._warnings.append(str(mask(f"{where}: {problem}: left out", self._hidden)))


def merged(
    typed: DevContainer, added: Features, document: Document, caller: Caller, *, label: str
) -> tuple[DevContainer, Features, Document]:
    """The configuration and what features add, on top of what the image says."""
    said = read(label, document, caller)
    document = replace(document, reads=(*document.reads, *said.reads))
    place = next(((name,) for name in ("build", "dockerFile", "image") if name in document.raw), ())
    return _under(typed, said), _before(added, said, place), document


def _under(typed: DevContainer, said: Said) -> DevContainer:
    """The configuration with what only the image says."""
    entries = said.entries
    changed: dict[str, Any] = {}
    for name in LAST:
        if _has(typed, name):
            continue
        values = [getattr(one, name) for one in entries if _has(one, name)]
        if values:
            changed[name] = values[-1]
    for name in ("container_env", "remote_env"):
        changed[name] = _joined(getattr(one, name) for one in (*entries, typed))
    own = typed.ports_attributes  # the first key that is about a port counts
    changed["ports_attributes"] = own | {
        key: value
        for key, value in _joined(one.ports_attributes for one in reversed(entries)).items()
        if key not in own
    }
    ports = [port for one in (*entries, typed) for port in one.forward_ports]
    changed["forward_ports"] = list(dict.fromkeys(ports))
    changed["host_requirements"] = requirements.most(
        one.host_requirements for one in (*entries, typed)
    )
    return typed.model_copy(update=changed)


def _before(added: Features, said: Said, path: Path) -> Features:
    """What the image adds, and then the features. `path`: where the configuration names it."""
    entries = said.entries
    own_mounts: list[MountEntry] = [(path, one) for entry in entries for one in entry.mounts]
    return replace(
        added,
        mounts=(*own_mounts, *added.mounts),
        hooks=(*said.hooks, *added.hooks),
        entrypoints=(*(one.entrypoint for one in entries if one.entrypoint), *added.entrypoints),
        init=True if added.init or any(one.init for one in entries) else None,
        privileged=True if added.privileged or any(one.privileged for one in entries) else None,
        cap_add=(*((path, cap) for one in entries for cap in one.cap_add), *added.cap_add),
        security_opt=(
            *((path, option) for one in entries for option in one.security_opt),
            *added.security_opt,
        ),
        warnings=(*added.warnings, *said.warnings),
    )


def _has(one: DevContainer, name: str) -> bool:
    return name in one.model_fields_set and getattr(one, name) not in (None, "")


def _joined(parts: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for one in parts:
        found |= one
    return found
