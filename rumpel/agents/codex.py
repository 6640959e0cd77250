"""Codex. Its switches, settings and hooks are those of version 0.171 (`codex --help`).

What it must know is given with its start, as `-c KEY=VALUE`: that comes before what its
config.toml says, so that file stays the agent's own. Started so, it also shares no background
server, which would keep the variables of the first start for all that follow.
"""

from __future__ import annotations

import hashlib
import json
import posixpath
import re
import tomllib
import urllib.parse
from collections.abc import Mapping
from typing import Any

from rumpel.agents import codex_events
from rumpel.agents.codex_stored import CODEX_STORED
from rumpel.agents.headless import Headless, Task
from rumpel.agents.model import STATUS, Agent, Platform, Seat
from rumpel.errors import ConfigError
from rumpel.names import AGENT_HOME_PATH
from rumpel.resources import resource_text

NAME, CONFIG, BROKEN = "codex", "config.toml", "config.toml.broken"
TURN_FILE = ".turn.sh"
API = "https://api.openai.com/v1"
BASE_URL = "OPENAI_BASE_URL"
KEY = "RUMPEL_CODEX_KEY"
"""A name of our own: its commands are not given it, nor a file in which it keeps what they are."""
HOOKS = {
    "UserPromptSubmit": f"/bin/sh {posixpath.join(AGENT_HOME_PATH, NAME, TURN_FILE)}",
    "Interrupt": f"{STATUS} {NAME} waiting",
    "Stop": f"{STATUS} {NAME} waiting",
    "SessionEnd": f"{STATUS} {NAME} ended",
}
"""Event, and what is run then."""
ASKING = {
    "PermissionRequest": f"{STATUS} {NAME} waiting",
    "PostToolUse": f"{STATUS} {NAME} working",  # also of sub-agents, whose end it does not tell
}
HOOK_TIMEOUT_S = 3
"""It gives the last events no more."""
HEADERS = {"OpenAI-Organization": "OPENAI_ORGANIZATION", "OpenAI-Project": "OPENAI_PROJECT"}
TRIPLES = {"x64": "x86_64-unknown-linux-musl", "arm64": "aarch64-unknown-linux-musl"}
"""One program for every libc."""
BARE = re.compile(r"[A-Za-z0-9_-]+")
MAX_CONFIG_BYTES, MAX_DOTS = 64 << 10, 200
"""The reader of TOML takes a key of many parts apart in time that grows with their square."""
UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f]")


def _release(version: str, platform: Platform) -> str:
    """Each platform is a version of one package."""
    return f"{version}-linux-{platform.arch}"


def _program(platform: Platform) -> str:
    return f"vendor/{TRIPLES[platform.arch]}/bin/codex"


def _files(seat: Seat, found: Mapping[str, bytes]) -> dict[str, bytes]:
    """With a config.toml that cannot be read it would not start: that one is put aside."""
    files = {TURN_FILE: resource_text("pod_codex_turn.sh").encode()}
    if CONFIG in found and _config(found) is None:
        files |= {BROKEN: found[CONFIG], CONFIG: b""}
    return files


def _argv(seat: Seat, told: str) -> list[str]:
    return _switches(seat, told, HOOKS | (ASKING if seat.asks else {}))


def _headless_argv(seat: Seat, told: str, task: Task) -> list[str]:
    begin = ["exec", *(["resume", "--last"] if task.goes_on else [])]
    # What runs it sees its end: no hook has to tell.
    return [*begin, "--json", "--skip-git-repo-check", *_switches(seat, told, {}), "-"]


def _switches(seat: Seat, told: str, hooks: Mapping[str, str]) -> list[str]:
    own = _config(seat.found) or {}
    given: dict[str, Any] = {
        "check_for_update_on_startup": False,
        "projects": {seat.workspace: {"trust_level": "trusted"}},
        "shell_environment_policy": {"exclude": [*_excluded(own), KEY]},
    }
    if hooks:
        given["hooks"] = _hooks(hooks)
    if "model_provider" not in own and (made := _provider(seat)):
        given |= {"model_provider": "rumpel", "model_providers": {"rumpel": made}}
    if told:
        known = own.get("developer_instructions")
        given["developer_instructions"] = f"{known}\n\n{told}" if isinstance(known, str) else told
    switches = [word for key, value in given.items() for word in ("-c", f"{key}={toml(value)}")]
    if seat.asks:
        return switches
    # The repository's own hooks would be asked about, though an agent may run what it likes here.
    bypass = ["--dangerously-bypass-approvals-and-sandbox", "--dangerously-bypass-hook-trust"]
    return [*switches, *bypass]


def _provider(seat: Seat) -> dict[str, Any]:
    """OpenAI, with the key in a variable: its own way leads through a file that holds the key.

    Empty: with a sign-in of ChatGPT it knows itself where to go.
    """
    url = seat.given.get(BASE_URL) or ("" if seat.is_lent else API)
    if not url:
        return {}
    if "@" in urllib.parse.urlsplit(url).netloc:
        raise ConfigError(
            f"{BASE_URL} holds a user or a password, and arguments are no place for it"
        )
    key: dict[str, Any] = {"requires_openai_auth": True} if seat.is_lent else {"env_key": KEY}
    rest = {"env_http_headers": HEADERS, "wire_api": "responses"}
    return {"name": "OpenAI", "base_url": url, **key, **rest}


def _excluded(own: Mapping[str, Any]) -> list[str]:
    policy = own.get("shell_environment_policy")
    known = policy.get("exclude") if isinstance(policy, dict) else None
    return [item for item in known if isinstance(item, str)] if isinstance(known, list) else []


def _hooks(wanted: Mapping[str, str]) -> dict[str, Any]:
    """Each with the hash by which it knows a hook that was agreed to."""
    made: dict[str, Any] = {}
    state: dict[str, Any] = {}
    for event, command in wanted.items():
        hook = {"type": "command", "command": command, "timeout": HOOK_TIMEOUT_S}
        made[event] = [{"hooks": [hook]}]
        label = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", event).lower()
        known = {"event_name": label, "hooks": [hook | {"async": False}]}
        text = json.dumps(known, sort_keys=True, separators=(",", ":"))
        digest = hashlib.sha256(text.encode()).hexdigest()
        state[f"/<session-flags>/config.toml:{label}:0:0"] = {"trusted_hash": f"sha256:{digest}"}
    return made | {"state": state}


def _config(found: Mapping[str, bytes]) -> dict[str, Any] | None:
    """What lies in the pod may be anything; None: nothing that can be read."""
    raw = found.get(CONFIG, b"")
    if len(raw) > MAX_CONFIG_BYTES or any(line.count(b".") > MAX_DOTS for line in raw.split(b"\n")):
        return None
    try:
        return tomllib.loads(raw.decode())
    except (ValueError, RecursionError):
        return None


def toml(value: object) -> str:
    """A value of TOML in one line."""
    match value:
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case list():
            return f"[{','.join(map(toml, value))}]"
        case dict():
            pairs = (
                f"{key if BARE.fullmatch(key) else toml(key)}={toml(inner)}"
                for key, inner in value.items()
            )
            return f"{{{','.join(pairs)}}}"
    text = str(value).replace("\\", "\\\\").replace('"', '\\"')
    return '"' + UNPRINTABLE.sub(lambda found: rf"\u{ord(found[0]):04x}", text) + '"'


CODEX = Agent(
    name=NAME,
    title="Codex",
    package=lambda platform: "@openai/codex",
    release=_release,
    program=_program,
    home_variable="CODEX_HOME",
    signs_in=("CODEX_API_KEY", "OPENAI_API_KEY"),
    key_variable=KEY,
    passed=(BASE_URL, *HEADERS.values()),
    env={},
    to_sign_in=(
        "export OPENAI_API_KEY (or CODEX_API_KEY, which wins); or lend your own sign-in: "
        "codex login, and RUMPEL_LEND_SIGN_IN=true"
    ),
    files=_files,
    reads=(CONFIG,),
    argv=_argv,
    stored=CODEX_STORED,
    headless=Headless(
        argv=_headless_argv,
        events=codex_events.events,
        conversations="sessions/*/*/*/*.jsonl",
    ),
)
