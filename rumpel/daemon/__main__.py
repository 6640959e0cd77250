"""`python -m rumpel.daemon --ready-fd N`: started by the CLI, ends when told or signalled."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import fcntl
import gc
import os
import resource
import signal
import sys
from pathlib import Path

from rumpel import paths
from rumpel.daemon import loading
from rumpel.errors import RumpelError
from rumpel.log import set_up

OPEN_FILES = 65536


def main() -> int:
    """Exit code 0 also when another daemon holds the lock: the caller just connects."""
    parser = argparse.ArgumentParser(prog="rumpel.daemon")
    parser.add_argument("--ready-fd", type=int)
    ready_fd: int | None = parser.parse_args().ready_fd
    loading.keep()
    gc.disable()  # a start makes hardly any garbage, and looking for it is a tenth of its time
    os.umask(0o077)
    _raise_open_files()
    paths.prepare_state()
    lock = os.open(paths.lock_path(), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    # Who was started for a client must answer it: an older daemon may be about to end.
    may_wait = os.environ.get("LISTEN_PID") == str(os.getpid())
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | (0 if may_wait else fcntl.LOCK_NB))
    except BlockingIOError:
        _tell(ready_fd, "ok\n")
        return 0
    set_up()
    try:
        asyncio.run(_main(ready_fd))
    except RumpelError as error:
        _tell(ready_fd, f"error: {error.message}\n")
        return error.exit_code
    return 0


async def _main(ready_fd: int | None) -> None:
    from rumpel.daemon import app, server

    path = paths.socket_path()
    loop = asyncio.get_running_loop()
    async with app.running() as running:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, running.stopping.set)
        is_given = server.is_given()
        sock = server.given(path) if is_given else server.listen(path)
        _write_pid()
        _tell(ready_fd, "ok\n")
        # What was made until here stays for ever: keep it out of every collection.
        gc.freeze()
        gc.enable()
        try:
            await server.serve(running, sock, is_kept=is_given)
        finally:
            sock.close()
            if not is_given:
                _remove(path)


def _raise_open_files() -> None:
    """A pod takes two descriptors while it is idle; 1024 is the soft limit of most systems."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _write_pid() -> None:
    """With the socket: for those whose environment leads them to another one."""
    Path(paths.pid_path()).write_text(f"{os.getpid()}\n{paths.socket_path()}\n")


def _remove(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        Path(path).unlink()


def _tell(fd: int | None, text: str) -> None:
    if fd is None:
        return
    with contextlib.suppress(OSError):
        os.write(fd, text.encode())
        os.close(fd)


if __name__ == "__main__":
    sys.exit(main())
