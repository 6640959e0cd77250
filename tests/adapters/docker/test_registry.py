"""Credentials of the user's docker configuration on their way to a registry."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rumpel.adapters import docker_registry
from rumpel.adapters.docker_http import HttpClient
from rumpel.adapters.docker_images import BuildOptions, build, pull
from rumpel.adapters.docker_wire import parse_endpoint
from rumpel.errors import RumpelError
from tests.adapters.docker.fake_engine import Request, fake_engine, json_answer

AUTHS = {
    "registry.example": {"auth": base64.b64encode(b"me:secret").decode()},
    "https://index.docker.io/v1/": {"auth": base64.b64encode(b"hub:word").decode()},
}

HELPER = """#!/bin/sh
case $1 in
  get) read server; echo '{"ServerURL":"'$server'","Username":"stored","Secret":"s"}' ;;
  list) echo '{"registry.example":"stored"}' ;;
esac
"""


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "docker"
    folder.mkdir()
    monkeypatch.setenv("DOCKER_CONFIG", str(folder))
    return folder / "config.json"


def decoded(header: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(header))
    return found


def test_a_pull_sends_the_credentials_of_its_registry_only(config: Path) -> None:
    config.write_text(json.dumps({"auths": AUTHS}))
    sent = decoded(docker_registry.pull_headers("registry.example/a/b:1")["X-Registry-Auth"])
    assert (sent["username"], sent["password"]) == ("me", "secret")
    sent = decoded(docker_registry.pull_headers("debian")["X-Registry-Auth"])
    assert sent["username"] == "hub"
    assert docker_registry.pull_headers("other.example/a") == {}


def test_a_build_sends_them_all(config: Path) -> None:
    config.write_text(json.dumps({"auths": AUTHS}))
    sent = decoded(docker_registry.build_headers()["X-Registry-Config"])
    assert set(sent) == set(AUTHS)


def test_a_credential_helper_is_asked(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    helper = tmp_path / "docker-credential-test"
    helper.write_text(HELPER)
    helper.chmod(helper.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    config.write_text(json.dumps({"credsStore": "test"}))
    sent = decoded(docker_registry.pull_headers("registry.example/a")["X-Registry-Auth"])
    assert sent["Username"] == "stored"


@pytest.mark.parametrize(
    "text", [None, "", "{}", "[]", "{", '{"auths": {}}', '{"credsStore": "rumpel-none"}']
)
def test_without_usable_credentials_nothing_is_sent(config: Path, text: str | None) -> None:
    if text is not None:
        config.write_text(text)
    assert docker_registry.pull_headers("registry.example/a") == {}
    assert docker_registry.build_headers() == {}


def test_docker_py_stays_out_until_it_is_needed() -> None:
    code = (
        "import sys, rumpel.adapters.docker_api, rumpel.adapters.docker_snapshot\n"
        "assert not {'docker', 'requests', 'urllib3'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


async def test_the_headers_reach_the_engine(config: Path, tmp_path: Path) -> None:
    text = json.dumps({"auths": AUTHS})
    await asyncio.to_thread(config.write_text, text)
    await asyncio.to_thread((tmp_path / "context.tar").write_bytes, b"tar")
    seen: list[Request] = []

    async def engine(request: Request, writer: asyncio.StreamWriter) -> None:
        seen.append(request)
        writer.write(json_answer({"error": "denied"}))

    async with fake_engine(tmp_path, engine) as url:
        http = HttpClient(parse_endpoint(url))
        with pytest.raises(RumpelError, match="denied"):
            await pull(http, "registry.example/a", platform=None, on_line=None)
        with pytest.raises(RumpelError, match="denied"):
            await build(http, tmp_path / "context.tar", BuildOptions(), None)
        await http.close()
    assert "fromImage=registry.example%2Fa%3Alatest" in seen[0].path
    assert decoded(seen[0].headers["x-registry-auth"])["username"] == "me"
    assert set(decoded(seen[1].headers["x-registry-config"])) == set(AUTHS)
    assert seen[1].body == b"tar"
