"""URLs of remotes, as they may go into pods."""

from __future__ import annotations

from urllib.parse import urlsplit


def without_secrets(url: str) -> str:
    """Drop password and query; over HTTP also the user, who often is the token."""
    try:
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
        user = parts.netloc.rpartition("@")[0].partition(":")[0]
    except ValueError:
        return ""
    if not parts.scheme or not parts.netloc:
        return url
    keep_user = bool(user) and parts.scheme not in ("http", "https")
    netloc = f"{user}@{host}" if keep_user else host
    return parts._replace(netloc=netloc, query="", fragment="").geturl()
