"""Plain progress: what is worth a line."""

from __future__ import annotations

from typing import Any

import pytest

from rumpel import protocol
from rumpel.cli import progress
from rumpel.cli.options import Options


def node(state: str, **more: Any) -> dict[str, Any]:
    return protocol.node("image", state, title="Preparing image", **more)


def test_long_silent_work_says_that_it_is_alive(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = [100.0]
    monkeypatch.setattr("rumpel.cli.progress.time.monotonic", lambda: now[0])
    monkeypatch.setattr(progress, "STILL_RUNNING_S", 30.0)
    plain = progress.Plain(Options())
    assert plain.timeout_s() is None
    plain.event(node("running"))
    plain.tick()
    assert capsys.readouterr().err == ""
    now[0] += 40
    plain.tick()
    assert capsys.readouterr().err.startswith("Preparing image · running (40")
    assert plain.timeout_s() == 40  # twice as long until the next time
    plain.event(node("ok", elapsed_s=0.05))
    assert plain.timeout_s() is None


def test_cached_steps_are_told_on_request_only(capsys: pytest.CaptureFixture[str]) -> None:
    options = Options()
    progress.Plain(options).event(node("cached"))
    assert capsys.readouterr().err == ""
    options.verbose = 1
    progress.Plain(options).event(node("cached"))
    assert capsys.readouterr().err == "Preparing image · cached\n"


def test_quiet_says_warnings_alone(capsys: pytest.CaptureFixture[str]) -> None:
    quiet = progress.Quiet(Options())
    quiet.event(node("failed"))
    quiet.event(protocol.notice("by the way"))
    quiet.event(protocol.notice("careful\x1b", level="warning"))
    assert capsys.readouterr().err == "warning: careful\\x1b\n"


def test_a_tail_that_passed_by_is_known(capsys: pytest.CaptureFixture[str]) -> None:
    plain = progress.Plain(Options())
    plain.event(node("running"))
    for text in ("one\n", "two\nthree", "four\x1b\n"):
        plain.event(protocol.log("image", text))
    plain.event(protocol.log("other", "five"))
    assert plain.has_shown(["three", "four\\x1b"])
    assert plain.has_shown(["one", "", "two"])
    assert not plain.has_shown(["three", "five"])
    assert not plain.has_shown(["zero", "one"])
    assert not progress.Quiet(Options()).has_shown(["one"])
