"""The tools that a model is given, and how each is run in the pod.

Everything is done by the pod's own shell, as its user and within the pod, so nothing here is a
limit of what a model may do there; what comes back is bounded, and is text. A tool never raises:
what went wrong is its result, which the model reads.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Mapping
from typing import Any

from rumpel.agents.headless import text_of
from rumpel.builtin.clean import cleaned
from rumpel.builtin.model import Call, Pod, Ran, Result, Tool
from rumpel.errors import RumpelError

BASH_S, MOST_BASH_S, FILE_S = 120, 1800, 60.0
MOST_COMMAND = 100_000
"""One argument of a process has at most 128 KiB."""
MOST_OUTPUT = 30_000
MOST_FILE = 4 << 20
"""Of what is written or edited, in bytes."""
MOST_LINES, MOST_LINE = 2000, 2000
MOST_PATH = 4000

BASH = (
    "exec 2>&1; "
    'if command -v bash >/dev/null 2>&1; then exec bash -c "$1"; fi; exec /bin/sh -c "$1"'
)
# What is no plain file may have no end, or wait for ever.
PLAIN = """\
case $1 in -*) set -- "./$1" "$2" "$3" ;; esac
[ -e "$1" ] || [ -L "$1" ] || { echo "there is no file $1" >&2; exit 3; }
[ ! -d "$1" ] || { echo "$1 is a folder" >&2; exit 3; }
[ -f "$1" ] || { echo "$1 is no plain file" >&2; exit 3; }
"""
READ = (
    PLAIN
    + """\
grep -c '' <"$1" || [ $? -eq 1 ] || exit 3
tail -n +"$2" <"$1" | head -n "$3"
"""
)
# By git, which every pod has.
WHOLE = PLAIN + 'git hash-object --stdin <"$1" || exit 3; head -c "$2" <"$1"'
# Taken whole before the file is touched: a stream that is cut must not leave half of it. Written
# through what is there, which keeps its mode, its owner and its links. What was in it is kept until
# that is done, since a disk may be full; what is large makes more room than it needs.
WRITE = """\
set -e
case $1 in -*) set -- "./$1" "$2" "$3" ;; esac
if [ -e "$1" ] && [ ! -f "$1" ]; then echo "$1 is no plain file" >&2; exit 3; fi
new=$(mktemp) old=
trap 'rm -f "$new" ${old:+"$old"}' EXIT
cat >"$new"
[ "$(($(wc -c <"$new")))" = "$2" ] || { echo "it did not arrive whole" >&2; exit 3; }
mkdir -p -- "$(dirname "$1")"
if [ -r "$1" ] && [ "$(($(wc -c <"$1")))" -le 16777216 ]; then
  old=$(mktemp)
  cat "$1" >"$old"
fi
if [ -n "$3" ] && [ "$(git hash-object --stdin <"$1")" != "$3" ]; then
  echo "$1 was changed meanwhile: read it again" >&2; exit 3
fi
[ -e "$1" ] || [ -L "$1" ] || made=1
trap '' HUP INT TERM
cat "$new" >"$1" && exit 0
if [ -n "${made:-}" ]; then rm -f -- "$1"; exit 3; fi
[ -n "$old" ] || { echo "what was in $1 may be lost" >&2; exit 3; }
if [ "$(git hash-object --stdin <"$1")" = "$(git hash-object --stdin <"$old")" ] ||
  cat "$old" >"$1"
then
  echo "$1 is as it was" >&2; exit 3
fi
echo "what was in $1 is in $old now" >&2
old=
exit 3
"""
SEARCH = """\
case $2 in -*) set -- "$1" "./$2" ;; esac
[ -e "$2" ] || { echo "there is no $2" >&2; exit 3; }
if git rev-parse --is-inside-work-tree >/dev/null 2>&1; then
  GIT_LITERAL_PATHSPECS=1 git grep -nIE --no-color --untracked -e "$1" -- "$2"
  code=$?
  [ $code -gt 1 ] || exit $code
fi
grep -rnE -e "$1" -- "$2"
"""


class Wrong(RumpelError):
    """The model used a tool in a way that cannot be: it is told so."""


def _schema(required: str, **properties: tuple[str, str]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {
            name: {"type": kind, "description": about} for name, (kind, about) in properties.items()
        },
        "required": required.split(),
        "additionalProperties": False,
    }


PATH = ("string", "Absolute, or relative to the workspace")
TOOLS = (
    Tool(
        name="bash",
        about=(
            "Run a command with bash in the workspace, without a terminal and without input. "
            f"Gives its output and its exit code; of more than {MOST_OUTPUT} bytes the beginning "
            "and the end. Each command is a shell of its own. What shall go on behind it needs "
            "nohup, & and its output in a file."
        ),
        schema=_schema(
            "command",
            command=("string", "What to run"),
            timeout_s=("integer", f"End it after that (default {BASH_S}, most {MOST_BASH_S})"),
        ),
    ),
    Tool(
        name="read",
        about=f"Read a text file, at most {MOST_LINES} lines at once.",
        schema=_schema(
            "path",
            path=PATH,
            offset=("integer", "First line, counted from 1"),
            limit=("integer", "How many lines"),
        ),
    ),
    Tool(
        name="write",
        about="Write a file anew, with its folders; what was in it is gone.",
        schema=_schema("path content", path=PATH, content=("string", "All of it")),
    ),
    Tool(
        name="edit",
        about=(
            "Replace text in a file. `old` must be there exactly as given, blanks and line ends "
            "too, and only once (unless `all` is true)."
        ),
        schema=_schema(
            "path old new",
            path=PATH,
            old=("string", "What is there"),
            new=("string", "What shall be there"),
            all=("boolean", "Replace each one"),
        ),
    ),
    Tool(
        name="search",
        about="Search text files for an extended regular expression; gives FILE:LINE:TEXT.",
        schema=_schema(
            "pattern",
            pattern=("string", "An extended regular expression (grep -E)"),
            path=("string", "A file or folder (default: the workspace)"),
        ),
    ),
)


def run(pod: Pod, call: Call) -> Result:
    """Raises KeyboardInterrupt when the person stops it, RumpelError when the pod is lost."""
    tool = RUN.get(call.name)
    try:
        if tool is None:
            raise Wrong(f"there is no tool {call.name}: {', '.join(RUN)}")
        text = tool(pod, cleaned(call.arguments))
    except Wrong as wrong:
        return Result(id=call.id, name=call.name, text=wrong.message, is_error=True)
    return Result(id=call.id, name=call.name, text=text)


def detail(call: Call) -> str:
    """The argument that says most."""
    for name in ("command", "path", "pattern"):
        if isinstance(call.arguments.get(name), str):
            return text_of(call.arguments[name], 1000)
    return ""


def _bash(pod: Pod, given: Mapping[str, Any]) -> str:
    command = _string(given, "command")
    if len(command.encode("utf-8", "replace")) > MOST_COMMAND or "\0" in command:
        raise Wrong(f"a command has at most {MOST_COMMAND} bytes and no NUL: write a file first")
    timeout_s = min(max(_number(given, "timeout_s", BASH_S), 1), MOST_BASH_S)
    argv = ["/bin/sh", "-c", BASH, "sh", command]
    ran = pod.run(argv, input=None, timeout_s=float(timeout_s), keep=MOST_OUTPUT)
    shown = _output(ran)
    if ran.code is None:
        raise Wrong(f"{shown}\nit did not end within {timeout_s} s, and was ended".lstrip())
    if ran.code:
        raise Wrong(f"{shown}\nexit code {ran.code}".lstrip())
    return shown or "(no output)"


def _read(pod: Pod, given: Mapping[str, Any]) -> str:
    path = _path(given)
    first = max(_number(given, "offset", 1), 1)
    count = min(max(_number(given, "limit", MOST_LINES), 1), MOST_LINES)
    argv = ["/bin/sh", "-c", READ, "sh", path, str(first), str(count)]
    ran = _done(pod.run(argv, input=None, timeout_s=FILE_S, keep=2 * MOST_OUTPUT))
    head, _, body = ran.out.partition(b"\n")
    if b"\0" in body:
        raise Wrong(f"{path} is no text file")
    whole = int(head) if head.strip().isdigit() else 0
    lines = _lines(body)
    shown = "\n".join(_clipped(line) for line in lines)
    last = first + len(lines) - 1
    if ran.left_out:
        return f"{shown}\n({ran.left_out} bytes in the middle are left out: read fewer lines)"
    if last < whole:
        return f"{shown}\n(lines {first} to {last} of {whole}: go on with offset {last + 1})"
    return shown or "(nothing)"


def _write(pod: Pod, given: Mapping[str, Any]) -> str:
    path, content = _path(given), _string(given, "content", may_be_empty=True)
    size = _put(pod, path, content.encode("utf-8", "replace"), was="")
    return f"wrote {size} bytes to {path}"


def _edit(pod: Pod, given: Mapping[str, Any]) -> str:
    path, old = _path(given), _string(given, "old")
    new = _string(given, "new", may_be_empty=True)
    argv = ["/bin/sh", "-c", WHOLE, "sh", path, str(MOST_FILE + 1), ""]
    ran = _done(pod.run(argv, input=None, timeout_s=FILE_S, keep=2 * MOST_FILE + 4096))
    was, _, body = ran.out.partition(b"\n")
    if len(body) > MOST_FILE:
        raise Wrong(f"{path} has more than {MOST_FILE} bytes: use bash")
    found = body.count(old.encode("utf-8", "replace"))
    if not found:
        raise Wrong(f"that text is not in {path}: read it, and give it exactly as it is there")
    if found > 1 and given.get("all") is not True:
        raise Wrong(f"that text is {found} times in {path}: give more of what is around it")
    if old == new:
        raise Wrong("both texts are the same")
    edited = body.replace(old.encode("utf-8", "replace"), new.encode("utf-8", "replace"))
    _put(pod, path, edited, was=was.decode("ascii", "replace"))
    return f"replaced {found} in {path}"


def _search(pod: Pod, given: Mapping[str, Any]) -> str:
    pattern = _string(given, "pattern")
    path = _path(given) if given.get("path") else "."
    if "\0" in pattern or "\n" in pattern or len(pattern) > MOST_PATH:
        raise Wrong(f"a pattern is one line of at most {MOST_PATH} characters")
    argv = ["/bin/sh", "-c", SEARCH, "sh", pattern, path]
    ran = pod.run(argv, input=None, timeout_s=FILE_S, keep=10 * MOST_OUTPUT)
    if ran.code == 1 and not ran.out:
        return "(nothing found)"
    if not ran.out or ran.code is None:
        _done(ran)
    lines, room = list[str](), MOST_OUTPUT
    found = _lines(ran.out)
    for line in found:
        room -= len(line := _clipped(line, 300)) + 1
        if room < 0:
            break
        lines.append(line)
    if ran.left_out or len(lines) < len(found):
        lines.append("(there is more: search for less, or in one folder)")
    return "\n".join(lines)


def _put(pod: Pod, path: str, content: bytes, *, was: str) -> int:
    """`was`: what the pod said of the file when it was read; empty: whatever it is."""
    if len(content) > MOST_FILE:
        raise Wrong(f"{len(content)} bytes are more than {MOST_FILE}: write less at once")
    argv = ["/bin/sh", "-c", WRITE, "sh", path, str(len(content)), was]
    _done(pod.run(argv, input=content, timeout_s=FILE_S, keep=MOST_OUTPUT))
    return len(content)


def _done(ran: Ran) -> Ran:
    if ran.code is None:
        raise Wrong(f"it did not end within {FILE_S:g} s, and was ended")
    if ran.code != 0:
        raise Wrong(_text(ran.err).strip()[:2000] or f"it failed with exit code {ran.code}")
    return ran


def _output(ran: Ran) -> str:
    return _text(ran.out).rstrip("\n")


def _text(data: bytes) -> str:
    """NUL and broken characters are refused by some models' services."""
    return data.decode("utf-8", "replace").replace("\0", "\ufffd")


def _lines(data: bytes) -> list[str]:
    """As `wc` and editors count them: form feeds and the like end none."""
    text = _text(data)
    return text.removesuffix("\n").split("\n") if text else []


def _clipped(line: str, most: int = MOST_LINE) -> str:
    return line if len(line) <= most else f"{line[:most]}… ({len(line) - most} more characters)"


def _string(given: Mapping[str, Any], name: str, *, may_be_empty: bool = False) -> str:
    value = given.get(name)
    if not isinstance(value, str) or not (value or may_be_empty):
        raise Wrong(f"{name} is missing")
    return value


def _number(given: Mapping[str, Any], name: str, default: int) -> int:
    value = given.get(name)
    if isinstance(value, str) and re.fullmatch(r"\d{1,9}", value):
        value = int(value)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e9:
        raise Wrong(f"{name} is no number")
    return int(value)


def _path(given: Mapping[str, Any]) -> str:
    path = _string(given, "path")
    if "\0" in path or len(path.encode("utf-8", "replace")) > MOST_PATH:
        raise Wrong("that is no path")
    return posixpath.normpath(path)


RUN: dict[str, Callable[[Pod, Mapping[str, Any]], str]] = {
    "bash": _bash,
    "read": _read,
    "write": _write,
    "edit": _edit,
    "search": _search,
}
