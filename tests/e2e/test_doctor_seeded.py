"""More faults, each made for real: what `doctor` calls them, and what ends them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import rumpel
from rumpel import names
from tests.e2e.test_doctor_fix import PLAIN, codes, rows
from tests.support.flaky_engine import FlakyEngine
from tests.support.project import Project, ProjectFactory

NEEDS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="gives files to somebody else")


@pytest.fixture(name="project")
def with_a_pod(rumpel_project: ProjectFactory) -> Project:
    project = rumpel_project()
    project.run("create", "a").assert_ok()
    return project


def test_a_daemon_of_another_version(project: Project) -> None:
    """The one of the copy is started instead."""
    lib = project.home.path / "lib"
    shutil.copytree(Path(rumpel.__file__).parent, lib / "rumpel")
    text = (lib / "rumpel/__init__.py").read_text()
    (lib / "rumpel/__init__.py").write_text(text.replace(rumpel.__version__, "99.9.9"))
    argv = [sys.executable, "-P", "-m", "rumpel", "doctor", "--json"]
    env = {"PYTHONPATH": str(lib)}

    def said(*more: str) -> str:
        process = project.home.start([*argv, *more], cwd=project.root, env=env)
        return process.communicate(timeout=60)[0].decode()

    assert '"daemon-version"' in said()
    assert '"state":"fixed"' in said("--fix").replace(" ", "")
    assert '"daemon-version"' not in said()
    assert "daemon-version" in codes(rows(project)), "now the other one is"
    project.run("daemon", "restart").assert_ok()
    project.wait_until(lambda: codes(rows(project)) == set(), "all is well again")


class Old(FlakyEngine):
    """The real engine, but for the version of the API that it knows."""

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, gates: list[asyncio.Event]
    ) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65_536):
                writer.write(data.replace(b'"ApiVersion":"1.4', b'"ApiVersion":"1.3'))
                await writer.drain()
            writer.write_eof()


async def test_an_engine_of_old(rumpel_project: ProjectFactory, tmp_path: Path) -> None:
    project = rumpel_project()
    engine = Old(tmp_path / "old.sock")
    await engine.up()
    try:
        env = {"DOCKER_HOST": engine.url}
        found = await asyncio.to_thread(rows, project, env=env)
        assert codes(found) == {"docker-api-old"}
        (one,) = [one for one in found if one["code"] == "docker-api-old"]
        assert (one["state"], one["hint"]) == ("problem", "docker version")
        await asyncio.to_thread(project.run, "daemon", "stop")
    finally:
        await engine.down()


def test_what_holds_the_repository_is_gone(project: Project) -> None:
    """The hint, typed as it stands, ends it."""
    assert project.home.label is not None
    gateway = f"{names.LABEL_KIND}=gateway"
    (state,) = project.docker.containers(project.home.label, gateway)
    project.docker.api.remove_container(state["Id"], force=True)
    project.wait_until(lambda: "seed-gone" in codes(rows(project)), "it is found")
    (one,) = [one for one in rows(project, "--fix") if one["code"] == "seed-gone"]
    assert not one["fixable"]
    project.run(*shlex.split(one["hint"])[1:]).assert_ok()
    assert codes(rows(project)) == set()
    oid = project.commit("later")
    show = "git fetch -q host || :; git rev-parse host/main"
    project.wait_until(lambda: project.inside("a", show) == oid, "the pod has it")


def test_a_pod_that_is_cut_off(rumpel_project: ProjectFactory) -> None:
    """By somebody in it who took the shell away: once it is back all is put right."""
    project = rumpel_project(config={**PLAIN, "remoteUser": "dev"})
    project.run("create", "a").assert_ok()
    pod = project.container_id("a")
    subprocess.run(["docker", "exec", "-u", "0", pod, "/bin/mv", "/bin/sh", "/bin/s"], check=True)
    project.run("daemon", "restart").assert_ok()
    project.wait_until(lambda: "pod-cut" in codes(rows(project)), "it is found")
    subprocess.run(["docker", "exec", "-u", "0", pod, "/bin/mv", "/bin/s", "/bin/sh"], check=True)
    mended = rows(project, "--fix")
    assert codes(mended) == set()
    oid = project.inside("a", "git commit -q --allow-empty -m x && git rev-parse HEAD")
    project.wait_for_ref("a", oid)


@NEEDS_ROOT
@pytest.mark.parametrize("check", ["state", "socket"])
def test_what_belongs_to_somebody_else(project: Project, check: str) -> None:
    """Nothing is changed: who owns it may be at work in it."""
    place = project.home.state if check == "state" else project.home.socket
    os.chown(place, 1000, 1000)
    try:
        found = rows(project, "--fix")
        assert f"{check}-foreign" in codes(found), found
        (one,) = [one for one in found if one["code"] == f"{check}-foreign"]
        assert not one["fixable"]
        assert place.stat().st_uid == 1000
    finally:
        os.chown(place, 0, 0)
    assert codes(rows(project)) == set()
