"""What git in a pod asks for a password of, and git's own answer on this machine.

Nothing but a server's name, a path and a user name is taken from the pod, and only where the user
allowed that server. Nobody is asked: what git's helpers here do not have, a pod does not get.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field

from rumpel.adapters import git_run, proc
from rumpel.adapters.docker_exec import Environment
from rumpel.adapters.pod_socket import Broken
from rumpel.errors import RumpelError

MAX_QUESTION_BYTES = 8192
MAX_ANSWER_BYTES = 64 << 10
FILL_TIMEOUT_S = 30.0
HOST = re.compile(r"[a-z0-9._-]+(:[0-9]{1,5})?|\[[0-9a-f:]+\](:[0-9]{1,5})?")
CONFIG_FILES = ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM")
SCHEMES = {"https": ":443", "http": ":80"}
# Of the two programs one is there, else the socket would not be.
ASK = (
    "perl -MSocket -e '"
    "socket(S,AF_UNIX,SOCK_STREAM,0)&&connect(S,pack_sockaddr_un(shift))or exit;"
    'syswrite S,join("",<STDIN>)."\\n";print while <S>'
    "' {path} 2>/dev/null || python3 -I -S -c '"
    "import socket,sys;s=socket.socket(socket.AF_UNIX);s.connect(sys.argv[1]);"
    's.sendall(sys.stdin.buffer.read()+b"\\n");'
    "sys.stdout.write(s.makefile().read())' {path}"
)


@dataclass(frozen=True, slots=True)
class Wanted:
    scheme: str
    host: str
    path: str = ""
    username: str = ""

    @property
    def server(self) -> str:
        return f"{self.scheme}://{self.host}"


@dataclass(frozen=True, slots=True)
class Password:
    username: str
    password: str = field(repr=False)


def wanted(question: bytes) -> Wanted:
    """Lines as git gives them to a helper. Raises Broken."""
    try:
        lines = question.decode("utf-8").split("\n")
    except UnicodeDecodeError:
        raise Broken("git in the pod asked for what is no text") from None
    found = dict(line.partition("=")[::2] for line in lines if "=" in line)
    scheme, host = found.get("protocol", ""), found.get("host", "").lower()
    more = found.get("path", ""), found.get("username", "")
    if scheme not in SCHEMES or not HOST.fullmatch(host) or not all(map(_is_plain, more)):
        raise Broken("git in the pod asked for something else than a server's password")
    return Wanted(scheme, host.removesuffix(SCHEMES[scheme]), *more)


def _is_plain(word: str) -> bool:
    return word == "" or (word.isprintable() and len(word) < 2048)


async def fill(asked: Wanted, git_dir: str, env: Mapping[str, str]) -> Password | None:
    """What the user's own git has for it; None for nothing. Raises RumpelError."""
    rows = {
        "protocol": asked.scheme,
        "host": asked.host,
        "path": asked.path,
        "username": asked.username,
    }
    own = {
        name: value
        for name, value in env.items()
        if name in CONFIG_FILES or not name.startswith("GIT_")
    }
    done = await proc.run(
        ["git", *git_run.place(git_dir), "credential", "fill"],
        env={**own, "GIT_TERMINAL_PROMPT": "0", "GIT_ASKPASS": "", "GCM_INTERACTIVE": "never"},
        cwd="/",
        input="".join(f"{name}={value}\n" for name, value in rows.items() if value).encode(),
        timeout_s=FILL_TIMEOUT_S,
        max_output_bytes=MAX_ANSWER_BYTES,
    )
    said = done.stdout.decode("utf-8", "surrogateescape").split("\n")
    found = dict(line.partition("=")[::2] for line in said)
    if done.code != 0 or "password" not in found:
        return None
    if (found.get("protocol"), found.get("host", "").lower()) != (asked.scheme, asked.host):
        raise RumpelError("git answered for another server")
    return Password(found.get("username", ""), found["password"])


def answer(found: Password | None) -> bytes:
    """For the helper in the pod; empty for nothing."""
    if found is None:
        return b""
    text = f"username={found.username}\npassword={found.password}\n"
    return text.encode("utf-8", "surrogateescape")


def settings(path: str, servers: tuple[str, ...], env: Environment) -> dict[str, str]:
    """Variables that make git in a pod ask at this socket, for these servers, and keep nothing.

    An empty helper first: one of the pod's own would write down what it is told.
    """
    given = env.get("GIT_CONFIG_COUNT") or "0"
    count = int(given) if given.isdigit() and len(given) < 6 else 0
    ask = ASK.format(path=shlex.quote(path))
    helper = f'!f() {{ test "$1" = get || exit 0; {ask}; }}; f'
    found = {}
    for server in servers:
        for value in ("", helper):
            found[f"GIT_CONFIG_KEY_{count}"] = f"credential.{server}.helper"
            found[f"GIT_CONFIG_VALUE_{count}"] = value
            count += 1
    return {**found, "GIT_CONFIG_COUNT": str(count)}
