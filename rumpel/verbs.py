"""What can be asked of the daemon: each verb with its arguments. Loaded by every command."""

from __future__ import annotations

FULL_ENV_VERBS = frozenset(
    {"create", "enter", "agent", "run", "seat", "recreate", "graph", "config", "fork", "undelete"}
)

STR, INT, BOOL, NAMES = "string", "number", "true or false", "list of strings"

TERMINAL: dict[str, tuple[str, object]] = {
    "rows": (INT, None),
    "cols": (INT, None),
    "term": (STR, None),
}
MAKING: dict[str, tuple[str, object]] = {
    "config": (STR, None),
    "trust": (BOOL, False),
    "memory": (STR, None),
    "cpus": (STR, None),
}
"""Of what may make a pod."""
VERBS: dict[str, dict[str, tuple[str, object]]] = {
    "adopt": {"old": (STR, None)},
    "create": {
        "names": (NAMES, ()),
        "count": (INT, None),
        "from": (STR, None),
        **MAKING,
        "no_wait": (BOOL, False),
        "no_prebuild": (BOOL, False),
    },
    "enter": {
        "name": (STR, ""),
        "argv": (NAMES, ()),
        **MAKING,
        "ignore_failed": (BOOL, False),
        "cwd": (STR, None),
        **TERMINAL,
    },
    "cp": {
        "name": (STR, ""),
        "path": (STR, ""),
        "way": (STR, "out"),
        "kind": (STR, ""),
        "base": (STR, ""),
        "mark": (STR, ""),
        "follow": (BOOL, False),
        "archive": (BOOL, False),
    },
    "recreate": {
        "name": (STR, ""),
        "plan": (BOOL, False),
        "force": (BOOL, False),
        "keep": (NAMES, ()),
        "clean": (BOOL, False),
        "refresh": (NAMES, ()),
        **MAKING,
        "no_prebuild": (BOOL, False),
    },
    "agent": {
        "name": (STR, ""),
        "agent": (STR, ""),
        "argv": (NAMES, ()),
        "asks": (BOOL, False),
        "detach": (BOOL, False),
        **MAKING,
        "ignore_failed": (BOOL, False),
        **TERMINAL,
    },
    "run": {
        "name": (STR, ""),
        "agent": (STR, ""),
        "prompt": (STR, ""),
        "argv": (NAMES, ()),
        "continue": (BOOL, False),
        "turns": (INT, None),
        "dollars": (STR, None),
        "timeout_s": (INT, None),
        **MAKING,
    },
    "seat": {"name": (STR, ""), **MAKING},
    "attach": {"name": (STR, ""), "agent": (STR, None), **TERMINAL},
    "send": {"name": (STR, ""), "agent": (STR, None), "text": (STR, ""), "enter": (BOOL, True)},
    "capture": {"name": (STR, ""), "agent": (STR, None), "all": (BOOL, False)},
    "wait": {"names": (NAMES, ()), "any": (BOOL, False), "timeout_s": (INT, None)},
    "exec-exit": {"exec": (STR, "")},
    "list": {"all": (BOOL, False), "quiet": (BOOL, False), "refresh": (BOOL, False)},
    "fork": {"name": (STR, ""), "names": (NAMES, ()), **MAKING},
    "ports": {"name": (STR, None)},
    "forward-port": {
        "name": (STR, ""),
        "port": (STR, ""),
        "local": (INT, None),
        "label": (STR, None),
        "remove": (BOOL, False),
    },
    "ssh-add": {
        "name": (STR, ""),
        "action": (STR, ""),
        "key": (STR, ""),
        "passphrase": (STR, None),
        "comment": (STR, ""),
        "socket": (STR, None),
        "life_s": (INT, None),
    },
    "merge": {"name": (STR, ""), "branch": (STR, None)},
    "stop": {"names": (NAMES, ()), "all": (BOOL, False)},
    "delete": {"names": (NAMES, ()), "force": (BOOL, False)},
    "prune": {"names": (NAMES, ()), "dry_run": (BOOL, False)},
    "review": {
        "name": (STR, ""),
        "branch": (STR, None),
        "paths": (NAMES, ()),
        "against": (STR, None),
        "include_dirty": (BOOL, False),
        "unseen": (BOOL, False),
    },
    "reviewed": {"name": (STR, ""), "branch": (STR, ""), "commit": (STR, "")},
    "snapshot": {"names": (NAMES, ()), "list": (BOOL, False)},
    "restore": {"name": (STR, ""), "snapshot": (STR, None)},
    "undelete": {"name": (STR, None), "as": (STR, None), **MAKING},
    "events": {
        "since": (INT, None),
        "lines": (INT, 100),
        "follow": (BOOL, False),
        "names": (NAMES, ()),
        "all": (BOOL, False),
    },
    "logs": {"name": (STR, ""), "node": (STR, None), "follow": (BOOL, False)},
    "graph": {
        "name": (STR, None),
        "why": (STR, None),
        "plan": (STR, None),
        "format": (STR, "tree"),
        "history": (BOOL, False),
        "follow": (BOOL, False),
    },
    "config": {"origin": (BOOL, False), "check": (BOOL, False), "config": (STR, None)},
    "doctor": {"fix": (BOOL, False)},
    "gc": {"dry_run": (BOOL, False), "all": (BOOL, False)},
    "daemon-status": {},
    "daemon-stop": {"force": (BOOL, False)},
}
"""Verb -> argument -> (type, default). None as default: the argument may be null."""
