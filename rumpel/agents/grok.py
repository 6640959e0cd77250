"""Grok, xAI's own. Its switches, variables and hooks are those of version 1.0 (`grok --help`, the
guide it puts into its home).

Its hooks lie in a file of ours; its config.toml stays its own.
"""

from __future__ import annotations

import json
import posixpath
from collections.abc import Mapping

from rumpel.agents import grok_events
from rumpel.agents.headless import Headless, Task
from rumpel.agents.model import STATUS, Agent, Platform, Seat
from rumpel.names import AGENT_HOME_PATH
from rumpel.resources import resource_text

NAME, KEY = "grok", "XAI_API_KEY"
HOOK_FILE, TURN_FILE = "hooks/rumpel.json", ".turn.sh"
TURN = f"/bin/sh {posixpath.join(AGENT_HOME_PATH, NAME, TURN_FILE)}"
HOOKS = (
    ("UserPromptSubmit", "", f"{STATUS} {NAME} working"),
    ("PreToolUse", "ask_user_question|exit_plan_mode", f"{STATUS} {NAME} waiting"),
    ("PostToolUse", "", f"{STATUS} {NAME} working"),
    ("Notification", "permission_prompt|idle_prompt", f"{STATUS} {NAME} waiting"),
    ("Stop", "", f"{TURN} waiting"),
    ("StopCancelled", "", f"{TURN} waiting"),
    ("StopFailure", "", f"{TURN} failed"),
    ("SessionEnd", "shutdown", f"{STATUS} {NAME} ended"),
)
"""Event, what of it, and what is run then."""
HOOK_TIMEOUT_S = 5


def _package(platform: Platform) -> str:
    """One program for every libc."""
    return f"@xai-official/grok-linux-{platform.arch}"


def _files(seat: Seat, found: Mapping[str, bytes]) -> dict[str, bytes]:
    made: dict[str, list[dict[str, object]]] = {}
    for event, matcher, command in HOOKS:
        hook = {"type": "command", "command": command, "timeout": HOOK_TIMEOUT_S}
        made.setdefault(event, []).append(
            {"matcher": matcher, "hooks": [hook]} if matcher else {"hooks": [hook]}
        )
    return {
        HOOK_FILE: json.dumps({"hooks": made}).encode(),
        TURN_FILE: resource_text("pod_grok_turn.sh").encode(),
    }


def _argv(seat: Seat, told: str) -> list[str]:
    argv = [] if seat.asks else ["--always-approve"]
    return [*argv, "--rules", told] if told else argv


def _headless_argv(seat: Seat, told: str, task: Task) -> list[str]:
    """Its prompt is an argument or a file."""
    argv = ["--prompt-file", "/dev/stdin", "--output-format", "streaming-messages-json"]
    argv += _argv(seat, told)
    argv += ["--continue"] if task.goes_on else []
    return argv + (["--max-turns", str(task.turns)] if task.turns else [])


GROK = Agent(
    name=NAME,
    title="Grok",
    package=_package,
    program=lambda platform: "bin/grok",
    home_variable="GROK_HOME",
    signs_in=(KEY,),
    passed=("GROK_MODELS_BASE_URL", "GROK_XAI_API_BASE_URL"),
    env={
        "GROK_DISABLE_AUTOUPDATER": "1",
        "GROK_TELEMETRY_ENABLED": "0",
        "GROK_FOLDER_TRUST": "0",  # else it asks, or leaves out what the repository sets up for it
    },
    to_sign_in="export XAI_API_KEY",
    files=_files,
    reads=(),
    argv=_argv,
    headless=Headless(
        argv=_headless_argv,
        events=grok_events.events,
        conversations="sessions/*/*/chat_history.jsonl",
        limits=frozenset({"turns"}),
        env={"GROK_TURN_SUMMARY": "0", "GROK_TITLE_REFRESH": "0"},  # calls nobody would see
    ),
)
