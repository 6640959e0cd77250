"""A text written by the person, in the editor they use for git."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile

from rumpel import paths, ui
from rumpel.errors import ConfigError, Conflict, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER = "drafts"
NAME = "PROMPT.md"


class Draft:
    """What they wrote, in a file of the state folder until it is kept elsewhere."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.text = ""

    def forget(self) -> None:
        shutil.rmtree(os.path.dirname(self.path), ignore_errors=True)

    def tell(self) -> None:
        """Where it is, when nothing came of it."""
        if self.has_words():
            ui.err(f"what you wrote is in {self.path}")

    def read(self) -> None:
        with open(self.path, encoding="utf-8", errors="replace") as file:
            self.text = file.read().strip()

    def has_words(self) -> bool:
        """And does it hold anything?"""
        with contextlib.suppress(OSError), open(self.path, "rb") as file:
            return bool(file.read(1 << 20).strip())
        return False


def write() -> Draft:
    """What they wrote. Raises UsageError without an editor, Conflict when it failed, ConfigError
    when there is no place for it.
    """
    draft = _begun()
    # Through a shell, as git does: `EDITOR="code --wait"` is a command line.
    argv = ["/bin/sh", "-c", f'{_command()} "$@"', "editor", draft.path]
    try:
        with _deaf():
            code = subprocess.run(argv, check=False).returncode
        if code != 0:
            raise Conflict(f"the editor ended with {code}: nothing was done")
        draft.read()
    except OSError as error:
        draft.tell()
        raise UsageError(f"the editor failed: {error.strerror}") from error
    except BaseException:
        draft.tell()
        raise
    finally:
        if not draft.has_words():
            draft.forget()
    return draft


def _begun() -> Draft:
    try:
        folder = f"{paths.prepare_state()}/{FOLDER}"
        os.makedirs(folder, mode=0o700, exist_ok=True)
        path = os.path.join(tempfile.mkdtemp(dir=folder), NAME)
        with open(path, "w", encoding="utf-8"):
            return Draft(path)
    except OSError as error:
        raise ConfigError(f"{paths.state_dir()} cannot be written: {error.strerror}") from error


@contextlib.contextmanager
def _deaf() -> Iterator[None]:
    """Ctrl-C is the editor's, as git has it: it must not end us under it. A handler, and not that
    the signal is ignored, since that one would go over to the editor.
    """
    signals = (signal.SIGINT, signal.SIGQUIT)
    before = [signal.signal(one, lambda *_: None) for one in signals]
    try:
        yield
    finally:
        for one, handler in zip(signals, before, strict=True):
            signal.signal(one, handler)


def _command() -> str:
    for name in ("VISUAL", "EDITOR"):
        if command := os.environ.get(name, "").strip():
            return command
    return "vi"
