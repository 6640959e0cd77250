"""Moments as the answers have them: ISO 8601, UTC."""

from __future__ import annotations

from datetime import UTC, datetime


def iso(at: float) -> str:
    """`at` in seconds since 1970."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")


def iso_ms(at: float) -> str:
    """With milliseconds: for what follows closely upon another."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
