"""`rumpel cp`: files, folders and tars between a pod and this machine."""

from __future__ import annotations

import os
import sys

from rumpel import names, text, ui
from rumpel.cli.plain import SUPPRESS
from rumpel.errors import Conflict, NotFound, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rumpel.cli.options import Options
    from rumpel.cli.plain import Arguments, Declared

USAGE = "rumpel cp [options] POD:SRC DEST | SRC POD:DEST"
DESCRIPTION = (
    "Copy a file or a folder out of a pod, or into one. Paths in the pod begin at its\n"
    "workspace. A folder that is copied into one that is there goes into it; SRC/.\n"
    "stands for its content; - is a tar on stdout or stdin. What is copied into a pod\n"
    "belongs to its user. Nothing is at its destination before all of it has come."
)
EXAMPLES = (
    ("rumpel cp fix-login:report.html .", "out of the workspace of a pod"),
    ("rumpel cp .env fix-login:", "into it"),
    ("rumpel cp assets/. fix-login:public", "what is in a folder, into another"),
    ("rumpel cp fix-login:/etc/os-release /tmp", "from anywhere in it"),
    ("rumpel cp one:data - | rumpel cp - two:", "from one pod to another"),
)
CONTENT = frozenset({"", ".", ".."})


def add_arguments(parser: Declared) -> None:
    parser.add_argument("source", metavar="SRC", help="a path here, POD:PATH, or - for stdin")
    parser.add_argument("target", metavar="DEST", help="a path here, POD:PATH, or - for stdout")
    parser.add_argument("stray", nargs="*", help=SUPPRESS)
    parser.add_argument(
        "-L", "--follow-link", action="store_true", help="when SRC is a link, copy what it leads to"
    )
    parser.add_argument(
        "-a",
        "--archive",
        action="store_true",
        help="as root in the pod, and keep user and group ids",
    )


class Side:
    """`POD:PATH`, or a path here."""

    __slots__ = ("path", "pod", "word")

    def __init__(self, word: str) -> None:
        before, colon, after = word.partition(":")
        is_pod = bool(colon and before) and "/" not in before and not before.startswith(".")
        self.word = word
        self.pod = before if is_pod else None
        self.path = (after or ".") if is_pod else word
        if self.pod is not None and not names.is_pod_name(self.pod) and os.path.lexists(word):
            raise UsageError(
                f"{text.safe(word)} is read as POD:PATH", hint=f"./{text.safe(word)}   is the file"
            )

    @property
    def is_stream(self) -> bool:
        return self.word == "-"

    @property
    def base(self) -> str:
        """Its name in a folder that it is copied into; empty: its content is copied."""
        found = self.path.rstrip("/").rpartition("/")[2]
        is_content = found in CONTENT
        return "" if is_content else found


def run(args: Arguments, passed: list[str], options: Options) -> int:
    if args.stray:
        is_into_pod = Side(args.stray[-1]).pod is not None
        raise UsageError(
            "cp takes one SRC and one DEST" + "; several go in a tar" * is_into_pod,
            hint=f"tar -c FILES | rumpel cp - {text.safe(args.stray[-1])}" if is_into_pod else None,
        )
    if not (args.source and args.target):
        raise UsageError(f"{'DEST' if args.source else 'SRC'} is empty")
    source, target = Side(args.source), Side(args.target)
    if source.pod is not None and target.pod is not None:
        raise UsageError(
            "one side of a copy has to be on this machine",
            hint=f"rumpel cp {text.safe(source.word)} - | rumpel cp - {text.safe(target.word)}",
        )
    if source.pod is None and target.pod is None:
        raise UsageError(
            "neither side is in a pod: POD:PATH is", hint=f"rumpel cp {_example(source, target)}"
        )
    pod = names.check_pod_name(source.pod or target.pod or "")
    if "\0" in args.source + args.target:
        raise UsageError("no path has a NUL in it")
    if source.pod is not None:
        from rumpel.cli import cp_out

        if target.is_stream:
            _check_stream(sys.stdout, "stdout", options)
        return cp_out.run(pod, source, target, args, options)
    from rumpel.cli import cp_in

    if source.is_stream:
        _check_stream(sys.stdin, "stdin", options)
    elif not os.path.lexists(source.path):
        if os.path.lexists(source.path.rstrip("/")):
            raise Conflict(f"{text.safe(source.path.rstrip('/'))} is not a folder")
        raise NotFound(f"there is no {text.safe(source.path)} here")
    return cp_in.run(pod, source, target, args, options)


def _example(source: Side, target: Side) -> str:
    return text.safe(f"{source.word} my-task:{target.word.removeprefix('./').lstrip(':')}")


def _check_stream(stream: object, name: str, options: Options) -> None:
    if stream is None or ui.is_terminal(stream):  # type: ignore[arg-type] # text or binary, only asked for a tty
        way = "> file.tar" if name == "stdout" else "< file.tar"
        raise UsageError(f"- is a tar on {name}, which is a terminal", hint=f"rumpel cp … {way}")
    if options.json and name == "stdout":
        raise UsageError("--json and a tar do not both go to stdout")
