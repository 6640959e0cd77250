"""Which engine is meant, in the docker CLI's own order."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from rumpel.adapters import docker_context
from rumpel.adapters.docker_context import Address, Tls, resolve
from rumpel.errors import ConfigError


def store(folder: Path, name: str, url: object, *, with_tls: bool = False) -> None:
    key = hashlib.sha256(name.encode()).hexdigest()
    meta = folder / "contexts" / "meta" / key
    meta.mkdir(parents=True)
    text = json.dumps({"Name": name, "Endpoints": {"docker": {"Host": url}}})
    (meta / "meta.json").write_text(text)
    if with_tls:
        (folder / "contexts" / "tls" / key / "docker").mkdir(parents=True)


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    store(tmp_path, "far", "tcp://far:2375")
    store(tmp_path, "safe", "tcp://safe:2376", with_tls=True)
    store(tmp_path, "bad", 7)
    return {"DOCKER_CONFIG": str(tmp_path), "HOME": "/nowhere"}


def test_the_order(env: dict[str, str], tmp_path: Path) -> None:
    default = f"unix://{docker_context.DEFAULT_SOCKET}"
    assert resolve(env) == Address(default, "default")
    (tmp_path / "config.json").write_text('{"currentContext": "far"}')
    assert resolve(env) == Address("tcp://far:2375", "context far")
    env["DOCKER_CONTEXT"] = "safe"
    assert resolve(env) == Address("tcp://safe:2376", "context safe", Tls())
    env["DOCKER_CONTEXT"] = "default"
    assert resolve(env) == Address(default, "default")
    env["DOCKER_HOST"] = "unix:///other.sock"
    assert resolve(env) == Address("unix:///other.sock", "DOCKER_HOST")
    env["DOCKER_TLS_VERIFY"] = "1"
    assert resolve(env).tls is None  # nobody speaks it on a unix socket
    env["DOCKER_HOST"] = "tcp://far:2376"
    (tmp_path / "ca.pem").write_text("")
    assert resolve(env).tls == Tls(ca=str(tmp_path / "ca.pem"))
    del env["DOCKER_TLS_VERIFY"]
    assert resolve(env).tls is None
    env["DOCKER_TLS"] = "1"
    found = resolve(env).tls
    assert found is not None
    assert not found.verify


@pytest.mark.parametrize("name", ["none", "bad", "../../x"])
def test_a_context_that_is_none_is_named(env: dict[str, str], name: str) -> None:
    with pytest.raises(ConfigError, match="there is no docker context"):
        resolve({**env, "DOCKER_CONTEXT": name})


@pytest.mark.parametrize("text", ["", "{", "[]", '{"currentContext": 7}', "\xff"])
def test_a_broken_configuration_is_none(env: dict[str, str], tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_bytes(text.encode("latin-1"))
    assert resolve(env).origin == "default"


def test_a_rootless_socket_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(docker_context, "DEFAULT_SOCKET", str(tmp_path / "none"))
    (tmp_path / "docker.sock").touch()
    env = {"XDG_RUNTIME_DIR": str(tmp_path), "HOME": "/nowhere"}
    assert resolve(env).url == f"unix://{tmp_path}/docker.sock"


@pytest.mark.skipif(shutil.which("docker") is None, reason="no docker CLI to compare with")
def test_a_context_of_the_cli_is_understood(tmp_path: Path) -> None:
    env = {**os.environ, "DOCKER_CONFIG": str(tmp_path), "DOCKER_HOST": ""}
    argv = ["docker", "context", "create", "mine", "--docker", "host=tcp://mine:2375"]
    subprocess.run(argv, env=env, check=True, capture_output=True)
    subprocess.run(["docker", "context", "use", "mine"], env=env, check=True, capture_output=True)
    assert resolve(env) == Address("tcp://mine:2375", "context mine")
