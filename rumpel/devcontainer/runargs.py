"""`runArgs` as a patch of the Engine API's create body: every option of `docker run` or an error.

The result is laid over what rumpel itself asks for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rumpel.devcontainer.body import Body, HostSide
from rumpel.devcontainer.mounts import Mount
from rumpel.devcontainer.option_table import HANDLERS
from rumpel.devcontainer.options import Option, split
from rumpel.devcontainer.positions import FieldError, Path


@dataclass(frozen=True, slots=True, kw_only=True)
class RunArgs:
    """Parts of the create body."""

    config: Mapping[str, Any] = field(default_factory=dict)
    host_config: Mapping[str, Any] = field(default_factory=dict)
    networking: Mapping[str, Any] = field(default_factory=dict)
    platform: str | None = None
    mounts: tuple[tuple[Path, Mount], ...] = ()
    """From --mount and -v without a source, each with its place in the file."""
    binds: tuple[tuple[Path, str], ...] = ()
    """From -v, as written: `source:/target[:options]`."""
    env_files: Mapping[str, str | None] = field(default_factory=dict)
    """From --env-file; weaker than containerEnv."""
    env: Mapping[str, str | None] = field(default_factory=dict)
    """From -e; stronger than containerEnv. None = taken out of the image's environment."""
    host_files: tuple[tuple[str, str], ...] = ()
    """(option, absolute path) of every host file that was read."""
    host_env: tuple[str, ...] = ()
    """Variables of the caller's environment whose value was taken (`-e NAME`)."""


def apply(run_args: Sequence[str], side: HostSide, *, more: Sequence[Option] = ()) -> RunArgs:
    """`more`: options that come from other fields of the file.

    Raises: FieldError that names the option, for what cannot be passed on.
    """
    body = Body(side)
    options = [*split(run_args, HANDLERS), *more]
    _check_together(options)
    for option in options:
        HANDLERS[option.name](body, option)
    body.network.finish(body.config, body.host, ("runArgs",))

    return RunArgs(
        config=body.config,
        host_config=body.host,
        networking=body.network.endpoints(),
        platform=body.platform,
        mounts=tuple(body.mounts),
        binds=tuple(body.binds),
        env_files=body.env_files,
        env=body.env,
        host_files=tuple(body.host_files),
        host_env=tuple(body.host_env),
    )


def _check_together(options: Sequence[Option]) -> None:
    """Combinations docker refuses on its command line, not in its API."""
    given = {option.name: option for option in options if option.value != "false"}
    healthy = next((one for one in options if one.name.startswith("health-")), None)
    if "no-healthcheck" in given and healthy is not None:
        raise FieldError(healthy.path, f"--{healthy.name} and --no-healthcheck exclude each other")
    driver = given.get("log-driver")
    if driver is not None and driver.value == "none" and "log-opt" in given:
        raise FieldError(given["log-opt"].path, "the log driver none has no --log-opt")
