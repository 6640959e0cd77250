"""The compose program that is there: docker's plugin, else `docker-compose`.

It is given no environment but PATH, HOME and what is handed to it, and reads no file but what it
is told of. `config` makes the canonical model of a project; `up` makes its containers.
"""

from __future__ import annotations

import functools
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rumpel.adapters import proc, threads
from rumpel.errors import CommandFailed, ConfigError, NotFound, RumpelError

PROBE_TIMEOUT_S = 20.0
CONFIG_TIMEOUT_S = 60.0
UP_TIMEOUT_S = 1500.0
MAX_MODEL_BYTES, MAX_MEMORY_BYTES = 8 << 20, 1 << 30
NO_MEMORY = re.compile(r"^MemoryError\b|out of memory", re.MULTILINE)
TAIL, MAX_LINE_BYTES = 2000, 1 << 20
SUMMARY = "Encountered errors"
"""A last line of the program, which says nothing."""
INSTALL = "apt-get install docker-compose, or docker's own package docker-compose-plugin"


Named = tuple[str, dict[str, Any]]
"""What a file is called in messages, and its document."""


@dataclass(frozen=True, slots=True)
class Program:
    argv: tuple[str, ...]
    is_plugin: bool


def find() -> Program:
    """Blocking. Raises NotFound with what to install."""
    return _find(os.environ.get("PATH", ""), os.environ.get("HOME", ""))


@functools.lru_cache(maxsize=8)
def _find(path: str, home: str) -> Program:
    docker = shutil.which("docker", path=path)
    if docker is not None:
        try:
            done = proc.run_blocking(
                [docker, "compose", "version"], env=_env({}), timeout_s=PROBE_TIMEOUT_S
            )
            if done.code == 0:
                return Program((docker, "compose"), is_plugin=True)
        except RumpelError:
            pass
    old = shutil.which("docker-compose", path=path)
    if old is None:
        raise NotFound("there is no docker compose on this machine", hint=INSTALL)
    return Program((old,), is_plugin=False)


def config(
    documents: Sequence[Named],
    extended: Sequence[Named],
    *,
    folder: str,
    env: Mapping[str, str],
    copy_mark: str,
    load: Callable[[bytes, str], dict[str, Any]],
) -> dict[str, Any]:
    """The canonical model of all files together, with variables replaced. Blocking.

    `folder`: what is relative is so to it, and its `.env` is read. `extends` in the documents names
    one of `extended` by `copy_mark` and a number. Raises ConfigError with what the program said.
    """
    program = find()
    with tempfile.TemporaryDirectory(prefix="rumpel-compose-") as place:
        others = [Path(place, f"extended-{number}.json") for number in range(len(extended))]
        files = [Path(place, f"{number}.json") for number in range(len(documents))]
        copies = list(zip([*others, *files], [*extended, *documents], strict=True))
        for path, (_, one) in copies:
            _write(path, one, copy_mark, place)
        argv = [*program.argv, "-p", "rumpel", "--project-directory", folder]
        argv += [word for path in files for word in ("-f", str(path))]
        argv += ["--profile", "*"] if program.is_plugin else []
        done = _bounded([*argv, "config"], place, env)
        if done.code != 0:
            said = done.error_text or f"it ended with {done.code}"
            for path, (shown, _) in copies:
                said = said.replace(str(path), shown)
            raise ConfigError(f"compose refuses the project: {' '.join(said.split())[-TAIL:]}")
        model = load(done.stdout, "compose config")
    return {key: _unescaped(value) for key, value in model.items()}


def _bounded(argv: list[str], place: str, env: Mapping[str, str]) -> proc.Completed:
    """Variables may be large, and in one another: what that comes to is found by doing it."""
    done = proc.run_bounded(
        argv,
        cwd=place,
        env=_env(env),
        timeout_s=CONFIG_TIMEOUT_S,
        max_output_bytes=MAX_MODEL_BYTES,
        max_memory_bytes=MAX_MEMORY_BYTES,
    )
    if len(done.stdout) > MAX_MODEL_BYTES or NO_MEMORY.search(done.error_text):
        raise ConfigError(f"the compose project is larger than {MAX_MODEL_BYTES >> 20} MiB")
    return done


def _write(path: Path, document: dict[str, Any], mark: str, place: str) -> None:
    path.write_text(json.dumps(_placed(document, mark, place)))


def _placed(document: dict[str, Any], mark: str, place: str) -> dict[str, Any]:
    services = document.get("services")
    if not isinstance(services, dict):
        return document
    done = {}
    for name, service in services.items():
        extends = service.get("extends") if isinstance(service, dict) else None
        file = extends.get("file") if isinstance(extends, dict) else None
        if isinstance(extends, dict) and isinstance(file, str) and file.startswith(mark):
            copied = f"{place}/extended-{file.removeprefix(mark)}.json"
            service = {**service, "extends": {**extends, "file": copied}}
        done[name] = service
    return {**document, "services": done}


async def up(
    model: Mapping[str, Any],
    *,
    project: str,
    url: str,
    folder: Path,
    on_line: Callable[[str], None],
    private: Sequence[str] = (),
    is_all: bool = True,
) -> None:
    """Containers of the model run, those of no service of it go. Raises CommandFailed.

    `is_all`: it has all services of the project, else nothing goes. `folder`: an empty one, which
    is where the project is. What is `private` goes by a pipe, and is masked in what the program
    says.
    """
    program = await threads.call(find)
    argv = [*program.argv, "--ansi", "never", "-p", project, "--project-directory", str(folder)]
    argv += ["-f", "-", "up", "-d", "--no-build", *(["--remove-orphans"] if is_all else [])]
    lines = _Lines(on_line, private)
    env = {"DOCKER_HOST": url, "DOCKER_CONTEXT": ""}
    if not is_all:  # else it warns of the others
        env["COMPOSE_IGNORE_ORPHANS"] = "1"
    child = proc.Child(
        argv,
        cwd=str(folder),
        env=_env(env),
        input=json.dumps(_escaped(model)).encode(),
        on_output=lines.feed,
    )
    async with child:
        done = await child.ended(UP_TIMEOUT_S)
    lines.flush()
    if done.code != 0:
        raise CommandFailed(
            f"compose could not start the services: {lines.last or f'it ended with {done.code}'}",
            details={"argv": [*program.argv, "up"], "exit_code": done.code, "tail": lines.tail},
        )


def _env(more: Mapping[str, str]) -> dict[str, str]:
    """Of ours only what finds programs and credentials; nothing that leads them elsewhere."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return {**kept, "LC_ALL": "C.UTF-8", **more}


def _unescaped(value: Any) -> Any:
    """`config` writes what could be read again, so `$` is twice there."""
    return _mapped(value, lambda text: text.replace("$$", "$"))


def _escaped(value: Any) -> Any:
    return _mapped(value, lambda text: text.replace("$", "$$"))


def _mapped(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {key: _mapped(inner, change) for key, inner in value.items()}
    return [_mapped(one, change) for one in value] if isinstance(value, list) else value


class _Lines:
    def __init__(self, on_line: Callable[[str], None], private: Sequence[str]) -> None:
        self._on_line, self._private = on_line, private
        self._rest, self._kept = b"", list[str]()

    def feed(self, data: bytes) -> None:
        *whole, self._rest = (self._rest + data).split(b"\n")
        self._rest = self._rest[:MAX_LINE_BYTES]
        for line in whole:
            self._take(line)

    def flush(self) -> None:
        if self._rest:
            self._take(self._rest)
            self._rest = b""

    def _take(self, line: bytes) -> None:
        text = line.decode("utf-8", "replace").rstrip("\r")
        for one in self._private:
            text = text.replace(one, "***")
        text = text[:TAIL]  # not before: half a value would stay
        if text.strip():
            self._kept = [*self._kept, text][-30:]
            self._on_line(text)

    @property
    def last(self) -> str:
        """What is most likely why."""
        errors = [line for line in self._kept if "error" in line.lower()]
        told = [line for line in errors if not line.startswith(SUMMARY)]
        return (told or errors or self._kept or [""])[-1].strip()

    @property
    def tail(self) -> str:
        return "".join(f"{line}\n" for line in self._kept)
