"""The Docker engine as a test sees it: by the API, never through the code under test."""

from __future__ import annotations

import contextlib
import functools
import io
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
from docker.errors import APIError, DockerException, NotFound
from docker.utils import kwargs_from_env

MINI_IMAGE = "rumpel-mini:1"
DEV_IMAGE = "rumpel-dev:1"
LFS_IMAGE = "rumpel-lfs:1"
SSH_IMAGE = "rumpel-ssh:1"
SSHD_IMAGE = "rumpel-sshd:1"
DB_IMAGE = "rumpel-db:1"
SHARED_IMAGES = (MINI_IMAGE, DEV_IMAGE, LFS_IMAGE, SSH_IMAGE, SSHD_IMAGE, DB_IMAGE)
TOOLS_STEPS = 4
"""Of the builder, from a base image to the one with tools, at most."""


@dataclass(frozen=True, slots=True)
class Executed:
    code: int
    stdout: str
    stderr: str


class Engine:
    """Owns one API client; `close` it."""

    def __init__(self, api: docker.APIClient) -> None:
        self.api: Any = api  # its stubs cover half of it

    @classmethod
    def connect(cls) -> Engine:
        """Raises DockerException when no engine answers."""
        return cls(docker.APIClient(version="auto", timeout=60, **kwargs_from_env()))

    def close(self) -> None:
        self.api.close()

    @functools.cached_property
    def is_podman(self) -> bool:
        return any("Podman" in part["Name"] for part in self.api.version().get("Components", ()))

    def kill(self, container: str) -> None:
        """Podman then waits for an exec that nobody reads to end, in vain, and answers with 500."""
        try:
            self.api.kill(container)
        except APIError:
            if self.inspect(container)["State"]["Running"]:
                raise

    def has_image(self, ref: str) -> bool:
        try:
            self.api.inspect_image(ref)
        except NotFound:
            return False
        return True

    def containers(self, *labels: str) -> list[dict[str, Any]]:
        """All containers, running or not, that carry every one of `labels` (`key=value`)."""
        found: list[dict[str, Any]] = self.api.containers(all=True, filters={"label": list(labels)})
        return found

    def volumes(self, *labels: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] | None
        found = self.api.volumes(filters={"label": list(labels[:1])})["Volumes"]
        pairs = dict(label.split("=", 1) for label in labels if "=" in label)
        # Podman names those that have any of them.
        return [row for row in found or [] if pairs.items() <= (row["Labels"] or {}).items()]

    def images(self, *labels: str, steps: bool = True) -> list[dict[str, Any]]:
        """`steps`: also those that are only the layers of another one."""
        listed = self.api.images(all=steps, filters={"label": list(labels[:1])})
        pairs = dict(label.split("=", 1) for label in labels)  # Podman finds none that has two
        return [row for row in listed if pairs.items() <= (row["Labels"] or {}).items()]

    def tags(self, *labels: str) -> dict[str, str]:
        """Name -> id of every image with these labels, the name as Docker writes it."""
        return {
            tag.removeprefix("docker.io/"): image["Id"]
            for image in self.images(*labels, steps=False)
            for tag in image["RepoTags"] or ()
        }

    def networks(self, *labels: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.api.networks(filters={"label": list(labels)})
        return found

    def inspect(self, container: str) -> dict[str, Any]:
        found: dict[str, Any] = self.api.inspect_container(container)
        return found

    def exec(
        self,
        container: str,
        *argv: str,
        user: str = "",
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        check: bool = True,
    ) -> Executed:
        """Run a command in a container. Raises AssertionError when it fails and `check`."""
        made = self.api.exec_create(
            container, list(argv), user=user, workdir=cwd, environment=dict(env or {})
        )
        out, err = self.api.exec_start(made["Id"], demux=True)
        code = self.api.exec_inspect(made["Id"])["ExitCode"]
        done = Executed(
            code, (out or b"").decode(errors="replace"), (err or b"").decode(errors="replace")
        )
        if check and code != 0:
            raise AssertionError(f"{list(argv)} in the container -> {done}")
        return done

    def build(self, tag: str, dockerfile: str, files: Mapping[str, bytes] | None = None) -> str:
        """An image for a test from a Dockerfile's text and context files; its id.

        Give `tag` the test's own name and remove it afterwards (`images.remove` fixture does).
        """
        lines = list(
            self.api.build(
                fileobj=_context({"Dockerfile": dockerfile.encode(), **(files or {})}),
                custom_context=True,
                tag=tag,
                rm=True,
                forcerm=True,
                decode=True,
            )
        )
        if not self.has_image(tag):
            raise AssertionError(f"build of {tag} failed: {lines[-5:]}")
        return str(self.api.inspect_image(tag)["Id"])

    def run(self, image: str, *argv: str, labels: Mapping[str, str], **config: Any) -> str:
        """A started container without network, labelled; its id. The caller removes it."""
        host_config = self.api.create_host_config(network_mode="none", init=True)
        made = self.api.create_container(
            image,
            list(argv) or ["sleep", "600"],
            labels=dict(labels),
            host_config=host_config,
            **config,
        )
        self.api.start(made["Id"])
        return str(made["Id"])

    def remove_labelled(self, label: str, *, keeps_shared: bool = False) -> list[str]:
        """Remove every object with `label`, containers first; what could not be removed, as text.

        A removal in progress elsewhere is not an error as long as the object goes.
        `keeps_shared`: images that tests running now may be about to use stay.
        """
        kept = self._shared(label) if keeps_shared else ()
        for container in self.containers(label):
            if container["State"] == "paused":
                thaw(container["Id"])
            _tolerate(self.api.remove_container, container["Id"], force=True, v=True)
        for volume in self.volumes(label):
            _tolerate(self.api.remove_volume, volume["Name"], force=True)
        for network in self.networks(label):
            _tolerate(self.api.remove_network, network["Id"])
        for image in self.images(label):
            if image["Id"] not in kept:
                _tolerate(self.api.remove_image, image["Id"], force=True)
        return [f"container {c['Names']}" for c in self.containers(label)] + [
            f"volume {v['Name']}" for v in self.volumes(label)
        ]

    def _shared(self, label: str) -> set[str]:
        """Layers of tools on the images that all tests share, which are found by their content."""
        bases = {self.api.inspect_image(ref)["Id"] for ref in SHARED_IMAGES if self.has_image(ref)}
        return {
            image["Id"]
            for image in self.images(label, steps=False)
            if any(tag.startswith("rumpel/tools:") for tag in image["RepoTags"] or ())
            and self._stands_on(image["Id"], bases)
        }

    def _stands_on(self, image_id: str, bases: set[str]) -> bool:
        """And on nothing with a name in between."""
        for _ in range(TOOLS_STEPS):
            image_id = self.api.inspect_image(image_id)["Parent"]
            if not image_id or image_id in bases:
                break
            if self.api.inspect_image(image_id)["RepoTags"]:
                return False
        return image_id in bases


def thaw(container_id: str) -> None:
    """runc on cgroup v1 freezes a container while it kills it, and is sometimes lost there.

    Every call about such a container, and every removal of an image, then hangs in the engine.
    """
    state = Path("/sys/fs/cgroup/freezer/docker") / container_id / "freezer.state"
    with contextlib.suppress(OSError):
        state.write_text("THAWED")


def unavailable() -> str | None:
    """Why no engine can be used, or None."""
    try:
        Engine.connect().close()
    except DockerException as err:
        return f"no Docker engine answers ({err}): run scripts/engine"
    return None


def describe(containers: Sequence[Mapping[str, Any]], volumes: Sequence[Mapping[str, Any]]) -> str:
    """One line for each, for the message of a failed leak check."""
    lines = [f"container {c['Names']} {c['Status']} {c['Labels']}" for c in containers]
    lines += [f"volume {v['Name']} {v['Labels']}" for v in volumes]
    return "\n".join(lines)


def _tolerate(remove: Any, name: str, **options: Any) -> None:
    try:
        remove(name, **options)
    except APIError as err:
        # 404 gone meanwhile, 409 in use or being removed: the final listing decides.
        if err.status_code not in (404, 409):
            raise


def _context(files: Mapping[str, bytes]) -> io.BytesIO:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(content), 0o644
            tar.addfile(info, io.BytesIO(content))
    buffer.seek(0)
    return buffer
