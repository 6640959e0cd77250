"""Lifecycle commands: a string, a list or an object becomes steps.

string -> `/bin/sh -c`; list -> argv, no shell; object -> one step for each entry, all started at
once. An empty string, list or object is no command.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rumpel.devcontainer.positions import FieldError, Path
from rumpel.devcontainer.variables import running_stage

HOOKS = (
    "onCreateCommand",
    "updateContentCommand",
    "postCreateCommand",
    "postStartCommand",
    "postAttachCommand",
)
"""In the order they run: three once per container, then per start, then per attach."""

INITIALIZE = "initializeCommand"


@dataclass(frozen=True, slots=True)
class Step:
    """One process to run. `name` is the key of an object command, else empty."""

    name: str
    argv: tuple[str, ...]

    @property
    def text(self) -> str:
        """As people wrote it."""
        is_shell = len(self.argv) == 3 and self.argv[:2] == SHELL
        return self.argv[2] if is_shell else shlex.join(self.argv)


Command = tuple[Step, ...]
"""Steps that run at once; empty = nothing to do."""

SHELL = ("/bin/sh", "-c")


def command(value: Any, path: Path) -> Command:
    """Raises: FieldError when `value` is none of the three forms."""
    if isinstance(value, dict):
        steps = [_step(name, inner, (*path, name)) for name, inner in value.items()]
    else:
        steps = [_step("", value, path)]
    return tuple(step for step in steps if step is not None)


def running(command: Command, container_env: Mapping[str, str]) -> Command:
    """`command` with `${containerEnv:...}` replaced, once the container runs."""
    return tuple(
        Step(step.name, tuple(running_stage(list(step.argv), container_env))) for step in command
    )


def hooks(config: dict[str, Any]) -> dict[str, Command]:
    """The five hooks in order; one that is absent has no steps."""
    return {name: command(config.get(name), (name,)) for name in HOOKS}


def _step(name: str, value: Any, path: Path) -> Step | None:
    if isinstance(value, str):
        return Step(name, (*SHELL, value)) if value.strip() else None
    if isinstance(value, list) and all(isinstance(word, str) for word in value):
        return Step(name, tuple(value)) if value else None
    if value is None:
        return None
    forms = "a string or a list of strings" if name else "a string, a list of strings or an object"
    raise FieldError(path, f"a command is {forms}")
