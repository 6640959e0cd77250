"""An engine behind TLS, by DOCKER_HOST and by a docker context."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.certificates import authority, signed
from tests.support.engine import Engine
from tests.support.far_engine import Dockerd
from tests.support.project import Project, ProjectFactory

pytestmark = [pytest.mark.slow]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tls")
    for name in ("ours", "theirs"):
        authority(folder / name)
    signed(folder / "server", folder / "ours")
    signed(folder / "client", folder / "ours")
    signed(folder / "stranger", folder / "theirs")
    return folder


@pytest.fixture(scope="module")
def dockerd(docker_engine: Engine, mini_image: str, certificates: Path) -> Iterator[Dockerd]:
    with Dockerd(tls=certificates / "server") as engine:
        engine.load(docker_engine, mini_image)
        yield engine


def settings(dockerd: Dockerd, folder: Path) -> dict[str, str | None]:
    return {
        "DOCKER_HOST": f"tcp://127.0.0.1:{dockerd.tls_port}",
        "DOCKER_TLS_VERIFY": "1",
        "DOCKER_CERT_PATH": str(folder),
    }


def begin(project: Project, env: dict[str, str | None]) -> None:
    """The daemon's engine is the one of who starts it."""
    project.run("daemon", "stop", "--force")
    project.run("list", env=env).assert_ok()


def test_a_pod(rumpel_project: ProjectFactory, dockerd: Dockerd, certificates: Path) -> None:
    project = rumpel_project()
    begin(project, settings(dockerd, certificates / "client"))
    project.run("create", "a").assert_ok()
    assert len(dockerd.engine.containers()) > 0
    content = bytes(range(256)) * 4096
    done = project.run("enter", "a", "--", "cat", input=content)  # half-closed, and all comes back
    assert done.stdout_bytes == content
    oid = project.inside("a", "git commit -q --allow-empty -m work && git rev-parse HEAD")
    project.wait_for_ref("a", oid)
    child = project.spawn("enter", "a")
    child.sendline(b"echo $((20+3))x; exit 7")
    child.expect(b"23x")
    child.wait()
    assert child.exitstatus == 7
    project.run("delete", "a", "--force").assert_ok()
    assert dockerd.engine.containers() == []


def test_who_is_not_trusted_is_told_why(
    rumpel_project: ProjectFactory, dockerd: Dockerd, certificates: Path
) -> None:
    project = rumpel_project()

    def refused(folder: Path, **more: str) -> str:
        begin(project, {**settings(dockerd, folder), **more})
        done = project.run("create", "a")
        assert done.code == 5, done
        return done.stderr

    assert "certificate that is not trusted" in refused(certificates / "stranger")
    mixed = certificates / "mixed"
    if not mixed.exists():
        mixed.mkdir()
        for name, source in (("ca", "client"), ("cert", "stranger"), ("key", "stranger")):
            (mixed / f"{name}.pem").write_bytes(
                (certificates / source / f"{name}.pem").read_bytes()
            )
    assert "TLS" in refused(mixed)  # the engine does not know us
    assert "cannot reach" in refused(certificates / "client", DOCKER_HOST="tcp://127.0.0.1:1")
