"""A file as the reference sees it: old names moved, variables of the read stage replaced."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path as HostPath
from typing import Any

from rumpel.devcontainer import fields, lifecycle, variables
from rumpel.devcontainer.consent import HARMLESS_ENV
from rumpel.devcontainer.positions import FieldError, Parsed, Path, dotted, positioned
from rumpel.names import LABEL_POD_ID

WORD = re.compile(r"[\w./@+-]+")
MAX_SCRIPT_BYTES = 16 << 20
INTERPRETERS = frozenset(
    (".", "bash", "dash", "node", "perl", "python", "python3", "ruby", "sh", "source", "zsh")
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who asks: everything outside the file that it may refer to."""

    root: str
    """Absolute real host path of the work tree."""
    local_env: Mapping[str, str]
    pod: str
    pod_id: str
    """Empty: no pod yet; `${devcontainerId}` stays and anonymous volumes stay anonymous."""
    repo_basename: str

    @property
    def devcontainer_id(self) -> str | None:
        """Another one for each pod, so that volumes named with it are not shared."""
        if not self.pod_id:
            return None
        return variables.devcontainer_id({LABEL_POD_ID: self.pod_id})


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """`raw` is before substitution, `config` after the read stage."""

    parsed: Parsed
    raw: dict[str, Any]
    config: dict[str, Any]
    workspace_folder: str
    reads: tuple[variables.Read, ...]
    is_compose: bool = False


def read(parsed: Parsed, caller: Caller, folder: str = "") -> Document:
    """No type is looked at. `folder`: of the workspace, where the file does not say.

    Raises: ConfigError when the file is no object, FieldError for `${localEnv}` without a name.
    """
    if not isinstance(parsed.value, dict):
        line, column = parsed.at(())
        raise positioned(parsed.filename, line, column, "a JSON object is expected")
    raw, moved = modern(parsed.value)
    is_compose = "dockerComposeFile" in raw and not _has_own_container(raw)
    folder = folder or ("/" if is_compose else usual_folder(caller))
    folders = variables.Folders(local=caller.root, container=folder)
    reads = variables.Reads()
    given = {"workspaceFolder": _text(raw, "workspaceFolder")}
    try:
        if variables.read_stage(given, folders, caller.local_env, reads)["workspaceFolder"]:
            folders = variables.Folders(local=caller.root, container=given["workspaceFolder"])
        config = variables.read_stage(raw, folders, caller.local_env, reads)
    except FieldError as error:
        raise FieldError(written(error.path, moved), error.reason) from error
    return Document(
        parsed=parsed,
        raw=raw,
        config=config,
        workspace_folder=_text(config, "workspaceFolder") or folder,
        reads=tuple(reads.seen),
        is_compose=is_compose,
    )


def usual_folder(caller: Caller) -> str:
    return f"/workspaces/{caller.repo_basename}"


Moved = Mapping[Path, Path]
"""Where a value went -> where it stands in the file."""


def modern(config: dict[str, Any]) -> tuple[dict[str, Any], Moved]:
    """Editor settings of old files moved to customizations.vscode, as the reference does.

    What is not of the right type stays where it is: it is for other tools all the same.
    """
    custom = config.get("customizations") or {}
    editor = custom.get("vscode") or {} if isinstance(custom, dict) else None
    if not isinstance(editor, dict):
        return config, {}
    given, editor = dict(config), dict(editor)
    moved: dict[Path, Path] = {}
    known, more = editor.get("extensions") or [], config.get("extensions")
    if isinstance(more, list) and isinstance(known, list):
        editor["extensions"] = [*known, *given.pop("extensions")]
        for index in range(len(more)):
            moved[*EDITOR, "extensions", len(known) + index] = ("extensions", index)
    known, more = editor.get("settings") or {}, config.get("settings")
    if isinstance(more, dict) and isinstance(known, dict):
        editor["settings"] = {**given.pop("settings"), **known}
        for name in more.keys() - known.keys():
            moved[*EDITOR, "settings", name] = ("settings", name)
    if "devPort" in config and "devPort" not in editor:
        editor["devPort"] = given.pop("devPort")
        moved[*EDITOR, "devPort"] = ("devPort",)
    if len(given) == len(config):
        return config, {}
    given["customizations"] = {**custom, "vscode": editor}
    return given, moved


EDITOR = ("customizations", "vscode")


def written(path: Path, moved: Moved) -> Path:
    """Where the value at `path` of a modern document stands in the file."""
    for size in range(len(path), 0, -1):
        if path[:size] in moved:
            return (*moved[path[:size]], *path[size:])
    return path


def local_env_used(document: Document) -> dict[str, str]:
    """Set variables of the caller that reach a field rumpel acts on -> those fields."""
    used: dict[str, list[str]] = {}
    for read in document.reads:
        if read.is_set and read.path[0] in fields.HONOURED:
            used.setdefault(read.name, []).append(dotted(read.path))
    return {name: ", ".join(dict.fromkeys(places)) for name, places in used.items()}


def commands_here(document: Document, root: str) -> dict[str, str]:
    """initializeCommand as it stands in the file, so with no value of the caller's environment ->
    digest of the scripts of the repository that it names.
    """
    try:
        steps = lifecycle.command(document.raw.get(lifecycle.INITIALIZE), (lifecycle.INITIALIZE,))
    except FieldError:  # told where it is read
        return {}
    return {step.text: _named(step.text, root) for step in steps}


def _named(text: str, root: str) -> str:
    """A script that changed is another command; of one that another one calls nobody knows."""
    digest, words = hashlib.sha256(), WORD.findall(text)
    for before, word in zip(["", *words], words, strict=False):
        path = HostPath(os.path.realpath(HostPath(root, word)))
        try:
            is_script = path.is_relative_to(root) and path.is_file()
            is_script = is_script and path.stat().st_size <= MAX_SCRIPT_BYTES
            if is_script and (before in INTERPRETERS or os.access(path, os.X_OK)):
                digest.update(f"{word}\0".encode() + path.read_bytes())
        except OSError:
            continue
    return digest.hexdigest()


def private_reads(document: Document) -> list[variables.Read]:
    """Reads of set variables whose values need consent."""
    return [
        read
        for read in document.reads
        if read.is_set and read.name not in HARMLESS_ENV and read.path[0] in fields.HONOURED
    ]


def cut_defaults(document: Document) -> Iterator[str]:
    """Warnings for `${localEnv:X:http://y}`: the reference ends a default at the next colon."""
    for read in document.reads:
        if read.is_cut:
            where = document.parsed.where(read.path)
            yield f"{where}: the default of ${{localEnv:{read.name}:...}} ends at its first ':'"


def unresolved(document: Document, config: Mapping[str, Any]) -> Iterator[str]:
    """Warnings for `${...}` nobody replaces; commands are left out, a shell reads those."""
    for name in ("image", "build", "workspaceFolder", "containerUser", "remoteUser", "runArgs",
                 "containerEnv", "mounts"):  # fmt: skip
        for path, variable in variables.left(config.get(name), (name,)):
            if not variable.startswith("${devcontainerId"):
                yield f"{document.parsed.where(path)}: {variable} is not known here and stays"


def _has_own_container(raw: Mapping[str, Any]) -> bool:
    """One that is not compose's: that goes before it."""
    build = raw.get("build")
    has_file = isinstance(build, dict) and bool(build.get("dockerfile"))
    return bool(raw.get("image") or raw.get("dockerFile") or has_file)


def _text(config: Mapping[str, Any], key: str) -> str:
    value = config.get(key)
    return value if isinstance(value, str) else ""
