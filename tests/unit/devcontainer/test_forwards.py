"""appPort in every form of `docker run --publish`."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rumpel.devcontainer import config, forwards
from rumpel.devcontainer.document import Caller
from rumpel.devcontainer.positions import FieldError
from rumpel.devcontainer.schema import DevContainer

PORTS: dict[int | str, list[tuple[int, int | None]]] = {
    3000: [(3000, None)],
    "3000": [(3000, None)],
    " 3000/tcp ": [(3000, None)],
    "8080:80": [(80, 8080)],
    "127.0.0.1:8080:80": [(80, 8080)],
    "0.0.0.0:8080:80/tcp": [(80, 8080)],
    "[::1]:8080:80": [(80, 8080)],
    "127.0.0.1::80": [(80, None)],
    ":80": [(80, None)],
    "3000-3002": [(3000, None), (3001, None), (3002, None)],
    "9000-9001:3000-3001": [(3000, 9000), (3001, 9001)],
    "53:53/udp": [],
}


@pytest.mark.parametrize("value", PORTS)
def test_forms(value: int | str) -> None:
    assert [*forwards.published(value, ("appPort",))] == PORTS[value]


@pytest.mark.parametrize(
    "value",
    [0, 65536, -1, "", "x", "1:2:3:4", "80/http", "3-1", "1-200", "1-2:3-5", "1:2-3", "0:80",
     "99999:80", "1.2.3.4:80:", "80 81", "${port}"],
)  # fmt: skip
def test_what_is_none(value: int | str) -> None:
    with pytest.raises(FieldError, match="is not a"):
        forwards.published(value, ("appPort", 0))


@given(st.text(alphabet="0123456789:-/[]. tcpud", max_size=20) | st.text(max_size=10))
def test_any_text_is_ports_or_an_error(value: str) -> None:
    try:
        found = forwards.published(value, ())
    except FieldError:
        return
    assert all(1 <= port <= 65535 and 1 <= (wish or 1) <= 65535 for port, wish in found)
    assert len(found) <= forwards.MOST_OF_A_RANGE


def test_there_are_not_too_many() -> None:
    """An image's label may name every port there is."""
    most: list[int | str] = list(range(1000, 1000 + forwards.MOST))
    assert len(forwards.ports(DevContainer(forwardPorts=most))) == forwards.MOST
    with pytest.raises(FieldError, match="more than 200 ports"):
        forwards.ports(DevContainer(forwardPorts=[*most, 2000]))


def test_beside_forward_ports_and_with_attributes() -> None:
    caller = Caller(root="/r", local_env={}, pod="p", pod_id="i", repo_basename="r")
    file = {
        "image": "i",
        "appPort": ["8080:80", 3000],
        "forwardPorts": [80, "db:5432"],
        "portsAttributes": {"80": {"label": "web"}},
    }
    found = config.parse(json.dumps(file), "d.json", caller)
    assert [(port.key, port.wish, port.label) for port in found.ports] == [
        ("80", 8080, "web"),
        ("3000", None, None),
        ("db:5432", None, None),
    ]
    assert not found.warnings
