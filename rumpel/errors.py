"""What can go wrong, as a tree whose leaves say what the user can do about it.

    RumpelError                 1   failed
    |- UsageError               2   the command line is wrong
    |- ConfigError              2   a configuration file is wrong
    |- NotFound                 3   no such pod, node, branch
    |- Conflict                 4   refused for safety, or in the way
    |  |- NameTaken
    |  |- Unmerged
    |  '- NotTrusted
    |- HostUnreachable          5   Docker or the host does not answer
    |- CommandFailed            6   a user's command failed (build, lifecycle)
    |- Partial                  7   some of several targets failed
    |- TimedOut               124
    |- Interrupted            130
    '- Bug                     70

Exit codes: features.md part 1. Imported by the CLI, so standard library only and cheap.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping


class RumpelError(Exception):
    """One sentence: what failed and on what, no trailing dot; `hint` is one thing to type."""

    code = "failed"
    exit_code = 1

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        details: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.details = dict(details or {})

    def to_json(self) -> dict[str, object]:
        """The `error` member of the JSON envelope, plus the exit code."""
        return {
            "code": self.code,
            "message": self.message,
            "hint": self.hint,
            "details": self.details,
            "exit_code": self.exit_code,
        }


class UsageError(RumpelError):
    code = "usage"
    exit_code = 2


class ConfigError(RumpelError):
    code = "config"
    exit_code = 2


class NotFound(RumpelError):
    code = "not-found"
    exit_code = 3


class Conflict(RumpelError):
    code = "conflict"
    exit_code = 4


class NotRunning(Conflict):
    """Of a container, as the engine says."""


class NameTaken(Conflict):
    code = "name-taken"


class Unmerged(Conflict):
    code = "unmerged"


class NotTrusted(Conflict):
    code = "not-trusted"


class HostUnreachable(RumpelError):
    code = "host-unreachable"
    exit_code = 5


class CommandFailed(RumpelError):
    """A command of the user failed; `details` has argv, exit_code and the output's tail."""

    code = "command-failed"
    exit_code = 6


class Partial(RumpelError):
    code = "partial"
    exit_code = 7


class TimedOut(RumpelError):
    code = "timeout"
    exit_code = 124


class Interrupted(RumpelError):
    code = "interrupted"
    exit_code = 130


class Bug(RumpelError):
    code = "bug"
    exit_code = 70
