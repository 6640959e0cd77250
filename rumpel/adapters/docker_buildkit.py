"""BuildKit builds through the docker client that is there: `docker buildx`, or one before 23.

The engine's API offers BuildKit only over a session protocol that the clients speak. They read
the context themselves (and send only what changed), apply .dockerignore and credentials, and
understand `RUN --mount` and here-documents. Where no client does, the classic builder is used.
"""

from __future__ import annotations

import asyncio
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from rumpel.adapters import docker_types as types
from rumpel.adapters import proc, threads
from rumpel.adapters.docker_images import (
    BUILD_TIMEOUT_S,
    BuildLog,
    BuildOptions,
    OnLine,
    build_failed,
)
from rumpel.adapters.docker_proxies import VARIABLES
from rumpel.errors import RumpelError

PROBE_TIMEOUT_S = 10.0
READ_BYTES = 65_536

_VERSION = re.compile(r"Docker version (\d+)\.")
_EXIT_CODE = re.compile(r"(?:exit code|did not complete successfully: exit code): (\d+)")

_FLAGS = {
    "target": "--target",
    "platform": "--platform",
    "networkmode": "--network",
    "shmsize": "--shm-size",
    "cgroupparent": "--cgroup-parent",
}
_LISTS = {"cachefrom": "--cache-from", "extrahosts": "--add-host", "t": "--tag"}
_SWITCHES = {"nocache": "--no-cache", "pull": "--pull"}
_MEANINGLESS = frozenset({"rm", "forcerm", "dockerfile"})


@dataclass(frozen=True, slots=True)
class Builder:
    """A client that can: its program and what comes before the options."""

    argv: tuple[str, ...]


async def find() -> Builder | None:
    """The first docker on PATH that speaks BuildKit. One without its buildx plugin does not."""
    for program in await threads.call(lambda: list(_programs())):
        version = await _ask(program, "--version")
        found = _VERSION.search(version or "")
        if found is None:
            continue
        if 18 <= int(found[1]) < 23:
            return Builder((program, "build"))
        if await _ask(program, "buildx", "version") is not None:
            return Builder((program, "buildx", "build", "--builder", "default", "--load"))
    return None


def _programs() -> Iterator[str]:
    seen = set()
    for folder in os.environ.get("PATH", "").split(os.pathsep):
        path = Path(folder, "docker")
        if os.access(path, os.X_OK) and (real := path.resolve()) not in seen:
            seen.add(real)
            yield str(path)


async def _ask(*argv: str) -> str | None:
    """What it prints; None when it fails."""
    try:
        done = await proc.run(argv, timeout_s=PROBE_TIMEOUT_S)
    except RumpelError:
        return None
    return done.stdout.decode("utf-8", "replace") if done.code == 0 else None


def flags(options: BuildOptions) -> tuple[list[str], dict[str, str]] | None:
    """Arguments and environment; None when only the classic builder has such an option.

    The values of build arguments go by the environment: argv is for everybody to read.
    """
    argv: list[str] = []
    values: dict[str, str] = {}
    for name, value in options.query().items():
        if value is None or value is False or name in _MEANINGLESS:
            continue
        if name == "buildargs":
            for key, text in value.items():
                is_ours = key in os.environ or key.startswith(("DOCKER_", "BUILDKIT_", "BUILDX_"))
                is_ours = is_ours and key not in VARIABLES  # a proxy's may be a secret
                argv += ["--build-arg", f"{key}={text}" if is_ours else key]
                values |= {} if is_ours else {key: text}
        elif name == "labels":
            for key, text in value.items():
                argv += ["--label", f"{key}={text}"]
        elif name in _LISTS:
            for text in (value,) if isinstance(value, str) else value:
                argv += [_LISTS[name], text]
        elif name in _FLAGS:
            argv += [_FLAGS[name], str(value)]
        elif name in _SWITCHES:
            argv.append(_SWITCHES[name])
        else:
            return None
    return argv, values


async def build(
    builder: Builder,
    url: str,
    tree: tuple[Path, Path],
    options: BuildOptions,
    on_line: OnLine | None,
) -> str:
    """Build the folder and the Dockerfile in `tree` on the engine at `url`; the image id.

    CommandFailed as the classic builder's. A cancelled caller ends the client, and the engine
    the build with it.
    """
    made = flags(options)
    if made is None:
        raise RumpelError("these build options are for the classic builder only")
    context, dockerfile = tree
    log = BuildLog(on_line)
    folder = await threads.call(tempfile.TemporaryDirectory, prefix="rumpel-build-")
    try:
        id_file = Path(folder.name, "id")
        argv = [*builder.argv, "--progress=plain", "--iidfile", str(id_file), *made[0]]
        argv += ["--file", str(dockerfile), str(context)]
        code = await _run(argv, {**made[1], **_environment(url)}, log)
        if code != 0:
            raise _failed(log, code, dockerfile.name)
        return types.image_id((await threads.call(id_file.read_text)).strip())
    finally:
        await threads.call(folder.cleanup)


def _environment(url: str) -> Mapping[str, str]:
    return {
        "DOCKER_HOST": url,
        "DOCKER_CONTEXT": "",
        "DOCKER_BUILDKIT": "1",
        "DOCKER_CLI_HINTS": "false",
        "BUILDX_NO_DEFAULT_ATTESTATIONS": "1",
    }


async def _run(argv: list[str], env: Mapping[str, str], log: BuildLog) -> int:
    """Its exit code. It writes to a pipe of ours, so that its lines are seen as they come."""
    ours, theirs = os.pipe()
    os.set_blocking(ours, False)
    loop = asyncio.get_running_loop()
    wrapped = ["sh", "-c", 'out=$1; shift; exec "$@" >"$out" 2>&1', "sh", f"/dev/fd/{theirs}"]
    try:
        loop.add_reader(ours, _feed, ours, log)
        done = await proc.run(
            [*wrapped, *argv],
            env=proc.clean_env(env),
            timeout_s=BUILD_TIMEOUT_S,
            pass_fds=(theirs,),
        )
        _feed(ours, log)
        log.flush()
        if done.error_text:
            log.feed(done.error_text + "\n")
    finally:
        loop.remove_reader(ours)
        os.close(ours)
        os.close(theirs)
    return done.code


def _feed(fd: int, log: BuildLog) -> None:
    """Everything that is there. Our own copy of the write end keeps the pipe from ending."""
    while True:
        try:
            data = os.read(fd, READ_BYTES)
        except BlockingIOError:
            return
        log.feed(data.decode("utf-8", "replace"))


def _failed(log: BuildLog, code: int, dockerfile: str) -> RumpelError:
    said = [line for line in log.tail if line.strip()]
    errors = [line for line in said if line.startswith(("ERROR:", "error:", "failed to"))]
    message = (errors or said or [f"the builder exited with {code}"])[-1]
    inner = _EXIT_CODE.search(message)
    message = message.removeprefix("ERROR: ").removeprefix("error: ")
    return build_failed(message, int(inner[1]) if inner else 1, log, dockerfile)
