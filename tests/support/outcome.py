"""What a finished `rumpel` process did, with the assertions a test wants to make about it."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Outcome:
    argv: Sequence[str]
    code: int
    stdout_bytes: bytes
    stderr_bytes: bytes
    elapsed_s: float

    @property
    def stdout(self) -> str:
        return self.stdout_bytes.decode(errors="backslashreplace")

    @property
    def stderr(self) -> str:
        return self.stderr_bytes.decode(errors="backslashreplace")

    def assert_ok(self) -> Outcome:
        return self.assert_code(0)

    def assert_code(self, code: int) -> Outcome:
        if self.code != code:
            raise AssertionError(f"expected exit code {code}\n{self}")
        return self

    def assert_error(self, code: int, *words: str) -> Outcome:
        """Exit code, and each of `words` somewhere on stderr."""
        self.assert_code(code)
        for word in words:
            if word not in self.stderr:
                raise AssertionError(f"expected {word!r} on stderr\n{self}")
        return self

    def json(self) -> dict[str, Any]:
        """The envelope of `--json`; nothing else may be on stdout."""
        try:
            envelope = json.loads(self.stdout_bytes)
        except ValueError as err:
            raise AssertionError(f"stdout is not one JSON value: {err}\n{self}") from err
        if not isinstance(envelope, dict):
            raise AssertionError(f"stdout is not a JSON object\n{self}")
        return envelope

    @property
    def data(self) -> Any:
        """`data` of the `--json` envelope."""
        return self.json()["data"]

    def __str__(self) -> str:
        return (
            f"$ {shlex.join(self.argv)}\n-> {self.code} in {self.elapsed_s:.2f} s\n"
            f"--- stdout\n{self.stdout}--- stderr\n{self.stderr}---"
        )
