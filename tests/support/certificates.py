"""An authority of a test's own, and what it signs: ca.pem, cert.pem and key.pem in one folder."""

from __future__ import annotations

import subprocess
from pathlib import Path


def authority(folder: Path) -> None:
    """Makes `folder`, with ca.pem and its key."""
    folder.mkdir(parents=True)
    _openssl(
        *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
        *("-keyout", f"{folder}/ca.key", "-out", f"{folder}/ca.pem", "-days", "2"),
        *("-subj", "/CN=rumpel test authority", "-addext", "basicConstraints=critical,CA:TRUE"),
    )


def signed(folder: Path, by: Path, names: str = "IP:127.0.0.1") -> Path:
    """cert.pem and key.pem for `names` in `folder`, with the authority's ca.pem; `folder`."""
    folder.mkdir(parents=True)
    extra = folder / "extra"
    extra.write_text(f"subjectAltName={names}\nextendedKeyUsage=serverAuth,clientAuth\n")
    _openssl(
        *("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
        *("-keyout", f"{folder}/key.pem", "-out", f"{folder}/request", "-subj", "/CN=test"),
    )
    _openssl(
        *("x509", "-req", "-in", f"{folder}/request", "-out", f"{folder}/cert.pem"),
        *("-CA", f"{by}/ca.pem", "-CAkey", f"{by}/ca.key", "-CAcreateserial", "-days", "2"),
        *("-extfile", str(extra)),
    )
    (folder / "ca.pem").write_bytes((by / "ca.pem").read_bytes())
    return folder


def _openssl(*args: str) -> None:
    subprocess.run(["openssl", *args], check=True, capture_output=True)
