"""Where each value of a parsed file stands, so that every complaint names its line and column."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rumpel.errors import ConfigError

Path = tuple[str | int, ...]
"""Keys and indexes from the top: `("mounts", 0, "type")`."""

_LINE_BREAK = re.compile(r"\r\n|\r|\n")


class FieldError(ConfigError):
    """A value, or with `is_key` its key, is wrong. `Parsed.located` adds the file and the line."""

    def __init__(
        self, path: Path, reason: str, *, hint: str | None = None, is_key: bool = False
    ) -> None:
        super().__init__(f"{dotted(path)}: {reason}", hint=hint)
        self.path = path
        self.reason = reason
        self.is_key = is_key


@dataclass(frozen=True, slots=True)
class Parsed:
    """A parsed file. `keys` and `values` are offsets into `text` by path."""

    value: Any
    filename: str
    text: str
    keys: Mapping[Path, int]
    values: Mapping[Path, int]
    warnings: tuple[str, ...]

    def at(self, path: Path, *, key: bool = False) -> tuple[int, int]:
        """Line and column (both from 1) of a value, of its key, or of the nearest parent."""
        return line_and_column(self.text, self.offset(path, key=key))

    def offset(self, path: Path, *, key: bool = False) -> int:
        """As `at`, in characters of the text."""
        while True:
            found = self.keys.get(path) if key else None
            if found is None:
                found = self.values.get(path)
            if found is not None or not path:
                return found or 0
            path = path[:-1]

    def where(self, path: Path, *, key: bool = False) -> str:
        """`file:line:col` of a value or key."""
        line, column = self.at(path, key=key)
        return f"{self.filename}:{line}:{column}"

    def located(self, error: FieldError) -> ConfigError:
        """The same complaint with its file, line and column."""
        line, column = self.at(error.path, key=error.is_key)
        return positioned(
            self.filename, line, column, error.message, hint=error.hint, field=dotted(error.path)
        )


def positioned(
    filename: str,
    line: int,
    column: int,
    message: str,
    *,
    hint: str | None = None,
    field: str | None = None,
) -> ConfigError:
    details: dict[str, object] = {"file": filename, "line": line, "column": column}
    if field is not None:
        details["field"] = field
    return ConfigError(f"{filename}:{line}:{column}: {message}", hint=hint, details=details)


def line_and_column(text: str, offset: int) -> tuple[int, int]:
    """Counted from 1, in characters; LF, CRLF and a lone CR end a line, as editors count."""
    line, start = 1, 0
    for brk in _LINE_BREAK.finditer(text, 0, offset):
        line, start = line + 1, brk.end()
    return line, offset - start + 1


def dotted(path: Path) -> str:
    """`build.args.A`, `mounts[0]`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text or "the file"
