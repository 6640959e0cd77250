"""The daemon's socket: one JSON object per line in both directions.

    client -> daemon   first a request, then any time a control message
        {"proto":[1,1],"version":"0.1.0","verb":"create","args":{...},"cwd":"/abs",
         "env":{...},"host":null,"tty":true,"ask":true}
        {"do":"cancel"} {"do":"detach"} {"do":"exit"} {"do":"consent","granted":true}
        {"do":"choose","item":"..."}
        {"do":"resize","rows":24,"cols":80} {"do":"signal","signal":"INT"}
        of a seat (daemon/builtin.py): {"do":"tool"|"stop"|"state"|"leave",...}
    daemon -> client   events, then exactly one last line
        {"event":"planned","run":12,"nodes":[{"id","kind","title","pod","verdict"}]}
        {"event":"node","id","title","pod","state","elapsed_s","reasons","error"}
        {"event":"log","id","text"}   {"event":"notice","level":"info|warning","text"}
        {"event":"consent","repo","items":[{"kind","text"}]}   {"event":"choose","what","items"}
        {"event":"entries","entries":[{"seq","at","kind","run","node","pods",...}],"last":7}
        {"event":"output","output":{"node","name","pod","state","text",...}}
        {"event":"said","said":{"kind",...},"line"} what an agent says, and as a person reads it
        {"event":"graph","nodes":[...],"edges":[...],"whole":true}
        {"event":"attach","exec","tty","prefix"} with the stream's descriptor (SCM_RIGHTS)
        {"event":"seat","name","pod_id","workspace","about"} then {"event":"tool","id",...}
        {"result":DATA,"warnings":[...],"exit_code":0}
        {"error":{...},"data":DATA,"warnings":[...]}
        {"outdated":true,"busy":false,"version":"0.1.0"}

`env` has what is needed only: DOCKER_*, RUMPEL_* and where the user's settings are always,
everything for the verbs that substitute ${localEnv:...}. `tty`: stdin and stdout are terminals.
`ask`: a person can be asked.
A client that closes without `cancel` detaches: the work goes on.
Used by both sides, so standard library only and cheap to import; strict about what it reads.
"""

from __future__ import annotations

from rumpel import __version__, jsonline
from rumpel.errors import Bug, UsageError
from rumpel.verbs import BOOL, FULL_ENV_VERBS, INT, NAMES, STR, VERBS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

PROTO = (1, 1)
"""Oldest and newest protocol this program speaks."""
MAX_LINE_BYTES = 16 << 20
OF_SETTINGS = ("HOME", "XDG_CONFIG_HOME")
"""Where paths.user_config_path looks: a daemon was started with those of another shell."""

NODE_STATES = (
    "waiting",
    "running",
    "cached",
    "ok",
    "failed",
    "upstream-failed",
    "cancelled",
    "blocked",
)


class Request:
    """A checked request: every argument of the verb is present and has its type."""

    __slots__ = ("args", "ask", "cwd", "env", "host", "proto", "tty", "verb", "version")

    def __init__(self, message: Mapping[str, Any]) -> None:
        self.verb = _typed(message, "verb", str)
        if self.verb not in VERBS:
            raise UsageError(f"the daemon does not know the request {self.verb!r}")
        self.args = arguments(self.verb, _typed(message, "args", dict))
        self.version = _typed(message, "version", str)
        self.proto = proto_range(message)
        self.cwd = _typed(message, "cwd", str)
        env = message.get("env")
        if env is not None and not isinstance(env, dict):
            raise UsageError("malformed request: env is not an object")
        self.env: dict[str, str] = {str(k): str(v) for k, v in (env or {}).items()}
        self.host: str | None = message.get("host") and str(message["host"])
        self.tty = bool(message.get("tty"))
        self.ask = bool(message.get("ask"))


class Lines:
    """Cuts a byte stream into messages. Linear in the bytes, however they arrive."""

    __slots__ = ("_parts", "_size")

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> list[dict[str, Any]]:
        """The messages completed by `data`. Raises UsageError on anything that is not one."""
        head, newline, rest = data.partition(b"\n")
        self._parts.append(head)
        self._size += len(head)
        if self._size > MAX_LINE_BYTES:
            raise UsageError(f"a message is longer than {MAX_LINE_BYTES} bytes")
        if not newline:
            return []
        lines = [b"".join(self._parts), *rest.split(b"\n")]
        self._parts = [lines.pop()]
        self._size = len(self._parts[0])
        return [decode(line) for line in lines if line.strip()]

    def __bool__(self) -> bool:
        """Is a line begun and not ended?"""
        return self._size > 0


def encode(message: Mapping[str, object]) -> bytes:
    return jsonline.dumps(message).encode() + b"\n"


def decode(line: bytes) -> dict[str, Any]:
    """One line as an object. Raises UsageError."""
    if len(line) > MAX_LINE_BYTES:
        raise UsageError(f"a message is longer than {MAX_LINE_BYTES} bytes")
    try:
        message = jsonline.loads(line)
    except (ValueError, RecursionError) as err:
        raise UsageError(f"malformed message: {err}") from err
    if not isinstance(message, dict):
        raise UsageError("malformed message: not an object")
    return message


def request(
    verb: str,
    args: Mapping[str, object],
    *,
    cwd: str,
    env: Mapping[str, str],
    host: str | None = None,
    tty: bool = False,
    ask: bool = False,
) -> dict[str, object]:
    """The first line of a client."""
    return {
        "proto": PROTO,
        "version": __version__,
        "verb": verb,
        "args": dict(args),
        "cwd": cwd,
        "env": wanted_env(verb, env),
        "host": host,
        "tty": tty,
        "ask": ask,
    }


def wanted_env(verb: str, env: Mapping[str, str]) -> dict[str, str]:
    """What the daemon may see of the caller's environment for this verb."""
    if verb in FULL_ENV_VERBS:
        return dict(env)
    return {
        name: value
        for name, value in env.items()
        if name.startswith(("DOCKER_", "RUMPEL_")) or name in OF_SETTINGS
    }


def arguments(verb: str, given: Mapping[str, object]) -> dict[str, Any]:
    """`given` with defaults filled in. Raises UsageError on unknown or ill-typed arguments."""
    wanted = VERBS[verb]
    for name in given:
        if name not in wanted:
            raise UsageError(
                f"the daemon does not know the argument {name!r} of {verb}",
                hint="rumpel daemon restart",
            )
    out: dict[str, Any] = {}
    for name, (kind, default) in wanted.items():
        value = given.get(name, default)
        if not (value is None and default is None) and not _fits(kind, value):
            raise UsageError(f"malformed request: {name} of {verb} is not a {kind}")
        out[name] = tuple(value) if kind == NAMES and isinstance(value, list) else value
    return out


def proto_range(message: Mapping[str, Any]) -> tuple[int, int]:
    value = message.get("proto")
    if isinstance(value, (list, tuple)) and len(value) == 2:
        low, high = value
        if type(low) is int and type(high) is int:
            return low, high
    raise UsageError("malformed request: proto is not a pair of numbers")


def negotiate(theirs: tuple[int, int]) -> int | None:
    """The newest protocol both speak, or None."""
    newest = min(PROTO[1], theirs[1])
    return newest if newest >= max(PROTO[0], theirs[0]) else None


def planned(run: int, nodes: Iterable[Mapping[str, object]]) -> dict[str, object]:
    return {"event": "planned", "run": run, "nodes": list(nodes)}


def node(
    node_id: str,
    state: str,
    *,
    title: str,
    pod: str | None = None,
    elapsed_s: float | None = None,
    reasons: Iterable[Mapping[str, object]] = (),
    error: Mapping[str, object] | None = None,
) -> dict[str, object]:
    if state not in NODE_STATES:
        raise Bug(f"not a node state: {state}")
    return {
        "event": "node",
        "id": node_id,
        "title": title,
        "pod": pod,
        "state": state,
        "elapsed_s": elapsed_s,
        "reasons": list(reasons),
        "error": error,
    }


def log(node_id: str, text: str, *, pod: str | None = None) -> dict[str, object]:
    return {"event": "log", "id": node_id, "text": text, "pod": pod}


def notice(text: str, *, level: str = "info") -> dict[str, object]:
    return {"event": "notice", "level": level, "text": text}


def consent(repo: str, items: Iterable[Mapping[str, object]]) -> dict[str, object]:
    return {"event": "consent", "repo": repo, "items": list(items)}


def choice(what: str, items: Iterable[str]) -> dict[str, object]:
    """`what` in plural, as the question names it."""
    return {"event": "choose", "what": what, "items": list(items)}


def entries(found: Iterable[Mapping[str, object]], *, last: int) -> dict[str, object]:
    """Lines of the log of events, in order; `last`: where to go on."""
    return {"event": "entries", "entries": list(found), "last": last}


def output(piece: Mapping[str, object]) -> dict[str, object]:
    """What a step wrote: {"node","name","pod","state","text",...}."""
    return {"event": "output", "output": dict(piece)}


def said(event: Mapping[str, object], line: str) -> dict[str, object]:
    """What an agent said or did; `line` is empty for what is not shown to people."""
    return {"event": "said", "said": dict(event), "line": line}


def graph(
    nodes: Iterable[Mapping[str, object]], edges: Iterable[object], *, is_whole: bool
) -> dict[str, object]:
    """All of a graph that runs, or the nodes that changed."""
    return {"event": "graph", "nodes": list(nodes), "edges": list(edges), "whole": is_whole}


def attach(exec_id: str, *, tty: bool, prefix: str = "") -> dict[str, object]:
    """`prefix`: bytes already read from the stream, base64. The descriptor travels along."""
    return {"event": "attach", "exec": exec_id, "tty": tty, "prefix": prefix}


def result(data: object, *, warnings: Iterable[str] = (), exit_code: int = 0) -> dict[str, object]:
    return {"result": data, "warnings": list(warnings), "exit_code": exit_code}


def failure(
    error: Mapping[str, object], *, data: object = None, warnings: Iterable[str] = ()
) -> dict[str, object]:
    """`error` is RumpelError.to_json()."""
    return {"error": dict(error), "data": data, "warnings": list(warnings)}


def outdated(*, is_busy: bool) -> dict[str, object]:
    return {"outdated": True, "busy": is_busy, "version": __version__}


def is_last(message: Mapping[str, object]) -> bool:
    return "result" in message or ("error" in message and "event" not in message)


def _typed(message: Mapping[str, Any], name: str, kind: type) -> Any:
    value = message.get(name)
    if not isinstance(value, kind):
        raise UsageError(f"malformed request: {name} is missing or has the wrong type")
    return value


def _fits(kind: str, value: object) -> bool:
    if kind == STR:
        return isinstance(value, str)
    if kind == INT:
        return type(value) is int
    if kind == BOOL:
        return isinstance(value, bool)
    return isinstance(value, (list, tuple)) and all(isinstance(part, str) for part in value)
