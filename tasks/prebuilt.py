"""What a prebuild left in its image, as a label that every container of that image carries.

No operation of its own: `prebuild` writes it; `clone` and `lifecycle` read it from the container,
which is the truth also when the database was lost, and `replace` from the image. Sealed with the id
of this state folder, so that no Dockerfile of a repository can claim to be one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields

from rumpel.model import HookSpec
from rumpel.tasks.world import World

LABEL = "rumpel.prebuilt"
HOOKS = ("onCreateCommand", "updateContentCommand")
"""The spec's commands of a prebuild, in the order they run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prebuilt:
    """`commands`: digest of each that ran, by key; `tree`: the content they ran on."""

    key: str
    tree: str
    has_inputs: bool
    """The files they depend on were declared; else every file counts."""
    commands: Mapping[str, str]
    made_at: float
    elapsed_s: float
    has_changes: bool = True
    """The commands left files in the workspace that git does not ignore."""
    first: str = ""
    """Key of the command that ran first; unknown of older ones."""


def label(made: Prebuilt, home_id: str) -> str:
    text = json.dumps(asdict(made), sort_keys=True)
    return f"{_seal(text, home_id)} {text}"


def read(labels: Mapping[str, str], home_id: str) -> Prebuilt | None:
    """None when there is none of ours, or one that only another version of rumpel understands."""
    seal, _, text = labels.get(LABEL, "").partition(" ")
    if not text or seal != _seal(text, home_id):
        return None
    known = {item.name for item in fields(Prebuilt)}
    try:
        return Prebuilt(**{key: value for key, value in json.loads(text).items() if key in known})
    except TypeError:
        return None


def of_container(world: World, host: str, container_id: str) -> Prebuilt | None:
    """What the container was started from, as the warm view has it."""
    view = world.snapshot(host)
    state = None if view is None else view.containers.get(container_id)
    return None if state is None else read(state.labels, world.home_id)


def command_digest(
    hook: HookSpec, *, user: str, folder: str, remote_env: Mapping[str, str | None], probe: str
) -> str:
    """Of a command and all that a container's own definition does not say about it."""
    text = json.dumps(
        [hook.name, hook.steps, user, folder, dict(remote_env), probe], sort_keys=True
    )
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _seal(text: str, home_id: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=8, key=home_id.encode()[:64]).hexdigest()
