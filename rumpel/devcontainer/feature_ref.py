"""What names a feature in devcontainer.json, and what it stands for.

Forms (containers.dev/implementors/features, "Referencing a Feature"): `./x` beside the
configuration, `https://.../devcontainer-feature-x.tgz`, `registry/namespace/x[:tag|@sha256:...]`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from rumpel.devcontainer.positions import FieldError, Path

Kind = Literal["local", "registry", "tarball"]

LATEST = "latest"
MAX_CHARS = 1000
_PART = r"[a-z0-9]+(?:[._-]+[a-z0-9]+)*"
_REGISTRY = re.compile(
    rf"(?P<host>localhost(?::\d+)?|[a-z0-9-]+(?:\.[a-z0-9-]+)+(?::\d+)?|[a-z0-9-]+:\d+)"
    rf"/(?P<name>{_PART}(?:/{_PART})+)"
    r"(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9._-]{0,127})|@(?P<digest>sha256:[0-9a-f]{64}))?"
)
_OLD = re.compile(r"[\w.-]+/[\w.-]+/[\w.-]+(?:@[\w.-]+)?")
_TARBALL = re.compile(r"https?://[^\s?#]+/devcontainer-feature-[\w-]+\.tgz")


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureRef:
    """`written` is for people; `source` is the same for all versions of a feature."""

    kind: Kind
    written: str
    source: str
    """A path relative to the configuration, `host/namespace/name`, or the address."""
    tag: str = ""
    digest: str = ""
    """`sha256:...` of the manifest, where that was named."""

    @property
    def host(self) -> str:
        return self.source.partition("/")[0] if self.kind == "registry" else ""

    @property
    def name(self) -> str:
        """Within its registry: `namespace/name`."""
        return self.source.partition("/")[2] if self.kind == "registry" else self.source

    @property
    def short(self) -> str:
        """The last part of it."""
        last = self.source.rstrip("/").rsplit("/", 1)[-1]
        return last.removeprefix("devcontainer-feature-").removesuffix(".tgz")


def parse(written: str, path: Path) -> FeatureRef:
    """Raises FieldError for what names no feature."""
    if len(written) > MAX_CHARS:
        raise FieldError(
            path, f"the name of a feature has more than {MAX_CHARS} characters", is_key=True
        )
    if written.startswith(("./", "../")):
        return FeatureRef(kind="local", written=written, source=written.rstrip("/"))
    if _TARBALL.fullmatch(written):
        return FeatureRef(kind="tarball", written=written, source=written)
    if written.startswith(("https://", "http://")):
        raise FieldError(
            path, "a feature's address ends in devcontainer-feature-NAME.tgz", is_key=True
        )
    if written.startswith("/"):
        raise FieldError(
            path, "a feature of this machine is ./FOLDER, beside the configuration", is_key=True
        )
    before, mark, tag = written.partition(":") if "@" not in written else (written, "", "")
    if mark and "/" in tag:  # the port of the registry
        head, _, last = written.rpartition("/")
        last, mark, tag = last.partition(":")
        before = f"{head}/{last}"
    match = _REGISTRY.fullmatch(before.lower() + mark + tag)
    if match is None:
        raise FieldError(path, _why(written), is_key=True)
    return FeatureRef(
        kind="registry",
        written=written,
        source=f"{match['host']}/{match['name']}",
        tag="" if match["digest"] else match["tag"] or LATEST,
        digest=match["digest"] or "",
    )


def _why(written: str) -> str:
    if _OLD.fullmatch(written):
        return (
            f"{written!r} is a feature of the old kind (a release on GitHub): "
            "name it as registry/namespace/name"
        )
    return f"{written!r} names no feature: it is ./FOLDER, or registry/namespace/name[:version]"
