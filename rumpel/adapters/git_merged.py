"""Commits of a pod that the host has under another name: rebased, cherry-picked or squashed.

Told by what they change (their patch without line numbers, binary files whole) or by the tree
they end in. When in doubt a commit counts as unmerged.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence

from rumpel.adapters import git, git_run, threads
from rumpel.errors import RumpelError

MOST_POD_COMMITS = 300
MOST_HOST_COMMITS = 1000
MOST_BASES = 8
MAX_PATCH_BYTES = 64 << 20
TIMEOUT_S = 30.0
HOST = ("--branches", "--tags", f"--exclude={git.PUBLISHED_GLOB}", "--remotes")
PATCH = (
    *("diff-tree", "-r", "-p", "--root", "--binary", "--full-index", "--no-renames"),
    *("--no-ext-diff", "--no-textconv", "--no-color"),
)
COMMIT_LINE = re.compile(rb"[0-9a-f]{40}(?:[0-9a-f]{24})?")
HUNK = re.compile(rb"@@ -[0-9,]+ \+[0-9,]+ @@.*")


async def unmerged(
    repo: git.Repo, tips: Sequence[str], safe: Sequence[str] = ()
) -> list[tuple[str, str]]:
    """(commit, subject) of what only `tips` have, newest first. Raises RumpelError like `git`."""
    found = await threads.call(git.unmerged, repo, tips, safe)
    if not found or len(found) > MOST_POD_COMMITS:
        return found
    try:
        landed = await _landed(repo, tips, {oid for oid, _ in found})
    except RumpelError:  # too much, too slow, an object is missing: so nothing is known
        return found
    return [(oid, subject) for oid, subject in found if oid not in landed]


async def _landed(repo: git.Repo, tips: Sequence[str], lonely: set[str]) -> set[str]:
    host = await _host_commits(repo, tips)
    if not host:
        return set()
    known = set((await _patches(repo, host)).values())
    own = await _patches(repo, lonely)
    landed = {oid for oid, patch in own.items() if patch in known}
    trees = set(host.values())
    for tip in tips:
        reached, bases = await _range(repo, tip)
        if reached - landed and await _is_squashed(repo, tip, bases, patches=known, trees=trees):
            landed |= reached
    return landed


async def _host_commits(repo: git.Repo, tips: Sequence[str]) -> dict[str, str]:
    """Newest commits of the host that no tip has -> their trees."""
    options = ("--no-merges", f"--max-count={MOST_HOST_COMMITS}", "--no-commit-header")
    not_tips = [f"^{tip}" for tip in tips]
    text = await _ask(repo, "rev-list", *options, "--format=%H %T", *HOST, *not_tips)
    return dict(line.split(" ", 1) for line in text.decode().splitlines())


async def _range(repo: git.Repo, tip: str) -> tuple[set[str], list[str]]:
    """Commits only the tip has, and where they begin on the host."""
    text = await _ask(repo, "rev-list", "--boundary", tip, "--not", *HOST)
    lines = text.decode().split()
    reached = {line for line in lines if not line.startswith("-")}
    return reached, [line[1:] for line in lines if line.startswith("-")]


async def _is_squashed(
    repo: git.Repo, tip: str, bases: Sequence[str], *, patches: set[str], trees: set[str]
) -> bool:
    """Is everything from one of its bases to the tip one commit of the host, or its tree there?"""
    tree = (await _ask(repo, "rev-parse", f"{tip}^{{tree}}")).decode().strip()
    for base in bases[:MOST_BASES]:
        before = (await _ask(repo, "rev-parse", f"{base}^{{tree}}")).decode().strip()
        if before == tree:
            continue  # nothing is changed by it: that says nothing
        if tree in trees:
            return True
        patch = await _ask(repo, *PATCH, before, tree)
        if patch_id(patch.splitlines()) in patches:
            return True
    return False


async def _patches(repo: git.Repo, commits: Iterable[str]) -> dict[str, str]:
    """Commit -> id of its patch; those that change nothing, and merges, are left out."""
    wanted = "".join(f"{oid}\n" for oid in commits).encode()
    text = await _ask(repo, *PATCH, "--stdin", input=wanted)
    return dict(_split(text.splitlines()))


def _split(lines: Iterable[bytes]) -> Iterator[tuple[str, str]]:
    commit, patch = "", list[bytes]()
    for line in [*lines, b"0" * 40]:
        if not COMMIT_LINE.fullmatch(line):
            patch.append(line)
            continue
        if commit and patch:
            yield commit, patch_id(patch)
        commit, patch = line.decode(), []


def patch_id(lines: Iterable[bytes]) -> str:
    """Of a patch's text, wherever in the files it applies."""
    digest = hashlib.blake2b(digest_size=20)
    for line in lines:
        if line.startswith(b"index "):
            continue
        digest.update((b"@@" if HUNK.fullmatch(line) else line) + b"\n")
    return digest.hexdigest()


async def _ask(repo: git.Repo, *args: str, input: bytes | None = None) -> bytes:
    done = await git_run.run(
        repo.git_dir, *args, input=input, timeout_s=TIMEOUT_S, max_output_bytes=MAX_PATCH_BYTES
    )
    return done.stdout
