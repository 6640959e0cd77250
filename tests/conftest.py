"""The harness: every test has a home of its own, no network, and leaves nothing behind.

`home` (automatic) gives HOME, the XDG folders and a git identity. `rumpel_project` makes a git
repository with rumpel in it: `rumpel_project({...files}).run("create", "a").assert_ok()`. Tests
that use Docker are marked `docker` by the fixtures they ask for, and skip with a reason when no
engine answers (they fail where RUMPEL_TEST_REQUIRE=docker, as in scripts/test).
"""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import sys
from collections.abc import Callable, Generator, Iterator

import pytest
from hypothesis import settings

from tests.support import guards
from tests.support.engine import (
    DB_IMAGE,
    DEV_IMAGE,
    LFS_IMAGE,
    MINI_IMAGE,
    SSH_IMAGE,
    SSHD_IMAGE,
    Engine,
    describe,
    unavailable,
)
from tests.support.far_engine import Dockerd, FarEngine
from tests.support.home import RUN_ID, RUN_LABEL, Home, sweep
from tests.support.place import ENGINES, LOCAL, Place, places
from tests.support.project import ProjectFactory
from tests.support.repo import Repo
from tests.support.share import is_due
from tests.support.sshd import LABEL, Sshd

pytest.register_assert_rewrite("tests.adapters.git.hostile")
DOCKER_FIXTURES = frozenset(
    {
        *("docker_engine", "near_engine", "pod_place", "rumpel_project", "sshd"),
        *("db_image", "dev_image", "lfs_image", "mini_image", "ssh_image"),
    }
)
OWN_PLACES = frozenset({"sshd", "dockerd", "far", "podman", "rootless"})
DOCKER_TIMEOUT_S = 120

# Deadlines measure the machine, which is shared; a run in CI must be repeatable.
settings.register_profile("rumpel", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "rumpel")


def pytest_configure(config: pytest.Config) -> None:
    if getattr(config.option, "testrunuid", "") is None:  # xdist is there and would choose one
        config.option.testrunuid = RUN_ID


def pytest_sessionstart() -> None:
    # Whoever starts the tests may have signals ignored (nohup, `&`) or keep files to themselves.
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    os.umask(0o022)
    guards.forbid_network()
    guards.forbid_blocking_calls()


def pytest_sessionfinish(session: pytest.Session) -> None:
    if not hasattr(session.config, "workerinput"):  # the one that started the workers, if any
        sweep(RUN_ID)
        if not docker_unavailable():
            engine = Engine.connect()
            engine.remove_labelled(f"{LABEL}={RUN_ID}")
            left = describe(engine.containers(RUN_LABEL), engine.volumes(RUN_LABEL))
            engine.remove_labelled(RUN_LABEL)
            engine.close()
            if left:  # by a test whose daemon had another state folder, so no check of its own
                print(f"\ntests left something behind:\n{left}", file=sys.stderr)  # noqa: T201
                session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """What is tested with pods here is tested elsewhere, too, unless it says why not."""
    marks, fixtures = metafunc.definition.iter_markers(), set(metafunc.fixturenames)
    if "rumpel_project" not in fixtures or fixtures & OWN_PLACES:
        return
    found = places({mark.name for mark in marks})
    if found != [LOCAL]:
        chosen = [pytest.param(p, id=pytest.HIDDEN_PARAM if p == LOCAL else p) for p in found]
        metafunc.parametrize("pod_place", chosen, indirect=True, scope="session")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        fixtures = getattr(item, "fixturenames", ())
        if DOCKER_FIXTURES.intersection(fixtures):
            item.add_marker(pytest.mark.docker)
        if item.get_closest_marker("docker") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(DOCKER_TIMEOUT_S))
        rare = item.get_closest_marker("one_in")
        if rare is not None and not is_due(item.nodeid, rare.args[0]):
            why = f"for one commit in {rare.args[0]}, and always in scripts/long"
            item.add_marker(pytest.mark.skip(why))


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("docker") and (reason := docker_unavailable()):
        missing(reason)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A failed test shows the log of its daemon: by then the file will be gone."""
    report = yield
    home = getattr(item, "funcargs", {}).get("home")
    if report.failed and isinstance(home, Home) and home.log:
        report.sections.append(("daemon log", home.log_tail()))
    return report


@functools.cache
def docker_unavailable() -> str | None:
    return unavailable()


def missing(reason: str) -> None:
    if "docker" in os.environ.get("RUMPEL_TEST_REQUIRE", "").split(","):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


@pytest.fixture(autouse=True)
def home(request: pytest.FixtureRequest) -> Iterator[Home]:
    """The test's own user; its daemon, processes and Docker objects end with the test."""
    home = Home()
    # Only asked for by tests that use Docker: connecting costs others a tenth of a second.
    uses_docker = DOCKER_FIXTURES.intersection(request.fixturenames)
    place: Place | None = request.getfixturevalue("pod_place") if uses_docker else None
    with contextlib.ExitStack() as way:
        try:
            if place is not None and place.far is not None:
                image = request.getfixturevalue("sshd_image")
                home.env |= way.enter_context(place.leads(home, image))
            with guards.environment(home.env):
                yield home
        finally:
            problems = home.close(None if place is None else place.engine)
    if problems:
        pytest.fail("\n".join(["the test left something behind:", *problems]), pytrace=False)


@pytest.fixture(scope="session")
def near_engine() -> Iterator[Engine]:
    """This machine's engine, wherever the pods of the test live."""
    if reason := docker_unavailable():
        missing(reason)
    engine = Engine.connect()
    yield engine
    engine.close()


@pytest.fixture(scope="session")
def pod_place(
    request: pytest.FixtureRequest,
    near_engine: Engine,
    far_engines: Callable[[type[FarEngine]], FarEngine],
) -> Place:
    """Where the pods of the test live."""
    name = getattr(request, "param", LOCAL)
    if name == LOCAL:
        return Place(name, near_engine)
    return Place(name, near_engine, far_engines(ENGINES[name]))


@pytest.fixture(scope="session")
def far_engines() -> Iterator[Callable[[type[FarEngine]], FarEngine]]:
    """Those at which somebody has pods, one of each kind, started when it is asked for."""
    started: dict[type[FarEngine], FarEngine] = {}
    with contextlib.ExitStack() as running:

        def of_kind(kind: type[FarEngine]) -> FarEngine:
            if reason := kind.missing():
                pytest.skip(reason)
            if kind not in started:
                started[kind] = running.enter_context(kind())
            return started[kind]

        yield of_kind


@pytest.fixture(scope="session")
def docker_engine(pod_place: Place) -> Engine:
    """The engine of the pods, by its API. Label what you make and remove it."""
    return pod_place.engine


@pytest.fixture(scope="session")
def mini_image(pod_place: Place) -> str:
    """Reference of the image with busybox and git (scripts/images)."""
    return _image(pod_place, MINI_IMAGE)


@pytest.fixture(scope="session")
def dev_image(pod_place: Place) -> str:
    """Reference of the image with Debian, bash, git, screen (scripts/images)."""
    return _image(pod_place, DEV_IMAGE)


@pytest.fixture(scope="session")
def db_image(pod_place: Place) -> str:
    """Reference of the small image with Redis (scripts/images db)."""
    return _image(pod_place, DB_IMAGE)


@pytest.fixture(scope="session")
def lfs_image(pod_place: Place) -> str:
    """Reference of the small image with git-lfs (scripts/images lfs)."""
    return _image(pod_place, LFS_IMAGE)


@pytest.fixture(scope="session")
def ssh_image(pod_place: Place) -> str:
    """Reference of the Debian image with OpenSSH's client (scripts/images ssh)."""
    return _image(pod_place, SSH_IMAGE)


@pytest.fixture(scope="session")
def sshd_image(near_engine: Engine) -> str:
    """Reference of the image with OpenSSH's server (scripts/images sshd), on this machine."""
    return _image(Place(LOCAL, near_engine), SSHD_IMAGE)


@pytest.fixture
def sshd(home: Home, near_engine: Engine, sshd_image: str) -> Iterator[Sshd]:
    """A machine of its own that leads to this engine, and that `home` may log into."""
    with Sshd(home, near_engine, sshd_image) as machine:
        yield machine


@pytest.fixture(scope="module")
def dockerd(near_engine: Engine, mini_image: str) -> Iterator[FarEngine]:
    """An engine of its own, with the small image."""
    with Dockerd() as engine:
        engine.load(near_engine, mini_image)
        yield engine


@pytest.fixture
def git_repo(home: Home) -> Repo:
    """An empty git repository on branch main."""
    return Repo.create(home.path / "repo", home.env)


@pytest.fixture
def rumpel_project(home: Home, docker_engine: Engine, mini_image: str) -> ProjectFactory:
    """Make repositories with rumpel in them; see ProjectFactory."""
    return ProjectFactory(home, docker_engine)


def _image(place: Place, ref: str) -> str:
    if not place.near.has_image(ref):
        missing(f"no image {ref}: run scripts/images")
    if place.far is not None and not place.engine.has_image(ref):
        place.far.load(place.near, ref)
    return ref
