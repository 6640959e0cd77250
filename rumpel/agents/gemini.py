"""Gemini CLI. Its switches, settings and hooks are those of version 0.61 (`gemini --help`, the
documentation in its package).

What is ours is an extension of its own: hooks, and the text that tells it where it is. Of its
settings it is told no more than how to sign in.
"""

from __future__ import annotations

import json
import posixpath
from collections.abc import Mapping

from rumpel.agents import gemini_events, json_file
from rumpel.agents.headless import Headless, Task
from rumpel.agents.model import STATUS, Agent, Seat
from rumpel.agents.node import NODE
from rumpel.names import AGENT_HOME_PATH
from rumpel.resources import resource_text

NAME, KEY = "gemini", "GEMINI_API_KEY"
SETTINGS, BROKEN = ".gemini/settings.json", ".gemini/settings.json.broken"
EXTENSION, CONTEXT = ".gemini/extensions/rumpel", "RUMPEL.md"
TURN_FILE = ".turn.sh"
HOOKS = (
    ("BeforeAgent", "", f"{STATUS} {NAME} working"),
    ("BeforeTool", "", f"{STATUS} {NAME} working"),  # it was allowed to
    ("Notification", "", f"{STATUS} {NAME} waiting"),  # a permission is asked for
    ("AfterAgent", "", f"/bin/sh {posixpath.join(AGENT_HOME_PATH, NAME, TURN_FILE)}"),
    ("SessionEnd", "exit", f"{STATUS} {NAME} ended"),  # and not of /clear
)
"""Event, what of it, and what is run then. It has none for a turn that the person ends."""
HOOK_TIMEOUT_MS = 5000


def _files(seat: Seat, found: Mapping[str, bytes]) -> dict[str, bytes]:
    manifest = {"name": "rumpel", "version": "1.0.0", "contextFileName": CONTEXT}
    return {
        TURN_FILE: resource_text("pod_gemini_turn.sh").encode(),
        f"{EXTENSION}/gemini-extension.json": json.dumps(manifest).encode(),
        f"{EXTENSION}/hooks/hooks.json": json.dumps({"hooks": _hooks()}).encode(),
        **_settings(found.get(SETTINGS)),
    }


def _hooks() -> dict[str, list[dict[str, object]]]:
    made: dict[str, list[dict[str, object]]] = {}
    for event, matcher, command in HOOKS:
        hook = {"type": "command", "name": "rumpel", "command": command}
        made[event] = [{"matcher": matcher, "hooks": [hook | {"timeout": HOOK_TIMEOUT_MS}]}]
    return made


def _settings(was: bytes | None) -> dict[str, bytes]:
    """What cannot be read, with comments for one, it can perhaps: that is put aside."""
    settings = json_file.read(was)
    aside = {BROKEN: was} if was and not settings and was.strip() != b"{}" else {}
    auth = json_file.inner(json_file.inner(settings, "security"), "auth")
    auth["selectedType"] = "gemini-api-key"
    json_file.inner(settings, "general")["enableAutoUpdate"] = False  # it lies where it cannot
    json_file.inner(settings, "privacy").setdefault("usageStatisticsEnabled", False)
    try:
        return {**aside, SETTINGS: json_file.written(settings)}
    except RecursionError:  # what could be read may be too deep to be written
        return {BROKEN: was or b"", **_settings(None)}


def _argv(seat: Seat, told: str) -> list[str]:
    """What it is told lies in its extension."""
    return [] if seat.asks else ["--approval-mode", "yolo"]


def _headless_argv(seat: Seat, told: str, task: Task) -> list[str]:
    argv = ["--output-format", "stream-json", *_argv(seat, told)]
    return [*argv, "--resume", "latest"] if task.goes_on else argv


GEMINI = Agent(
    name=NAME,
    title="Gemini CLI",
    package=lambda platform: "@google/gemini-cli",
    program=lambda platform: "bundle/gemini.js",
    runtime=NODE,
    home_variable="GEMINI_CLI_HOME",
    signs_in=(KEY, "GOOGLE_API_KEY"),
    key_variable=KEY,
    passed=("GOOGLE_GEMINI_BASE_URL", "GOOGLE_GENAI_API_VERSION", "GEMINI_MODEL"),
    env={
        "GEMINI_CLI_TRUST_WORKSPACE": "true",
        # Else it starts itself a second time, to give itself half of the machine's memory: twice
        # the time to its prompt, and 170 MB. Where a setting asks for a new start, it ends.
        "GEMINI_CLI_NO_RELAUNCH": "1",
    },
    to_sign_in="export GEMINI_API_KEY (or GOOGLE_API_KEY)",
    files=_files,
    told_files=lambda told: {f"{EXTENSION}/{CONTEXT}": told.encode()},
    reads=(SETTINGS,),
    argv=_argv,
    enter_after_s=0.3,  # it takes 0.03, and not always comes to read at once
    headless=Headless(
        argv=_headless_argv,
        events=gemini_events.events,
        conversations=".gemini/tmp/*/chats/*",
    ),
)
