"""Claude Code. Its files and switches are those of version 2.1 (`claude --help`, its settings)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rumpel.agents import claude_events, json_file
from rumpel.agents.claude_stored import CLAUDE_STORED
from rumpel.agents.headless import Headless, Task
from rumpel.agents.model import STATUS, Agent, Platform, Seat

STATE, SETTINGS = ".claude.json", "settings.json"
KEY = "ANTHROPIC_API_KEY"
HOOKS = (
    ("UserPromptSubmit", "", "working"),
    ("PreToolUse", "AskUserQuestion|ExitPlanMode", "waiting"),
    ("PostToolUse", "", "working"),
    ("Notification", "", "waiting"),  # a permission is asked for, or nothing was typed for a minute
    ("Stop", "", "waiting"),
    ("StopFailure", "", "failed"),
    ("SessionEnd", "^(?!clear$|resume$)", "ended"),  # it goes on with another conversation
    ("SessionStart", "clear", "waiting"),
)
"""Event, what of it, and what the agent is doing from then on."""
KEY_TAIL_CHARS = 20
"""By so many of its last characters a key is known as one that was agreed to."""


def _package(platform: Platform) -> str:
    return f"@anthropic-ai/claude-code-linux-{platform.key}"


def _files(seat: Seat, found: Mapping[str, bytes]) -> dict[str, bytes]:
    try:
        return _seeded(seat, found)
    except RecursionError:  # what could be read may be too deep to be written
        return _seeded(seat, {})


def _seeded(seat: Seat, found: Mapping[str, bytes]) -> dict[str, bytes]:
    """Each key keeps a dialog away; whatever else lies there is the agent's own and stays."""
    state = json_file.read(found.get(STATE))
    state |= {"hasCompletedOnboarding": True}
    projects = json_file.inner(state, "projects")
    json_file.inner(projects, seat.workspace)["hasTrustDialogAccepted"] = True
    if not seat.asks:
        state["bypassPermissionsModeAccepted"] = True
    key = seat.secrets.get(KEY)
    if key is not None:
        responses = json_file.inner(state, "customApiKeyResponses")
        tail, approved = key[-KEY_TAIL_CHARS:], responses.get("approved")
        known = [item for item in approved if item != tail] if isinstance(approved, list) else []
        responses["approved"] = [*known, tail]
    settings = json_file.read(found.get(SETTINGS))
    if not seat.asks:
        settings["skipDangerousModePermissionPrompt"] = True
    _with_hooks(settings)
    return {STATE: json_file.written(state), SETTINGS: json_file.written(settings)}


def _with_hooks(settings: dict[str, Any]) -> None:
    """Ours behind those that are there; ours of before go."""
    hooks = json_file.inner(settings, "hooks")
    for event in {event: None for event, _, _ in HOOKS}:
        known = hooks.get(event)
        others = (
            [item for item in known if STATUS not in str(item)] if isinstance(known, list) else []
        )
        hooks[event] = others + [
            _hook(matcher, state) for name, matcher, state in HOOKS if name == event
        ]


def _hook(matcher: str, state: str) -> dict[str, Any]:
    command = {"type": "command", "command": f"{STATUS} claude {state}", "timeout": 5}
    return {"matcher": matcher, "hooks": [command]}


def _argv(seat: Seat, told: str) -> list[str]:
    argv = [] if seat.asks else ["--dangerously-skip-permissions"]
    return [*argv, "--append-system-prompt", told] if told else argv


def _headless_argv(seat: Seat, told: str, task: Task) -> list[str]:
    argv = ["--print", "--output-format", "stream-json", "--verbose", *_argv(seat, told)]
    argv += ["--continue"] if task.goes_on else []
    argv += ["--max-turns", str(task.turns)] if task.turns else []
    return argv + (["--max-budget-usd", task.dollars] if task.dollars else [])


CLAUDE = Agent(
    name="claude",
    title="Claude Code",
    package=_package,
    program=lambda platform: "claude",
    home_variable="CLAUDE_CONFIG_DIR",
    signs_in=("CLAUDE_CODE_OAUTH_TOKEN", "ANTHROPIC_AUTH_TOKEN", KEY),
    passed=("ANTHROPIC_BASE_URL", "ANTHROPIC_MODEL"),
    env={
        "DISABLE_AUTOUPDATER": "1",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "IS_SANDBOX": "1",  # else it refuses to skip permissions as root
    },
    to_sign_in=(
        "export ANTHROPIC_API_KEY, or what claude setup-token prints, as CLAUDE_CODE_OAUTH_TOKEN; "
        "or lend your own sign-in: claude auth login, and RUMPEL_LEND_SIGN_IN=true"
    ),
    files=_files,
    reads=(STATE, SETTINGS),
    argv=_argv,
    stored=CLAUDE_STORED,
    headless=Headless(
        argv=_headless_argv,
        events=claude_events.events,
        conversations="projects/*/*.jsonl",
        limits=frozenset({"turns", "dollars", "tokens"}),
    ),
)
