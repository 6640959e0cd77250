"""The home of agents in a pod: the script that works there, and the files that are put there.

No operation of its own; sessions and runs without a terminal share it.
"""

from __future__ import annotations

import io
import tarfile
import time
from collections.abc import Mapping, Sequence

from rumpel.errors import NotFound
from rumpel.names import AGENT_HOME_PATH, AGENTS_PATH
from rumpel.resources import resource_text

NOT_INSTALLED = 6
"""How the script ends when the program is not there."""


class NotInstalled(NotFound):
    """Somebody removed the volume: the next container made an empty one."""


def argv(verb: str, name: str, *args: str) -> list[str]:
    script = resource_text("pod_session.sh")
    return ["/bin/sh", "-c", script, "rumpel", verb, AGENT_HOME_PATH, name, *args]


def programs(command: Sequence[str]) -> list[str]:
    """What of it has to be there: a program, or what runs one and that."""
    return [word for word in command[:2] if word.startswith(f"{AGENTS_PATH}/")]


def packed(files: Mapping[str, bytes]) -> bytes:
    """Shells and their tools read ahead: files one behind the other would lose their beginnings."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for path, text in files.items():
            info = tarfile.TarInfo(path)
            info.size, info.mode, info.mtime = len(text), 0o600, int(time.time())
            tar.addfile(info, io.BytesIO(text))
    return buffer.getvalue()
