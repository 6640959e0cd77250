"""What is neither file, folder nor link: of it nothing is copied, and nothing takes its place."""

from __future__ import annotations

import stat

KINDS = {
    stat.S_IFIFO: "pipe",
    stat.S_IFCHR: "device",
    stat.S_IFBLK: "device",
    stat.S_IFSOCK: "socket",
}


def of_mode(mode: int) -> str:
    """Its name; empty for all that is copied."""
    return KINDS.get(stat.S_IFMT(mode), "")


def words(shown: str, kind: str) -> str:
    return f"{shown} is a {kind}, not a file or folder"
