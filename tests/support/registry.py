"""A registry on this machine, Debian's `docker-registry`, and features that are published to it."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import shutil
import subprocess
import tarfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

LAYER = "application/vnd.devcontainers.layer.v1+tar"
CONFIG = "application/vnd.devcontainers"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
LISTENS = re.compile(r"listening on 127\.0\.0\.1:(\d+)")
STARTS_S = 20.0


class Registry:
    """`host` is what features are named with."""

    def __init__(self, port: int, login: tuple[str, str] | None) -> None:
        self.host = f"localhost:{port}"
        self._login = login

    def publish(self, name: str, files: Mapping[str, str], *tags: str) -> str:
        """As the reference packs it: a plain tar as the only layer. The digest of its manifest."""
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as tar:
            for path, content in files.items():
                info = tarfile.TarInfo(f"./{path}")
                info.size, info.mode = len(content.encode()), 0o755
                tar.addfile(info, io.BytesIO(content.encode()))
        layer, config = buffer.getvalue(), b"{}"
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": {"mediaType": CONFIG, "digest": self._blob(name, config), "size": 2},
            "layers": [{"mediaType": LAYER, "digest": self._blob(name, layer), "size": len(layer)}],
            "annotations": {"dev.containers.metadata": files["devcontainer-feature.json"]},
        }
        text = json.dumps(manifest).encode()
        for tag in tags or ("latest",):
            self._send("PUT", f"/v2/{name}/manifests/{tag}", text, MANIFEST)
        return f"sha256:{hashlib.sha256(text).hexdigest()}"

    def _blob(self, name: str, content: bytes) -> str:
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        place = self._send("POST", f"/v2/{name}/blobs/uploads/", b"", "application/octet-stream")
        mark = "&" if "?" in place else "?"
        self._send("PUT", f"{place}{mark}digest={digest}", content, "application/octet-stream")
        return digest

    def _send(self, method: str, path: str, content: bytes, kind: str) -> str:
        url = path if path.startswith("http") else f"http://{self.host}{path}"
        headers = {"Content-Type": kind}
        if self._login is not None:
            word = base64.b64encode(":".join(self._login).encode()).decode()
            headers["Authorization"] = f"Basic {word}"
        request = urllib.request.Request(url, data=content, headers=headers, method=method)
        with urllib.request.urlopen(request, timeout=20) as answer:
            return str(answer.headers.get("Location", ""))


def is_there() -> bool:
    return shutil.which("docker-registry") is not None


@contextmanager
def registry(folder: Path, login: tuple[str, str] | None = None) -> Iterator[Registry]:
    """With a port of its own; it ends with the block. `login`: who else is refused."""
    lines = [
        "version: 0.1",
        "log: {level: info}",
        f"storage: {{filesystem: {{rootdirectory: {folder / 'data'}}}}}",
        "http: {addr: '127.0.0.1:0'}",
    ]
    if login is not None:
        import bcrypt

        hashed = bcrypt.hashpw(login[1].encode(), bcrypt.gensalt(4, prefix=b"2a")).decode()
        (folder / "htpasswd").write_text(f"{login[0]}:{hashed}\n")
        lines.append(f"auth: {{htpasswd: {{realm: test, path: {folder / 'htpasswd'}}}}}")
    config, log = folder / "registry.yml", folder / "registry.log"
    config.write_text("\n".join(lines) + "\n")
    with log.open("wb") as out:
        process = subprocess.Popen(
            ["docker-registry", "serve", str(config)], stdout=out, stderr=out, cwd=folder
        )
    try:
        yield Registry(_port(log, process), login)
    finally:
        process.kill()
        process.wait()


def _port(log: Path, process: subprocess.Popen[bytes]) -> int:
    until = time.monotonic() + STARTS_S
    while time.monotonic() < until and process.poll() is None:
        found = LISTENS.search(log.read_text())
        if found is not None:
            return int(found[1])
        time.sleep(0.02)  # nothing but its log tells of the port
    raise RuntimeError(f"the registry did not start: {log.read_text()[-2000:]}")
