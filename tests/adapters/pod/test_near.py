"""What spares an exec: the same programs over the link, in every shell a pod may have."""

from __future__ import annotations

import asyncio
import base64
import os
from pathlib import Path

import pytest

from rumpel.adapters import link_pack
from rumpel.adapters.git_direct import pack_request, refs_request
from rumpel.adapters.link_pack import request_size
from rumpel.adapters.stream import STDOUT, Stream
from rumpel.errors import RumpelError
from rumpel.resources import resource_text
from rumpel.tasks.shell import PROBE_SCRIPT
from tests.adapters.pod.support import LocalStream, Pod, git

MARK = "rumpel-mark"


@pytest.fixture
async def near(pod: Pod, host: Path) -> Pod:
    """Set up, as the main process: its variables are what an exec would have."""
    await pod.start("main", {"ODD": "two\nlines", "EMPTY": ""})
    await pod.setup(git(host, "rev-parse", "HEAD"))
    return pod


async def task(pod: Pod, program: str, *env: str) -> tuple[bytes, str]:
    """What it said on stderr, and the word about stdout."""
    folder = f"{pod.workspace}/.git/rumpel/tasks/one-0"
    script = ("/bin/sh", "-c", resource_text("pod_task.sh"), "rumpel", folder, "0", "no")
    path = f"PATH={os.environ['PATH']}"
    answer = await pod.ask(
        "task", str(pod.workspace), folder, path, *env, *script, "sh", "-c", program
    )
    said, _, out = answer.partition(" ")
    return base64.b64decode(said, validate=True), out


async def test_the_environment_of_a_shell(near: Pod) -> None:
    words = (str(near.workspace), PROBE_SCRIPT, MARK, "", "RUMPEL_EXEC=token")
    raw = base64.b64decode(await near.ask("probe", *words), validate=True)
    _, head, env, rest = raw.split(f"{MARK}\0".encode())
    assert head.startswith(b"/")
    assert rest == b""
    found = dict(item.split(b"=", 1) for item in env.split(b"\0") if item)
    assert found[b"ODD"] == b"two\nlines"
    assert found[b"EMPTY"] == b""
    assert found[b"RUMPEL_EXEC"] == b"token"
    assert b"GIT_TERMINAL_PROMPT" not in found, "that is the link's own"
    assert not list((near.workspace / ".git/rumpel").glob("probe.*"))


async def test_a_profile_that_leaves_a_process_behind(near: Pod) -> None:
    program = f"{PROBE_SCRIPT}\nsleep 30 &"
    words = (str(near.workspace), program, MARK, "", "RUMPEL_EXEC=token")
    async with asyncio.timeout(10):
        assert await near.ask("probe", *words)


async def test_what_it_cannot_do_is_an_error(near: Pod, tmp_path: Path) -> None:
    words = (str(tmp_path), PROBE_SCRIPT, MARK, "", "RUMPEL_EXEC=token")
    with pytest.raises(RumpelError, match="no answer"):
        await near.ask("probe", *words)
    large = f"{PROBE_SCRIPT}\nhead -c 50000 /dev/zero"
    with pytest.raises(RumpelError, match="no answer"):
        await near.ask("probe", str(near.workspace), large, *words[2:])


async def test_a_program_is_run_once(near: Pod) -> None:
    program = 'echo "$WORD"; echo x >>tries; echo bad >&2; umask >mask; exit 7'
    said, out = await task(near, program, "WORD=two words")
    assert said == b"10 7\nbad\n"
    assert base64.b64decode(out) == b"two words\n"
    assert (await task(near, program, "WORD=other"))[0] == b"10 7\nbad\n"
    assert (near.workspace / "tries").read_text() == "x\n"
    mask = os.umask(0o022)
    os.umask(mask)
    assert int((near.workspace / "mask").read_text(), 8) == mask, "the script's own is not its"


async def test_nothing_and_too_much(near: Pod) -> None:
    assert await task(near, "exit 3") == (b"0 3\n", "-")
    # The next one has a folder of its own.
    (near.workspace / ".git/rumpel/tasks/one-0").rename(near.workspace / ".git/rumpel/tasks/two")
    assert await task(near, "head -c 50000 /dev/zero") == (b"50000 0\n", "=")


class Execs:
    """Counts the upload-packs that are started in place of the link."""

    def __init__(self, pod: Pod) -> None:
        self.pod, self.count = pod, 0
        self.streams: list[LocalStream] = []

    async def __call__(self) -> Stream:
        self.count += 1
        process = await asyncio.create_subprocess_exec(
            *("git", "upload-pack", "--strict", f"{self.pod.workspace}/.git"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, "GIT_PROTOCOL": "version=2"},
        )
        self.streams.append(LocalStream(process))
        return self.streams[-1]


async def answered(stream: Stream) -> bytes:
    """One answer, or the greeting."""
    raw = b""
    while request_size(raw) is None:
        piece = await stream.read()
        assert piece is not None
        raw += piece[1] if piece[0] == STDOUT else b""
    return raw


async def test_branches_and_packs(near: Pod) -> None:
    execs = Execs(near)
    near.git("commit", "-q", "--allow-empty", "-m", "work")
    oid = near.git("rev-parse", "HEAD")
    stream = await link_pack.opened(near.link.request, f"{near.workspace}/.git", execs)
    assert (await answered(stream)).startswith(b"000eversion 2\n")
    request = refs_request()
    await stream.write(request[:7])
    await stream.write(request[7:])
    assert f"{oid} refs/heads/alice".encode() in await answered(stream)
    await stream.write(pack_request([oid], [], is_done=True))
    assert b"PACK" in await answered(stream)
    assert execs.count == 0
    with pytest.raises(RumpelError):
        await stream.write(b"0000\n")
    await stream.close()
    assert await stream.read() is None


async def test_a_pack_that_does_not_fit_comes_by_exec(near: Pod) -> None:
    """To a reader that waits already, and in the middle of an import."""
    execs = Execs(near)
    (near.workspace / "large").write_bytes(os.urandom(60_000))
    near.git("add", "large")
    near.git("commit", "-q", "-m", "large")
    oid = near.git("rev-parse", "HEAD")
    stream = await link_pack.opened(near.link.request, f"{near.workspace}/.git", execs)
    await answered(stream)
    await stream.write(refs_request())
    await answered(stream)
    reading = asyncio.create_task(answered(stream))
    await stream.write(pack_request([oid], [], is_done=True))
    assert len(await reading) > 60_000
    assert execs.count == 1
    await stream.write(refs_request())
    assert oid.encode() in await answered(stream), "the exec goes on to serve"
    await stream.close()


async def test_a_repository_that_upload_pack_does_not_take(near: Pod, tmp_path: Path) -> None:
    execs = Execs(near)
    stream = await link_pack.opened(near.link.request, f"{tmp_path}/none", execs)
    assert stream in execs.streams
    await stream.close()


def test_the_size_of_a_request() -> None:
    assert request_size(b"") is None
    assert request_size(b"000") is None
    assert request_size(b"0000\n") == 4
    assert request_size(refs_request() + b"more") == len(refs_request())
    assert request_size(b"0001") is None
    with pytest.raises(RumpelError):
        request_size(b"wxyz")
