"""`rumpel cp SRC POD:DEST`: files of this machine, or a tar on stdin, go into a pod."""

from __future__ import annotations

import os
import shlex
import stat

from rumpel import text
from rumpel.adapters import odd, pack, tar_entries
from rumpel.cli import copying
from rumpel.cli.pod_stream import PodStream
from rumpel.errors import Conflict, NotFound, RumpelError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rumpel.cli.copying import Job
    from rumpel.cli.cp import Side
    from rumpel.cli.options import Options
    from rumpel.cli.plain import Arguments

STDIN = 0
ROOT = b"0"
GO, DONE = b"go", b"done "


def run(pod: str, source: Side, target: Side, args: Arguments, options: Options) -> int:
    mark = os.urandom(8).hex()
    kind = "stream" if source.is_stream else _kind(source, follows=args.follow_link)
    request: dict[str, object] = {"name": pod, "path": target.path, "way": "in", "kind": kind}
    request |= {"base": source.base, "mark": mark, "archive": args.archive}
    try:
        source.base.encode()
    except UnicodeEncodeError:
        raise UsageError(f"the name {text.safe(source.base)} is not UTF-8") from None

    def explain(code: int, words: str, path: str) -> RumpelError:
        if code == copying.MISSING:
            return NotFound(
                f"there is no folder for {text.safe(target.path)} in pod {pod}",
                hint=_missing(pod, target.path, path, is_stream=source.is_stream),
            )
        return copying.of_code(code, words, target.path, pod)

    sending = _Sending(source, target, mark, args)
    return copying.copy(options, request, target.word, sending.run, explain)


def _kind(source: Side, *, follows: bool) -> str:
    path = source.path
    try:
        found = os.stat(path, follow_symlinks=follows or path.endswith(("/", "/.")))
    except OSError as err:
        raise pack.unreadable(os.fsencode(path), err) from err
    if stat.S_ISDIR(found.st_mode):
        return "folder" if source.base else "content"
    if special := odd.of_mode(found.st_mode):
        raise Conflict(odd.words(text.safe(path), special))
    return "file"


def _missing(pod: str, word: str, path: str, *, is_stream: bool) -> str | None:
    """How to make the folder that a copy to `word` goes into; `path` is the same from the root.

    `rumpel enter` begins in the folder of the caller. None: it is a link that leads nowhere.
    """
    is_folder = is_stream or word.endswith(("/", "/."))
    if not path or not (is_folder or os.path.dirname(word)):
        return None
    folder = path if is_folder else os.path.dirname(path)
    return f"rumpel enter {pod} -- mkdir -p {text.safe(shlex.quote(folder))}"


class _Sending:
    def __init__(self, source: Side, target: Side, mark: str, args: Arguments) -> None:
        self.source, self.target, self.mark = source, target, mark.encode()
        self.follows, self.keeps_owners = bool(args.follow_link), bool(args.archive)

    def run(self, job: Job) -> dict[str, object]:
        stream, counted = job.stream, None
        go, _, left = stream.line().partition(b" ")
        if go == GO:
            give = self._tar if self.source.is_stream else self._files
            counted = give(stream, left)
            job.end_input()
        said = stream.line()
        stream.drain()
        job.finish()
        if not said.startswith(DONE) or counted is None:
            raise RumpelError("the pod did not say that the copy is whole")
        job.warnings += copying.told(counted.remarks)
        place = os.fsdecode(said.removeprefix(DONE))
        return copying.summary(self.source, f"{self.target.pod}:{place}", counted)

    def _files(self, stream: PodStream, left: bytes) -> pack.Packing:
        """But for what would lie at `left` in the copy."""
        packing = pack.Packing(
            stream, keeps_owners=self.keeps_owners, left=left and ROOT + b"/" + left
        )
        path = self.source.path
        follows = self.follows or path.endswith(("/", "/."))
        packing.add(os.fsencode(path), ROOT, follows=follows)
        packing.end(self.mark)
        return packing

    def _tar(self, stream: PodStream, left: bytes) -> pack.Packing:
        """Somebody's tar as it is but for `left`, up to its end; behind it our mark."""
        packing, source = (
            pack.Packing(stream),
            PodStream(STDIN, b"", is_framed=False, ended=tar_entries.BadTar),
        )
        while (entry := tar_entries.read(source)) is not None:
            is_left = bool(left) and (entry.path + b"/").startswith(left + b"/")
            if is_left and not packing.remarks:
                packing.remark(pack.OWN_GIT, left)
            for head in () if is_left else entry.head:
                stream.send(head)
            size = entry.size + -entry.size % tar_entries.BLOCK
            while size:
                piece = source.needed(size)
                size -= len(piece)
                if not is_left:
                    stream.send(piece)
            if not is_left:
                packing.count(entry.kind, entry.size)
        packing.end(self.mark)
        return packing
