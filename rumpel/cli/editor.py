"""A text written by the person, in the editor they use for git."""

from __future__ import annotations

import os
import subprocess
import tempfile

from rumpel.errors import Conflict, UsageError

NAME = "PROMPT.md"


def write(text: str) -> str:
    """What they made of `text`. Raises UsageError without an editor, Conflict when it failed."""
    with tempfile.TemporaryDirectory(prefix="rumpel-") as folder:
        path = os.path.join(folder, NAME)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        # Through a shell, as git does: `EDITOR="code --wait"` is a command line.
        argv = ["/bin/sh", "-c", f'{_command()} "$@"', "editor", path]
        try:
            code = subprocess.run(argv, check=False).returncode
        except OSError as error:
            raise UsageError(f"the editor cannot be started: {error.strerror}") from error
        if code != 0:
            raise Conflict(f"the editor ended with {code}: nothing was done")
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read().strip()


def _command() -> str:
    for name in ("VISUAL", "EDITOR"):
        if command := os.environ.get(name, "").strip():
            return command
    return "vi"
