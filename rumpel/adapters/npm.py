"""Packages of npm: which version is the newest, and a package's files as a tar.

`npm` of this machine where there is one, so that its registries, credentials, proxies and cache
count; else the registry's own protocol (`GET /PACKAGE`, the tarball, its `integrity`), without
credentials. Nothing of a package is run.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import tarfile
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, cast

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
PIECE_BYTES = 1 << 20


async def newest(package: str) -> str:
    """The version that the tag `latest` names. Raises NotFound, RumpelError."""
    if _npm() is None:
        manifest = await threads.call(_manifest, package)
        found = manifest.get("dist-tags", {}).get("latest")
    else:
        found = json.loads(await _run_npm("view", package, "version", "--json") or b"null")
    if not isinstance(found, str) or not found:
        raise NotFound(f"the registry names no newest version of {package}")
    return found


async def fetch(package: str, version: str, folder: Path) -> Path:
    """The packed file, proven, in `folder`; the caller removes it. Raises RumpelError."""
    if _npm() is None:
        return await threads.call(_download, package, version, folder)
    said = await _run_npm(
        *("pack", f"{package}@{version}", "--json", "--ignore-scripts"),
        *("--pack-destination", str(folder)),
        timeout_s=FETCH_TIMEOUT_S,
    )
    name = str(json.loads(said)[0]["filename"]).replace("/", "-").lstrip("@")
    return folder / name


def unpack(packed: Path, to: Path, *, folder: str, mark: str) -> None:
    """The plain files of a package as a tar of root's, read-only, below `folder`; `mark` is last.

    Raises RumpelError for what no package holds.
    """
    total = count = 0
    with tarfile.open(packed, "r|gz") as source, tarfile.open(to, "w") as target:
        for member in source:
            name = PurePosixPath(member.name)
            if not member.isfile():
                continue
            total, count = total + member.size, count + 1
            if ".." in name.parts or name.is_absolute() or len(name.parts) < 2:
                raise RumpelError(f"a package holds a file {member.name[:100]!r}")
            if total > MAX_UNPACKED_BYTES or count > MAX_FILES:
                raise RumpelError("a package is larger than a program can be")
            info = tarfile.TarInfo(f"{folder}/{PurePosixPath(*name.parts[1:])}")
            info.size, info.mode = member.size, 0o555 if member.mode & 0o111 else 0o444
            target.addfile(info, source.extractfile(member))
        target.addfile(tarfile.TarInfo(f"{folder}/{mark}"))


def _npm() -> str | None:
    return shutil.which("npm")


async def _run_npm(*args: str, timeout_s: float = ASK_TIMEOUT_S) -> bytes:
    done = await proc.run([_npm() or "npm", *args], timeout_s=timeout_s, cwd="/")
    if done.code == 0:
        return done.stdout
    lines = [line for line in done.error_text.splitlines() if line.startswith("npm error")]
    said = " ".join(line.removeprefix("npm error").strip() for line in lines)[:300]
    raise RumpelError(
        f"npm {args[0]} {args[1]} failed: {said or f'exit code {done.code}'}",
        details={"tail": done.error_text[-2000:]},
    )


def _download(package: str, version: str, folder: Path) -> Path:
    known = _manifest(package).get("versions", {}).get(version)
    if not isinstance(known, Mapping):
        raise NotFound(f"the registry has no {package} {version}")
    dist = known.get("dist", {})
    want = next((item for item in str(dist.get("integrity")).split() if item[:7] == "sha512-"), "")
    path, seen, size = folder / f"{package.replace('/', '-')}-{version}.tgz", hashlib.sha512(), 0
    with _opened(str(dist.get("tarball"))) as answer, path.open("wb") as file:
        while piece := answer.read(PIECE_BYTES):
            seen.update(piece)
            size += len(piece)
            if size > MAX_PACKED_BYTES:
                raise RumpelError(f"{package} {version} is larger than {MAX_PACKED_BYTES} bytes")
            file.write(piece)
    if base64.b64encode(seen.digest()).decode() != want.removeprefix("sha512-"):
        path.unlink()
        raise RumpelError(f"{package} {version} is not what the registry says it is")
    return path


def _manifest(package: str) -> dict[str, Any]:
    named = urllib.parse.quote(package, safe="@")
    base = next(filter(None, map(os.environ.get, REGISTRY_VARIABLES)), REGISTRY)
    with _opened(f"{base.rstrip('/')}/{named}") as answer:
        found = json.loads(answer.read(MAX_MANIFEST_BYTES))
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}


def _opened(url: str) -> Any:
    if urllib.parse.urlsplit(url).scheme not in ("https", "http"):
        raise RumpelError(f"the registry gives an address that is none: {url[:100]!r}")
    try:
        return urllib.request.urlopen(url, timeout=ASK_TIMEOUT_S)  # noqa: S310 - looked at above
    except urllib.error.HTTPError as error:
        if error.code == 404:
            raise NotFound(f"the registry has no {urllib.parse.urlsplit(url).path[1:]}") from None
        raise RumpelError(f"the registry answered {error.code} {error.reason}") from None
    except OSError as error:
        raise RumpelError(
            f"the registry of npm packages cannot be reached: {error}",
            hint="npm_config_registry=URL names another one; then rumpel daemon restart",
        ) from None
