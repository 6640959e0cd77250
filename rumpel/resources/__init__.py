"""Programs that run inside pods and images; data files beside this one.

Read when imported, so that no event loop ever waits for them.
"""

from __future__ import annotations

from pathlib import Path


def shorten(script: str) -> str:
    """`script` without indentation, empty lines and comment lines (but with its `#!`).

    For what goes into pods: a shell reads its input byte by byte, about 1 ms a kilobyte, and the
    text of the main process is shown by `ps` and `docker inspect`.
    """
    lines = (line.lstrip(" ") for line in script.splitlines())
    return "\n".join(
        line for line in lines if line and (line.startswith("#!") or not line.startswith("#"))
    )


SUFFIXES = (".sh", ".pl", ".python")
"""`.python`: runs by the interpreter of an image, which may be older than ours."""


def _load(path: Path) -> str:
    text = path.read_text(encoding="utf-8")
    return shorten(text) if path.name.startswith("pod_") and path.suffix == ".sh" else text


_TEXTS = {
    path.name: _load(path) for path in Path(__file__).parent.iterdir() if path.suffix in SUFFIXES
}


def resource_text(name: str) -> str:
    """The text of a file of this folder; pod programs come shortened."""
    return _TEXTS[name]
