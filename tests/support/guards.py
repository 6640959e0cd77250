"""What no test may do: reach the network, change the environment, block the event loop."""

from __future__ import annotations

import atexit
import contextlib
import io
import ipaddress
import os
import sys
from collections.abc import Iterator
from typing import Any

import forbiddenfruit
from blockbuster import BlockBuster

IGNORED_VARIABLES = frozenset({"PYTEST_CURRENT_TEST"})


class NetworkUsed(BaseException):
    """Not an Exception: code under test must not be able to swallow it."""


def forbid_network() -> None:
    """Fail any connection of this process that leaves the machine. For good: hooks stay."""
    sys.addaudithook(_audit)


def _audit(event: str, args: tuple[Any, ...]) -> None:
    if event == "socket.connect" and isinstance(args[1], tuple):
        host = str(args[1][0])
        if not _is_loopback(host):
            raise NetworkUsed(f"a test connects to {host}")
    elif event == "socket.getaddrinfo" and args[0] is not None:
        host = args[0].decode() if isinstance(args[0], bytes) else str(args[0])
        if host and not _is_loopback(host):
            raise NetworkUsed(f"a test looks up {host}")


def _is_loopback(host: str) -> bool:
    if host in ("localhost", ""):
        return True
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    return False


@contextlib.contextmanager
def environment(variables: dict[str, str]) -> Iterator[None]:
    """Exactly `variables` while it lasts. Raises AssertionError when a test left a change."""
    before = dict(os.environ)
    kept = {name: before[name] for name in IGNORED_VARIABLES & before.keys()}
    os.environ.clear()
    os.environ.update(variables | kept)
    try:
        yield
        after = dict(os.environ)
        changed = sorted(
            name
            for name in (after.keys() | variables.keys()) - IGNORED_VARIABLES
            if after.get(name) != variables.get(name)
        )
        if changed:
            raise AssertionError(f"the test left the environment changed: {', '.join(changed)}")
    finally:
        os.environ.clear()
        os.environ.update(before)


def forbid_blocking_calls() -> None:
    """A blocking call of rumpel's own code inside an event loop raises BlockingError.

    Tests themselves may block: they have the loop to themselves. For the whole session: to begin
    and to end it for each test took 7 ms.
    """
    buster = BlockBuster(scanned_modules=["rumpel"], excluded_modules=[])
    buster.activate()
    atexit.register(_allow_blocking_calls, buster)


def _allow_blocking_calls(buster: BlockBuster) -> None:
    """What it put into types of the interpreter must not be the last to hold stdout: else, where
    PYTHONUNBUFFERED is not set, a run ends with a segmentation fault. Its own way back leaves
    the originals there under names of their own.
    """
    buster.deactivate()
    for kind in (io.BufferedReader, io.BufferedWriter, io.BufferedRandom, io.TextIOWrapper):
        for name in [name for name in vars(kind) if name.startswith("_c_")]:
            forbiddenfruit.reverse(kind, name)
