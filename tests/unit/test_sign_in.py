"""A sign-in of the user's: what of it goes into a pod, and how it is renewed, against a server."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import resource
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rumpel.adapters import credentials, folder_locks, token_server
from rumpel.adapters.credentials import SignedOut
from rumpel.agents import stored
from rumpel.agents.claude_stored import CLAUDE_STORED
from rumpel.agents.codex_stored import CODEX_STORED, ends
from rumpel.agents.stored import Held, Stored
from rumpel.config import SETTINGS
from rumpel.daemon.lent_file import Known, renewal
from rumpel.daemon.sign_in import Source
from rumpel.errors import ConfigError, RumpelError
from tests.support import fake_sign_in
from tests.support.fake_sign_in import Server
from tests.support.sign_ins import BOTH, answers, made, renewed, value


@pytest.fixture(name="server")
def sign_in_server() -> Iterator[Server]:
    with fake_sign_in.server(lasts_s=3600) as made:
        yield made


@pytest.mark.parametrize("agent", BOTH)
def test_a_pod_is_lent_no_refresh_token(agent: str, tmp_path: Path, server: Server) -> None:
    of, source = BOTH[agent], made(agent, tmp_path, server)
    held = of.read(value(source))
    assert held is not None
    assert held.refresh == server.refresh
    assert abs((held.expires_at or 0) - time.time() - 3600) < 5
    lent = of.lent(value(source))
    assert server.refresh not in json.dumps(lent)
    again = of.read(lent) or of.read(lent | {"auth_mode": "chatgpt"})
    assert again is not None
    assert (again.access, again.refresh) == (held.access, "")
    assert held.access not in repr(held) + repr(source)


@pytest.mark.parametrize("agent", BOTH)
def test_it_is_renewed_in_the_users_file(agent: str, tmp_path: Path, server: Server) -> None:
    of, source = BOTH[agent], made(agent, tmp_path, server)
    before, old = of.read(value(source)), value(source)
    assert not renewed(source, early_s=60.0), "it lasts"
    assert renewed(source)
    after = of.read(value(source))
    assert before is not None
    assert after is not None
    assert after.access != before.access
    assert after.refresh == server.refresh
    assert (Path(source.path).stat().st_mode & 0o777, server.reused) == (0o600, 0)
    assert value(source).keys() == old.keys()
    assert [path.name for path in tmp_path.iterdir()] == [Path(source.path).name]
    assert value(source).get("other") == old.get("other")


def test_many_at_once_renew_it_once(tmp_path: Path, server: Server) -> None:
    """As the daemon and the user's own program might, each looking at the file."""
    source = made("claude", tmp_path, server)
    ways = [renewal(source, Known(early_s=4000.0)) for _ in range(8)]
    server.lasts_s = 7200
    with ThreadPoolExecutor(8) as pool:
        done = list(pool.map(credentials.renew, ways))
    assert (done.count(True), len(server.renewals), server.reused) == (1, 1, 0)


def test_the_lock_of_the_program_is_waited_for(tmp_path: Path, server: Server) -> None:
    """Who holds it renews, and what they wrote counts."""
    source = made("claude", tmp_path / "claude", server)
    lock = tmp_path / "claude.lock"  # that of older versions
    lock.mkdir()

    def other() -> None:
        time.sleep(0.6)
        server.lasts_s = 7200
        fake_sign_in.claude_file(tmp_path / "claude", server)
        lock.rmdir()

    thread = threading.Thread(target=other)
    thread.start()
    assert not renewed(source)
    thread.join()
    assert server.renewals == []


def test_a_lock_that_was_left_is_taken(tmp_path: Path, server: Server) -> None:
    source = made("claude", tmp_path, server)
    lock = tmp_path / ".oauth_refresh.lock"
    lock.mkdir()
    os.utime(lock, (time.time() - 100,) * 2)
    assert renewed(source)
    assert not lock.exists()


def test_who_signs_in_meanwhile_is_not_overwritten(tmp_path: Path, server: Server) -> None:
    source = made("codex", tmp_path, server)
    how = renewal(source, Known(early_s=4000.0))

    def slowly(raw: bytes, answer: Any, now: float) -> bytes | None:
        fake_sign_in.codex_file(tmp_path, server)
        return how.renewed(raw, answer, now)

    changed = {name: getattr(how, name) for name in how.__slots__} | {"renewed": slowly}
    assert not credentials.renew(credentials.Renewal(**changed))
    held = CODEX_STORED.read(value(source))
    assert held is not None
    assert held.refresh == server.refresh


def test_a_link_to_the_file_stays_one(tmp_path: Path, server: Server) -> None:
    real = made("claude", tmp_path / "dotfiles", server)
    link = tmp_path / "home/.credentials.json"
    link.parent.mkdir()
    link.symlink_to(real.path)
    assert renewed(Source(agent="claude", path=str(link), url=real.url))
    assert link.is_symlink()
    assert server.refresh in Path(real.path).read_text()


def test_one_that_is_spent_is_told_from_a_server_out_of_order(
    tmp_path: Path, server: Server
) -> None:
    source = made("claude", tmp_path, server)
    secret, before = server.refresh, value(source)
    server.status = 503
    with pytest.raises(RumpelError, match="answered 503") as busy:
        renewed(source)
    assert not isinstance(busy.value, SignedOut)
    server.status = 200
    server.end_all()
    with pytest.raises(SignedOut) as out:
        renewed(source)
    assert secret not in str(busy.value) + str(out.value)
    assert value(source) == before


def test_no_token_is_spent_where_the_answer_has_no_place(tmp_path: Path, server: Server) -> None:
    source = made("claude", tmp_path, server)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))  # as a disk that is full
    try:
        with pytest.raises(ConfigError, match="cannot be replaced: File too large"):
            renewed(source)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert server.renewals == []
    assert [path.name for path in tmp_path.iterdir()] == [".credentials.json"]


def test_it_goes_over_https_or_stays_here(tmp_path: Path, server: Server) -> None:
    source = made("claude", tmp_path, server)
    for url in ("http://example.com/v1/oauth/token", "file:///etc/passwd", "ftp://127.0.0.1/x"):
        with pytest.raises(ConfigError, match="https only"):
            renewed(Source(agent="claude", path=source.path, url=url))


@pytest.mark.parametrize("agent", BOTH)
def test_it_goes_to_its_own_servers_alone(agent: str) -> None:
    source = Source(agent=agent, path="/x", url=BOTH[agent].url({}))
    assert renewal(source, Known()).url == source.url
    for url in ("https://example.com/v1/oauth/token", "https://127.0.0.1.example.com/"):
        with pytest.raises(ConfigError, match="is no server of sign-ins with"):
            renewal(dataclasses.replace(source, url=url), Known())


def test_where_they_lie_and_who_renews_them() -> None:
    home = {"HOME": "/home/a"}
    assert CLAUDE_STORED.folder(home) == "/home/a/.claude"
    assert CLAUDE_STORED.folder(home | {"CLAUDE_CONFIG_DIR": "/x"}) == "/x"
    assert CODEX_STORED.folder(home) == "/home/a/.codex"
    assert CODEX_STORED.folder(home | {"CODEX_HOME": "/y"}) == "/y"
    assert CLAUDE_STORED.url({}).startswith("https://")
    assert CLAUDE_STORED.url({"CLAUDE_CODE_CUSTOM_OAUTH_URL": "http://h/"}) == (
        "http://h/v1/oauth/token"
    )
    assert CODEX_STORED.url({"CODEX_REFRESH_TOKEN_URL_OVERRIDE": "http://h"}) == "http://h"


def test_a_key_that_codex_keeps_is_a_key() -> None:
    held = CODEX_STORED.read({"auth_mode": "apikey", "OPENAI_API_KEY": "sk-1"})
    assert held is not None
    assert (held.variable, held.access, held.refresh) == ("OPENAI_API_KEY", "sk-1", "")


@pytest.mark.parametrize("of", BOTH.values(), ids=BOTH)
@given(raw=st.binary(max_size=40) | st.sampled_from([b"[" * 99_999, b"null", b'{"tokens": 1}']))
def test_a_file_may_hold_anything(of: Stored, raw: bytes) -> None:
    found = stored.parsed(raw)
    assert of.read(found) is None
    assert json.dumps(of.lent(found))
    assert of.renewed(found, {"access_token": 3, "expires_in": "x"}, 0.0) is None


@given(st.text(max_size=30))
def test_a_token_may_be_anything(text: str) -> None:
    assert ends(text) is None
    assert ends(f"a.{text}.b") is None


def test_a_file_that_is_half_written_is_waited_for(tmp_path: Path, server: Server) -> None:
    source = made("claude", tmp_path, server)
    path, old = Path(source.path), Path(source.path).read_bytes()

    def torn() -> None:
        path.write_bytes(old[:40])
        threading.Timer(0.5, path.write_bytes, [old]).start()

    assert credentials.renew(answers(source, torn))
    assert value(source)["claudeAiOauth"]["refreshToken"] == server.refresh


@pytest.mark.parametrize("lasts", [None, "7200", True, {}, -1])
def test_an_answer_without_a_time_is_kept(lasts: object) -> None:
    answer = {"access_token": "a", "refresh_token": "r", "expires_in": lasts}
    made = CLAUDE_STORED.renewed({"claudeAiOauth": {}}, answer, 1000.0)
    assert made is not None
    ends = 8200_000 if lasts == "7200" else 4600_000
    assert made["claudeAiOauth"] == {"accessToken": "a", "refreshToken": "r", "expiresAt": ends}


@pytest.mark.parametrize("agent", BOTH)
def test_a_refresh_token_alone_is_kept(agent: str) -> None:
    made = BOTH[agent].renewed({}, {"refresh_token": "only"}, 0.0)
    assert made is not None
    assert "only" in json.dumps(made)


def test_a_server_that_drips_holds_nobody(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(token_server, "DEADLINE_S", 1.0)
    source = made("claude", tmp_path, server)
    with socket.create_server(("127.0.0.1", 0)) as slow:

        def drip() -> None:
            peer, _ = slow.accept()
            with peer, contextlib.suppress(OSError):
                peer.recv(1 << 16)
                for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n" * 9:
                    peer.send(bytes([byte]))
                    time.sleep(0.2)

        thread = threading.Thread(target=drip)
        thread.start()
        begun = time.monotonic()
        url = f"http://127.0.0.1:{slow.getsockname()[1]}/x"
        with pytest.raises(RumpelError, match=r"gave no answer|cannot be reached"):
            renewed(dataclasses.replace(source, url=url))
        assert time.monotonic() - begun < 4
        thread.join()
    assert list(tmp_path.iterdir()) == [Path(source.path)]


def test_a_lock_that_another_took_is_noticed_and_left(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    with folder_locks.taken([str(lock), str(tmp_path / "none/such")]) as held:
        assert held.is_ours()
        held.touch()
        assert held.is_ours()
        lock.rmdir()
        lock.mkdir()
        os.utime(lock, (1, 1))
        assert not held.is_ours()
    assert lock.exists()


def test_what_writes_the_file_is_kept_out(tmp_path: Path, server: Server) -> None:
    source = made("claude", tmp_path, server)
    lock = tmp_path / ".storage-write.lock"
    seen: list[str] = []
    lock.mkdir()

    def other() -> None:
        seen.append(Path(source.path).read_text())
        lock.rmdir()

    threading.Timer(0.7, other).start()
    assert renewed(source)
    assert server.refresh not in seen[0]
    assert not lock.exists()


@pytest.mark.parametrize("url", ["http://[", "https://h:x/", "https://\udc80/", "https://"])
def test_an_address_that_is_none_is_refused(url: str, tmp_path: Path, server: Server) -> None:
    source = made("claude", tmp_path, server)
    with pytest.raises(ConfigError, match="https only"):
        renewed(dataclasses.replace(source, url=url))


def test_a_fifo_is_no_sign_in(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(ConfigError, match="is no file"):
        credentials.read(tmp_path / "fifo")


def test_a_token_that_is_due_at_once_is_not_renewed_in_a_loop() -> None:
    known = Known(held=Held(access="a", refresh="r", expires_at=1.0))
    waits = []
    for _ in range(3):
        known.paced(known.renewals)
        waits.append(round(known.again_at - time.monotonic()))
    assert waits == [60, 120, 240]


def test_it_is_lent_once_the_user_says_so() -> None:
    setting = SETTINGS["lendSignIn"]
    assert (setting.default, setting.is_users) == (False, True)
