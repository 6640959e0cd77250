"""A model that wants to be signed in to, and the OAuth server that signs in: on loopback, for real.

Access tokens end after a while, refresh tokens are good for one use: a second use of one, as by two
who share a file, is counted and ends the whole sign-in, as the real servers do it.
"""

from __future__ import annotations

import base64
import json
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.support import fake_api

AUTH = {"chatgpt_plan_type": "pro", "chatgpt_account_id": "account-1", "chatgpt_user_id": "u"}
CLAIM = "https://api.openai.com/auth"
REFUSED = {"type": "authentication_error", "message": "OAuth token has expired."}


class Server(fake_api.Model):
    request_queue_size = 128

    def __init__(self, lasts_s: float = 3600.0) -> None:
        super().__init__()
        self.RequestHandlerClass = Handler
        self.lasts_s = lasts_s
        self.refresh = ""
        """The one that is good now."""
        self.is_jwt = False
        self.ends: dict[str, float] = {}
        """Access token -> when it ends."""
        self.renewals: list[float] = []
        self.reused = 0
        self.refused: list[str] = []
        """Tokens of requests that were not signed in."""
        self.status = 200
        """Of the OAuth server: else it is out of order."""
        self.lock = threading.Lock()

    def signed_in(self) -> dict[str, Any]:
        """As after a sign-in: an answer of the OAuth server."""
        self.refresh = f"canary-refresh-{secrets.token_hex(12)}"
        now = time.time()
        access = f"sk-ant-oat01-canary-access-{secrets.token_hex(12)}"
        if self.is_jwt:
            access = jwt(exp=int(now + self.lasts_s), jti=secrets.token_hex(8), **{CLAIM: AUTH})
        self.ends[access] = now + self.lasts_s
        return {
            "access_token": access,
            "refresh_token": self.refresh,
            "expires_in": self.lasts_s,
            "scope": "user:inference user:profile",
            "id_token": jwt(email="a@example.com", **{CLAIM: AUTH}),
        }

    def end_all(self) -> None:
        """Every sign-in is revoked."""
        self.refresh = ""
        self.ends.clear()


class Handler(fake_api.Handler):
    server: Server

    def do_POST(self) -> None:
        path, server = urlsplit(self.path).path, self.server
        if path.endswith("/oauth/token"):
            self._token(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            return
        if path in ("/v1/messages", "/v1/responses"):
            token = self.headers.get("authorization", "").removeprefix("Bearer ")
            if server.ends.get(token, 0) < time.time():
                self.rfile.read(int(self.headers["content-length"]))
                server.refused.append(token)
                self._json(401, {"type": "error", "error": REFUSED})
                return
        super().do_POST()

    def _token(self, asked: dict[str, str]) -> None:
        server = self.server
        with server.lock:
            if server.status != 200:
                self._json(server.status, {"error": "temporarily_unavailable"})
            elif asked["grant_type"] != "refresh_token" or asked["refresh_token"] != server.refresh:
                server.reused += 1
                server.end_all()
                self._json(400, {"error": "invalid_grant", "error_description": "not found"})
            else:
                server.renewals.append(time.time())
                self._json(200, server.signed_in())


def jwt(**claims: object) -> str:
    parts = [json.dumps(one).encode() for one in ({"alg": "RS256", "typ": "JWT"}, claims)]
    return ".".join(base64.urlsafe_b64encode(one).decode().rstrip("=") for one in (*parts, b"sig"))


def claude_file(folder: Path, server: Server) -> Path:
    """As Claude Code writes it after a sign-in."""
    answer = server.signed_in()
    oauth = {
        "accessToken": answer["access_token"],
        "refreshToken": answer["refresh_token"],
        "expiresAt": int(server.ends[answer["access_token"]] * 1000),
        "scopes": answer["scope"].split(),
        "subscriptionType": "max",
    }
    return _written(folder / ".credentials.json", {"claudeAiOauth": oauth, "other": {"kept": 1}})


def codex_file(folder: Path, server: Server) -> Path:
    """As Codex writes it after a sign-in with ChatGPT."""
    server.is_jwt = True
    answer = server.signed_in()
    names = ("id_token", "access_token", "refresh_token")
    tokens = {name: answer[name] for name in names} | {"account_id": "account-1"}
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    value = {"auth_mode": "chatgpt", "OPENAI_API_KEY": None, "tokens": tokens, "last_refresh": at}
    return _written(folder / "auth.json", value)


def _written(path: Path, value: dict[str, Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".fresh")
    fresh.write_text(json.dumps(value))
    fresh.chmod(0o600)
    return fresh.replace(path)


@contextmanager
def server(lasts_s: float = 3600.0) -> Iterator[Server]:
    made = Server(lasts_s)
    thread = threading.Thread(target=made.serve_forever, daemon=True)
    thread.start()
    try:
        yield made
    finally:
        made.shutdown()
        thread.join()
        made.server_close()
