"""Local child processes: output, deadlines, clean-up."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import sys
import time
from pathlib import Path

import pytest

from rumpel.adapters import proc
from rumpel.errors import RumpelError, TimedOut


def is_alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False


async def gone(pid: int) -> None:
    async with asyncio.timeout(5):
        while is_alive(pid):  # noqa: ASYNC110 - it is not our child
            await asyncio.sleep(0.01)


async def test_output_and_code() -> None:
    done = await proc.run(["sh", "-c", "echo out; echo err >&2; exit 3"], timeout_s=10)
    assert (done.code, done.stdout, done.stderr) == (3, b"out\n", b"err\n")


async def test_code_of_a_signal() -> None:
    assert (await proc.run(["sh", "-c", "kill -9 $$"], timeout_s=10)).code == -signal.SIGKILL


async def test_large_input_and_output() -> None:
    data = os.urandom(3 << 20)
    assert (await proc.run(["cat"], input=data, timeout_s=20)).stdout == data


async def test_input_nobody_reads() -> None:
    assert (await proc.run(["true"], input=b"x" * (1 << 20), timeout_s=10)).code == 0


async def test_no_input_is_the_end_of_input() -> None:
    assert (await proc.run(["cat"], timeout_s=10)).stdout == b""


async def test_program_that_is_not_there() -> None:
    with pytest.raises(RumpelError, match="no-such-program cannot be started: No such file"):
        await proc.run(["no-such-program"], timeout_s=10)


async def test_deadline_ends_the_whole_group(tmp_path: Path) -> None:
    script = f"sleep 60 & echo $! > {tmp_path}/child; trap '' TERM; sleep 60; sleep 60"
    begun = time.monotonic()
    with pytest.raises(TimedOut, match=r"sh did not end within 0\.3 s"):
        await proc.run(["sh", "-c", script], timeout_s=0.3)
    assert time.monotonic() - begun < proc.TERM_GRACE_S + 3
    await gone(int((tmp_path / "child").read_text()))


async def test_deadline_for_a_grandchild_that_holds_the_output() -> None:
    begun = time.monotonic()
    with pytest.raises(TimedOut):
        await proc.run(["sh", "-c", "sleep 60 & exit 0"], timeout_s=0.3)
    assert time.monotonic() - begun < 2


async def test_cancelling_ends_the_process(tmp_path: Path) -> None:
    script = f"echo $$ > {tmp_path}/pid.tmp; mv {tmp_path}/pid.tmp {tmp_path}/pid; sleep 60"
    task = asyncio.ensure_future(proc.run(["sh", "-c", script], timeout_s=60))
    while not (tmp_path / "pid").exists():  # noqa: ASYNC110 - a file tells nobody
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not is_alive(int((tmp_path / "pid").read_text()))


async def test_cancelling_while_it_starts_leaves_no_process() -> None:
    mark = f"sleep-{os.getpid()}-{time.monotonic_ns()}"
    for delay in (0, 0.0001, 0.001, 0.003):
        argv = ["sh", "-c", "sleep 60; exit 0", mark]
        task = asyncio.ensure_future(proc.run(argv, timeout_s=60))
        await asyncio.sleep(delay)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        assert mark.encode() not in entry.read_bytes()


async def test_one_that_gives_up_waiting_leaves_the_next_one_informed() -> None:
    """It has closed its output, and goes on for as long as it is let."""
    script = "exec >&- 2>&-; read -r line"
    ours, theirs = os.pipe()
    async with proc.Child(["sh", "-c", script], stdin=ours) as child:
        os.close(ours)
        first = asyncio.ensure_future(child.ended(60))
        await child._done.wait()
        await asyncio.sleep(0)
        first.cancel()
        asyncio.get_running_loop().call_soon(os.close, theirs)
        assert (await child.ended(20)).code == 1


async def test_endless_output_is_cut_off() -> None:
    with pytest.raises(RumpelError, match="yes printed more than 100000 bytes"):
        await proc.run(["yes"], timeout_s=20, max_output_bytes=100_000)


async def test_of_endless_complaints_the_end_is_kept() -> None:
    script = "for i in 1 2 3; do head -c 100000 /dev/zero; done >&2; echo end >&2"
    done = await proc.run(["sh", "-c", script], timeout_s=20, max_output_bytes=50_000)
    assert len(done.stderr) == 50_000
    assert done.stderr.endswith(b"end\n")


async def test_environment_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        for name in ("GIT_DIR", "GIT_CONFIG_COUNT", "GIT_EXTERNAL_DIFF", "RUMPEL_SOCKET"):
            patch.setenv(name, "x")
        patch.setenv("GIT_SSH_COMMAND", "ssh -v")
        found = proc.clean_env({"A": "b"})
    assert not {"GIT_DIR", "GIT_CONFIG_COUNT", "GIT_EXTERNAL_DIFF", "RUMPEL_SOCKET"} & found.keys()
    assert (found["A"], found["LC_ALL"], found["GIT_SSH_COMMAND"]) == ("b", "C", "ssh -v")


async def test_limits_reach_the_process() -> None:
    async with proc.Child(["sh", "-c", "sleep 0.3; ulimit -f"]) as child:
        child.limit(resource.RLIMIT_FSIZE, 1 << 20)
        done = await child.ended(10)
    assert int(done.stdout) in (1024, 2048)


async def test_passed_descriptor_keeps_its_number() -> None:
    reader, writer = os.pipe()
    done = await proc.run(
        [sys.executable, "-c", f"import os; os.write({writer}, b'hi')"],
        timeout_s=20,
        pass_fds=(writer,),
    )
    os.close(writer)
    assert (done.code, os.read(reader, 10)) == (0, b"hi")
    os.close(reader)


async def test_many_at_once_leak_no_descriptor() -> None:
    await proc.run(["true"], timeout_s=10)
    before = len(list(Path("/proc/self/fd").iterdir()))
    await asyncio.gather(*(proc.run(["true"], timeout_s=20) for _ in range(50)))
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_blocking_run() -> None:
    done = proc.run_blocking(["cat"], input=b"x", timeout_s=10)
    assert (done.code, done.stdout) == (0, b"x")
    with pytest.raises(TimedOut):
        proc.run_blocking(["sleep", "60"], timeout_s=0.1)
    with pytest.raises(RumpelError, match="cannot be started"):
        proc.run_blocking(["no-such-program"], timeout_s=1)


def test_bounded_run(tmp_path: Path) -> None:
    def run(script: str, timeout_s: float = 20.0) -> proc.Completed:
        return proc.run_bounded(
            ["sh", "-c", script],
            cwd=str(tmp_path),
            env={"PATH": os.environ["PATH"]},
            timeout_s=timeout_s,
            max_output_bytes=1000,
            max_memory_bytes=1 << 30,
        )

    done = run("pwd; echo no >&2; exit 3")
    assert (done.code, done.stdout.strip(), done.error_text) == (3, bytes(tmp_path), "no")
    assert len(run("head -c 1000 /dev/zero").stdout) == 1000
    assert len(run("sleep 0.2; yes; echo it goes on >&2").stdout) == 1001
    with pytest.raises(TimedOut):
        run("sleep 60 & sleep 60", timeout_s=0.1)
    with pytest.raises(RumpelError, match="cannot be started"):
        proc.run_bounded(
            ["no-such-program"],
            cwd="/",
            env={},
            timeout_s=1,
            max_output_bytes=1,
            max_memory_bytes=1 << 30,
        )
