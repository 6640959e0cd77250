"""The person's editor: what was written is kept until it is kept elsewhere."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rumpel import paths
from rumpel.cli import editor
from rumpel.errors import Conflict


def _use(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, script: str) -> None:
    program = tmp_path / "an editor"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.setenv("EDITOR", f"'{program}'")


def _drafts() -> list[str]:
    return [path.read_text() for path in Path(paths.state_dir(), "drafts").glob("*/PROMPT.md")]


def test_a_draft_stays_until_it_is_kept(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _use(monkeypatch, tmp_path, r'printf "long words \377\n" >"$1"')
    draft = editor.write()
    assert draft.text == "long words \ufffd"
    draft.tell()
    assert f"what you wrote is in {draft.path}" in capsys.readouterr().err
    assert Path(draft.path).parent.stat().st_mode & 0o077 == 0
    draft.forget()
    draft.tell()
    assert capsys.readouterr().err == ""


def test_ctrl_c_is_the_editor_s(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _use(monkeypatch, tmp_path, 'kill -INT "$PARENT"; sleep 0.2; echo words >"$1"')
    monkeypatch.setenv("PARENT", str(os.getpid()))
    assert editor.write().text == "words"


def test_an_editor_that_fails_takes_nothing_away(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _use(monkeypatch, tmp_path, 'echo words >"$1"; exit 7')
    with pytest.raises(Conflict, match="the editor ended with 7"):
        editor.write()
    assert _drafts() == ["words\n"]
    assert "what you wrote is in " in capsys.readouterr().err
    _use(monkeypatch, tmp_path, "exit 7")
    with pytest.raises(Conflict):
        editor.write()
    assert _drafts() == ["words\n"], "of nothing no file stays"
