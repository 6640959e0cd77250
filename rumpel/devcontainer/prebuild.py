"""What in a configuration speaks against running the first commands beforehand, in an image."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rumpel.devcontainer.config import DevConfig
from rumpel.devcontainer.consent import HARMLESS_ENV


def barrier(dev: DevConfig) -> str:
    """As the end of "no prebuild: ..."; empty when nothing does. Pure."""
    if dev.private_env or set(dev.local_env_used) - HARMLESS_ENV:
        return "values of your environment are used, and an image would keep them"
    if dev.raw.get("secrets"):
        return "secrets are used, and an image would keep them"
    if dev.project is not None and dev.project.beside:
        return "a service of compose runs beside each pod, and a command may need it"
    host = dev.run_args.host_config
    if dev.mounts or any(host.get(key) for key in ("Binds", "Mounts", "Tmpfs", "VolumesFrom")):
        return "a mount would cover what a command wrote, or is not there without a pod"
    if dev.override_command is False:
        return "overrideCommand is false: a command may need what the image starts"
    if dev.features.entrypoints:
        return "a feature starts something first, which a command may need"
    if dev.requires.gpu:
        return "a command may need the GPU that pods get"
    if None in dev.container_env.values():
        return "a variable of the image is taken away, which only a container can do"
    return ""
