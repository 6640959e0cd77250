"""The words that shells offer for `--host`: quick, and of files and a daemon that runs already."""

from __future__ import annotations

import os

from rumpel import text, ui
from rumpel.cli import session
from rumpel.errors import RumpelError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from rumpel.cli.options import Options

LOCAL, SSH = "local", "ssh://"
WITHIN_S = 1.0
MAX_DEPTH = 16
"""Of files that include each other, as ssh has it."""
PATTERN = frozenset('*?!"')
"""In words that are no name of one host."""


def show(options: Options) -> int:
    found = sorted({LOCAL, *of_pods(options), *of_contexts(), *of_ssh_config()})
    if options.json:
        ui.json_envelope("completions", {"hosts": found}, warnings=(), error=None)
        return 0
    for host in found:
        ui.out(text.safe(host))
    return 0


def of_pods(options: Options) -> list[str]:
    """Of all repositories; none where no daemon runs."""
    request: dict[str, object] = {"all": True, "quiet": True, "refresh": False}
    try:
        answer = session.ask(options, "list", request, start=False, within_s=WITHIN_S)
    except RumpelError:
        return []
    return [str(row["host"]) for row in answer.data or ()]


def of_contexts() -> list[str]:
    """Docker's contexts that lead over ssh."""
    folder = os.environ.get("DOCKER_CONFIG") or os.path.expanduser("~/.docker")
    try:
        names = os.listdir(f"{folder}/contexts/meta")
    except OSError:
        return []
    import json  # only for who has some

    found = []
    for name in names:
        try:
            with open(f"{folder}/contexts/meta/{name}/meta.json", encoding="utf-8") as file:
                url = json.load(file)["Endpoints"]["docker"]["Host"]
        except (OSError, ValueError, LookupError, TypeError):
            continue
        if isinstance(url, str) and url.startswith(SSH):
            found.append(url)
    return found


def of_ssh_config() -> list[str]:
    """Names that `Host` lines give; of patterns nobody knows what they match."""
    folder = os.path.expanduser("~/.ssh")
    found = []
    for words in _lines(f"{folder}/config", folder):
        if words[0].lower() == "host":
            found += [SSH + word for word in words[1:] if not PATTERN & set(word)]
    return found


def _lines(path: str, folder: str, depth: int = 0) -> Iterator[list[str]]:
    """The words of each line, with those of the files it includes."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            lines = file.read().splitlines()
    except OSError:
        return
    for line in lines:
        words = line.replace("=", " ", 1).split()
        if not words or words[0].startswith("#"):
            continue
        yield words
        if words[0].lower() == "include" and depth < MAX_DEPTH:
            from glob import glob

            for pattern in words[1:]:
                place = os.path.join(folder, os.path.expanduser(pattern))
                for one in sorted(glob(place)):
                    yield from _lines(one, folder, depth + 1)
