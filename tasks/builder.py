"""The container in which a prebuild runs: made like a pod's, but with nothing of a pod in it.

No operation of its own; part of `prebuild`. Everything that a commit would keep is left out of
what it is created with: environment, entrypoint, names of pods. Its repository is looked at before
and after the commands, since of `.git` a pod takes over what can be carried, and nothing else.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rumpel import names
from rumpel.adapters.docker_types import Completed
from rumpel.adapters.pod_link import PodLink
from rumpel.engine.operation import Context
from rumpel.errors import RumpelError
from rumpel.model import ContainerSpec, RepoRef
from rumpel.resources import resource_text
from rumpel.tasks import shell
from rumpel.tasks.container_body import LOG_CONFIG
from rumpel.tasks.seed import GATEWAY_LOOP
from rumpel.tasks.world import Setup, World

KIND = "prebuild"
BRANCH = "prebuild"
LINK_TIMEOUT_S = 30.0
SETUP_TIMEOUT_S = 1500.0
SCRIPT_TIMEOUT_S = 300.0
NOT_FOR_BUILDERS = frozenset(
    {
        *("Binds", "Mounts", "Tmpfs", "VolumesFrom"),
        *("PortBindings", "PublishAllPorts", "RestartPolicy", "AutoRemove", "Links"),
    }
)
"""Of a pod's HostConfig: it would not be in the image, or there is one of it only."""
SECTIONS = ["head", "refs", "entries", "running", "files", "same", "changes", "made"]
"""Of what `look` prints; `now` is the last."""
CARRIED = frozenset(
    {
        *("HEAD", "config", "description", "hooks", "index", "info", "lfs", "logs", "objects"),
        *("packed-refs", "refs", "rumpel", "shallow", "branches"),
        *("COMMIT_EDITMSG", "FETCH_HEAD", "ORIG_HEAD"),
    }
)
"""What may lie in `.git` after the commands: a pod takes it over, or makes it anew."""


class Unfit(RumpelError):
    """What the commands did cannot be had from an image, or it is not worth one."""

    def __init__(self, message: str, *, may_go_another_time: bool = False) -> None:
        super().__init__(message)
        self.may_go_another_time = may_go_another_time


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """Where and as whom."""

    host: str
    repo: RepoRef
    user: str
    seed_volume: str
    spec: ContainerSpec
    remote_env: Mapping[str, str | None]
    env_probe: str


@dataclass(frozen=True, slots=True)
class GitState:
    """A repository after the commands, as `look` in resources/prebuild.sh tells it."""

    head: str
    refs: tuple[str, ...]
    """Without those that a set-up makes anew."""
    entries: frozenset[str]
    """Of `.git`."""
    running: str
    files: int
    """In the index."""
    is_same: bool
    """git's configuration, to the byte; then what a pod takes over is all that is left."""
    has_changes: bool
    """Files are not as in the commit, or new and not ignored."""
    made: tuple[str, ...]
    """Settings that the set-up made."""
    now: tuple[str, ...]


async def start(ctx: Context[World], setting: Setting, image_id: str) -> str:
    """Its container id."""
    host = ctx.world.host(setting.host)
    name = f"rumpel-{names.slug(setting.repo.basename)}-prebuild-{ctx.nonce[:8]}-{image_id[7:13]}"
    body = _body(ctx, setting, image_id)
    creating = asyncio.ensure_future(
        host.create_container(name, body, platform=setting.spec.platform)
    )
    try:
        box = await asyncio.shield(creating)
    except asyncio.CancelledError:
        # The engine makes it all the same: who undoes this has to find it.
        await asyncio.wait({creating})
        raise
    ctx.fault("builder-created")
    await host.start(box)
    return box


def _body(ctx: Context[World], setting: Setting, image_id: str) -> dict[str, Any]:
    spec = setting.spec
    host_config = {
        "Init": spec.init,
        "PidsLimit": spec.pids_limit,
        "LogConfig": LOG_CONFIG,
        **{key: value for key, value in spec.host_config.items() if key not in NOT_FOR_BUILDERS},
        "Mounts": [
            {
                "Type": "volume",
                "Source": setting.seed_volume,
                "Target": names.SEED_PATH,
                "ReadOnly": True,
            }
        ],
    }
    labels = {
        **ctx.world.labels(KIND, ctx.node_id, ctx.nonce),
        names.LABEL_REPO: setting.repo.repo_id,
    }
    # Podman keeps a name that was given in the environment of the image, and so of all its pods.
    is_podman = ctx.world.host(setting.host).info.kind == "podman"
    return {
        "Image": image_id,
        "Hostname": "" if is_podman else "prebuild",
        "Entrypoint": ["/bin/sh", "-c", GATEWAY_LOOP],
        "Cmd": [],
        "Labels": labels,
        "HostConfig": host_config,
    }


async def set_up(ctx: Context[World], setting: Setting, box: str, oid: str) -> None:
    """The workspace as a pod gets it, on a branch of its own."""
    setup = Setup(branch=BRANCH, oid=oid, upstream=None)
    words = await ctx.world.links.setup_words(setting.repo, setting.host, setup)
    folder = setting.spec.workspace_folder
    stream = await ctx.world.host(setting.host).exec_stream(
        box,
        ["/bin/sh", "-c", resource_text("pod_boot.sh"), "rumpel", "exec"],
        user=setting.user,
        cwd="/",
    )
    link = await PodLink.open(stream, on_notice=lambda: None, timeout_s=LINK_TIMEOUT_S)
    try:
        arguments = [f"pod_id={ctx.nonce}", f"workspace={folder}", "copy=yes", *words]
        await link.request("setup", *arguments, timeout_s=SETUP_TIMEOUT_S)
    finally:
        await link.close()


def token(ctx: Context[World]) -> str:
    """Marks the processes of the commands."""
    return hashlib.blake2b(ctx.nonce.encode(), digest_size=12).hexdigest()


async def environment(
    ctx: Context[World], setting: Setting, box: str
) -> tuple[shell.Where, dict[str, str | None]]:
    """Of the commands: what a pod's container would have been created with, and more as there."""
    where = shell.Where(
        host=setting.host,
        container_id=box,
        user=setting.user,
        cwd=setting.spec.workspace_folder,
        env={name: value for name, value in setting.spec.env.items() if value is not None},
    )
    env = await shell.environment(
        ctx.world, where, probe=setting.env_probe, remote_env=setting.remote_env
    )
    return where, env


async def look(ctx: Context[World], setting: Setting, box: str, words: Sequence[str]) -> GitState:
    """`words`: key, tree, commit. Raises Unfit."""
    done = await _script(ctx, setting, box, "look", *words, token(ctx))
    if done.is_cut:
        raise Unfit("its repository has too many refs or settings to be compared")
    return parse(done.stdout)


def parse(said: bytes) -> GitState:
    """Raises Unfit for what is no state at all: commands of a repository ran there."""
    parts = said.decode("utf-8", "surrogateescape").split("\0")
    if parts[:15:2] != SECTIONS or "now" not in parts[15:]:
        raise Unfit("the builder did not tell the state of its repository")
    at = parts.index("now", 15)  # no setting is called so: they have a dot
    return GitState(
        head=parts[1].strip(),
        refs=tuple(parts[3].splitlines()),
        entries=frozenset(parts[5].splitlines()),
        running=parts[7].strip(),
        files=int(parts[9]) if parts[9].strip().isdigit() else 0,
        is_same=parts[11] == "yes",
        has_changes=bool(parts[13].strip()),
        made=tuple(parts[15:at]),
        now=tuple(entry for entry in parts[at + 1 :] if entry),
    )


def judge(state: GitState, oid: str) -> str:
    """What the commands added to git's configuration. Pure. Raises Unfit."""
    if state.running:
        raise Unfit("a process of the commands goes on, and no image can hold it")
    branch = f"refs/heads/{BRANCH}"
    if state.head != f"ref: {branch}" or state.refs != (f"{oid} {branch}",):
        raise Unfit("the commands change branches, tags or commits")
    strange = sorted(state.entries - CARRIED)
    if strange:
        raise Unfit(f"the commands leave .git/{strange[0]}")
    made, now = Counter(state.made), Counter(state.now)
    if made - now:
        raise Unfit("the commands take settings out of git's configuration")
    return config_text(tuple((now - made).elements()))


def config_text(entries: Sequence[str]) -> str:
    """Entries of `git config --list -z` as a part of a configuration file."""
    lines = []
    for entry in entries:
        key, is_set, value = entry.partition("\n")
        section, _, rest = key.partition(".")
        subsection, _, name = rest.rpartition(".")
        lines.append(f'[{section} "{_escaped(subsection)}"]' if subsection else f"[{section}]")
        lines.append(f'\t{name} = "{_escaped(value)}"' if is_set else f"\t{name}")
    return "\n".join(lines)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")


async def leave(ctx: Context[World], setting: Setting, box: str, words: Sequence[str]) -> None:
    """`words`: key, tree, commit, configuration."""
    await _script(ctx, setting, box, "leave", *words)


async def refresh(ctx: Context[World], setting: Setting, box: str) -> None:
    await _script(ctx, setting, box, "refresh")


async def _script(
    ctx: Context[World], setting: Setting, box: str, verb: str, *words: str
) -> Completed:
    text = resource_text("prebuild.sh")
    argv = ["/bin/sh", "-c", text, "rumpel", verb, setting.spec.workspace_folder, *words]
    host = ctx.world.host(setting.host)
    done = await host.exec_run(box, argv, user=setting.user, cwd="/", timeout_s=SCRIPT_TIMEOUT_S)
    if done.code != 0:
        said = done.stderr.decode(errors="replace").strip()[-300:]
        raise Unfit(f"its repository cannot be taken over: {said or f'exit code {done.code}'}")
    return done
