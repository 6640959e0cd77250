"""Where the only copy of a new refresh token lies, whatever becomes of the file meanwhile."""

from __future__ import annotations

import json
import resource
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from rumpel.adapters import credentials
from rumpel.daemon.sign_in import Source
from rumpel.errors import RumpelError
from tests.support import fake_sign_in
from tests.support.fake_sign_in import Server
from tests.support.sign_ins import BOTH, answers, made, renewed, value


@pytest.fixture(name="server")
def sign_in_server() -> Iterator[Server]:
    with fake_sign_in.server(lasts_s=3600) as made:
        yield made


@pytest.mark.parametrize("agent", BOTH)
def test_a_file_that_is_a_mount_is_written_in_place(
    agent: str, tmp_path: Path, server: Server
) -> None:
    """As where it is bound into a container: nothing can be put in its place."""
    real = made(agent, tmp_path / "real", server)
    place = tmp_path / "home" / Path(real.path).name
    place.parent.mkdir()
    place.touch()
    bound = subprocess.run(["mount", "--bind", real.path, place], check=False, capture_output=True)
    if bound.returncode != 0:
        pytest.skip("mounts need root")
    try:
        assert renewed(Source(agent=agent, path=str(place), url=real.url))
        assert BOTH[agent].read(value(real)) == BOTH[agent].read(json.loads(place.read_text()))
        assert server.refresh in Path(real.path).read_text()
        assert list(place.parent.iterdir()) == [place]
    finally:
        subprocess.run(["umount", place], check=True)


def test_what_finds_no_place_is_kept_and_taken_up(tmp_path: Path, server: Server) -> None:
    """The only copy of a new refresh token: neither the file's name nor the file can be written."""
    source = made("claude", tmp_path, server)
    path, old = Path(source.path), Path(source.path).read_bytes()
    before = server.refresh

    def gone() -> None:
        path.unlink()
        path.mkdir()

    with pytest.raises(RumpelError) as failed:
        credentials.renew(answers(source, gone))
    assert server.refresh not in str(failed.value)
    (room,) = tmp_path.glob("*.rumpel-*")
    assert credentials.digest(before) in room.name
    assert (room.stat().st_mode & 0o777, server.refresh in room.read_text()) == (0o600, True)
    path.rmdir()
    path.write_bytes(old.replace(b'"kept": 1', b'"kept": 2'))
    assert renewed(source)
    assert value(source)["claudeAiOauth"]["refreshToken"] == server.refresh
    assert value(source)["other"] == {"kept": 2}
    assert (len(server.renewals), server.reused) == (1, 0)
    assert list(tmp_path.iterdir()) == [path]


def test_what_no_disk_takes_is_kept_in_memory(tmp_path: Path, server: Server) -> None:
    source = made("claude", tmp_path, server)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def full() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))

    try:
        with pytest.raises(RumpelError, match="could not be written"):
            credentials.renew(answers(source, full))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert server.refresh not in Path(source.path).read_text()
    assert renewed(source)
    assert server.refresh in Path(source.path).read_text()
    assert (len(server.renewals), server.reused) == (1, 0)


def test_one_that_was_killed_in_between_left_what_it_got(tmp_path: Path, server: Server) -> None:
    """And rooms of tokens that the file no longer holds go."""
    source = made("claude", tmp_path, server)
    old = Path(source.path).read_bytes()
    mark = credentials.digest(server.refresh)
    assert renewed(source)
    new = Path(source.path).read_bytes()
    Path(source.path).write_bytes(old)
    (tmp_path / f".credentials.json.rumpel-{mark}").write_bytes(new + b" " * 99)
    (tmp_path / ".credentials.json.rumpel-4711").write_bytes(b" " * 99)
    assert renewed(source)
    assert value(source)["claudeAiOauth"]["refreshToken"] == server.refresh
    assert (len(server.renewals), server.reused) == (1, 0)
    assert list(tmp_path.iterdir()) == [Path(source.path)]
