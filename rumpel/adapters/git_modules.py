"""Submodules of the user's repository, as a commit of it records them.

A submodule is one more repository of a pod, with everything the first one has:

- Seed: beside the main one, in the same volume, `modules/<id>.git` (`Module.seed_path`), so that
  pods need no further mount. `id` is that of the host's repository, so pods share it.
- Workspace: git's own layout, `.git/<key>` with the key `modules/<name>` (nested ones:
  `modules/<name>/modules/<name>`) and a `.git` file in the work tree, made in the same request as
  the main one, on the pod's branch at the commit the superproject records.
- Commits: one upload-pack and one door for each that moved, into the host's own repository of the
  submodule, whose refs and keep refs follow the rules of the main one.

This module says which submodules those are. Bytes of a commit (.gitmodules, paths, gitlinks) are
hostile; what the host has is the user's. So a submodule counts only when the user's configuration
says that it is initialised, and its repository is only looked for where git puts it: behind the
work tree's `.git`, or below `modules/`, through no symbolic link and never outside. Whoever is
left out gets a note, and in the pod is what a plain checkout leaves: an empty folder. Blocking;
nothing is written.
"""

from __future__ import annotations

import os
import re
import stat
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rumpel import names
from rumpel.adapters import git, git_run, git_urls, proc
from rumpel.errors import RumpelError
from rumpel.model import RepoRef

MAX_MODULES = 200
MAX_DEPTH = 8
MAX_TEXT_BYTES = 1 << 20
MAX_NAME_BYTES = 200
MAX_PATH_BYTES = 1000
GITLINK = 0o160000
TIMEOUT_S = 60.0
FILE = ".gitmodules"
BAD_PARTS = frozenset({"", ".", "..", ".git", "git~1"})
CONTROL = re.compile(r"[\x00-\x1f\x7f]")
FALSE = frozenset({"false", "no", "off", "0", ""})


@dataclass(frozen=True, slots=True, kw_only=True)
class Module:
    """A submodule that is initialised on the host."""

    name: str
    parent: str
    """Key of the submodule it lies in; empty for one of the main repository."""
    path: str
    """Of its work tree, below that of the pod."""
    oid: str
    """The commit the superproject records."""
    url: str
    """Without passwords and tokens."""
    repo: RepoRef

    @property
    def key(self) -> str:
        """Its git dir in a pod, below that of the main repository."""
        return f"{self.parent}/modules/{self.name}".lstrip("/")

    @property
    def seed_path(self) -> str:
        return f"{names.SEED_PATH}/{seed_folder(self.repo)}"

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Module:
        return cls(**{**value, "repo": RepoRef(**value["repo"])})


@dataclass(slots=True)
class Found:
    """Parents come before what lies in them."""

    modules: list[Module] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Super:
    """A repository whose submodules are looked for."""

    repo: git.Repo
    oid: str
    key: str = ""
    path: str = ""
    depth: int = 0


def seed_folder(repo: RepoRef) -> str:
    """Of a submodule's seed, in the volume of its superproject."""
    return f"modules/{repo.repo_id}.git"


def find(repo: git.Repo, oid: str | None) -> Found:
    """The submodules of the commit `oid` that the host has; no process when it has none."""
    found = Found()
    if oid is not None:
        _collect(_Super(repo=repo, oid=oid), found)
    return found


def _collect(top: _Super, found: Found) -> None:
    told = _told(top, found)
    if not told:
        return
    urls = _initialised(top.repo)
    for name, path in _usable({name: told[name] for name in told if name in urls}, found).items():
        entry = git.tree_entry(top.repo, top.oid, path)
        if entry is None or entry[0] != GITLINK:
            continue
        try:
            repo = _repository(top.repo, name, path)
            _check(repo, entry[1], found)
        except RumpelError as error:
            found.notes.append(f"submodule {path!r} is left out: {error.message}")
            continue
        module = Module(
            name=name,
            parent=top.key,
            path=f"{top.path}/{path}".lstrip("/"),
            oid=entry[1],
            url=git_urls.without_secrets(urls[name]),
            repo=RepoRef.at(os.path.realpath(repo.common_dir), repo.work_tree, repo.object_format),
        )
        found.modules.append(module)
        if top.depth < MAX_DEPTH:
            below = _Super(
                repo=repo,
                oid=entry[1],
                key=module.key,
                path=module.path,
                depth=top.depth + 1,
            )
            _collect(below, found)


def _told(top: _Super, found: Found) -> dict[str, str]:
    """Name -> path as the commit's .gitmodules tells it; git itself reads it."""
    entry = git.tree_entry(top.repo, top.oid, FILE)
    if entry is None or not stat.S_ISREG(entry[0]):
        return {}
    args = ("config", f"--blob={entry[1]}", "--null", "--get-regexp", r"^submodule\..*\.path$")
    try:
        if int(_ask(top.repo, "cat-file", "-s", entry[1])) > MAX_TEXT_BYTES:
            raise RumpelError(f"it is larger than {MAX_TEXT_BYTES} bytes")
        text = _ask(top.repo, *args, codes=(0, 1))
    except RumpelError as error:
        found.notes.append(f"{_place(top)}{FILE} cannot be read: {error.message}")
        return {}
    pairs = [entry.partition("\n")[::2] for entry in text.split("\0") if entry]
    told: dict[str, str] = {}
    for key, path in pairs:
        # The first one counts, as for git.
        told.setdefault(key.removeprefix("submodule.").removesuffix(".path"), path)
    return told


def _place(top: _Super) -> str:
    return f"{top.path}/" if top.path else ""


def _initialised(repo: git.Repo) -> dict[str, str]:
    """Name -> URL of what `git submodule init` took into the user's configuration."""
    entries = dict(git.config_entries(repo, r"^submodule\..*\.(url|active)$"))
    urls = {
        key.removeprefix("submodule.").removesuffix(".url"): url
        for key, url in entries.items()
        if key.endswith(".url") and url
    }
    return {
        name: url
        for name, url in urls.items()
        if entries.get(f"submodule.{name}.active", "true").lower() not in FALSE
    }


def _usable(told: Mapping[str, str], found: Found) -> dict[str, str]:
    """Those whose names and paths harm nobody and do not get into each other's way."""
    usable: dict[str, str] = {}
    paths = Counter(told.values())
    for name, path in sorted(told.items(), key=lambda item: item[1]):
        why = _bad_name(name) or _bad_path(path)
        if not why and paths[path] > 1:
            why = "two submodules have this path"
        if not why and any(_is_inside(name, other) for other in told):
            why = "the name of another one is the beginning of its name"
        if not why and len(found.modules) + len(usable) >= MAX_MODULES:
            why = f"there are more than {MAX_MODULES}"
        if why:
            found.notes.append(f"submodule {path!r} is left out: {why}")
        else:
            usable[name] = path
    return usable


def _bad_name(name: str) -> str:
    """It becomes a folder below `modules/`: more than git's own rule (CVE-2018-11235)."""
    parts = name.replace("\\", "/").split("/")
    if name.startswith("-") or CONTROL.search(name) or not BAD_PARTS.isdisjoint(_folded(parts)):
        return f"its name {name!r} is not allowed"
    return "its name is too long" if len(os.fsencode(name)) > MAX_NAME_BYTES else ""


def _bad_path(path: str) -> str:
    parts = path.split("/")
    if path.startswith("-") or CONTROL.search(path) or not BAD_PARTS.isdisjoint(_folded(parts)):
        return "its path is not allowed"
    return "its path is too long" if len(os.fsencode(path)) > MAX_PATH_BYTES else ""


def _folded(parts: list[str]) -> set[str]:
    return {part.casefold() for part in parts}


def _is_inside(name: str, other: str) -> bool:
    """Its git dir would lie in the other's (fixed in git by CVE-2024-32002's successors)."""
    return name.casefold().startswith(f"{other.casefold()}/")


def _repository(top: git.Repo, name: str, path: str) -> git.Repo:
    """The host's repository of a submodule. Raises RumpelError when it is nowhere git puts it."""
    tree = Path(top.work_tree, path)
    homes = [Path(folder, "modules") for folder in dict.fromkeys((top.git_dir, top.common_dir))]
    if os.path.realpath(tree) == f"{os.path.realpath(top.work_tree)}/{path}":
        git_dir = _behind(top, tree, path)
        if git_dir is not None:
            if git_dir != tree / ".git" and not any(_is_below(git_dir, home) for home in homes):
                raise RumpelError("its git directory lies outside of the repository's")
            repo = git.discover(str(tree))
            if Path(repo.git_dir) != git_dir:
                raise RumpelError("it is not checked out")
            return repo
    for home in homes:
        # Not checked out just now; its repository is there all the same.
        git_dir = home / name
        if git_dir.is_dir() and os.path.realpath(git_dir) == f"{os.path.realpath(home)}/{name}":
            return git.reopen(str(tree), str(git_dir))
    raise RumpelError("the host has no repository of it: git submodule update --init")


def _behind(top: git.Repo, tree: Path, path: str) -> Path | None:
    """The git dir a checked out submodule uses; None when it is not checked out."""
    dot_git = tree / ".git"
    try:
        mode = dot_git.lstat().st_mode
        if stat.S_ISDIR(mode):
            # Any clone in the work tree looks like this: it has to be in the user's index.
            return dot_git if _is_gitlink(top, path) else None
        if not stat.S_ISREG(mode):
            return None
        text = dot_git.read_text(errors="surrogateescape")
    except OSError:
        return None
    return Path(os.path.realpath(tree / text.removeprefix("gitdir:").strip()))


def _is_gitlink(repo: git.Repo, path: str) -> bool:
    shown = _ask(repo, "--literal-pathspecs", "ls-files", "--stage", "-z", "--", path)
    return shown.startswith("160000 ") and shown.rstrip("\0").endswith(f"\t{path}")


def _is_below(path: Path, folder: Path) -> bool:
    real = Path(os.path.realpath(folder))
    return path != real and path.is_relative_to(real)


def _check(repo: git.Repo, oid: str, found: Found) -> None:
    if any(_is_same(module.repo.common_dir, repo.common_dir) for module in found.modules):
        raise RumpelError("another one has the same repository")
    if git.missing(repo, [oid]):
        raise RumpelError(f"the host's copy lacks the commit {oid[:12]}: git submodule update")


def _is_same(one: str, other: str) -> bool:
    """Also by another spelling, where letter case does not count."""
    try:
        return Path(one).samefile(other)
    except OSError:
        return one == other


def _ask(repo: git.Repo, *args: str, codes: tuple[int, ...] = (0,)) -> str:
    done = proc.run_blocking(
        git_run.argv(repo.git_dir, *args), env=git_run.isolated_env(), timeout_s=TIMEOUT_S
    )
    if done.code not in codes:
        raise git_run.failed(args, done)
    return done.stdout.decode("utf-8", "surrogateescape")
