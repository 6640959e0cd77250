"""initializeCommand alone: it may write what the rest of the configuration refers to, so nothing
else is looked at before it has run.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from rumpel.devcontainer import config, consent, jsonc, lifecycle
from rumpel.devcontainer import document as documents
from rumpel.devcontainer.consent import Effect
from rumpel.devcontainer.document import Caller
from rumpel.devcontainer.lifecycle import INITIALIZE, Command
from rumpel.devcontainer.positions import FieldError


def load(
    root: str, *, config_path: str | None, local_env: Mapping[str, str], repo_basename: str
) -> tuple[Command, tuple[Effect, ...]]:
    """The command, and what it does to this machine; of no pod. Raises ConfigError."""
    found = config.read_file(os.path.realpath(root), config_path)
    if found is None:
        return (), ()
    source, content = found
    caller = Caller(
        root=os.path.realpath(root),
        local_env=local_env,
        pod="",
        pod_id="",
        repo_basename=repo_basename,
    )
    parsed = jsonc.parse(content, source)
    try:
        document = documents.read(parsed, caller)
        command = lifecycle.command(document.config.get(INITIALIZE), (INITIALIZE,))
    except FieldError as error:
        raise parsed.located(error) from error
    used = {read.name: INITIALIZE for read in document.reads if _is_own(read.path) and read.is_set}
    effects = consent.host_effects(
        {},
        mounts=(),
        host_files=(),
        host_env=used,
        commands=documents.commands_here(document, caller.root),
    )
    return command, effects


def _is_own(path: tuple[str | int, ...]) -> bool:
    return path[:1] == (INITIALIZE,)
