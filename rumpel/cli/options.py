"""Options that every command takes, and what a command is called with."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rumpel.cli.plain import Arguments, Declared

COLORS = ("auto", "always", "never")


class Options:
    """The global options of one invocation."""

    __slots__ = ("color", "directory", "host", "json", "quiet", "verbose")

    def __init__(self) -> None:
        self.directory: str | None = None
        self.quiet = False
        self.verbose = 0
        self.json = False
        self.color = "auto"
        self.host: str | None = None

    def take(self, args: Arguments) -> None:
        """Move the global options out of the parsed arguments."""
        self.directory = args.directory
        self.quiet = args.quiet
        self.verbose = args.verbose
        self.json = args.json
        self.color = args.color
        self.host = args.host


def add_global(parser: Declared) -> None:
    group = parser.add_argument_group("options of every command")
    group.add_argument("-h", "--help", action="help", help="show this help")
    group.add_argument(
        "-C", dest="directory", metavar="DIR", help="work as if started in DIR (a repository)"
    )
    group.add_argument("-q", "--quiet", action="store_true", help="print names only, no progress")
    group.add_argument(
        "-v", "--verbose", action="count", default=0, help="also show cached steps and logs"
    )
    group.add_argument("--json", action="store_true", help="print one JSON envelope")
    group.add_argument(
        "--color", choices=COLORS, default="auto", metavar="WHEN", help="auto, always or never"
    )
    group.add_argument(
        "--host", metavar="HOST", help="local or ssh://[user@]host[:port]: where new pods are made"
    )


def add_pod_making(parser: Declared) -> None:
    """What everything that may make a pod takes."""
    parser.add_argument(
        "--config", metavar="FILE", help="the devcontainer.json to use, when there are several"
    )
    parser.add_argument(
        "--trust", action="store_true", help="allow what the configuration does to this machine"
    )
    parser.add_argument(
        "--memory", metavar="SIZE", help="memory limit of this pod, such as 4g; or default"
    )
    parser.add_argument("--cpus", metavar="N", help="most cores of this pod, such as 1.5")
    parser.add_argument(
        "--secrets-file",
        metavar="FILE",
        help="values for the `secrets` that the configuration declares; or default",
    )


def making(args: Arguments) -> dict[str, object]:
    """What `add_pod_making` has added, as the request has it."""
    found = {name: getattr(args, name) for name in ("config", "trust", "memory", "cpus")}
    file = args.secrets_file
    is_path = file not in (None, "default")
    return {**found, "secrets_file": os.path.abspath(file) if is_path else file}
