"""What images are made from: of a pod, and of the services that a compose project has beside it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rumpel.adapters import build_context, threads
from rumpel.errors import ConfigError
from rumpel.model import ImageSpec, PodSpec, ProjectSpec, ServiceSpec
from rumpel.sealing import sealed_in
from rumpel.tasks.container_body import LOG_CONFIG
from rumpel.tasks.image import dockerfile_bases

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from rumpel.devcontainer.build import Build
    from rumpel.devcontainer.compose import Beside
    from rumpel.devcontainer.config import DevConfig


LOGGING = {"driver": LOG_CONFIG["Type"], "options": LOG_CONFIG["Config"]}
Place = tuple[str | int, ...]


def of_pod(dev: DevConfig, root: str) -> ImageSpec:
    """Blocking. Raises ConfigError."""
    if dev.build is not None:
        return replace(_built(dev.build, dev, root), features=dev.features.specs)
    if dev.image is None:
        raise ConfigError(
            "devcontainer.json names neither an image nor a Dockerfile",
            hint='add "image": "…" or "build": {"dockerfile": "Dockerfile"}',
        )
    return ImageSpec(ref=dev.image, features=dev.features.specs)


def project(
    dev: DevConfig, root: str, certificates: tuple[str, ...], pids_limit: int
) -> ProjectSpec | None:
    """Blocking. None where there is no compose file. `pids_limit`: of a service that has none."""
    found = dev.project
    if found is None:
        return None
    return ProjectSpec(
        service=found.service,
        services=tuple(
            replace(_service(one, dev, root, certificates), body=_bounded(one.body, pids_limit))
            for one in found.beside
        ),
        networks={key: dict(one) for key, one in found.networks.items()},
        volumes={key: dict(one) for key, one in found.volumes.items()},
        waits=dict(found.waits),
        shares=found.shares,
        ports=found.ports,
        private=found.private,
    )


def _service(one: Beside, dev: DevConfig, root: str, certificates: tuple[str, ...]) -> ServiceSpec:
    image = ImageSpec(ref=one.image)
    if one.build is not None:
        image = replace(_built(one.build, dev, root), certificates=certificates)
    return ServiceSpec(
        name=one.name,
        image=image,
        private=one.private,
        needs=dict(one.needs),
    )


def _bounded(body: Mapping[str, Any], pids_limit: int) -> dict[str, Any]:
    """With what protects the host, as a pod has it, where the service says nothing of it."""
    own = {"logging": LOGGING, **body}
    resources = (body.get("deploy") or {}).get("resources") or {}
    if "pids" not in (resources.get("limits") or {}):
        own.setdefault("pids_limit", pids_limit)
    return own


def _built(build: Build, dev: DevConfig, root: str) -> ImageSpec:
    return ImageSpec(
        dockerfile=build.dockerfile,
        context=build.context,
        context_key=build_context.content_key(
            build.context,
            build.dockerfile,
            config=None if dev.source is None else Path(root, dev.source),
        ),
        args=dict(build.args),
        private_args=build.private_args,
        target=build.target,
        cache_from=tuple(build.cache_from),
        options=dict(build.api),
        hidden=found_in([build.args, build.api], dev.private_values),
    )


def found_in(value: Any, candidates: Iterable[str]) -> tuple[str, ...]:
    """Those that stand in its strings: others would make equal nodes differ."""
    return tuple(one for one in candidates if sealed_in(value, (one,)) != sealed_in(value, ()))


def places_in(value: Any, dev: DevConfig, at: Place = ()) -> Iterator[Place]:
    """Paths of the strings in which a value of the caller's environment stands."""
    if isinstance(value, str):
        if found_in(value, dev.private_values):
            yield at
    elif isinstance(value, dict | list | tuple):
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        for key, inner in pairs:
            yield from places_in(inner, dev, (*at, key))


async def bases_of(spec: PodSpec) -> dict[str, tuple[str, ...]]:
    """The `FROM` references of each Dockerfile, for the image nodes."""
    services = () if spec.project is None else spec.project.services
    found = {}
    for image in (spec.image, *(one.image for one in services)):
        if image.dockerfile is None:
            continue
        try:
            text = await threads.call(Path(image.dockerfile).read_text, errors="replace")
        except OSError as error:
            raise ConfigError(f"{image.dockerfile} cannot be read: {error.strerror}") from error
        found[image.dockerfile] = dockerfile_bases(text, dict(image.args))
    return found
