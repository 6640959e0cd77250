"""What `system-uninstall --purge` removes besides the service."""

from __future__ import annotations

import os
import shutil
import sys

from rumpel import paths, text, ui
from rumpel.cli import session
from rumpel.cli.answer import Answer
from rumpel.errors import Interrupted, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rumpel.cli.options import Options

HINT = "rumpel system-uninstall --purge --yes"


def pods(options: Options, *, force: bool, is_agreed: bool) -> Answer:
    """Pods, trash, containers, volumes and images, after they were listed and agreed to."""
    request: dict[str, object] = {"dry_run": True, "force": force}
    answer = session.ask(options, "purge", request)
    if answer.error is not None:
        return answer
    if not options.quiet and not options.json:
        for line in lines(answer.data):
            ui.err(line)
    if not is_agreed and not _agreed(options):
        raise Interrupted("nothing was removed")
    return session.ask(options, "purge", request | {"dry_run": False})


def lines(data: dict[str, Any]) -> list[str]:
    """One for each kind of thing."""
    found = [f"pod {pod['name']} of {pod['repo']}" for pod in data["pods"]]
    if data["trash"]:
        found.append(f"deleted pods, for good: {text.listing(data['trash'])}")
    counts = ((kind, data[f"{kind}s"]) for kind in ("container", "volume", "image"))
    found += [text.count(count, kind) for kind, count in counts if count]
    return ["this goes:", *(f"  {text.safe(line)}" for line in [*found, *_folders()])]


def _agreed(options: Options) -> bool:
    if options.json or not ui.can_ask():
        raise UsageError("--purge asks first, and nobody can answer", hint=HINT)
    sys.stderr.write("Remove all of it? [y/N] ")
    sys.stderr.flush()
    answer = sys.stdin.readline()
    if not answer.endswith("\n"):
        ui.err()
    return answer.strip().lower() in ("y", "yes")


def _folders() -> list[str]:
    """Ours alone: a socket may be in a folder of somebody else's."""
    runtime = paths.runtime_dir()
    own = [paths.state_dir(), paths.cache_dir()]
    if os.path.basename(runtime) == "rumpel":
        own.append(runtime)
    return [path for path in own if os.path.isdir(path)]


def folders() -> list[str]:
    """Remove them; the daemon has ended. Those that went."""
    found = _folders()
    for path in found:
        shutil.rmtree(path)
    return found
