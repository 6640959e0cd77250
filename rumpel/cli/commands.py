"""Every command: where it lives and one line about it. Nothing is imported before it is run."""

from __future__ import annotations

COMMANDS: dict[str, tuple[str, str]] = {
    "enter": ("enter", "open a shell in a pod, or run a command there; makes the pod"),
    "claude": ("claude", "Claude Code in a pod, in a terminal that lives on"),
    "codex": ("codex", "Codex in a pod, in a terminal that lives on"),
    "gemini": ("gemini", "Gemini CLI in a pod, in a terminal that lives on"),
    "grok": ("grok", "Grok in a pod, in a terminal that lives on"),
    "agent": ("builtin", "the built-in agent: a model that works in a pod"),
    "run": ("run", "an agent does one task in a pod, without a terminal"),
    "batch": ("batch", "many tasks from one file, in parallel"),
    "attach": ("attach_agent", "look at the agent that runs in a pod"),
    "send": ("send", "type something into the agent's terminal"),
    "capture": ("capture", "print what is on the agent's screen"),
    "wait": ("wait", "wait until agents no longer work"),
    "create": ("create", "make pods, or bring those there are up to date"),
    "fork": ("fork", "make new pods with all the work of another one"),
    "recreate": ("recreate", "bring a pod up to its configuration, with all work in it"),
    "list": ("list", "show the pods of this repository"),
    "review": ("review", "show what a pod changed, risky files first"),
    "merge": ("merge", "merge a pod's branch, unless there are conflicts"),
    "cp": ("cp", "copy files between a pod and this machine"),
    "stop": ("stop", "stop pods and keep everything in them"),
    "delete": ("delete", "delete pods; refuses when work would be lost"),
    "prune": ("prune", "delete stopped pods that hold no work of their own"),
    "undelete": ("undelete", "bring a deleted pod back, or list those that can be"),
    "snapshot": ("snapshot", "hold the uncommitted work of pods on the host"),
    "restore": ("restore", "put a snapshot back into a pod"),
    "ports": ("ports", "show the ports of a pod and where they are on this machine"),
    "forward-port": ("forward_port", "forward one more port of a pod, or close it again"),
    "ssh-add": ("ssh_add", "lend ssh keys to a pod; they never get into it"),
    "adopt": ("adopt", "take over the pods of a repository that was moved"),
    "graph": ("graph", "show the steps behind a pod, their state and why"),
    "logs": ("logs", "show what the steps of a pod wrote, also while they run"),
    "events": ("events", "show what happened, or wait for what happens next"),
    "config": ("config", "show the configuration and where each value comes from"),
    "image": ("image", "build or fetch the image that pods start from, and say why"),
    "gc": ("gc", "show where the room went, and remove what nothing needs"),
    "doctor": ("doctor", "look for what is wrong, and say what to type"),
    "daemon": ("daemon", "look at, stop or restart the background process"),
    "system-install": ("system_install", "have systemd or launchd start the daemon"),
    "system-uninstall": ("system_uninstall", "undo that; with --purge all of rumpel's goes"),
    "completions": ("completions", "print a script that makes your shell complete"),
    "help": ("help", "show help for a command or a topic"),
}

ALIASES = {"ls": "list", "ps": "list", "rm": "delete"}

MEANT = {
    **dict.fromkeys(("exec", "open", "shell", "ssh", "start"), "enter"),
    **dict.fromkeys(("add", "new", "up"), "create"),
    **dict.fromkeys(("clone", "duplicate"), "fork"),
    **dict.fromkeys(("copy", "download", "scp", "upload"), "cp"),
    **dict.fromkeys(("info", "inspect", "status"), "list"),
    **dict.fromkeys(("diff", "show"), "review"),
    **dict.fromkeys(("down", "halt", "pause"), "stop"),
    **dict.fromkeys(("destroy", "remove"), "delete"),
    **dict.fromkeys(("rebuild", "reset", "update"), "recreate"),
    **dict.fromkeys(("history", "why"), "graph"),
    **dict.fromkeys(("forward", "port", "port-forward"), "forward-port"),
    **dict.fromkeys(("cleanup", "clean", "df"), "gc"),
    **dict.fromkeys(("build", "fetch", "images", "pull"), "image"),
    "recover": "undelete",
    "save": "snapshot",
    "settings": "config",
}
"""What other tools call it."""

PASSES_ARGUMENTS = frozenset({"claude", "codex", "enter", "gemini", "grok", "review", "run"})
"""Commands that hand everything behind `--` to a program."""
