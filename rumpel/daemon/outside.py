"""How builds and pods get out: proxies, certificates, docker's own sign-ins at registries."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rumpel.adapters import docker_proxies, docker_registry, threads
from rumpel.errors import ConfigError
from rumpel.tasks import certificates

if TYPE_CHECKING:
    from rumpel.config import Settings
    from rumpel.daemon.app import App
    from rumpel.daemon.client import Client

MAX_FILE_BYTES = 4 << 20


async def note(app: App, client: Client, settings: Settings, host: str) -> None:
    """The proxies of this host's builds and pods, as they are now; in memory only."""
    app.world.proxies[host] = await proxies(app, client, settings, host)


async def proxies(app: App, client: Client, settings: Settings, host: str) -> dict[str, str]:
    """docker's own, and where it is asked for those of the caller's environment."""
    engine = app.hosts.get(host)
    url = "" if engine is None else engine.http.endpoint.docker_url
    found = await threads.call(docker_proxies.configured, url)
    if settings.get("proxyVariables"):
        found |= docker_proxies.of_environment(client.request.env)
    return found


def secrets_file(settings: Settings) -> str:
    """Where values of `secrets` are; empty: nowhere. Raises ConfigError."""
    name = settings.get("secretsFile")
    path = Path(name or "").expanduser()
    if name and not path.is_absolute():
        raise ConfigError(f"secretsFile: {name} is no absolute path")
    return str(path) if name else ""


def trusted(settings: Settings) -> tuple[str, ...]:
    """Of the files of `caCertificates`. Blocking. Raises ConfigError."""
    found: list[str] = []
    for name in settings.get("caCertificates"):
        path = Path(name).expanduser()
        if not path.is_absolute():
            raise ConfigError(f"caCertificates: {name} is no absolute path")
        try:
            with path.open("rb") as file:
                text = file.read(MAX_FILE_BYTES).decode("utf-8", "replace")
        except OSError as error:
            raise ConfigError(f"caCertificates: {name} cannot be read: {error.strerror}") from error
        found += certificates.found_in(text, name)
    unique = tuple(dict.fromkeys(found))
    if sum(map(len, unique)) > certificates.MAX_BYTES:
        raise ConfigError(
            f"caCertificates: {len(unique)} certificates are too many "
            f"({certificates.MAX_BYTES >> 10} KiB at most): name those that are missing in images"
        )
    return unique


async def listed(app: App, client: Client, settings: Settings, host: str) -> dict[str, Any]:
    """For `config`: names, and no secret."""
    found = await proxies(app, client, settings, host)
    return {
        "registries": await threads.call(docker_registry.known),
        "proxies": {
            name: docker_proxies.shown(value) for name, value in found.items() if name.isupper()
        },
    }
