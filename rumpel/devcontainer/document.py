"""A file as the reference sees it: old names moved, variables of the read stage replaced."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from rumpel.devcontainer import fields, variables
from rumpel.devcontainer.consent import HARMLESS_ENV
from rumpel.devcontainer.positions import Parsed, dotted, positioned
from rumpel.names import LABEL_POD_ID


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


def read(parsed: Parsed, caller: Caller) -> Document:
    """No type is looked at.

    Raises: ConfigError when the file is no object, FieldError for `${localEnv}` without a name.
    """
    if not isinstance(parsed.value, dict):
        line, column = parsed.at(())
        raise positioned(parsed.filename, line, column, "a JSON object is expected")
    raw = modern(parsed.value)
    folder = _text(raw, "workspaceFolder")
    if not folder:
        is_compose = "dockerComposeFile" in raw
        folder = "/" if is_compose else f"/workspaces/{caller.repo_basename}"
    folders = variables.Folders(local=caller.root, container=folder)
    reads = variables.Reads()
    config = variables.read_stage(raw, folders, caller.local_env, reads)
    return Document(
        parsed=parsed,
        raw=raw,
        config=config,
        workspace_folder=_text(config, "workspaceFolder") or folder,
        reads=tuple(reads.seen),
    )


def modern(config: dict[str, Any]) -> dict[str, Any]:
    """Editor settings of old files moved to customizations.vscode, as the reference does."""
    moved = [key for key in ("extensions", "settings", "devPort") if _is_set(config.get(key))]
    if not moved:
        return config
    config = dict(config)
    custom = config["customizations"] = dict(config.get("customizations") or {})
    editor = custom["vscode"] = dict(custom.get("vscode") or {})
    if "extensions" in moved:
        editor["extensions"] = [*editor.get("extensions", ()), *config.pop("extensions")]
    if "settings" in moved:
        editor["settings"] = {**config.pop("settings"), **editor.get("settings", {})}
    if "devPort" in moved and "devPort" not in editor:
        editor["devPort"] = config.pop("devPort")
    return config


def _is_set(value: Any) -> bool:
    """True as JavaScript sees it: an empty list or object is something."""
    return value == [] or value == {} or bool(value)


def local_env_used(document: Document) -> dict[str, str]:
    """Set variables of the caller that reach a field rumpel acts on -> those fields."""
    used: dict[str, list[str]] = {}
    for read in document.reads:
        if read.is_set and read.path[0] in fields.HONOURED:
            used.setdefault(read.name, []).append(dotted(read.path))
    return {name: ", ".join(dict.fromkeys(places)) for name, places in used.items()}


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


def _text(config: Mapping[str, Any], key: str) -> str:
    value = config.get(key)
    return value if isinstance(value, str) else ""
