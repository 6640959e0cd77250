"""`rumpel ssh-add`: lend ssh keys to a pod. They stay here; the pod gets signatures."""

from __future__ import annotations

import os
import stat

from rumpel import config_values, text, ui
from rumpel.cli import session
from rumpel.cli.answer import Answer, show
from rumpel.cli.create import check_names
from rumpel.errors import ConfigError, NotFound, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from rumpel.cli.options import Options
    from rumpel.cli.plain import Arguments, Declared

DESCRIPTION = (
    "Lend ssh keys to a pod, for `git fetch`, `git push`, ssh and signing commits in\n"
    "it. The keys never get there: the pod gets SSH_AUTH_SOCK, and what it asks to\n"
    "be signed is signed here. KEY is the file of a private key; with a .pub file or\n"
    "a fingerprint (SHA256:...) your own ssh agent signs, with that key alone. Keys\n"
    "are held in memory until -d or -D, and go with the pod, or when the daemon\n"
    "ends. `rumpel events` shows each use. Without KEY: those of ~/.ssh."
)
EXAMPLES = (
    ("rumpel ssh-add fix-login ~/.ssh/deploy", "asks for its passphrase here"),
    ("rumpel ssh-add fix-login ~/.ssh/id_ed25519.pub", "your own agent signs with it"),
    ("rumpel ssh-add -t 1h fix-login", "your usual keys, for an hour"),
    ("rumpel ssh-add -l fix-login", "those it has"),
    ("rumpel ssh-add -D fix-login", "take all away again"),
)
USUAL = ("id_rsa", "id_ecdsa", "id_ed25519")
MAX_BYTES = 64 << 10
TRIES = 3


def add_arguments(parser: Declared) -> None:
    parser.add_argument("name", metavar="POD", help="a pod that runs")
    parser.add_argument(
        "keys", nargs="*", metavar="KEY", help="a key file, a .pub file or a fingerprint"
    )
    parser.add_argument("-l", "--list", action="store_true", help="list the keys the pod has")
    parser.add_argument(
        "-L", "--public", action="store_true", help="the same, as lines for authorized_keys"
    )
    parser.add_argument("-d", "--delete", action="store_true", help="take KEY away again")
    parser.add_argument("-D", "--delete-all", action="store_true", help="take all keys away again")
    parser.add_argument("-t", "--lifetime", metavar="TIME", help="for so long (600, 15m, 1h)")


def run(args: Arguments, passed: list[str], options: Options) -> int:
    check_names([args.name])
    given = [args.list or args.public, args.delete, args.delete_all]
    if sum(map(bool, given)) > 1 or (args.lifetime and any(given)):
        raise UsageError("these options do not go together", hint="rumpel ssh-add --help")
    if args.list or args.public:
        return _list(args, options)
    if args.delete or args.delete_all:
        return _remove(args, options)
    life_s = _seconds(args.lifetime)
    asked = Asked(options, args.name, life_s)
    for key in args.keys or _usual(args.name):
        asked.add(key)
        if asked.answer.error is not None:
            break
    code = show(options, "ssh-add", asked.answer)
    if code == 0 and not options.quiet:
        ui.err(f"{args.name}: what is started in it from now on uses them (SSH_AUTH_SOCK)")
    return code


class Asked:
    """Adding keys, one request each; a passphrase is asked for when it is needed."""

    def __init__(self, options: Options, pod: str, life_s: int | None) -> None:
        self.options, self.pod, self.life_s = options, pod, life_s
        self.answer = Answer({})

    def add(self, key: str) -> None:
        content = key if _is_fingerprint(key) else _read(key)
        is_private = "PRIVATE KEY" in content
        request: dict[str, object] = {"name": self.pod, "life_s": self.life_s, "key": content}
        if is_private:
            request |= {"action": "add", "comment": key}
        else:
            request |= {"action": "agent", "socket": os.environ.get("SSH_AUTH_SOCK")}
        self._ask(request)
        if is_private and self._is_locked():
            self._unlock(request, key)
        if self.answer.error is None and not self.options.quiet:
            life = f", for {text.duration(self.life_s)}" if self.life_s else ""
            ui.err(f"key added: {text.safe(key)}{life}")
        elif self.answer.error is not None:
            self.answer.error["message"] = f"{text.safe(key)}: {self.answer.error['message']}"

    def _unlock(self, request: dict[str, object], key: str) -> None:
        for _ in range(TRIES):
            if self.options.json or not ui.can_ask():
                raise ConfigError(
                    f"{text.safe(key)} has a passphrase, and nobody can be asked for it",
                    hint=f"ssh-add {text.safe(key)}   and give rumpel its .pub file",
                )
            import getpass  # 5 ms

            self._ask(request | {"passphrase": getpass.getpass(f"Passphrase of {key}: ")})
            if not self._is_locked():
                break

    def _ask(self, request: dict[str, object]) -> None:
        self.answer = session.ask(self.options, "ssh-add", request)

    def _is_locked(self) -> bool:
        return self.answer.error is not None and self.answer.error.get("code") == "passphrase"


def _list(args: Arguments, options: Options) -> int:
    if args.keys:
        raise UsageError("-l takes no key")
    answer = session.ask(options, "ssh-add", {"name": args.name, "action": "list"})
    return show(options, "ssh-add", answer, lambda rows: listed(rows, args, options))


def listed(rows: list[dict[str, Any]], args: Arguments, options: Options) -> None:
    for row in rows:
        comment = text.safe(str(row["comment"]))
        if args.public:
            ui.out(f"{text.safe(str(row['public_key']))} {comment}")
            continue
        until = f", until {text.safe(str(row['expires_at']))}" if row.get("expires_at") else ""
        at = ", at your agent" if row.get("source") == "agent" else ""
        ui.out(f"{row['fingerprint']} {comment} ({text.safe(str(row['type']))}{at}{until})")
    if not rows and not options.quiet:
        ui.err(f"pod {args.name} has no keys")


def _remove(args: Arguments, options: Options) -> int:
    if bool(args.keys) != bool(args.delete):
        raise UsageError("-d takes keys, -D takes none", hint="rumpel ssh-add --help")
    answer, rows = Answer({}), []
    requests: list[dict[str, object]] = [
        {"name": args.name, "action": "remove", "key": _public(key)} for key in args.keys
    ]
    for request in requests or [{"name": args.name, "action": "clear"}]:
        answer = session.ask(options, "ssh-add", request)
        if answer.error is not None:
            break
        rows += answer.data
    if answer.error is None:
        answer.data = rows
    if not options.quiet and not options.json and answer.error is None:
        ui.err(f"{text.count(len(rows), 'key')} removed from {args.name}")
    return show(options, "ssh-add", answer)


def _usual(pod: str) -> list[str]:
    folder = os.path.expanduser("~/.ssh")
    found = [f"{folder}/{name}" for name in USUAL if os.path.exists(f"{folder}/{name}")]
    if not found:
        raise NotFound(
            f"there is no {text.listing(USUAL, 'or')} in ~/.ssh", hint=f"rumpel ssh-add {pod} FILE"
        )
    return found


def _is_fingerprint(key: str) -> bool:
    return key.startswith("SHA256:")


def _public(key: str) -> str:
    """What names a key: its fingerprint, or its public half."""
    if _is_fingerprint(key):
        return key
    if not key.endswith(".pub") and os.path.exists(f"{key}.pub"):
        key = f"{key}.pub"
    content = _read(key)
    if "PRIVATE KEY" in content:
        raise UsageError(
            f"{text.safe(key)} has no .pub beside it: take its fingerprint",
            hint="rumpel ssh-add -l POD   shows them",
        )
    return content


def _read(path: str) -> str:
    """Raises NotFound, UsageError; a private key that others can read is none, as for ssh."""
    try:
        with open(path, encoding="ascii") as file:
            mode = os.fstat(file.fileno()).st_mode
            content = file.read(MAX_BYTES)
    except FileNotFoundError:
        raise NotFound(f"there is no file {text.safe(path)}") from None
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "it is no key"
        raise UsageError(f"{text.safe(path)} cannot be read: {why}") from None
    if "PRIVATE KEY" in content and stat.S_IMODE(mode) & 0o077:
        raise UsageError(
            f"{text.safe(path)} can be read by others", hint=f"chmod 600 {text.safe(path)}"
        )
    return content


def _seconds(given: str | None) -> int | None:
    if given is None:
        return None
    try:
        return max(1, int(config_values.seconds(int(given) if given.isdigit() else given)))
    except ValueError as error:
        raise UsageError(f"-t takes {error}, not {text.safe(given)!r}") from None
