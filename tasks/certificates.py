"""Certificates that images trust besides their own: setting `caCertificates`.

No operation of its own: `image` has them in each stage of a build, and `tools` in what pods are
made of. They are public, so they may lie in an image; everything else of the files stays out.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping

from rumpel.errors import ConfigError
from rumpel.resources import resource_text

MAX_BYTES = 64 << 10
"""They go by arguments of a command, which have a limit of their own."""
FOLDER = "/usr/local/share/rumpel"
ENV = {
    "NODE_EXTRA_CA_CERTS": f"{FOLDER}/ca.crt",
    "REQUESTS_CA_BUNDLE": f"{FOLDER}/ca-bundle.crt",
}
"""For those that do not look where the system's are."""
BLOCK = re.compile(
    r"-----BEGIN CERTIFICATE-----\s+([A-Za-z0-9+/=\s]+?)\s*-----END CERTIFICATE-----"
)
HEREDOC = re.compile(r"<<-?\s*[\"']?([A-Za-z_]\w*)[\"']?")


def found_in(text: str, name: str) -> tuple[str, ...]:
    """The certificates of a file, and nothing else of it. Raises ConfigError."""
    rows = ["\n".join(match[1].split()) for match in BLOCK.finditer(text)]
    if not rows:
        raise ConfigError(f"there is no certificate in {name} (setting caCertificates)")
    return tuple(f"-----BEGIN CERTIFICATE-----\n{row}\n-----END CERTIFICATE-----" for row in rows)


def key(certificates: tuple[str, ...]) -> str:
    """What stands for them in a fingerprint."""
    return hashlib.blake2b("\n".join(certificates).encode(), digest_size=8).hexdigest()


def lines(certificates: tuple[str, ...], user: str) -> list[str]:
    """Of a Dockerfile, for an image with this user."""
    if not certificates:
        return []
    argv = ["/bin/sh", "-c", resource_text("trust.sh"), "rumpel", *certificates]
    is_root = user.split(":")[0] in ("", "root", "0")
    found = [f"RUN {json.dumps(argv)}", *(f"ENV {name}={value}" for name, value in ENV.items())]
    return found if is_root else ["USER root", *found, f"USER {user}"]


def in_every_stage(
    text: str, certificates: tuple[str, ...], users: Mapping[str, str], bases: tuple[str, ...]
) -> str:
    """The Dockerfile with them behind each `FROM` of an image; a stage has those of its stage.

    `bases`: the image of each such `FROM`, in order; `users`: of each image.
    """
    found, rest = [], iter(bases)
    for line, is_from in _marked(text):
        found.append(line)
        if is_from:
            ref = next(rest, "")
            if ref:
                found += lines(certificates, users.get(ref, ""))
    return "\n".join(found) + "\n"


def _marked(text: str) -> Iterator[tuple[str, bool]]:
    """Each line, and whether a `FROM` ends with it."""
    until, is_open, is_from = "", False, False
    for line in text.splitlines():
        if until:
            until = "" if line.strip() == until else until
            yield line, False
            continue
        bare = line.strip()
        if is_open and (not bare or bare.startswith("#")):
            yield line, False
            continue
        if not is_open:
            is_from = bare.upper().startswith("FROM ")
            if bare.upper().startswith(("RUN ", "COPY ", "ADD ")) and (
                here := HEREDOC.search(bare)
            ):
                until = here[1]
        is_open = bare.endswith("\\") and not bare.startswith("#")
        yield line, is_from and not is_open
        is_from = is_from and is_open
