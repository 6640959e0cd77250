"""`rumpel config`: settings, where each comes from, and what devcontainer.json says."""

from __future__ import annotations

import shlex
import sys

from rumpel import text, ui
from rumpel.cli import session
from rumpel.cli.answer import show

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rumpel.cli.options import Options
    from rumpel.cli.plain import Arguments, Declared

DESCRIPTION = (
    "Show the settings in force and what is read from devcontainer.json.\n"
    "Settings come, the first that has one, from flags, variables (maxFileSize is\n"
    "RUMPEL_MAX_FILE_SIZE), .rumpelpod.json at the top of the repository, and\n"
    "~/.config/rumpel/config.json: JSON objects, comments allowed, e.g.\n"
    '{"cpus": 2, "memory": "4g", "keepDeleted": "14d"}.\n'
    "--check tells what becomes of every field of devcontainer.json: it is honoured,\n"
    "approximated, ignored, or refused, and how or why. It ends with 0, with 1 when a\n"
    "field has no effect that is not for other tools, and with 2 when no pod could be\n"
    "made from the file."
)
EXAMPLES = (
    ("rumpel config --origin", "where each setting comes from"),
    ("rumpel config --check", "what becomes of each devcontainer.json field"),
    ("rumpel config --json", "everything, resolved"),
)
DEVCONTAINER = (
    ("source", "file"),
    ("name", "name"),
    ("image", "image"),
    ("build", "build"),
    ("workspace_folder", "workspace"),
    ("container_user", "container user"),
    ("remote_user", "remote user"),
    ("mounts", "mounts"),
    ("container_env", "container environment"),
    ("remote_env", "remote environment"),
    ("hooks", "commands"),
)
"""Members of the devcontainer that people want to see, and their names."""
MAX_VALUE_COLUMNS, MIN_LAST_COLUMNS = 28, 12
DURATIONS = ("hooksTimeout", "keepDeleted", "maxAge", "minDuration")
"""Settings, and parts of one, that are seconds."""
SHELL = ["/bin/sh", "-c"]
SIGN_INS = {
    "lent": "lent to pods, renewed here",
    "signed-out": "has ended: sign in again",
    "none": "nothing",
}


def add_arguments(parser: Declared) -> None:
    parser.add_argument("--origin", action="store_true", help="where each setting comes from")
    parser.add_argument(
        "--check", action="store_true", help="what becomes of each devcontainer.json field, and why"
    )
    parser.add_argument(
        "--config", metavar="FILE", help="the devcontainer.json to use, when there are several"
    )


def run(args: Arguments, passed: list[str], options: Options) -> int:
    request = {"origin": args.origin, "check": args.check, "config": args.config}
    answer = session.ask(options, "config", request)
    return show(options, "config", answer, lambda data: render(data, args))


def render(data: dict[str, Any], args: Arguments) -> None:
    if args.check:
        _fields(data.get("devcontainer") or {})
        return
    settings = data.get("settings") or []
    headers = ["SETTING", "VALUE", "FROM" if args.origin else "MEANING"]
    rows = [
        [
            str(row["key"]),
            setting(row),
            str(row.get("origin" if args.origin else "meaning") or ""),
        ]
        for row in settings
    ]
    _settings(headers, rows)
    if args.origin:
        return
    _sign_ins(data.get("sign_ins") or [])
    _ssh_keys(data.get("ssh_keys") or [])
    _docker(data.get("docker") or {})
    devcontainer = data.get("devcontainer") or {}
    pairs = [(name, shown(devcontainer.get(key))) for key, name in DEVCONTAINER]
    ui.out()
    _table(["DEVCONTAINER", "VALUE"], [[name, value] for name, value in pairs if value != "-"])
    effects = data.get("host_effects") or devcontainer.get("effects") or []
    if effects:
        ui.out()
        ui.out("touches this machine (needs your consent once):")
        for effect in effects:
            ui.out(f"  {text.safe(str(effect.get('text')))}")


def _sign_ins(found: list[dict[str, Any]]) -> None:
    """What each agent would be signed in with, and never a value."""
    rows = [
        [str(row.get("agent")), str(row.get("from") or "-"), SIGN_INS.get(str(row["state"]), "")]
        for row in found
    ]
    ui.out()
    _table(["AGENT", "SIGNED IN BY", ""], rows)


def _ssh_keys(found: list[dict[str, Any]]) -> None:
    """What pods are lent by `ssh-add`."""
    if found:
        ui.out()
        rows = [[str(row.get(key)) for key in ("pod", "fingerprint", "comment")] for row in found]
        _table(["POD", "MAY SIGN WITH", ""], rows)


def _docker(found: dict[str, Any]) -> None:
    """What docker's own configuration and the environment give to builds and pods."""
    rows = [["registry", str(name)] for name in found.get("registries") or ()]
    rows += [[str(name), str(value)] for name, value in (found.get("proxies") or {}).items()]
    if rows:
        ui.out()
        _table(["DOCKER", "USED FOR PULLS, BUILDS AND PODS"], rows)


def setting(row: dict[str, Any]) -> str:
    """Its value; times with their unit."""
    return shown(row.get("value"), str(row["key"]))


def shown(value: object, key: str = "") -> str:
    """`-` for nothing, plain text, lists with commas, objects as key=value, commands as typed."""
    if value in (None, "", [], {}):
        return "-"
    if key in DURATIONS and isinstance(value, int | float):
        return text.duration(float(value))
    if key == "argv" and isinstance(value, list):
        words = [str(word) for word in value]
        return words[2] if words[:2] == SHELL and len(words) == 3 else shlex.join(words)
    if isinstance(value, dict):
        pairs = [(name, shown(content, name)) for name, content in value.items()]
        pairs = [(name, content) for name, content in pairs if content != "-"]
        if [name for name, _ in pairs] == ["argv"]:
            return pairs[0][1]
        return ", ".join(f"{name}={content}" for name, content in pairs) or "-"
    if isinstance(value, list):
        return ", ".join(shown(part) for part in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def _fields(devcontainer: dict[str, Any]) -> None:
    reports = devcontainer.get("fields") or []
    if not reports:
        source = devcontainer.get("source")
        nothing = f"{text.safe(str(source))} says nothing" if source else "no devcontainer.json"
        ui.out(f"{nothing}: the default image is used")
        return
    source = str(devcontainer.get("source") or "")
    room = ui.columns(sys.stdout)
    rows = [
        [
            f"{source if room is None else ''}:{report.get('line') or '-'}",
            str(report.get("field")),
            str(report.get("verdict")),
            str(report.get("note") or ""),
        ]
        for report in reports
    ]
    if room is not None:
        ui.out(f"{text.safe(source)}:LINE")
    _settings(["WHERE", "FIELD", "VERDICT", "HOW OR WHY"], rows)


def _settings(headers: list[str], rows: list[list[str]]) -> None:
    """On a terminal as many lines as it takes: nobody could read what is cut anywhere else."""
    room = ui.columns(sys.stdout)
    if room is None:
        _table(headers, rows)
        return
    from itertools import zip_longest
    from textwrap import wrap

    lines = [[text.safe(cell) for cell in row] for row in (headers, *rows)]
    widths = [max(map(text.width, cells)) for cells in zip(*lines, strict=True)]
    widths = [min(width, MAX_VALUE_COLUMNS) for width in widths[:-1]]
    left = room - sum(widths) - len(widths) * len(text.GAP)
    widths.append(max(left, MIN_LAST_COLUMNS))
    for line in lines:
        cells = [wrap(cell, width) for cell, width in zip(line, widths, strict=True)]
        for parts in zip_longest(*cells, fillvalue=""):
            shown = [text.pad(part, width) for part, width in zip(parts, widths, strict=True)]
            ui.out(text.GAP.join(shown).rstrip())


def _table(headers: list[str], rows: list[list[str]]) -> None:
    for line in text.table(headers, rows, columns=ui.columns(sys.stdout)):
        ui.out(line)
