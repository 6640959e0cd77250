"""Files of this machine that `copyIn` names, for new pods: agreed to, looked for, and told."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from rumpel import config, text
from rumpel.adapters import untracked
from rumpel.adapters.named import cleaned
from rumpel.daemon import requests
from rumpel.devcontainer import consent
from rumpel.engine.events import NodeState
from rumpel.errors import RumpelError
from rumpel.graphs.ids import node_id
from rumpel.tasks import copy_in

if TYPE_CHECKING:
    from rumpel.daemon.app import App
    from rumpel.daemon.client import Client
    from rumpel.daemon.requests import Target
    from rumpel.engine.execute import RunResult
    from rumpel.model import PodSpec, RepoRef

SETTING = "copyIn"
SHOWN = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """For the new pods of a request."""

    patterns: tuple[str, ...] = ()
    found: untracked.Found = field(default_factory=untracked.Found)

    def given(self, spec: PodSpec) -> PodSpec:
        """The pod, to be made with them; as it is where there are none."""
        return replace(spec, copy_in=self.patterns) if self.found.names else spec

    def files_of(self, specs: Iterable[PodSpec]) -> dict[str, tuple[str, ...]]:
        """By pod id, of those that are made just now."""
        return {spec.pod_id: self.found.names for spec in specs if spec.copy_in}


async def wanted(app: App, client: Client, where: Target) -> Wanted:
    """Raises NotTrusted when a repository names them and nobody agreed, and as `look`."""
    await agree(app, client, where)
    return await look(client, where)


async def agree(app: App, client: Client, where: Target) -> None:
    if where.settings.origins.get(SETTING) == config.REPO_FILE:
        # What is agreed to is what is looked for: not the pattern as the repository writes it.
        effects = [consent.copied_in(one) for one in cleaned(where.settings.get(SETTING))]
        await requests.agreed(app.store, where, client, effects)


async def look(client: Client, where: Target) -> Wanted:
    """Raises ConfigError for too much, RumpelError for what cannot be read."""
    patterns = cleaned(where.settings.get(SETTING))
    found = await _found(client, where.ref, patterns)
    if where.settings.origins.get(SETTING) != config.USER_FILE:  # that is for all repositories
        for pattern in found.unmatched:
            client.warn(f"copyIn {text.safe(pattern)}: nothing here has that name, or git has it")
    return Wanted(patterns=patterns, found=found)


async def anew(client: Client, spec: PodSpec) -> tuple[str, ...] | None:
    """What a pod is given whose container comes without the files of the one before.

    Before that goes: what fails here does so while the pod still has its own. Raises as `look`.
    """
    try:
        found = await _found(client, spec.repo, spec.copy_in)
    except RumpelError:
        client.warn(f"pod {spec.pod!r} goes on as it was")
        raise
    return found.names if spec.copy_in else None


async def _found(client: Client, repo: RepoRef, patterns: tuple[str, ...]) -> untracked.Found:
    if not patterns:
        return untracked.Found()
    found = await untracked.named(repo.work_tree, repo.common_dir, patterns)
    if found.repositories:
        client.warn(f"repositories of their own, not copied: {_some(found.repositories)}")
    if found.links_out:
        client.warn(f"copied as links, which lead out of here: {_some(found.links_out)}")
    return found


def tell(client: Client, specs: Iterable[PodSpec], result: RunResult) -> None:
    """Names only."""
    told = []
    for spec in specs:
        node = node_id(copy_in.KIND, spec)
        if result.states.get(node) is not NodeState.OK:
            continue
        done: copy_in.Output = result.outputs[node]
        if done.files:
            told.append(f"copied {text.count(done.files, 'file')}: {_some(done.names, done.files)}")
        if done.left:
            client.warn(f"not copied, pod {spec.pod} has its own: {_some(done.left)}")
        if done.gone:
            client.warn(f"not copied, gone meanwhile: {_some(done.gone)}")
        for why, names in _by_reason(done).items():
            git = f"git in pod {spec.pod} {copy_in.unsafe(why)}"
            client.warn(f"not copied, as {git}: {_some(names)}")
    for line in dict.fromkeys(told):
        client.notice(line)


def _by_reason(done: copy_in.Output) -> dict[str, list[str]]:
    untold, found = dict(done.untold), dict[str, list[str]]()
    for name in done.refused:
        found.setdefault(untold.get(name, ""), []).append(name)
    return found


def _some(names: Sequence[str], count: int = 0) -> str:
    shown = ", ".join(text.safe(name) for name in names[:SHOWN])
    more = max(count, len(names)) - len(names[:SHOWN])
    return f"{shown} and {more} more" if more else shown
