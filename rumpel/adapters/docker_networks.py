"""Networks of one engine: made, found by label, left, removed. Engine API 1.41, "Networks"."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rumpel.adapters import docker_types as types
from rumpel.adapters.docker_http import HttpClient, segment
from rumpel.errors import NotFound


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkInfo:
    id: str
    name: str
    labels: Mapping[str, str]
    created_at: str


def network_info(data: types.Json) -> NetworkInfo:
    top = types.mapping(data, "a network")
    return NetworkInfo(
        id=types.text(top, "Id", 512),
        name=types.text(top, "Name", 512),
        labels=types.labels(top),
        created_at=types.text(top, "Created", 64),
    )


async def networks(http: HttpClient, labels: Sequence[str]) -> list[NetworkInfo]:
    """Those that carry every one of `labels`; no other is ever listed."""
    answer = await http.request("GET", "/networks", query={"filters": {"label": list(labels)}})
    found = types.rows(answer.json(), "networks")
    return [network_info(row) for row in found if types.carries(row, labels)]


async def create(
    http: HttpClient, name: str, labels: Mapping[str, str], settings: Mapping[str, Any]
) -> None:
    """`settings`: more of the API's body, such as Driver. Conflict: the name is used."""
    body = {"Name": name, "CheckDuplicate": True, "Labels": dict(labels), **settings}
    await http.request("POST", "/networks/create", body=body, what=f"network {name}")


async def remove(http: HttpClient, name: str) -> bool:
    """By name or id. False when there was none."""
    try:
        await http.request("DELETE", f"/networks/{segment(name)}", what=f"network {name}")
    except NotFound:
        return False
    return True


async def leave(http: HttpClient, container: str, network: str) -> None:
    """The container leaves it; nothing happens when it is in none of that name."""
    path = f"/networks/{segment(network)}/disconnect"
    body = {"Container": container, "Force": True}
    try:
        await http.request("POST", path, body=body, what=f"network {network}")
    except NotFound:
        return
