"""`rumpel cp POD:SRC DEST`: what comes out of a pod is unpacked here, or passed on as a tar."""

from __future__ import annotations

import os
import shlex

from rumpel import text, ui
from rumpel.adapters import odd, tar_entries
from rumpel.adapters.placing import Placing
from rumpel.adapters.unpack import Found, Staging, Unpacking, is_git
from rumpel.cli import copying
from rumpel.cli.pod_stream import write_all
from rumpel.errors import Conflict, NotFound, RumpelError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rumpel.cli.copying import Job
    from rumpel.cli.cp import Side
    from rumpel.cli.options import Options
    from rumpel.cli.plain import Arguments

STDOUT = 1
LIVING = ("file changed as we read it", "File removed before we read it")
"""What GNU tar says, with code 1, of files that live on: the copy is as good as any."""

TO_ODD = "rumpel enter POD -- cat FILE >…   writes what is in a file"


class Destination:
    """Where the copy goes: the folder it will be in, and its name there (empty: its content).

    Links in what the user typed are followed, as `cp` does; none beneath it ever is.
    """

    def __init__(self, word: str, base: str) -> None:
        self.word = word
        if kind := _odd(word):
            raise Conflict(odd.words(text.safe(word), kind), hint=TO_ODD)
        self.is_folder = os.path.isdir(word)
        path = os.path.realpath(word)
        if self.is_folder:
            self.folder, self.name = path, base
        else:
            if word.endswith(("/", "/.")):
                raise NotFound(
                    f"there is no folder {text.safe(word)} here",
                    hint=f"mkdir -p {text.safe(shlex.quote(word))}",
                )
            self.folder, self.name = os.path.split(path)
            if not os.path.isdir(self.folder):
                raise NotFound(
                    f"there is no folder {text.safe(self.folder)} here",
                    hint=f"mkdir -p {text.safe(shlex.quote(self.folder))}",
                )
        self.is_file = not self.is_folder and os.path.lexists(path)
        self.in_repository = _is_in_repository(self.folder)
        if self.in_repository and is_git(os.fsencode(self.name)):
            shown = text.safe(self.shown)
            raise Conflict(f"{shown}: no git repository is copied over one, or into another one")

    def open(self) -> int:
        try:
            return os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as err:
            raise unwritable(self.folder, err) from err

    def check(self, kind: bytes) -> None:
        """Raises Conflict when that cannot go there. Asked as soon as the first entry is known."""
        if kind == tar_entries.FOLDER and self.is_file:
            raise Conflict(f"{text.safe(self.word)} is not a folder: a folder does not replace it")

    @property
    def shown(self) -> str:
        return os.path.join(self.word, self.name) if self.is_folder and self.name else self.word


def run(pod: str, source: Side, target: Side, args: Arguments, options: Options) -> int:
    request: dict[str, object] = {"name": pod, "path": source.path, "way": "out"}
    request |= {"follow": args.follow_link, "archive": args.archive}

    def explain(code: int, words: str, _: str) -> RumpelError | None:
        lines = words.strip().splitlines()
        if code == 1 and lines and all(line.endswith(LIVING) for line in lines):
            return None
        if code in (1, 2) and "Permission denied" in words:
            code = copying.DENIED
        return copying.of_code(code, words, source.path, pod)

    if target.is_stream:
        passing = _Passing(source)
        return copying.copy(options, request, source.word, passing.run, explain)
    keeps = bool(args.archive and os.geteuid() == 0)
    fetching = _Fetching(source, Destination(target.path, source.base), keeps_owners=keeps)
    return copying.copy(options, request, source.word, fetching.run, explain)


class _Fetching:
    def __init__(self, source: Side, target: Destination, *, keeps_owners: bool) -> None:
        self.source, self.target, self.keeps_owners = source, target, keeps_owners

    def run(self, job: Job) -> dict[str, object]:
        folder = self.target.open()
        try:
            with Staging(folder) as staging:
                try:
                    found = self._unpack(staging, job)
                finally:
                    job.stops.hold()  # what was begun is now cleared away
        except OSError as err:
            raise unwritable(self.target.folder, err) from err
        finally:
            os.close(folder)
        job.warnings += copying.told(found.remarks)
        return copying.summary(self.source, self.target.shown, found)

    def _unpack(self, staging: Staging, job: Job) -> Found:
        unpacking = Unpacking(
            staging,
            keeps_owners=self.keeps_owners,
            takes_git=not self.target.in_repository,
            on_root=self.target.check,
        )
        found = unpacking.run(job.stream)
        job.stream.drain()
        job.finish()
        job.stops.hold()
        Placing(unpacking, os.fsencode(self.target.name)).run()
        return found


class _Passing:
    """The pod's own tar, as it is."""

    files = folders = links = 0

    def __init__(self, source: Side) -> None:
        self.source, self.bytes = source, 0

    def run(self, job: Job) -> dict[str, object]:
        while piece := job.stream.some():
            if not self.bytes and (kind := tar_entries.SPECIAL.get(bytes(piece[156:157]))):
                raise Conflict(odd.words(text.safe(self.source.path), kind))
            self.bytes += len(piece)
            try:
                write_all(STDOUT, [piece])
            except BrokenPipeError:
                raise
            except OSError as err:
                raise ui.output_failed(err) from err
        job.finish()
        return copying.summary(self.source, "stdout", self)


def _odd(path: str) -> str:
    """What it leads to, also by links, when that is no file or folder."""
    try:
        return odd.of_mode(os.stat(path).st_mode)
    except OSError:
        return ""


def _is_in_repository(folder: str) -> bool:
    """Whoever uses git there would run what a repository in it says: its hooks, its settings."""
    while not os.path.lexists(os.path.join(folder, ".git")):
        above = os.path.dirname(folder)
        if above == folder:
            return False
        folder = above
    return True


def unwritable(path: str, error: OSError) -> RumpelError:
    kind = copying.Denied if isinstance(error, PermissionError) else RumpelError
    return kind(f"cannot write in {text.safe(path)}: {error.strerror}")
