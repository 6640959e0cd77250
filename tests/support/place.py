"""Where the pods of a test live: in this machine's engine, in another one behind SSH, in Podman.

A test that asks for `rumpel_project` does not know: its home is told by a variable, as a user
would. So what is tested here is tested there, too, where RUMPEL_TEST_PLACES says so.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from tests.support.engine import Engine
from tests.support.far_engine import Dockerd, FarEngine, Podman, RootlessPodman
from tests.support.home import Home
from tests.support.sshd import Sshd

LOCAL, SSH = "local", "ssh"
PODMAN, ROOTLESS = "podman", "rootless"
SSH_PODMAN = "ssh-podman"
ENGINES = {SSH: Dockerd, PODMAN: Podman, SSH_PODMAN: Podman, ROOTLESS: RootlessPodman}
"""Of the places that are not this machine's own engine."""
ASKED = tuple(os.environ.get("RUMPEL_TEST_PLACES", "").split())
"""Names of places, to run all that can be run there, and nothing else."""


@dataclass(frozen=True, slots=True)
class Place:
    name: str
    near: Engine
    """This machine's."""
    far: FarEngine | None = None

    @property
    def engine(self) -> Engine:
        """The one that has the pods."""
        return self.near if self.far is None else self.far.engine

    @contextlib.contextmanager
    def leads(self, home: Home, sshd_image: str) -> Iterator[dict[str, str]]:
        """Variables by which all of this home's new pods are made here, while it lasts."""
        if self.far is None:
            yield {}
        elif self.name in (SSH, SSH_PODMAN):
            with Sshd(home, self.near, sshd_image, far=self.far):
                yield {"RUMPEL_HOST": "ssh://plain"}
        else:
            yield {"DOCKER_HOST": self.far.url}

    @contextlib.contextmanager
    def shares_port(self, port: int) -> Iterator[None]:
        """What listens here on 127.0.0.1 does so there, too, for pods on the host's network."""
        with contextlib.nullcontext() if self.far is None else self.far.shares_port(port):
            yield


def places(marks: Collection[str]) -> list[str]:
    """Of a test with these marks: all that are asked for, but for those it cannot be at."""
    found = ASKED or (LOCAL,)
    if "here" in marks:
        return [name for name in found if name == LOCAL]
    far = (SSH, SSH_PODMAN) if "near" in marks else ()
    own = (ROOTLESS,) if "rooted" in marks else ()
    return [name for name in found if name not in (*far, *own)]
