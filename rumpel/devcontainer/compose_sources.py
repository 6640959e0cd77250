"""The files of a compose project as they are, before any program reads them.

What a program is given are copies of what was read here, as JSON, with their paths absolute: so
nothing it reads was not seen, whatever its YAML parser would make of the files. Which other files
it will read, and which variables of the caller's environment they name, is known beforehand.
"""

from __future__ import annotations

import hashlib
import os
import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path as HostPath
from typing import Any

from rumpel.devcontainer import compose_yaml
from rumpel.devcontainer.consent import HARMLESS_ENV, Effect
from rumpel.devcontainer.document import Caller
from rumpel.devcontainer.positions import FieldError
from rumpel.errors import ConfigError

FIELD = ("dockerComposeFile",)
DEFAULTS = ("compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml")
VARIABLE = re.compile(r"\$(?:\{([A-Za-z_][A-Za-z0-9_]*)|([A-Za-z_][A-Za-z0-9_]*))")
PLAIN = re.compile(r"\$(?:\{([A-Za-z_]\w*)\}|([A-Za-z_]\w*))")
EXPORT = re.compile(r"^export\s+")
VALUE = re.compile(r"""'([^']*)'|"((?:[^"\\]|\\.)*)"|(.*?)(?:\s+#.*)?$""")
REMOTE = re.compile(r"[a-z+]+://|git@|oci:")
MAX_FILES = 50
TOO_MANY = f"compose reads more than {MAX_FILES} files"
MAX_VARIABLES_BYTES = 1 << 20
DOTENV = ".env"


@dataclass(slots=True)
class Sources:
    """`documents`: what the program is given, in order; `extended`: copies they refer to by
    `copy:N`, whose folder the program decides.
    """

    folder: str
    """Relative paths of the files named in devcontainer.json start here."""
    documents: list[dict[str, Any]] = field(default_factory=list)
    extended: list[dict[str, Any]] = field(default_factory=list)
    shown: list[str] = field(default_factory=list)
    """What the files of `documents` are called in messages."""
    shown_extended: list[str] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)
    """Real path -> digest of every file whose content counts."""
    outside: list[str] = field(default_factory=list)
    """Real paths of those that are not in the repository."""
    variables: set[str] = field(default_factory=set)
    """Names that the files mention."""
    plain: set[str] = field(default_factory=set)
    """Those without a default beside them."""
    dotenv: dict[str, str] = field(default_factory=dict)
    """What `.env` beside them says, which compose takes where the caller says nothing."""
    from_files: set[str] = field(default_factory=set)
    """Variables of services that come from an env_file."""
    own_names: dict[str, list[str]] = field(default_factory=dict)
    """`volumes` and `networks` -> those that say a name of their own."""


COPY = "copy:"


def names(wanted: list[str], caller: Caller, folder: HostPath) -> list[HostPath]:
    """The files: those of devcontainer.json, else as compose itself finds them, from the root."""
    if wanted:
        return [_local(folder, name) for name in wanted]
    root = HostPath(caller.root)
    said = caller.local_env.get("COMPOSE_FILE") or dotenv(root).get("COMPOSE_FILE")
    if said:
        return [_local(root, name) for name in said.split(os.pathsep) if name]
    for name in DEFAULTS:
        if (root / name).is_file():
            stem, dot, end = name.rpartition(".")
            override = root / f"{stem}.override{dot}{end}"
            return [root / name, *([override] if override.is_file() else [])]
    raise FieldError(FIELD, f"there is no {' or '.join(DEFAULTS)} in the repository")


def read(files: list[HostPath], caller: Caller, may_read: frozenset[str]) -> Sources:
    """`may_read`: real paths outside the repository that were agreed to; others are only named.

    Raises ConfigError, FieldError.
    """
    folder = str(files[0].parent)
    if len(files) > MAX_FILES:
        raise FieldError(FIELD, TOO_MANY)
    found = Sources(folder=os.path.realpath(folder))
    reader = _Reader(found, caller, may_read)
    for file in files:
        if (document := reader.document(file, HostPath(folder))) is not None:
            found.documents.append(document)
            found.shown.append(reader.shown(file))
            for kind in ("volumes", "networks"):
                entries = document.get(kind)
                for key, entry in entries.items() if isinstance(entries, dict) else ():
                    if isinstance(entry, dict) and entry.get("name"):
                        found.own_names.setdefault(kind, []).append(key)
    found.dotenv = lines(reader.note(HostPath(folder, DOTENV), must=False) or b"")
    return found


def unset(sources: Sources, local_env: Mapping[str, str]) -> list[str]:
    """Variables that compose takes for empty: nobody says what they are."""
    return sorted(sources.plain - local_env.keys() - sources.dotenv.keys())


def private(sources: Sources, local_env: Mapping[str, str]) -> list[str]:
    """Variables that are set, and whose values are nobody's business."""
    return sorted(name for name in sources.variables & local_env.keys() - HARMLESS_ENV)


def hidden(sources: Sources, local_env: Mapping[str, str]) -> list[str]:
    """Variables whose values are not for a database: those, and what `.env` has of them."""
    of_file = sources.dotenv.keys() & sources.variables
    return sorted({*private(sources, local_env), *(of_file - HARMLESS_ENV)})


def effects(sources: Sources, local_env: Mapping[str, str]) -> tuple[Effect, ...]:
    """What reading them does: asked for before a program reads anything."""
    return (
        *(
            Effect("compose-file", path, f"reads the host file {path} (compose)")
            for path in sorted(set(sources.outside))
        ),
        *(
            Effect("local-env", name, f"hands over {name} of your environment (compose)")
            for name in private(sources, local_env)
        ),
    )


def dotenv(folder: HostPath) -> dict[str, str]:
    """NAME=value lines: only for the few names that compose itself goes by."""
    try:
        path = folder / DOTENV
        if not os.path.realpath(path).startswith(f"{os.path.realpath(folder)}/"):
            return {}
        with path.open("rb") as file:
            return lines(file.read(MAX_VARIABLES_BYTES))
    except OSError:
        return {}


def lines(content: bytes) -> dict[str, str]:
    """NAME=value and NAME: value of such a file: the program has the last word.

    Rather a name too many than one too few. `A:B=c` is one of both forms: programs differ.
    """
    text = content.decode("utf-8-sig", "replace").splitlines()
    pairs = [line for line in (EXPORT.sub("", one.strip()) for one in text) if line]
    found: dict[str, str] = {}
    for mark in (":", "="):  # what every program reads wins
        for line in pairs:
            name, end, value = line.partition(mark)
            if end and (mark == "=" or "=" not in name):
                found[name.strip().strip("'\"")] = _said(value.strip())
    return found


def _said(value: str) -> str:
    """Without quotes and without a comment."""
    match = VALUE.match(value)
    return next(filter(None, match.groups()), "").strip("'\"") if match else value


class _Reader:
    def __init__(self, found: Sources, caller: Caller, may_read: frozenset[str]) -> None:
        self.found, self.caller, self.may_read = found, caller, may_read
        self.copies: dict[str, int] = {}

    def document(self, path: HostPath, base: HostPath) -> dict[str, Any] | None:
        """What it names is relative to `base`. None for one that may not be read yet."""
        content = self.note(path, must=True)
        if content is None:
            return None
        document = compose_yaml.load(content, self.shown(path))
        if "include" in document:
            raise FieldError(
                FIELD, f"{self.shown(path)}: include is not handled", hint="name the files instead"
            )
        self.found.variables |= set(_variables(document))
        self.found.plain |= set(_undefaulted(document))
        services = document.get("services")
        for name, service in services.items() if isinstance(services, dict) else ():
            if isinstance(service, dict):
                self._service(service, base, f"{self.shown(path)}: service {name}")
        return document

    def note(self, path: HostPath, *, must: bool) -> bytes | None:
        """Its content; None when it may not be read, or is not there."""
        try:
            return self._noted(os.path.realpath(path), path, must=must)
        except OSError as error:
            why = f"{self.shown(path)} cannot be read: {error.strerror}"
            raise FieldError(FIELD, why) from error

    def _noted(self, real: str, path: HostPath, *, must: bool) -> bytes | None:
        if not HostPath(real).is_file():
            if must:
                raise FieldError(FIELD, f"there is no file {self.shown(path)}")
            return None
        if not HostPath(real).is_relative_to(self.caller.root):
            self.found.outside.append(real)
            if real not in self.may_read:
                return None
        if len(self.found.files) > MAX_FILES:
            raise FieldError(FIELD, TOO_MANY)
        with HostPath(real).open("rb") as file:
            content = file.read(compose_yaml.MAX_BYTES + 1)
        self.found.files[real] = hashlib.blake2b(content, digest_size=16).hexdigest()
        return content

    def shown(self, path: HostPath) -> str:
        clean = HostPath(posixpath.normpath(path))
        root = self.caller.root
        return str(clean.relative_to(root) if clean.is_relative_to(root) else clean)

    def _service(self, service: dict[str, Any], base: HostPath, where: str) -> None:
        """Paths of other files are made absolute, and those are read as well."""
        env_file = service.get("env_file")
        if env_file is not None:
            items = env_file if isinstance(env_file, list) else [env_file]
            service["env_file"] = [self._env_file(item, base, where) for item in items]
        for key in ("label_file", "credential_spec", "provider", "use_api_socket"):
            if key in service:
                raise ConfigError(f"{where}: {key} is not handled")
        extends = service.get("extends")
        if isinstance(extends, dict) and extends.get("file"):
            number = self._extended(_plain(base, extends["file"], f"{where}: extends"))
            service["extends"] = {**extends, "file": f"{COPY}{number}"}

    def _env_file(self, item: Any, base: HostPath, where: str) -> Any:
        name = item.get("path") if isinstance(item, dict) else item
        path = _plain(base, name, f"{where}: env_file")
        must = not (isinstance(item, dict) and item.get("required") is False)
        content = self.note(path, must=must)
        self.found.from_files |= lines(content or b"").keys()
        real = os.path.realpath(path)
        return {**item, "path": real} if isinstance(item, dict) else real

    def _extended(self, path: HostPath) -> int:
        """The number of its copy, in which nothing is relative any more."""
        real = os.path.realpath(path)
        if real not in self.copies:
            number = self.copies[real] = len(self.found.extended)
            self.found.extended.append({})
            self.found.shown_extended.append(self.shown(path))
            document = self.document(path, HostPath(real).parent) or {"services": {}}
            services = document.get("services")
            for service in services.values() if isinstance(services, dict) else ():
                if isinstance(service, dict):
                    _absolute(service, HostPath(real).parent)
            self.found.extended[number] = document
        return self.copies[real]


def _local(folder: HostPath, name: str) -> HostPath:
    if REMOTE.match(name):
        raise FieldError(FIELD, f"{name} is not a file of this machine")
    if not is_path(name):
        raise FieldError(FIELD, f"{name!r} is not the path of a file")
    return HostPath(posixpath.normpath(folder / name))


def is_path(text: str) -> bool:
    """Can it be one of this machine?"""
    try:
        return b"\0" not in os.fsencode(text)
    except UnicodeError:
        return False


def _plain(base: HostPath, name: Any, where: str) -> HostPath:
    """Which file that is has to be known before a program reads it."""
    if not isinstance(name, str) or not name or not is_path(name):
        raise ConfigError(f"{where} takes the path of a file")
    if "$" in name or REMOTE.match(name):
        raise ConfigError(f"{where}: {name} is not handled: write the path of a file")
    expanded = _home(name)
    return HostPath(posixpath.normpath(base / expanded))


def _absolute(service: dict[str, Any], base: HostPath) -> None:
    build = service.get("build")
    if isinstance(build, str):
        service["build"] = {"context": _joined(base, build)}
    elif isinstance(build, dict):
        service["build"] = {**build, "context": _joined(base, str(build.get("context", ".")))}
    volumes = service.get("volumes")
    if not isinstance(volumes, list):
        return
    for index, one in enumerate(volumes):
        if isinstance(one, str) and one.startswith((".", "~")):
            volumes[index] = _joined(base, one)
        elif isinstance(one, dict) and one.get("type") == "bind":
            volumes[index] = {**one, "source": _joined(base, str(one.get("source", ".")))}


def _joined(base: HostPath, path: str) -> str:
    """The rest of a short volume behind its source stays as it is."""
    source, colon, rest = path.partition(":") if path.startswith((".", "~")) else (path, "", "")
    return f"{posixpath.normpath(base / _home(source))}{colon}{rest}"


def _home(path: str) -> str:
    try:
        return str(HostPath(path).expanduser()) if path.startswith("~") else path
    except RuntimeError as error:
        raise ConfigError(f"{path}: there is no such user") from error


def _variables(value: Any, key: str = "") -> Iterator[str]:
    """Named by `$NAME` and `${NAME...}`, or by a variable that is handed on without a value."""
    if isinstance(value, str):
        for match in VARIABLE.finditer(value.replace("$$", "")):
            yield match[1] or match[2]
        # `${A:-${B}}`: the inner one is found by itself.
        if key in ("environment", "args") and "=" not in value and value.isidentifier():
            yield value
    elif isinstance(value, dict):
        for name, inner in value.items():
            if key in ("environment", "args") and inner is None:
                yield name
            yield from _variables(inner, name)
    elif isinstance(value, list):
        for inner in value:
            yield from _variables(inner, key)


def _undefaulted(value: Any) -> Iterator[str]:
    """As `$NAME` or `${NAME}`."""
    if isinstance(value, str):
        for match in PLAIN.finditer(value.replace("$$", "")):
            yield match[1] or match[2]
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _undefaulted(inner)
