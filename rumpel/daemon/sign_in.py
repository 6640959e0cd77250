"""What signs an agent in: the caller's environment, a command of theirs, or their own sign-in.

In this order, so that who sets a key for one command gets it. What a command prints is in no log
and no error; neither is anything else that signs in.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rumpel import config
from rumpel.adapters import credentials, proc, threads
from rumpel.agents import stored
from rumpel.agents.model import Agent
from rumpel.daemon.client import Client
from rumpel.daemon.pods import Pod
from rumpel.errors import ConfigError, RumpelError, TimedOut

if TYPE_CHECKING:
    from rumpel.daemon.app import App

COMMAND_TIMEOUT_S = 60.0
"""Somebody may have to unlock something first."""
MAX_PRINTED_BYTES = 16 << 10
KEYCHAIN = (
    "; here on macOS it keeps your own sign-in in the keychain, which is not read: its token "
    "for pods is the way"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A file of the user's that holds their sign-in with an agent, and where it is renewed."""

    agent: str
    path: str
    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SignIn:
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Variables of the process."""
    lent: Source | None = None
    """Or a file, without what renews it."""
    words: str
    """Where it comes from."""


class Once:
    """For one request: a command that prints a key may ask a person, so it is run once."""

    def __init__(self, app: App, client: Client, agent: Agent, settings: config.Settings) -> None:
        self.agent = agent
        self._app, self._client, self._settings = app, client, settings
        self._found: SignIn | None = None

    async def found(self) -> SignIn:
        """Raises ConfigError saying what to set: an agent that asks for a login helps nobody."""
        if self._found is None:
            self._found = await _found(self._app, self._client, self.agent, self._settings)
        return self._found

    async def lent(self, pod: Pod) -> SignIn:
        """And what is a file lies in the pod now."""
        found = await self.found()
        lending, name = self._app.lending, self.agent.name
        if found.lent is not None and not await lending.begin(pod, name, found.lent):
            self._client.warn(
                f"{self.agent.title} is signed in in pod {pod.name} itself: yours is not lent"
            )
        return found


async def _found(app: App, client: Client, agent: Agent, settings: config.Settings) -> SignIn:
    env = client.request.env
    for name in agent.signs_in:
        if env.get(name):
            return SignIn(secrets={name: env[name]}, words=name)
    commands: Mapping[str, str] = settings.get("signInCommands")
    for name in agent.signs_in:
        if name in commands:
            value = await _printed(name, commands[name], client)
            return SignIn(secrets={name: value}, words=_by_command(name))
    source = source_of(agent, client, settings)
    held = None if source is None else await app.lending.take(source)
    if source is None or held is None:
        is_elsewhere = sys.platform == "darwin" and agent.stored is not None
        hint = agent.to_sign_in + (KEYCHAIN if is_elsewhere else "")
        raise ConfigError(f"nothing signs {agent.title} in", hint=hint)
    if held.variable:
        return SignIn(secrets={held.variable: held.access}, words=source.path)
    return SignIn(lent=source, words=source.path)


def _by_command(name: str) -> str:
    return f"signInCommands ({name})"


def source_of(agent: Agent, client: Client, settings: config.Settings) -> Source | None:
    """None when it is not lent."""
    env = client.request.env
    if agent.stored is None or not settings.get("lendSignIn"):
        return None
    folder = Path(client.request.cwd, Path(agent.stored.folder(env)).expanduser())
    return Source(agent=agent.name, path=str(folder / agent.stored.file), url=agent.stored.url(env))


async def _printed(name: str, command: str, client: Client) -> str:
    """Raises ConfigError, never with what it printed."""
    what, hint = f"the command for {name} (setting signInCommands)", f"try it by hand: {command}"
    try:
        done = await proc.run(
            ["/bin/sh", "-c", command],
            cwd=client.request.cwd,
            env=client.request.env,
            timeout_s=COMMAND_TIMEOUT_S,
            max_output_bytes=MAX_PRINTED_BYTES,
        )
    except TimedOut:
        raise ConfigError(f"{what} did not end within {COMMAND_TIMEOUT_S:g} s", hint=hint) from None
    except RumpelError:
        raise ConfigError(f"{what} could not be run to its end", hint=hint) from None
    if done.code != 0:
        raise ConfigError(f"{what} exited with {done.code}", hint=hint)
    printed = done.stdout.decode("ascii", "replace").strip()
    if not printed or not printed.isascii() or not printed.isprintable() or " " in printed:
        raise ConfigError(f"{what} did not print one key and nothing else", hint=hint)
    return printed


async def listed(
    app: App, agent: Agent, client: Client, settings: config.Settings
) -> dict[str, Any]:
    """For `config`: where it would come from, and no value. Nothing is run or renewed."""
    env = client.request.env
    row = {"agent": agent.name, "from": None, "expires_at": None, "state": "none"}
    for name in agent.signs_in:
        if env.get(name):
            return row | {"from": name, "state": "set"}
    for name in agent.signs_in:
        if name in settings.get("signInCommands"):
            return row | {"from": _by_command(name), "state": "set"}
    source = source_of(agent, client, settings)
    if source is None or agent.stored is None:
        return row
    found = await threads.call(credentials.read, source.path)
    held = None if found is None else agent.stored.read(stored.parsed(found.raw))
    if held is None:
        return row
    ends, is_out = held.expires_at, app.lending.is_spent(source.path, held)
    state = "signed-out" if is_out else "set" if held.variable else "lent"
    return row | {"from": source.path, "expires_at": ends, "state": state}
