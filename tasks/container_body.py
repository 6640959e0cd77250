"""What a pod's container is created with. No operation of its own: `container` is.

Engine API: the body of `POST /containers/create`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rumpel import names
from rumpel.adapters.docker_types import EngineInfo, ImageInfo
from rumpel.devcontainer import sizes
from rumpel.devcontainer.requirements import GPU
from rumpel.model import ContainerSpec
from rumpel.resources import resource_text

if TYPE_CHECKING:
    from rumpel.tasks.container import Inputs

LOG_CONFIG = {"Type": "json-file", "Config": {"max-size": "10m", "max-file": "3"}}
GPU_RUNTIME = "nvidia"
TAKES_NETWORKS = (1, 44)
"""API version since which a container is created in several at once."""


def create(
    inputs: Inputs, labels: dict[str, str], image: ImageInfo | None, engine: EngineInfo
) -> dict[str, Any]:
    """`image`: what it is started from, None when it is gone; `engine` is to run it."""
    spec = inputs.spec
    body: dict[str, Any] = {
        "Image": inputs.start_image or inputs.image_id,
        **_host_name(inputs),
        "WorkingDir": spec.workspace_folder,
        # A name without `=` takes the variable out of the image's environment.
        "Env": [name if value is None else f"{name}={value}" for name, value in spec.env.items()],
        **_command(spec, image),
    }
    if spec.container_user:
        body["User"] = spec.container_user
    extra = {key: value for key, value in spec.config.items() if key not in ("Entrypoint", "Cmd")}
    body["Env"] += extra.pop("Env", [])
    body["Labels"] = {**extra.pop("Labels", {}), **labels}
    body |= extra
    body["HostConfig"] = _host_config(inputs)
    if spec.gpu and GPU_RUNTIME in engine.runtimes:
        wanted = body["HostConfig"].get("DeviceRequests", ())
        body["HostConfig"]["DeviceRequests"] = [*wanted, GPU]
    if spec.networking:
        body["NetworkingConfig"] = spec.networking
    return body


def _host_name(inputs: Inputs) -> dict[str, Any]:
    """The pod's, but where it has that of the host or of another container: the engine takes no
    other one then.
    """
    host = inputs.spec.host_config
    is_shared = host.get("UTSMode") == "host"
    is_shared = is_shared or str(host.get("NetworkMode", "")).startswith("container:")
    is_shared = is_shared or bool(inputs.network_of)
    return {} if is_shared else {"Hostname": inputs.pod}


def later(body: dict[str, Any], engine: EngineInfo) -> dict[str, Any]:
    """Networks that an engine before API 1.44 does not take at create: taken out of the body."""
    endpoints = (body.get("NetworkingConfig") or {}).get("EndpointsConfig") or {}
    major, _, minor = engine.api_version.partition(".")
    if len(endpoints) < 2 or (int(major), int(minor)) >= TAKES_NETWORKS:
        return {}
    first, *others = endpoints
    body["NetworkingConfig"] = {"EndpointsConfig": {first: endpoints[first]}}
    return {name: endpoints[name] for name in others}


def _command(spec: ContainerSpec, image: ImageInfo | None) -> dict[str, Any]:
    """What runs first: what features want, then our loop or the image's own command."""
    # The stdin and stdout of the loop are the link's.
    before = "".join(f"( {one}\n) </dev/null >&2\n" for one in spec.entrypoints)
    if spec.override_command:
        boot = before + resource_text("pod_boot.sh")
        own = {"Entrypoint": ["/bin/sh", "-c", boot, "rumpel", "main"], "Cmd": []}
        return {**own, "OpenStdin": True, "StdinOnce": False}
    said: dict[str, Any] = {
        key: spec.config[key] for key in ("Entrypoint", "Cmd") if key in spec.config
    }
    if not before or image is None:
        return said
    entrypoint = [one for one in said.get("Entrypoint", image.entrypoint) if one]
    argv = ["/bin/sh", "-c", f'{before}exec "$@"', "rumpel", *entrypoint]
    return {"Entrypoint": argv, "Cmd": list(said.get("Cmd", image.cmd))}


def _host_config(inputs: Inputs) -> dict[str, Any]:
    """Our defaults protect the host; what runArgs ask for wins over them."""
    spec = inputs.spec
    host_config: dict[str, Any] = {
        "Init": spec.init,
        "PidsLimit": spec.pids_limit,
        "LogConfig": LOG_CONFIG,
    }
    if spec.memory:
        host_config["Memory"] = sizes.size(spec.memory, ("memory",))
    if spec.cpus:
        host_config["NanoCpus"] = int(float(spec.cpus) * 1e9)
    host_config |= spec.host_config
    if inputs.network_of:
        host_config["NetworkMode"] = f"container:{inputs.network_of}"
    seed = {
        "Type": "volume",
        "Source": inputs.seed_volume,
        "Target": names.SEED_PATH,
        "ReadOnly": True,
    }
    host_config["Mounts"] = [seed, *spec.mounts, *spec.host_config.get("Mounts", ())]
    return host_config
