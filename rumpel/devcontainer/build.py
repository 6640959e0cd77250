"""Which image a configuration asks for: one by name, or one built from a Dockerfile."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path as HostPath
from typing import Any

from rumpel.devcontainer import build_options
from rumpel.devcontainer.document import Caller, Document
from rumpel.devcontainer.positions import FieldError, Path
from rumpel.devcontainer.schema import DevContainer


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """A Dockerfile build. Both paths are absolute, real and inside the repository."""

    dockerfile: str
    context: str
    args: Mapping[str, str] = field(default_factory=dict)
    target: str | None = None
    cache_from: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    """As written, for a docker client."""
    api: Mapping[str, Any] = field(default_factory=dict)
    """All of `options` as parameters of the Engine API; `args` and the rest are above."""


def image_or_build(
    typed: DevContainer, document: Document, caller: Caller
) -> tuple[str | None, Build | None]:
    """A Dockerfile wins over an image, as in the reference; (None, None) when neither is given.

    Raises: FieldError for a missing Dockerfile or context, or one outside the repository.
    """
    part = typed.build
    legacy = part is None or part.dockerfile is None
    dockerfile = typed.docker_file if part is None or legacy else part.dockerfile
    if not dockerfile:
        _check_no_file(typed, document)
        return typed.image or None, None
    folder = HostPath(caller.root, document.parsed.filename).parent
    at: Path = ("dockerFile",) if legacy else ("build", "dockerfile")
    file = _inside(folder / dockerfile, caller.root, at)
    if not file.is_file():
        raise FieldError(at, f"there is no file {file.relative_to(caller.root)}")
    given = (part.context if part else None) or typed.context
    at = ("build", "context") if part and part.context else ("context",)
    context = _inside(folder / given if given else file.parent, caller.root, at)
    if not context.is_dir():
        raise FieldError(at, f"there is no folder {context.relative_to(caller.root)}")
    return None, Build(
        dockerfile=str(file),
        context=str(context),
        args=part.args if part else {},
        target=part.target if part else None,
        cache_from=tuple(part.cache_from) if part else (),
        options=tuple(part.options) if part else (),
        api=build_options.parse(part.options) if part else {},
    )


def _check_no_file(typed: DevContainer, document: Document) -> None:
    if typed.image:
        return
    if "dockerComposeFile" in document.config:
        raise FieldError(
            ("dockerComposeFile",),
            "compose configurations are not handled yet",
            hint="use a configuration with image or build.dockerfile: --config PATH",
        )
    if typed.build is not None:
        raise FieldError(("build",), "the build needs a dockerfile")


def _inside(path: HostPath, root: str, at: Path) -> HostPath:
    real = path.resolve()
    if not real.is_relative_to(root):
        raise FieldError(at, f"{real} is outside the repository")
    return real
