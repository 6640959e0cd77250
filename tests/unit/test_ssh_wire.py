"""What a pod may say to an ssh agent, and everything else it might."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rumpel.adapters import ssh_keys, ssh_wire
from rumpel.adapters.pod_socket import Broken
from rumpel.adapters.ssh_wire import Messages, Purpose, string
from rumpel.daemon.sockets import Socket
from rumpel.daemon.ssh_agents import BURST, MOST_BINDS, PER_S, Pace, PodAgent
from rumpel.errors import HostUnreachable

if TYPE_CHECKING:
    from rumpel.adapters.pod_socket import Conversation
    from rumpel.daemon.app import App

LOGIN = string(b"session") + bytes([50]) + string(b"git") + string(b"ssh-connection")


@given(st.lists(st.binary(min_size=1, max_size=400)), st.data())
def test_messages_come_out_as_they_went_in_however_they_are_cut(
    sent: list[bytes], data: st.DataObject
) -> None:
    raw, messages, found = b"".join(map(ssh_wire.message, sent)), Messages(), []
    while raw:
        at = data.draw(st.integers(1, len(raw)))
        found += list(messages.feed(raw[:at]))
        raw = raw[at:]
    assert found == sent


@pytest.mark.parametrize("size", [0, ssh_wire.MAX_MESSAGE_BYTES + 1, 2**32 - 1])
def test_a_length_that_no_client_sends_ends_the_connection(size: int) -> None:
    with pytest.raises(Broken):
        list(Messages().feed(size.to_bytes(4, "big")))


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(raw: bytes) -> None:
    for read in (ssh_wire.sign_request, ssh_wire.bind):
        with contextlib.suppress(Broken):
            read(raw)
    for data in (raw, b"SSHSIG" + raw, LOGIN + raw):
        assert ssh_wire.purpose(data).what in ("login", "signature", "data")


@given(st.binary(max_size=50), st.binary(max_size=50), st.integers(0, 2**32 - 1), st.binary())
def test_a_request_to_sign_is_whole_or_refused(
    blob: bytes, data: bytes, flags: int, more: bytes
) -> None:
    raw = string(blob) + string(data) + flags.to_bytes(4, "big")
    found = ssh_wire.sign_request(raw)
    assert (found.blob, found.data, found.flags) == (blob, data, flags)
    for wrong in (raw[:-1], raw + b"\0" + more):
        with pytest.raises(Broken):
            ssh_wire.sign_request(wrong)


def test_what_a_signature_is_for() -> None:
    rest = b"\1" + string(b"ssh-ed25519") + string(b"key")
    plain = LOGIN + string(b"publickey") + rest
    bound = LOGIN + string(b"publickey-hostbound-v00@openssh.com") + rest + string(b"host")
    assert ssh_wire.purpose(plain) == Purpose("login", "git", b"session")
    assert ssh_wire.purpose(bound) == Purpose("login", "git", b"session", b"host")
    assert ssh_wire.purpose(b"SSHSIG" + string(b"git") + string(b"")) == Purpose("signature", "git")
    assert ssh_wire.purpose(plain + b"more") == Purpose("data")
    assert ssh_wire.purpose(b"") == Purpose("data")


def test_many_signatures_at_once_then_a_few_a_second() -> None:
    pace = Pace(0.0)
    assert [pace.wait_s(0.0) for _ in range(int(BURST))] == [0.0] * int(BURST)
    assert pace.wait_s(0.0) == pytest.approx(1 / PER_S)
    assert Pace(0.0).wait_s(1e6) == 0.0


async def test_a_client_that_proves_nothing_is_soon_not_looked_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each try costs a core 30 ms; another client of the same pod waits for its turn only."""
    tried: list[ssh_wire.Bind] = []

    def verify(bind: ssh_wire.Bind) -> bool:
        tried.append(bind)
        return False

    monkeypatch.setattr(ssh_keys, "verify", verify)
    body = string(ssh_wire.BIND) + string(b"key") + string(b"session") + string(b"no") + b"\0"
    question, agent = bytes([ssh_wire.EXTENSION]) + body, PodAgent("0" * 16, cast("App", None))
    talk = agent.talk()
    for _ in range(3 * MOST_BINDS):
        assert await talk.answer(question) == ssh_wire.message(ssh_wire.FAILURE)
    assert len(tried) == MOST_BINDS
    await agent.talk().answer(question)
    assert len(tried) == MOST_BINDS + 1


async def test_who_waits_for_a_socket_that_ends_hears_why() -> None:
    socket = Socket(lambda: cast("Conversation", None))
    waiting = asyncio.ensure_future(asyncio.shield(socket.path))
    await asyncio.sleep(0)
    socket.end()
    with pytest.raises(HostUnreachable, match="stopped"):
        await waiting
