"""Where Codex keeps a person's sign-in (version 0.171): `auth.json`, of ChatGPT or with a key.

In a pod it is of the kind that somebody else renews (`chatgptAuthTokens`): it is read again when a
token is refused, and Codex tries to renew nothing itself. It wants a refresh token there, which
may be empty.
"""

from __future__ import annotations

import base64
import binascii
import posixpath
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from rumpel.agents.stored import Held, Stored, inner, parsed, text_of

FILE, KEY, TOKENS = "auth.json", "OPENAI_API_KEY", "tokens"
URL_VARIABLE = "CODEX_REFRESH_TOKEN_URL_OVERRIDE"
URL = "https://auth.openai.com/oauth/token"
CLIENT_ID = "app_EMoamEEZ73f0CkXaXp7hrann"
"""Of Codex itself: a token is renewed for the client it was given to."""
ANSWERED = ("access_token", "id_token", "refresh_token")
LENT = ("id_token", "access_token", "account_id")
LENT_MODE, OWN_MODE = "chatgptAuthTokens", "chatgpt"


def _folder(env: Mapping[str, str]) -> str:
    return env.get("CODEX_HOME") or posixpath.join(env.get("HOME", "~"), ".codex")


def _read(value: Mapping[str, Any]) -> Held | None:
    tokens, key = inner(value, TOKENS), text_of(value, KEY)
    access, mode = text_of(tokens, "access_token"), text_of(value, "auth_mode")
    if key and mode in ("", "apikey"):
        return Held(access=key, variable=KEY)
    if not access or mode not in ("", OWN_MODE):
        return None
    return Held(access=access, refresh=text_of(tokens, "refresh_token"), expires_at=ends(access))


def ends(token: str) -> float | None:
    """When a JSON web token says that it ends (RFC 7519); nobody checked whether it is right."""
    body = token.split(".")[1] if token.count(".") == 2 else ""
    try:
        claims = parsed(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    except (ValueError, binascii.Error):
        return None
    found = claims.get("exp")
    return float(found) if isinstance(found, int | float) and 0 < found < 1e11 else None


def _lent(value: Mapping[str, Any]) -> dict[str, Any]:
    tokens = inner(value, TOKENS)
    lent = {key: tokens[key] for key in LENT if key in tokens}
    made = {"auth_mode": LENT_MODE, KEY: None, TOKENS: {**lent, "refresh_token": ""}}
    return made | {"last_refresh": value.get("last_refresh")}


def _asked(value: Mapping[str, Any]) -> dict[str, str]:
    return {
        "client_id": CLIENT_ID,
        "grant_type": "refresh_token",
        "refresh_token": text_of(inner(value, TOKENS), "refresh_token"),
    }


def _renewed(
    value: Mapping[str, Any], answer: Mapping[str, Any], now: float
) -> dict[str, Any] | None:
    fresh = {key: answer[key] for key in ANSWERED if text_of(answer, key)}
    if not fresh.keys() & {"access_token", "refresh_token"}:
        return None
    at = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return {**value, TOKENS: {**inner(value, TOKENS), **fresh}, "last_refresh": at}


CODEX_STORED = Stored(
    folder=_folder,
    file=FILE,
    read=_read,
    lent=_lent,
    url=lambda env: env.get(URL_VARIABLE) or URL,
    servers=frozenset({"auth.openai.com"}),
    asked=_asked,
    renewed=_renewed,
    locks=lambda folder, real: [],  # it has none: it reads again before it renews
    write_lock=lambda folder: "",
    renews=(TOKENS, "last_refresh"),
    sign_in="codex login",
)
