"""Reading the user's repository: where it is, its HEAD, refs, commits, identity and remotes.

Everything here is synchronous and blocking (files, sometimes a git process): call it through
`threads.call`. Nothing here writes. Besides git_odb the only importer of pygit2.
pygit2 cannot open SHA-256 or reftable repositories (`Repo.needs_git`): there git itself is asked.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pygit2

from rumpel.adapters import git_files, git_run, git_urls, proc
from rumpel.errors import NotFound, RumpelError, UsageError

TIMEOUT_S = 60.0
MAX_UNMERGED = 10_000
PUBLISHED_GLOB = "rumpelpod/*"
FOREIGN = (pygit2.GitError, KeyError, ValueError, OSError)
"""What pygit2 raises for what is missing, ambiguous or broken."""


@dataclass(frozen=True, slots=True)
class Repo:
    """A repository with a working tree; real, absolute paths."""

    common_dir: str
    git_dir: str
    work_tree: str
    is_bare: bool = False
    object_format: str = "sha1"
    is_shallow: bool = False
    needs_git: bool = False
    """pygit2 cannot read it."""
    has_ref_files: bool = True
    """Refs lie in files (else a reftable)."""

    @property
    def objects_dir(self) -> str:
        return f"{self.common_dir}/objects"


@dataclass(frozen=True, slots=True)
class Head:
    """`branch` is None when detached, `oid` when nothing was committed yet."""

    branch: str | None
    oid: str | None


@dataclass(frozen=True, slots=True)
class Carried:
    """What a pod's clone is configured with. `remotes`: name -> URL, without secrets."""

    name: str | None
    email: str | None
    remotes: dict[str, str]


def discover(path: str) -> Repo:
    """The repository `path` lies in. Raises UsageError when there is none, or it is bare."""
    try:
        found = pygit2.discover_repository(path)
        if found is None:
            raise UsageError(
                f"not in a git repository: {path}",
                hint="git init   makes one here; or go to one, or say -C DIR",
            )
        # By the path: a repository found through a `.git` file does not know its files itself.
        opened = pygit2.Repository(path)
    except FOREIGN:
        return _discover_with_git(path)
    if opened.is_bare or not opened.workdir:
        raise _bare(path)
    git_dir = Path(opened.path).resolve()
    return Repo(
        common_dir=str(_common_dir(git_dir)),
        git_dir=str(git_dir),
        work_tree=str(Path(opened.workdir).resolve()),
        is_shallow=opened.is_shallow,
    )


def reopen(work_tree: str, common_dir: str) -> Repo:
    """A repository that is known; of `work_tree`, or of the main one when that is gone.

    Raises UsageError.
    """
    with contextlib.suppress(UsageError):
        found = discover(work_tree)
        if found.common_dir == common_dir:
            return found
    try:
        is_shallow = _open(common_dir).is_shallow
    except FOREIGN:
        return _discover_with_git(common_dir)
    with contextlib.suppress(*FOREIGN):
        work_tree = str(Path(pygit2.Repository(common_dir).workdir or common_dir).resolve())
    return Repo(
        common_dir=common_dir, git_dir=common_dir, work_tree=work_tree, is_shallow=is_shallow
    )


def head(repo: Repo) -> Head:
    if not repo.has_ref_files:
        name = _ask(repo, "symbolic-ref", "-q", "HEAD", codes=(0, 1))
        oid = _ask(repo, "rev-parse", "--verify", "-q", "HEAD^{commit}", codes=(0, 1))
        return Head(_branch_name(name), oid or None)
    try:
        name, found = git_files.head(Path(repo.git_dir), Path(repo.common_dir))
    except OSError as err:
        raise RumpelError(f"HEAD of {repo.work_tree} cannot be read: {_reason(err)}") from err
    return Head(_branch_name(name), found)


def refs(repo: Repo, prefix: str) -> dict[str, str]:
    """Full name -> oid of the ref `prefix`, or of all below it."""
    if repo.has_ref_files:
        try:
            return git_files.refs(Path(repo.common_dir), prefix)
        except OSError as err:
            raise RumpelError(f"refs of {repo.work_tree} cannot be read: {_reason(err)}") from err
    text = _ask(repo, "for-each-ref", "--format=%(objectname) %(refname)", prefix)
    return {name: oid for oid, _, name in (line.partition(" ") for line in text.splitlines())}


def resolve(repo: Repo, rev: str) -> tuple[str | None, str]:
    """(local branch or None, commit). A branch wins over what else has the name."""
    if rev in ("HEAD", "@"):
        found = head(repo)
        if found.oid is not None:
            return found.branch, found.oid
    name = rev if rev.startswith("refs/heads/") else f"refs/heads/{rev}"
    oid = refs(repo, name).get(name)
    if oid is not None:
        return _branch_name(name), oid
    try:
        if repo.needs_git:
            text = f"{rev}^{{commit}}"
            return None, _ask(repo, "rev-parse", "--verify", "-q", "--end-of-options", text)
        opened = _open(repo.git_dir)
        return None, str(opened.revparse_single(rev).peel(pygit2.Commit).id)
    except (*FOREIGN, RumpelError) as err:
        raise NotFound(
            f"no branch or commit {rev!r} in {repo.work_tree}", hint="git branch   lists branches"
        ) from err


def ahead_behind(repo: Repo, commit: str, base: str) -> tuple[int, int]:
    """How many commits only `commit` has, and only `base`. Raises RumpelError if one is missing."""
    if repo.needs_git:
        text = _ask(repo, "rev-list", "--left-right", "--count", f"{commit}...{base}", "--")
        left, right = text.split()
        return int(left), int(right)
    try:
        return _open(repo.git_dir).ahead_behind(commit, base)
    except FOREIGN as err:
        raise RumpelError(f"{commit[:12]} and {base[:12]} cannot be compared") from err


def is_ancestor(repo: Repo, old: str, new: str) -> bool:
    """`new` contains `old`: the move from one to the other loses nothing; False if unknown."""
    try:
        if repo.needs_git:
            command = ("merge-base", "--is-ancestor", old, new)
            done = proc.run_blocking(_argv(repo, *command), timeout_s=TIMEOUT_S)
            return done.code == 0
        return _open(repo.git_dir).descendant_of(new, old)
    except (*FOREIGN, RumpelError):
        return False


def commit_time(repo: Repo, oid: str) -> float:
    if repo.needs_git:
        return float(_ask(repo, "show", "-s", "--no-show-signature", "--format=%ct", oid, "--"))
    try:
        return float(_open(repo.git_dir)[oid].peel(pygit2.Commit).commit_time)
    except FOREIGN as err:
        raise RumpelError(f"commit {oid[:12]} is not in {repo.work_tree}") from err


def missing(repo: Repo, oids: Sequence[str]) -> set[str]:
    """Which of `oids` are not commits in the repository."""
    if not oids:
        return set()
    if repo.needs_git:
        command = _argv(repo, "cat-file", "--batch-check=%(objecttype) %(objectname)")
        text = "".join(f"{oid}\n" for oid in oids).encode()
        done = proc.run_blocking(command, input=text, timeout_s=TIMEOUT_S)
        kinds = [line.split()[0] for line in done.stdout.decode().splitlines() if line]
        if len(kinds) != len(oids):
            return set(oids)
        return {oid for oid, kind in zip(oids, kinds, strict=True) if kind != "commit"}
    try:
        opened = _open(repo.git_dir)
    except FOREIGN:
        return set(oids)
    return {oid for oid in oids if not _is_commit(opened, oid)}


def tree_entry(repo: Repo, commit: str, path: str) -> tuple[int, str] | None:
    """(mode, oid) of what `commit` has at `path`; None when that is nothing."""
    try:
        if repo.needs_git:
            line = _ask(repo, "--literal-pathspecs", "ls-tree", "-z", commit, "--", path)
            mode, _, oid = line.partition("\t")[0].split()
            return int(mode, 8), oid
        found = _open(repo.git_dir)[commit].peel(pygit2.Tree)[path]
        return int(found.filemode), str(found.id)
    except (*FOREIGN, RumpelError):
        return None


def carried(repo: Repo) -> Carried:
    """What pods take over of the configuration; one process, for it may include other files."""
    found = dict(config_entries(repo, r"^(user\.(name|email)|remote\..*\.url)$"))
    return Carried(
        name=found.get("user.name") or None,
        email=found.get("user.email") or None,
        remotes={
            key.removeprefix("remote.").removesuffix(".url"): git_urls.without_secrets(url)
            for key, url in found.items()
            if key.startswith("remote.") and url
        },
    )


def config_entries(repo: Repo, pattern: str) -> list[tuple[str, str]]:
    """All values of the keys that match; asked of git: it alone knows all kinds of includes."""
    text = _ask(repo, "config", "--null", "--get-regexp", pattern, codes=(0, 1))
    entries = (entry.partition("\n") for entry in text.split("\0") if entry)
    return [(key, value) for key, _, value in entries]


def config_value(repo: Repo, key: str) -> str | None:
    """One value; without a process where libgit2 can read the repository."""
    if not repo.needs_git:
        with contextlib.suppress(*FOREIGN):
            found = _open(repo.git_dir).config
            return str(found[key]) if key in found else None
    return _ask(repo, "config", "--get", key, codes=(0, 1)) or None


def config_state(repo: Repo) -> tuple[object, ...]:
    """Differs when a configuration file was written; included ones are not looked at."""
    home = Path.home()
    xdg = Path(os.environ.get("XDG_CONFIG_HOME") or home / ".config")
    files = (
        Path(repo.common_dir, "config"),
        Path(repo.git_dir, "config.worktree"),
        home / ".gitconfig",
        xdg / "git" / "config",
        Path("/etc/gitconfig"),
    )
    return tuple(_stamp(path) for path in files)


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        state = path.stat()
    except OSError:
        return None
    return state.st_ino, state.st_size, state.st_mtime_ns


def unmerged(repo: Repo, oids: Sequence[str], safe: Sequence[str] = ()) -> list[tuple[str, str]]:
    """(commit, subject) of what `oids` reach and no branch, tag or other remote has, newest first.

    What pods published does not count as a place where a commit is safe, the commits `safe` do.
    At most MAX_UNMERGED.
    Raises RumpelError when a commit is missing: then nobody can tell.
    """
    if not oids:
        return []
    command = _argv(
        repo,
        "rev-list",
        "--no-commit-header",
        "--format=%H %s",
        f"--max-count={MAX_UNMERGED}",
        "--stdin",
        "--not",
        "--branches",
        "--tags",
        f"--exclude={PUBLISHED_GLOB}",
        "--remotes",
    )
    at = head(repo).oid  # merged while on no branch
    merged = (*safe, *([at] if at else ()))
    text = "".join(f"{oid}\n" for oid in (*oids, *(f"^{oid}" for oid in merged))).encode()
    done = proc.run_blocking(command, input=text, timeout_s=TIMEOUT_S)
    if done.code:
        raise RumpelError(f"commits cannot be listed: {_last_line(done.error_text)}")
    lines = done.stdout.decode("utf-8", "replace").split("\n")
    return [(oid, subject) for oid, _, subject in (line.partition(" ") for line in lines) if oid]


def _discover_with_git(path: str) -> Repo:
    """For what libgit2 cannot open: SHA-256, reftable, a foreign owner (git's text says which)."""
    command = [
        "git",
        "-C",
        path,
        "rev-parse",
        "--path-format=absolute",
        "--is-bare-repository",
        "--is-shallow-repository",
        "--show-object-format",
        "--git-common-dir",
        "--git-dir",
    ]
    done = proc.run_blocking(command, timeout_s=TIMEOUT_S)
    fields = done.stdout.decode("utf-8", "surrogateescape").split("\n")
    if done.code or len(fields) < 5:
        is_foreign = "safe.directory" in done.error_text
        raise UsageError(
            f"the git repository at {path} cannot be used: {_first_line(done)}",
            hint=_last_line(done.error_text).strip() if is_foreign else None,
        )
    if fields[0] == "true":
        raise _bare(path)
    top = proc.run_blocking(
        ["git", "-C", path, "rev-parse", "--show-toplevel"], timeout_s=TIMEOUT_S
    )
    if top.code:
        raise _bare(path)
    return Repo(
        common_dir=str(Path(fields[3]).resolve()),
        git_dir=str(Path(fields[4]).resolve()),
        work_tree=top.stdout.decode("utf-8", "surrogateescape").rstrip("\n"),
        object_format=fields[2],
        is_shallow=fields[1] == "true",
        needs_git=True,
        has_ref_files=not Path(fields[3], "reftable").is_dir(),
    )


def _common_dir(git_dir: Path) -> Path:
    """Of a linked worktree, that of the main one."""
    try:
        target = (git_dir / "commondir").read_text(errors="surrogateescape").rstrip("\n")
    except OSError:
        return git_dir
    return (git_dir / target).resolve()


def _argv(repo: Repo, *args: str) -> list[str]:
    return ["git", *git_run.place(repo.git_dir), "-c", "safe.directory=*", *args]


def _ask(repo: Repo, *args: str, codes: tuple[int, ...] = (0,)) -> str:
    """What git prints, without the last newline; empty for an allowed code that is not 0."""
    done = proc.run_blocking(_argv(repo, *args), timeout_s=TIMEOUT_S)
    if done.code not in codes:
        raise RumpelError(f"git {args[0]} failed in {repo.work_tree}: {_first_line(done)}")
    return done.stdout.decode("utf-8", "surrogateescape").rstrip("\n") if done.code == 0 else ""


def _open(git_dir: str) -> pygit2.Repository:
    """As if bare: a submodule's names a work tree, and could not be opened when that is gone."""
    try:
        return pygit2.Repository(git_dir, pygit2.enums.RepositoryOpenFlag.BARE)
    except pygit2.GitError:  # another user's, trusted by the name of its work tree
        return pygit2.Repository(git_dir.removesuffix("/.git"))


def _is_commit(opened: pygit2.Repository, oid: str) -> bool:
    try:
        return opened[oid].type == pygit2.enums.ObjectType.COMMIT
    except FOREIGN:
        return False


def _branch_name(ref: str) -> str | None:
    return ref.removeprefix("refs/heads/") if ref.startswith("refs/heads/") else None


def _bare(path: str) -> UsageError:
    return UsageError(
        f"{path} is in a bare git repository, which has no files to work on",
        hint="git clone it, and go there",
    )


def _first_line(done: proc.Completed) -> str:
    return done.error_text.split("\n", 1)[0] or f"exit code {done.code}"


def _last_line(text: str) -> str:
    return text.rsplit("\n", 1)[-1]


def _reason(err: BaseException) -> str:
    return getattr(err, "strerror", None) or str(err)
