"""What agents are given, and what is taken of a package and of a pod."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rumpel import agents
from rumpel.adapters import npm
from rumpel.adapters.screen_text import lines as drawn
from rumpel.agents.claude import CLAUDE, SETTINGS, STATE
from rumpel.agents.model import Platform, Seat
from rumpel.cache.store import Store
from rumpel.daemon.agent_states import BURST, AgentStates, Pace
from rumpel.daemon.background import Background
from rumpel.daemon.sessions import _files
from rumpel.errors import RumpelError, UsageError
from rumpel.model import RepoRef
from rumpel.tasks.world import PodAddress

KEY = "sk-ant-0123456789-abcdefghijklmnop"


def seat(**more: object) -> Seat:
    given = {"pod": "a", "branch": "a", "workspace": "/w", "user": "dev", "secrets": {}, **more}
    return Seat(**given)  # type: ignore[arg-type] # what a test changes


def files(found: dict[str, bytes], **more: object) -> tuple[dict[str, object], dict[str, object]]:
    made = CLAUDE.files(seat(**more), found)
    assert set(made) == {STATE, SETTINGS}
    return json.loads(made[STATE]), json.loads(made[SETTINGS])


def test_what_keeps_the_dialogs_away() -> None:
    state, settings = files({}, secrets={"ANTHROPIC_API_KEY": KEY})
    assert state["hasCompletedOnboarding"] is True
    assert state["projects"] == {"/w": {"hasTrustDialogAccepted": True}}
    assert state["bypassPermissionsModeAccepted"] is True
    assert state["customApiKeyResponses"] == {"approved": [KEY[-20:]]}
    assert settings["skipDangerousModePermissionPrompt"] is True


def test_one_that_asks_is_given_no_leave() -> None:
    state, settings = files({}, asks=True)
    assert "bypassPermissionsModeAccepted" not in state
    assert "skipDangerousModePermissionPrompt" not in settings
    assert CLAUDE.argv(seat(asks=True), "told") == ["--append-system-prompt", "told"]
    assert CLAUDE.argv(seat(), "told")[0] == "--dangerously-skip-permissions"


def test_what_the_agent_wrote_stays_and_ours_is_there_once() -> None:
    old = {"theme": "dark", "hooks": {"Stop": [{"hooks": [{"command": "mine"}]}]}}
    first = CLAUDE.files(seat(), {SETTINGS: json.dumps(old).encode(), STATE: b'{"numStartups": 3}'})
    again = CLAUDE.files(seat(), first)
    assert again == first
    settings = json.loads(first[SETTINGS])
    assert settings["theme"] == "dark"
    assert [item["hooks"][0]["command"] for item in settings["hooks"]["Stop"]] == [
        "mine",
        "/bin/sh /rumpel/home/.status.sh claude waiting",
    ]
    assert json.loads(first[STATE])["numStartups"] == 3


@given(st.binary(max_size=60) | st.sampled_from([b"[" * 100_000, b"null", b'{"projects": 1}']))
def test_what_lies_in_the_pod_may_be_anything(junk: bytes) -> None:
    state, settings = files({STATE: junk, SETTINGS: junk})
    assert state["hasCompletedOnboarding"] is True
    assert settings["hooks"]


def test_a_key_is_agreed_to_once() -> None:
    was = json.dumps({"customApiKeyResponses": {"approved": ["x", KEY[-20:]], "rejected": []}})
    state, _ = files({STATE: was.encode()}, secrets={"ANTHROPIC_API_KEY": KEY})
    assert state["customApiKeyResponses"] == {"approved": ["x", KEY[-20:]], "rejected": []}


def test_where_things_lie() -> None:
    musl = Platform(arch="arm64", is_musl=True)
    assert CLAUDE.package(musl) == "@anthropic-ai/claude-code-linux-arm64-musl"
    assert CLAUDE.path("1.2.3", musl) == "/rumpel/agents/claude/1.2.3-arm64-musl/claude"
    assert CLAUDE.home == "/rumpel/home/claude"
    assert "secret" not in repr(seat(secrets={"A": "secret"}))
    with pytest.raises(UsageError, match="claude"):
        agents.get("clod")


def packed(path: Path, members: list[tuple[str, bytes, int]], link: str | None = None) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for name, data, mode in members:
            info = tarfile.TarInfo(name)
            info.size, info.mode, info.uid = len(data), mode, 1000
            tar.addfile(info, io.BytesIO(data))
        if link is not None:
            info = tarfile.TarInfo("package/link")
            info.type, info.linkname = tarfile.SYMTYPE, link
            tar.addfile(info)
    return path


def test_a_package_becomes_read_only_files_of_root(tmp_path: Path) -> None:
    source = packed(
        tmp_path / "a.tgz",
        [("package/bin/tool", b"run", 0o4777), ("package/README", b"text", 0o600)],
        link="/etc/passwd",
    )
    npm.unpack(
        source, tmp_path / "a.tar", folder="tool/1.0.0-x64", program="bin/tool", mark=".whole"
    )
    with tarfile.open(tmp_path / "a.tar") as tar:
        found = [(item.name, item.mode, item.uid, item.type) for item in tar.getmembers()]
    assert found == [
        ("tool/1.0.0-x64/bin/tool", 0o555, 0, tarfile.REGTYPE),
        ("tool/1.0.0-x64/README", 0o444, 0, tarfile.REGTYPE),
        ("tool/1.0.0-x64/.whole", 0o644, 0, tarfile.REGTYPE),
    ]


@pytest.mark.parametrize("name", ["package/../../x", "/etc/x", "x"])
def test_a_package_that_reaches_out_is_refused(tmp_path: Path, name: str) -> None:
    source = packed(tmp_path / "a.tgz", [(name, b"", 0o644)])
    with pytest.raises(RumpelError, match="a package holds a file"):
        npm.unpack(source, tmp_path / "a.tar", folder="f", program="x", mark="m")


def test_a_screen_is_drawn_from_what_was_written() -> None:
    written = b"\x1b[2J\x1b[Hone\r\n\x1b[1mtw\xc3\xb6\x1b[0m\x1b[3;3H\xe2\x9d\xaf\xc2\xa0x"
    assert drawn(written, 6, 4) == ["one", "tw\u00f6", "  \u276f x", ""]


SEQUENCES = [*(b"\x1b[%d;%d%c" % (n, n, c) for n in (0, 9) for c in b"ABCHJKLMPX@rdGgn")]
SEQUENCES += [b"\x1b[?%c" % c for c in b"ABCHJKLMPX@rdGgnm"] + [
    b"\x9b;;;r",
    b"\x1b]",
    b"\x1b[99;99H",
]


@given(st.lists(st.binary(max_size=20) | st.sampled_from(SEQUENCES)).map(b"".join))
def test_any_bytes_make_a_screen(written: bytes) -> None:
    lines = drawn(written, 10, 5)
    assert len(lines) == 5
    assert all(len(line) <= 20 for line in lines)


@given(st.binary(max_size=80))
def test_files_of_a_pod_are_those_that_were_asked_for(junk: bytes) -> None:
    good = b"3 a\nxyz5 b\n12345"
    assert _files(good, ("a", "b")) == {"a": b"xyz", "b": b"12345"}
    assert _files(good, ("b",)) == {}
    assert _files(b"9 a\nxyz", ("a",)) == {}
    assert set(_files(junk, ("a", "b"))) <= {"a", "b"}


def test_a_pod_that_repeats_itself_is_not_listened_to() -> None:
    assert _files(b"0 a\n" * 100_000, ("a",)) == {"a": b""}
    assert _files(b"9" * 5000 + b" a\nx", ("a",)) == {}


def test_a_pod_that_never_stops_talking_is_heard_once_a_second() -> None:
    pace, now, heard = Pace(), 1000.0, 0
    for _ in range(10_000):
        heard += not pace.wait_s(now)
        now += 0.001
    assert BURST + 8 <= heard <= BURST + 11


async def test_one_that_is_started_anew_is_not_the_one_before(tmp_path: Path) -> None:
    """The other worked until its container went: this one does since now."""
    repo = RepoRef.at("/r/.git", "/r")
    pod = PodAddress(repo=repo, host="local", pod="p", pod_id="1", workspace_folder="/w")

    async def look(_: PodAddress) -> int:
        return 0

    async def notify(*_: object) -> None:
        pass

    async with Store(tmp_path / "state.db") as store, Background() as background:
        states = AgentStates(store, background, look, notify)
        states.said(pod, "claude", "working")
        before = states.of("1")["claude"]["at"]
        states.said(pod, "claude", "working")
        assert states.of("1")["claude"]["at"] == before
        states.said(pod, "claude", "working", is_new=True)
        assert states.of("1")["claude"]["at"] > before
