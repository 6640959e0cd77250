"""Where certificates go in a Dockerfile."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rumpel.adapters import docker_proxies
from rumpel.errors import ConfigError
from rumpel.tasks import certificates
from rumpel.tasks.image import dockerfile_bases, dockerfile_froms

ONE = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"
KEY = "-----BEGIN PRIVATE KEY-----\nsecret\n-----END PRIVATE KEY-----"


def kinds(text: str, users: dict[str, str] | None = None) -> list[str]:
    """The first word of each line that it comes to; RUN! is ours."""
    froms = dockerfile_froms(text, {})
    made = certificates.in_every_stage(text, (ONE,), users or {}, froms)
    return [
        "RUN!" if line.startswith('RUN ["/bin/sh"') else line.split()[0]
        for line in made.splitlines()
        if line.strip()
    ]


def test_only_certificates_are_taken_from_a_file() -> None:
    assert certificates.found_in(f"{KEY}\n{ONE}\r\n{KEY}\n", "x") == (ONE,)
    with pytest.raises(ConfigError):
        certificates.found_in(KEY, "x")


def test_behind_each_image_and_no_earlier_stage() -> None:
    text = "ARG V=1\nFROM debian:$V AS one\nRUN a\nFROM one\nFROM scratch\nFROM x AS y\nCOPY a b"
    assert dockerfile_bases(text, {}) == ("debian:1", "x")
    ours = ["RUN!", "ENV", "ENV"]
    wanted = ["ARG", "FROM", *ours, "RUN", "FROM", "FROM", "FROM", "USER", *ours, "USER", "COPY"]
    assert kinds(text, {"x": "dev"}) == wanted


def test_what_only_looks_like_one_is_left_alone() -> None:
    text = "# FROM a\nFROM \\\n  # no\n  x\nRUN <<EOF\nFROM y\nEOF\nRUN echo \\\nFROM z\n"
    ours = ["RUN!", "ENV", "ENV"]
    assert kinds(text) == ["#", "FROM", "#", "x", *ours, "RUN", "FROM", "EOF", "RUN", "FROM"]


@given(st.text(alphabet="FROM \\\n#abRUN<E", max_size=80))
def test_no_line_is_lost(text: str) -> None:
    made = certificates.in_every_stage(text, (ONE,), {}, dockerfile_froms(text, {}))
    rest = iter(made.splitlines())
    assert all(line in rest for line in text.splitlines())


def test_proxies_are_shown_without_their_password() -> None:
    assert docker_proxies.shown("http://me:pw@proxy:1/x") == "http://***@proxy:1/x"
    assert docker_proxies.shown("http://proxy:1") == "http://proxy:1"
    found = docker_proxies.of_environment({"http_proxy": "a", "NO_PROXY": "b", "PATH": "c"})
    assert found == {"HTTP_PROXY": "a", "http_proxy": "a", "NO_PROXY": "b", "no_proxy": "b"}
