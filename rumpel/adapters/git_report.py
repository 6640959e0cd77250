"""What is known after a fetch from a pod."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rumpel.adapters.git_pack import PackScanner


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchReport:
    """How a fetch went; success is judged by the refs that arrived, not by the code."""

    code: int
    claims: Mapping[bytes, str]
    """Branches as the server listed them."""
    said: str
    """Git's complaints, as one line."""
    scanner: PackScanner
    """What is known of the pack."""
    held: frozenset[str] | None = None
    """Git wrote no refs, nor has it looked whether the histories beyond these are complete."""
