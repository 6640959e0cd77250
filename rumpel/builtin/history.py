"""Conversations of the built-in agent: a file each, in a folder of their pod, on the host.

    <state folder>/agent/<pod id>/<number>.jsonl

A line is an entry, written as soon as it is there and before anything is done with it, so that
what was said survives a crash; a line that was cut off is passed over. The model's service is
told each time what is in it, so there are no keys in it, and nobody else may read it.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rumpel import paths
from rumpel.agents.headless import Usage
from rumpel.builtin.clean import cleaned
from rumpel.builtin.model import Answered, Call, Entry, Result, Results, Said
from rumpel.errors import ConfigError, Conflict, NotFound

FOLDER = "agent"
MOST_BYTES = 64 << 20
"""Of one conversation: far more than any model reads."""
MOST_KEPT = 50
"""Of a pod; those that were not used for the longest time make room."""


@dataclass(slots=True, kw_only=True)
class Conversation:
    number: int
    path: Path
    entries: list[Entry] = field(default_factory=list)
    size: int = 0

    @property
    def model(self) -> str | None:
        """That answered last, as it can be asked for again."""
        last = next((e for e in reversed(self.entries) if isinstance(e, Answered)), None)
        if last is None:
            return None
        return f"{last.provider}/{last.model}" if last.provider else last.model

    @property
    def first(self) -> str:
        return next((e.text for e in self.entries if isinstance(e, Said)), "")

    @property
    def turns(self) -> int:
        return sum(isinstance(entry, Said) for entry in self.entries)

    def add(self, entry: Entry) -> None:
        """Written down before it counts. Raises Conflict when there is no room for more."""
        entry = cleaned(entry)
        kind = {Said: "said", Answered: "answered", Results: "results"}[type(entry)]
        line = json.dumps({"kind": kind, **asdict(entry)}).encode() + b"\n"
        if self.size + len(line) > MOST_BYTES:
            raise Conflict(
                f"conversation {self.number} is full ({MOST_BYTES >> 20} MiB)",
                hint="--new begins another one",
            )
        _append(self.path, line)
        if not self.size:
            for old in _used(self.path.parent)[:-MOST_KEPT]:
                (self.path.parent / f"{old}.jsonl").unlink(missing_ok=True)
        self.size += len(line)
        self.entries.append(entry)


def folder(pod_id: str) -> Path:
    return Path(paths.state_dir(), FOLDER, pod_id)


def numbers(pod_id: str) -> list[int]:
    """Of the conversations there are, the smallest first."""
    return sorted(_used(folder(pod_id)))


def _used(folder: Path) -> list[int]:
    """Their numbers, the one that was used last at the end."""
    found: list[tuple[int, int]] = []
    with contextlib.suppress(FileNotFoundError):
        for entry in os.scandir(folder):
            stem, _, kind = entry.name.rpartition(".")
            if kind == "jsonl" and stem.isdecimal():
                with contextlib.suppress(FileNotFoundError):
                    found.append((entry.stat(follow_symlinks=False).st_mtime_ns, int(stem)))
    return [number for _, number in sorted(found)]


def begin(pod_id: str) -> Conversation:
    """A new one; nothing is written before it holds something."""
    number = max(numbers(pod_id), default=0) + 1
    return Conversation(number=number, path=folder(pod_id) / f"{number}.jsonl")


def load(pod_id: str, number: int) -> Conversation:
    """Raises NotFound, ConfigError when it cannot be read."""
    path = folder(pod_id) / f"{number}.jsonl"
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        known = ", ".join(map(str, numbers(pod_id))) or "none"
        raise NotFound(f"there is no conversation {number} (there are: {known})") from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    found = Conversation(number=number, path=path, size=len(data))
    for line in data.split(b"\n"):
        entry = _entry(line)
        if entry is not None:
            found.entries.append(entry)
    return found


def newest(pod_id: str) -> Conversation | None:
    """The one that was used last."""
    known = _used(folder(pod_id))
    return load(pod_id, known[-1]) if known else None


def forget(pod_id: str) -> None:
    """All of a pod that is gone for good."""
    shutil.rmtree(folder(pod_id), ignore_errors=True)


def _append(path: Path, line: bytes) -> None:
    try:
        paths.prepare_state()
        for folder in (path.parent.parent, path.parent):
            folder.mkdir(mode=0o700, exist_ok=True)
        descriptor = os.open(
            path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600
        )
        try:
            os.fchmod(descriptor, 0o600)
            size = os.fstat(descriptor).st_size
            # Behind a line that was cut off, a new one begins.
            is_cut = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
            view = memoryview(b"\n" + line if is_cut else line)
            while view:
                view = view[os.write(descriptor, view) :]
        finally:
            os.close(descriptor)
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}") from error


def _entry(line: bytes) -> Entry | None:
    try:
        value = json.loads(line)
        return cleaned(_made(value)) if isinstance(value, dict) else None
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def _made(value: Mapping[str, Any]) -> Entry | None:
    match value.get("kind"):
        case "said":
            return Said(text=value["text"], before=value["before"])
        case "results":
            return Results(tuple(Result(**one) for one in value["results"]))
        case "answered":
            return Answered(
                provider=value.get("provider", ""),
                model=value["model"],
                raw=value["raw"],
                text=value["text"],
                calls=tuple(Call(**one) for one in value["calls"]),
                usage=Usage(**value["usage"]),
                cost_usd=value["cost_usd"],
                why=value["why"],
            )
    return None
