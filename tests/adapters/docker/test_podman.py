"""What Podman wants to be asked otherwise."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from rumpel.adapters import docker_containers, docker_images
from rumpel.adapters.docker_http import HttpClient
from rumpel.adapters.docker_wire import parse_endpoint
from tests.adapters.docker.fake_engine import Request, fake_engine, json_answer


@pytest.mark.parametrize("is_podman", [True, False])
async def test_podman_is_given_instructions(tmp_path: Path, is_podman: bool) -> None:
    asked: list[Request] = []

    async def handler(request: Request, writer: asyncio.StreamWriter) -> None:
        asked.append(request)
        writer.write(json_answer({"Id": "a" * 64}, 201))

    config = {"Labels": {"a.b": 'x "y" $z\\', "none": ""}, "Cmd": ["sh", "-c", "1 2"]}
    async with fake_engine(tmp_path, handler) as url:
        http = HttpClient(parse_endpoint(url))
        await docker_images.commit(http, "c", "", config, is_podman=is_podman)
        await http.close()
    changes = parse_qs(urlsplit(asked[0].path).query).get("changes", [""])[0]
    assert changes.splitlines() == (
        ['LABEL a.b=x "y" $z\\', "LABEL none=", 'CMD ["sh", "-c", "1 2"]'] if is_podman else []
    )


def images(http: HttpClient) -> Awaitable[object]:
    return docker_images.images(http)


def containers(http: HttpClient) -> Awaitable[object]:
    return docker_containers.states(http, ["a"])


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (containers, "container abc does not exist in database: no such container"),
        (images, 'retrieving parent of image "abc": layer not known'),
    ],
)
async def test_a_list_in_which_one_goes_is_asked_for_again(
    tmp_path: Path, ask: Callable[[HttpClient], Awaitable[object]], message: str
) -> None:
    """Podman ends it with an error."""
    gone = {"message": message}
    answers = [json_answer(gone, 500), json_answer(gone, 500), json_answer([])]

    async def handler(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(answers.pop(0))

    async with fake_engine(tmp_path, handler) as url:
        http = HttpClient(parse_endpoint(url))
        assert not await ask(http)
        await http.close()
    assert answers == []
