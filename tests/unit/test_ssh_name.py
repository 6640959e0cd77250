"""Names of SSH hosts: what gets through is what it was, and never more than a name."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rumpel.adapters.ssh_name import SshName, parse
from rumpel.errors import UsageError
from rumpel.names import host_part


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("ssh://build", SshName("", "build", None)),
        ("ssh://me@build.example.org:2222", SshName("me", "build.example.org", 2222)),
        ("ssh://me@10.0.0.7", SshName("me", "10.0.0.7", None)),
        ("ssh://[fe80::1]:22", SshName("", "fe80::1", 22)),
        ("ssh://a_b-c@x-1", SshName("a_b-c", "x-1", None)),
    ],
)
def test_names(url: str, name: SshName) -> None:
    assert parse(url) == name
    assert parse(url).url == url
    assert "/" not in host_part(url)


def test_what_to_type() -> None:
    assert parse("ssh://me@h:22").command == "ssh -p 22 me@h"
    assert parse("ssh://h").command == "ssh h"


@given(st.text(max_size=30) | st.text("ssh:/@-[]0123456789:.%$`;& \n'\"ab", max_size=20))
def test_nothing_else_gets_through(rest: str) -> None:
    try:
        name = parse(f"ssh://{rest}")
    except UsageError:
        return
    assert parse(name.url) == name
    for word in (name.user, name.host):
        assert re.fullmatch(r"[A-Za-z0-9_.:-]*", word)
        assert not word.startswith("-")
