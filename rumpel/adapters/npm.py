"""Packages of npm: which version is the newest, and a package's files as a tar.

`npm` of this machine where there is one, so that its registries, credentials, proxies and cache
count; else the registry's own protocol (`GET /PACKAGE`, the tarball, its `integrity`), without
credentials. Nothing of a package is run.
"""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import os
import shutil
import tarfile
import tempfile
import urllib.error
import urllib.parse
import urllib.request
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import IO, Any, cast

from rumpel.adapters import proc, threads
from rumpel.errors import NotFound, RumpelError

REGISTRY = "https://registry.npmjs.org"
REGISTRY_VARIABLES = ("NPM_CONFIG_REGISTRY", "npm_config_registry")
ASK_TIMEOUT_S = 60.0
FETCH_TIMEOUT_S = 1500.0
MAX_MANIFEST_BYTES = 64 << 20
MAX_PACKED_BYTES = 2 << 30
MAX_UNPACKED_BYTES = 4 << 30
MAX_FILES = 50_000
PACKED = ".br"
"""Behind the name of a program that is compressed: npm takes no packages beyond some size."""
PIECE_BYTES = 1 << 20
HINT = "npm_config_registry=URL names another one; then rumpel daemon restart"
BROKEN = (ValueError, http.client.HTTPException, RecursionError)
"""What an answer that is none ends in; the texts may hold the address, and so a password."""


async def newest(package: str) -> str:
    """The version that the tag `latest` names. Raises NotFound, RumpelError."""
    program = await threads.call(_npm)
    if program is None:
        manifest = await threads.call(_manifest, package)
        found = _entry(manifest, "dist-tags").get("latest")
    else:
        said = await _run_npm(program, "view", package, "version", "--json")
        found = _parsed(said or b"null", "npm")
    if not isinstance(found, str) or not found:
        raise NotFound(f"the registry names no newest version of {package}")
    return found


async def fetch(package: str, version: str, folder: Path) -> Path:
    """The packed file, proven, in `folder`; the caller removes it. Raises RumpelError."""
    program = await threads.call(_npm)
    if program is None:
        return await threads.call(_download, package, version, folder)
    said = await _run_npm(
        program,
        *("pack", f"{package}@{version}", "--json", "--ignore-scripts"),
        *("--pack-destination", str(folder)),
        timeout_s=FETCH_TIMEOUT_S,
    )
    match _parsed(said, "npm"):
        case [{"filename": str(name)}]:
            return folder / name.replace("/", "-").lstrip("@")
    raise RumpelError(f"npm does not say where it put {package} {version}")


def unpack(packed: Path, to: Path, *, folder: str, program: str, mark: str) -> None:
    """The plain files of a package as a tar of root's, read-only, below `folder`; `mark` is last.

    What it holds compressed with Brotli in place of `program` is unpacked. Raises RumpelError for
    what no package holds.
    """
    try:
        with tarfile.open(packed, "r|gz") as source, tarfile.open(to, "w") as target:
            _repack(source, target, folder=folder, program=program)
            target.addfile(tarfile.TarInfo(f"{folder}/{mark}"))
        os.truncate(to, target.offset)  # what is behind its end Podman does not take
    except (tarfile.TarError, zlib.error, EOFError, ValueError) as error:
        raise RumpelError(f"a package cannot be unpacked: {error}") from None


def _repack(source: tarfile.TarFile, target: tarfile.TarFile, *, folder: str, program: str) -> None:
    total = count = 0
    with tempfile.TemporaryFile() as whole:
        for member in source:
            name = PurePosixPath(member.name)
            if not member.isfile():
                continue
            if ".." in name.parts or name.is_absolute() or len(name.parts) < 2:
                raise RumpelError(f"a package holds a file {member.name[:100]!r}")
            inside = str(PurePosixPath(*name.parts[1:]))
            data = cast("IO[bytes]", source.extractfile(member))  # of a file there always is one
            info = tarfile.TarInfo(f"{folder}/{inside}")
            info.size, info.mode = member.size, 0o555 if member.mode & 0o111 else 0o444
            if inside == f"{program}{PACKED}":
                info.name, info.mode = f"{folder}/{program}", 0o555
                info.size, data = _unpacked(data, whole), whole
            total, count = total + info.size, count + 1
            if total > MAX_UNPACKED_BYTES or count > MAX_FILES:
                raise RumpelError("a package is larger than a program can be")
            target.addfile(info, data)


def _unpacked(data: IO[bytes], to: IO[bytes]) -> int:
    """The size of what is in `to` then, from its beginning."""
    import brotli  # one agent needs it

    state, size = brotli.Decompressor(), 0
    try:
        while not state.is_finished():
            piece = data.read(PIECE_BYTES) if state.can_accept_more_data() else b""
            made = state.process(piece, output_buffer_limit=PIECE_BYTES)
            size += to.write(made)
            if not piece and not made:
                raise RumpelError("a package holds the beginning of a program only")
            if size > MAX_UNPACKED_BYTES:
                raise RumpelError("a package is larger than a program can be")
    except brotli.error:
        raise RumpelError("a package holds a program that cannot be unpacked") from None
    to.seek(0)
    return size


def _npm() -> str | None:
    return shutil.which("npm")


async def _run_npm(program: str, *args: str, timeout_s: float = ASK_TIMEOUT_S) -> bytes:
    done = await proc.run([program, *args], timeout_s=timeout_s, cwd="/")
    if done.code == 0:
        return done.stdout
    lines = [line for line in done.error_text.splitlines() if line.startswith("npm error")]
    said = " ".join(line.removeprefix("npm error").strip() for line in lines)[:300]
    raise RumpelError(
        f"npm {args[0]} {args[1]} failed: {said or f'exit code {done.code}'}",
        details={"tail": done.error_text[-2000:]},
    )


def _download(package: str, version: str, folder: Path) -> Path:
    known = _entry(_manifest(package), "versions").get(version)
    if not isinstance(known, Mapping):
        raise NotFound(f"the registry has no {package} {version}")
    dist = _entry(known, "dist")
    want = next((item for item in str(dist.get("integrity")).split() if item[:7] == "sha512-"), "")
    path, seen, size = folder / f"{package.replace('/', '-')}-{version}.tgz", hashlib.sha512(), 0
    with path.open("wb") as file:
        for piece in _pieces(str(dist.get("tarball"))):
            seen.update(piece)
            size += len(piece)
            if size > MAX_PACKED_BYTES:
                raise RumpelError(f"{package} {version} is larger than {MAX_PACKED_BYTES} bytes")
            file.write(piece)
    if base64.b64encode(seen.digest()).decode() != want.removeprefix("sha512-"):
        path.unlink()
        raise RumpelError(f"{package} {version} is not what the registry says it is")
    return path


def _manifest(package: str) -> Mapping[str, Any]:
    named = urllib.parse.quote(package, safe="@")
    base = next(filter(None, map(os.environ.get, REGISTRY_VARIABLES)), REGISTRY)
    said = bytearray()
    for piece in _pieces(f"{base.rstrip('/')}/{named}"):
        said += piece
        if len(said) > MAX_MANIFEST_BYTES:
            raise RumpelError(f"the registry says more than {MAX_MANIFEST_BYTES} bytes")
    found = _parsed(said, "the registry")
    return cast("Mapping[str, Any]", found) if isinstance(found, dict) else {}


def _parsed(said: bytes | bytearray, who: str) -> Any:
    try:
        return json.loads(said)
    except BROKEN:
        raise RumpelError(f"{who} answered something that is no JSON", hint=HINT) from None


def _entry(of: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = of.get(key)
    return found if isinstance(found, Mapping) else {}


def _pieces(url: str) -> Iterator[bytes]:
    """Of the answer. Raises NotFound, RumpelError; neither holds more of the address than a path.

    What fails at the one who takes the pieces is not told as the registry's.
    """
    try:
        parts = urllib.parse.urlsplit(url)
        _check(parts)
        with urllib.request.urlopen(url, timeout=ASK_TIMEOUT_S) as answer:  # noqa: S310 - checked
            while piece := answer.read(PIECE_BYTES):
                yield piece
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 404:
            raise NotFound(f"the registry has no {parts.path[1:]}") from None
        raise RumpelError(f"the registry answered {error.code} {error.reason}") from None
    except OSError as error:
        raise RumpelError(
            f"the registry of npm packages cannot be reached: {error}", hint=HINT
        ) from None
    except BROKEN as error:
        raise RumpelError(
            f"the registry of npm packages gives no answer: {type(error).__name__}", hint=HINT
        ) from None


def _check(parts: urllib.parse.SplitResult) -> None:
    if parts.scheme not in ("https", "http"):
        raise RumpelError("the address of a registry is not one of https or http", hint=HINT)
    if "@" in parts.netloc:
        raise RumpelError(
            "the address of the registry holds a user or a password, and only npm can use them",
            hint="install npm, or name a registry without: npm_config_registry=URL",
        )
