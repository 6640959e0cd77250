"""Manifests and blobs of a registry: what features need of it, blocking.

OCI Distribution 1.1: `GET /v2/NAME/manifests/REFERENCE`, `GET /v2/NAME/blobs/DIGEST`; tokens as
docker asks for them. Credentials are docker's. Every answer is bounded, and proven by its digest
where that is known.
"""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import Message
from typing import Any

from rumpel.adapters import docker_registry
from rumpel.errors import NotFound, RumpelError

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
TIMEOUT_S, MOST_S = 30.0, 600.0
"""Without a byte, and of one answer."""
PIECE_BYTES = 1 << 16
MAX_MANIFEST_BYTES, MAX_TOKEN_BYTES = 4 << 20, 1 << 20
MAX_BLOB_BYTES = 256 << 20
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_PARAMETER = re.compile(r'(\w+)="([^"]*)"')
BROKEN = (http.client.HTTPException, ValueError, OSError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    digest: str
    layer: str
    """Digest of its only layer."""


def manifest(host: str, name: str, reference: str) -> Manifest:
    """`reference`: a tag or a digest. Raises NotFound, RumpelError."""
    what = f"{host}/{name}" + ("@" if reference.startswith("sha256:") else ":") + reference
    content = _get(host, name, f"manifests/{reference}", what, MAX_MANIFEST_BYTES)
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    if reference.startswith("sha256:") and digest != reference:
        raise RumpelError(f"the registry gave another manifest than {what}")
    try:
        said = json.loads(content)
        layers = [str(layer["digest"]) for layer in said["layers"]]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise RumpelError(f"{what} is no feature: its manifest cannot be read") from error
    if len(layers) != 1 or not DIGEST.fullmatch(layers[0]):
        raise RumpelError(f"{what} is no feature: it has {len(layers)} layers")
    return Manifest(digest=digest, layer=layers[0])


def blob(host: str, name: str, digest: str) -> bytes:
    """Raises NotFound, RumpelError."""
    content = _get(host, name, f"blobs/{digest}", f"{host}/{name}", MAX_BLOB_BYTES)
    if f"sha256:{hashlib.sha256(content).hexdigest()}" != digest:
        raise RumpelError(f"the registry gave other files than those of {host}/{name}")
    return content


def download(url: str) -> bytes:
    """Of a feature that is an address. Raises NotFound, RumpelError."""
    try:
        return _read(url, {}, MAX_BLOB_BYTES)
    except urllib.error.HTTPError as error:
        with error:
            kind = NotFound if error.code == 404 else RumpelError
            raise kind(f"{url} answered with {error.code}") from None
    except BROKEN as error:
        raise RumpelError(f"{url} could not be fetched: {_reason(error)}") from error


def _get(host: str, name: str, path: str, what: str, limit: int) -> bytes:
    url = f"{'http' if _is_near(host) else 'https'}://{host}/v2/{name}/{path}"
    headers = {"Accept": MANIFEST} if path.startswith("manifests/") else {}
    try:
        try:
            return _read(url, headers, limit)
        except urllib.error.HTTPError as error:
            with error:
                if error.code != 401:
                    raise
                headers["Authorization"] = _authorization(host, name, error.headers)
        return _read(url, headers, limit)
    except urllib.error.HTTPError as error:
        with error:
            raise _refused(host, what, error.code) from None
    except BROKEN as error:
        raise RumpelError(
            f"feature {what} could not be fetched: {_reason(error)}",
            hint="is this machine online, and the name right?",
        ) from error


def _is_near(host: str) -> bool:
    """This machine's own, which docker asks without TLS, too."""
    return host.split(":")[0] in ("localhost", "127.0.0.1")


def _refused(host: str, what: str, code: int) -> RumpelError:
    if code == 404:
        return NotFound(f"there is no feature {what}")
    if code in (401, 403):
        return RumpelError(
            f"the registry does not give {what}: it is not there, or not for you ({code})",
            hint=f"docker login {host}",
        )
    return RumpelError(f"the registry answered with {code} for {what}")


def _authorization(host: str, name: str, headers: Message) -> str:
    """What the registry asks for: docker's credentials, or a token that it gives for them."""
    said = headers.get("WWW-Authenticate", "")
    known = docker_registry.login(host)
    basic = ""
    if known is not None:
        basic = "Basic " + base64.b64encode(":".join(known).encode()).decode()
    if not said.lower().startswith("bearer"):
        return basic
    found = dict(_PARAMETER.findall(said))
    realm = found.get("realm", "")
    if not realm.startswith(("http://", "https://") if _is_near(host) else "https://"):
        raise ValueError("the registry says no address for its tokens")
    query = {"scope": found.get("scope") or f"repository:{name}:pull"}
    if found.get("service"):
        query["service"] = found["service"]
    given = {"Authorization": basic} if basic else {}
    url = f"{realm}{'&' if '?' in realm else '?'}{urllib.parse.urlencode(query)}"
    answer = json.loads(_read(url, given, MAX_TOKEN_BYTES))
    token = answer.get("token") or answer.get("access_token") if isinstance(answer, dict) else ""
    return f"Bearer {token}"


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Blobs often lie with somebody else, who is not to get what the registry got."""

    def redirect_request(self, req: urllib.request.Request, *more: Any) -> Any:
        newurl = str(more[-1])
        if not newurl.startswith(("http://", "https://")):
            raise ValueError("the registry leads to no address of the web")
        found = super().redirect_request(req, *more)
        is_same = newurl.startswith(f"{req.type}://{req.host}/")
        if found is not None and not is_same:
            found.remove_header("Authorization")
        return found


def _read(url: str, headers: Mapping[str, str], limit: int) -> bytes:
    until = time.monotonic() + MOST_S
    request = urllib.request.Request(url, headers=dict(headers))  # noqa: S310 # https, or loopback
    with urllib.request.build_opener(_Redirects).open(request, timeout=TIMEOUT_S) as answer:
        content = bytearray()
        while data := answer.read1(PIECE_BYTES):
            content += data
            if len(content) > limit:
                raise ValueError(f"the answer is larger than {limit >> 20} MiB")
            if time.monotonic() > until:
                raise TimeoutError(f"it takes more than {MOST_S:g} s")
    return bytes(content)


def _reason(error: BaseException) -> str:
    inner = getattr(error, "reason", error)
    return getattr(inner, "strerror", None) or str(inner) or type(inner).__name__
