"""The CLI as a process, against a daemon scripted by the test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.e2e.cli_fake.fake_daemon import FakeDaemon, Handler
from tests.support.home import Home
from tests.support.outcome import Outcome

Run = Callable[..., Outcome]
Serve = Callable[..., FakeDaemon]


@pytest.fixture
def serve(home: Home) -> Iterator[Serve]:
    """serve(create=handler, ...): a fake daemon where the CLI of this test looks for one."""
    with ExitStack() as stack:

        def start(**handlers: Handler) -> FakeDaemon:
            return stack.enter_context(FakeDaemon(home.socket, **handlers))

        yield start


@pytest.fixture
def run(home: Home) -> Run:
    """run("list", "--all", env=..., input=...) -> Outcome, in an empty folder of the test."""
    cwd = home.path / "work"
    cwd.mkdir()

    def call(*args: str, **more: Any) -> Outcome:
        return home.run(*args, cwd=more.pop("cwd", cwd), **more)

    return call


def answers(data: object, **more: Any) -> Handler:
    """A handler that answers at once."""
    return lambda talk: talk.result(data, **more)
