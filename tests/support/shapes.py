"""Repositories of every shape that git can have, each made by git itself.

A builder gets an empty folder and makes a repository below it that holds PLAIN (where a shape
allows a file at all). What is special about using the shape is in the `Built` it answers.
"""

from __future__ import annotations

import contextlib
import functools
import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.engine import MINI_IMAGE
from tests.support.repo import Content, Repo

PLAIN: Mapping[str, Content] = {
    "README.md": "# A project\n",
    "src/main.py": "print('hello')\n",
    ".devcontainer/devcontainer.json": {"image": MINI_IMAGE, "runArgs": ["--network=none"]},
}
LONG = "l" * 200


@dataclass(frozen=True, kw_only=True)
class Built:
    """`repo.root` is where the user stands and types."""

    repo: Repo
    branch: str | None = "main"
    """Checked out on the host; None when detached."""
    env: Mapping[str, str] = field(default_factory=dict)
    """Of the user's rumpel commands."""
    refused: tuple[int, str] | None = None
    """The shape cannot be used: the exit code and a word of the reason."""
    notice: str = ""
    """What `create` says about it on stderr."""
    pod: str = "pod"
    refused_verbs: Sequence[str] = ("create", "enter", "list", "graph", "stop", "delete")
    merge_refused: str = ""
    """A word of the reason why git cannot merge."""
    undo: Callable[[], None] = lambda: None


class Skipped(Exception):
    """This machine cannot make the shape."""


Builder = Callable[[Path, Mapping[str, str]], Built]


def plain(folder: Path, env: Mapping[str, str]) -> Built:
    return Built(repo=_made(folder / "repo", env))


def unborn(folder: Path, env: Mapping[str, str]) -> Built:
    repo = Repo.create(folder / "repo", env)
    repo.write(PLAIN)
    # Its first commit is made after the pod's, so the two have nothing in common.
    return Built(repo=repo, merge_refused="unrelated histories")


def detached(folder: Path, env: Mapping[str, str]) -> Built:
    repo = _made(folder / "repo", env)
    repo.commit("second")
    repo.git("switch", "-q", "--detach", "HEAD~1")
    return Built(repo=repo, branch=None)


def detached_without_branches(folder: Path, env: Mapping[str, str]) -> Built:
    repo = _made(folder / "repo", env)
    repo.git("switch", "-q", "--detach")
    repo.git("branch", "-qD", "main")
    return Built(repo=repo, branch=None)


def linked_worktree(folder: Path, env: Mapping[str, str]) -> Built:
    repo = _made(folder / "repo", env)
    repo.git("worktree", "add", "-q", "-b", "side", str(folder / "side"))
    return Built(repo=Repo(folder / "side", env), branch="side")


def worktree_of_bare(folder: Path, env: Mapping[str, str]) -> Built:
    origin = _made(folder / "origin", env)
    origin.git("clone", "-q", "--bare", str(origin.root), str(folder / "bare.git"))
    bare = Repo(folder / "bare.git", env)
    bare.git("worktree", "add", "-q", "-b", "side", str(folder / "side"))
    return Built(repo=Repo(folder / "side", env), branch="side")


def bare(folder: Path, env: Mapping[str, str]) -> Built:
    repo = Repo.create(folder / "bare.git", env, "--bare")
    return Built(repo=repo, refused=(2, "bare git repository"))


def no_repository(folder: Path, env: Mapping[str, str]) -> Built:
    root = folder / "nothing"
    root.mkdir()
    return Built(repo=Repo(root, env), refused=(2, "not in a git repository"))


def submodule_checkout(folder: Path, env: Mapping[str, str]) -> Built:
    library = _made(folder / "library", env)
    outer = _made(folder / "outer", env)
    outer.git("submodule", "add", "-q", str(library.root), "vendor/library")
    outer.commit("with a library")
    return Built(repo=Repo(outer.root / "vendor/library", env))


def uninitialised_submodule(folder: Path, env: Mapping[str, str]) -> Built:
    outer = submodule_checkout(folder, env).repo
    top = folder / "outer"
    outer.git("clone", "-q", str(top), str(folder / "repo"), cwd=folder)
    return Built(repo=Repo(folder / "repo", env))


def shallow(folder: Path, env: Mapping[str, str], depth: int = 1) -> Built:
    origin = _made(folder / "origin", env)
    for number in range(5):
        origin.commit(f"change {number}", {"file": f"{number}\n"})
    url = f"file://{origin.root}"
    origin.git("clone", "-q", f"--depth={depth}", url, str(folder / "repo"))
    return Built(repo=Repo(folder / "repo", env))


def shallow_3(folder: Path, env: Mapping[str, str]) -> Built:
    return shallow(folder, env, depth=3)


def partial_clone(folder: Path, env: Mapping[str, str]) -> Built:
    """The blobs of an old commit are with the promisor only."""
    origin = _made(folder / "origin", env)
    origin.commit("old", {"old.txt": "only in history\n"})
    origin.git("rm", "-q", "old.txt")
    origin.commit("new")
    origin.git("config", "uploadpack.allowFilter", "true")
    origin.git("config", "uploadpack.allowAnySHA1InWant", "true")
    url = f"file://{origin.root}"
    origin.git("clone", "-q", "--filter=blob:none", url, str(folder / "repo"))
    return Built(repo=Repo(folder / "repo", env))


def partial_clone_offline(folder: Path, env: Mapping[str, str]) -> Built:
    built = partial_clone(folder, env)
    (folder / "origin").rename(folder / "unreachable")
    refused = (1, "partial clone")
    return Built(repo=built.repo, refused=refused, refused_verbs=("create", "enter"))


def sparse_cone(folder: Path, env: Mapping[str, str]) -> Built:
    repo = _made(folder / "repo", env)
    repo.git("sparse-checkout", "set", "--cone", "src", ".devcontainer")
    return Built(repo=repo)


def sparse_patterns(folder: Path, env: Mapping[str, str]) -> Built:
    repo = _made(folder / "repo", env)
    repo.git("sparse-checkout", "set", "--no-cone", "/*", "!src/*.py")
    return Built(repo=repo)


def sha256(folder: Path, env: Mapping[str, str]) -> Built:
    return Built(repo=_made(folder / "repo", env, "--object-format=sha256"))


def reftable(folder: Path, env: Mapping[str, str]) -> Built:
    try:
        return Built(repo=_made(folder / "repo", env, "--ref-format=reftable"))
    except AssertionError as err:
        raise Skipped("this git has no reftable") from err


def alternates_shared(folder: Path, env: Mapping[str, str]) -> Built:
    origin = _made(folder / "origin", env)
    origin.git("clone", "-q", "--shared", str(origin.root), str(folder / "repo"))
    return Built(repo=Repo(folder / "repo", env))


def alternates_reference(folder: Path, env: Mapping[str, str]) -> Built:
    origin = _made(folder / "origin", env)
    url = f"file://{origin.root}"
    origin.git("clone", "-q", "--reference", str(origin.root), url, str(folder / "repo"))
    return Built(repo=Repo(folder / "repo", env))


def separate_git_dir(folder: Path, env: Mapping[str, str]) -> Built:
    return Built(repo=_made(folder / "repo", env, f"--separate-git-dir={folder / 'elsewhere'}"))


def husky(folder: Path, env: Mapping[str, str]) -> Built:
    """Hooks that leave a mark and fail; only the host's own commit may run one."""
    repo = _made(folder / "repo", env)
    hooks = repo.root / ".husky"
    for name in ("pre-push", "post-merge", "post-checkout", "update", "pre-receive"):
        repo.write({f".husky/{name}": f"#!/bin/sh\necho {name} >>{folder}/canary\nexit 1\n"})
        (hooks / name).chmod(0o755)
    repo.commit("hooks")
    repo.git("config", "core.hooksPath", ".husky")
    return Built(repo=repo)


def read_only(folder: Path, env: Mapping[str, str]) -> Built:
    """As on a read-only file system; root may write in any folder of mode 0555."""
    repo = _made(folder / "repo", env)
    git_dir = str(repo.root / ".git")
    _mount("--bind", git_dir, git_dir)
    _mount("-o", "remount,bind,ro", git_dir)

    def undo() -> None:
        subprocess.run(["umount", git_dir], check=True, timeout=20)

    return Built(repo=repo, undo=undo, refused=(1, "read-only"), refused_verbs=("create", "enter"))


def odd_path(folder: Path, env: Mapping[str, str]) -> Built:
    return Built(repo=_made(folder / "räpo with\nline break 中", env))


def undecodable_path(folder: Path, env: Mapping[str, str]) -> Built:
    return Built(repo=_made(folder / os.fsdecode(b"r\xe9po"), env))


def other_owner(folder: Path, env: Mapping[str, str]) -> Built:
    if os.geteuid() != 0:
        raise Skipped("only root can give a repository away")
    repo = _made(folder / "repo", env)
    subprocess.run(["chown", "-R", "1000:1000", str(repo.root)], check=True, timeout=20)
    return Built(repo=repo, refused=(2, "safe.directory"))


def trusted_owner(folder: Path, env: Mapping[str, str]) -> Built:
    built = other_owner(folder, env)
    built.repo.git("config", "--global", "--add", "safe.directory", str(built.repo.root))
    return Built(repo=built.repo)


def many_refs(folder: Path, env: Mapping[str, str], count: int = 10_000) -> Built:
    """Half of them branches, half of them tags."""
    repo = _made(folder / "repo", env)
    oid = repo.oid("HEAD")
    lines = "".join(f"create refs/heads/many/{n % 100}/{n} {oid}\n" for n in range(count // 2))
    lines += "".join(f"create refs/tags/v{n} {oid}\n" for n in range(count // 2))
    repo.git("update-ref", "--stdin", input=lines.encode())
    repo.git("pack-refs", "--all")
    return Built(repo=repo)


def many_files(folder: Path, env: Mapping[str, str], count: int = 10_000) -> Built:
    """The tree of `count` files is on no disk of the host: a sparse checkout."""
    repo = Repo.create(folder / "repo", env)
    names = (f"M 100644 :1 many/{n // 1000}/{n}\n" for n in range(count))
    head = "blob\nmark :1\ndata 5\nmany\n\ncommit refs/heads/main\ncommitter A <a@b> 1 +0000\n"
    repo.git("fast-import", "--quiet", input=(head + "data 4\nmany\n" + "".join(names)).encode())
    repo.git("sparse-checkout", "set", "--cone", "src", ".devcontainer")
    repo.git("reset", "-q", "--hard")
    repo.write(PLAIN)
    repo.git("add", "--sparse", *PLAIN)
    repo.git("commit", "-qm", "first")
    return Built(repo=repo)


def packed_refs_only(folder: Path, env: Mapping[str, str]) -> Built:
    repo = _made(folder / "repo", env)
    repo.git("branch", "other")
    repo.git("pack-refs", "--all")
    for path in sorted((repo.root / ".git/refs").rglob("*"), reverse=True):
        path.rmdir()  # only folders are left
    return Built(repo=repo)


def symlinked(folder: Path, env: Mapping[str, str]) -> Built:
    _made(folder / "real", env)
    (folder / "link").symlink_to(folder / "real")
    return Built(repo=Repo(folder / "link", env))


def dirty(folder: Path, env: Mapping[str, str]) -> Built:
    repo = _made(folder / "repo", env)
    repo.write({"README.md": "changed\n", "untracked": "new\n"})
    return Built(repo=repo, notice="2 uncommitted changes")


def git_dir_in_environment(folder: Path, env: Mapping[str, str]) -> Built:
    """As in a git hook of another repository; the folder one stands in counts."""
    other = _made(folder / "other", env)
    variables = {"GIT_DIR": str(other.root / ".git"), "GIT_WORK_TREE": str(other.root)}
    return Built(
        repo=_made(folder / "repo", env),
        env={**variables, "GIT_INDEX_FILE": str(other.root / ".git/index")},
    )


def odd_branches(folder: Path, env: Mapping[str, str]) -> Built:
    repo = _made(folder / "repo", env)
    for name in ("pod", "refs/heads/HEAD", "zweig-ü-中", LONG, "a@{b}"[:1] + "@b", "-dash"):
        full = name if name.startswith("refs/") else f"refs/heads/{name}"
        repo.git("update-ref", full, "HEAD")
    return Built(repo=repo)


def branch_named_like_the_pod(folder: Path, env: Mapping[str, str]) -> Built:
    repo = _made(folder / "repo", env)
    repo.git("switch", "-qc", "pod")
    return Built(repo=repo, branch="pod")


def unicode_branch(folder: Path, env: Mapping[str, str]) -> Built:
    repo = _made(folder / "repo", env)
    repo.git("switch", "-qc", f"zweig/ü-中/{LONG}")
    return Built(repo=repo, branch=f"zweig/ü-中/{LONG}")


def case_clashes(folder: Path, env: Mapping[str, str]) -> Built:
    repo = _made(folder / "repo", env)
    for name in ("Main", "MAIN", "fix", "Fix", "FIX/x"):
        with contextlib.suppress(AssertionError):  # on a file system that cannot have both
            repo.git("branch", name)
    return Built(repo=repo)


SHAPES: Mapping[str, Builder] = {
    "plain": plain,
    "unborn": unborn,
    "detached": detached,
    "detached-no-branches": detached_without_branches,
    "linked-worktree": linked_worktree,
    "worktree-of-bare": worktree_of_bare,
    "bare": bare,
    "no-repository": no_repository,
    "submodule-checkout": submodule_checkout,
    "uninitialised-submodule": uninitialised_submodule,
    "shallow-1": shallow,
    "shallow-3": shallow_3,
    "partial-clone": partial_clone,
    "partial-clone-offline": partial_clone_offline,
    "sparse-cone": sparse_cone,
    "sparse-patterns": sparse_patterns,
    "sha256": sha256,
    "reftable": reftable,
    "alternates-shared": alternates_shared,
    "alternates-reference": alternates_reference,
    "separate-git-dir": separate_git_dir,
    "husky": husky,
    "read-only": read_only,
    "odd-path": odd_path,
    "undecodable-path": undecodable_path,
    "other-owner": other_owner,
    "trusted-owner": trusted_owner,
    "many-refs": many_refs,
    "many-files": many_files,
    "packed-refs-only": packed_refs_only,
    "symlinked": symlinked,
    "dirty": dirty,
    "git-dir-in-environment": git_dir_in_environment,
    "odd-branches": odd_branches,
    "branch-like-pod": branch_named_like_the_pod,
    "unicode-branch": unicode_branch,
    "case-clashes": case_clashes,
}

LARGE: Mapping[str, Builder] = {
    "100,000-refs": functools.partial(many_refs, count=100_000),
    "100,000-files": functools.partial(many_files, count=100_000),
    "1,000,000-files": functools.partial(many_files, count=1_000_000),
}
"""For the long runs."""


def _made(root: Path, env: Mapping[str, str], *options: str) -> Repo:
    repo = Repo.create(root, env, *options)
    repo.commit("first", PLAIN)
    return repo


def _mount(*args: str) -> None:
    done = subprocess.run(["mount", *args], capture_output=True, timeout=20, check=False)
    if done.returncode:
        raise Skipped(f"cannot mount here: {done.stderr.decode(errors='replace').strip()}")
