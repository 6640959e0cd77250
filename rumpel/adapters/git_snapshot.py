"""What a snapshot says (see pod_work): all of it comes from a pod, so it is only ever shown."""

from __future__ import annotations

import re
from dataclasses import dataclass

from rumpel.adapters import git, git_files, git_run

READ_TIMEOUT_S = 30.0
MAX_TEXT_BYTES = 64 << 20
MAX_LINES, MAX_LINE_CHARS = 50, 300
"""Of what a pod says it left out: it is printed."""
MAX_MODULES = 200
MODULE = re.compile(r"([0-9a-f]{40}(?:[0-9a-f]{24})?) (modules/.{1,2000})")


@dataclass(frozen=True, slots=True)
class Files:
    """Of a snapshot."""

    tree: str
    head: str
    """What was checked out: a ref, or a commit."""
    tip: str
    """The commit they were changed from; empty when unborn."""


async def left_out(repo: git.Repo, oid: str) -> tuple[str, ...]:
    """What the snapshot does not have: too large, or not to be read."""
    said = await text(repo, f"{oid}:left")
    lines = [line[:MAX_LINE_CHARS] for line in said.split("\n") if line]
    more = len(lines) - MAX_LINES
    return (*lines[:MAX_LINES], *([f"and {more} more"] if more > 0 else []))


async def modules_of(repo: git.Repo, oid: str) -> dict[str, str]:
    """Key -> snapshot of the submodules that had work, as the pod told it."""
    said = await text(repo, f"{oid}:modules")
    found = [MODULE.fullmatch(line) for line in said.split("\n")[:MAX_MODULES]]
    return {match[2]: match[1] for match in found if match is not None}


async def files_of(repo: git.Repo, oid: str) -> Files:
    done = await git_run.run(
        repo.git_dir, "rev-parse", "--verify", "-q", f"{oid}:files", timeout_s=READ_TIMEOUT_S
    )
    made_on = await about(repo, oid)
    return Files(done.stdout.decode().strip(), made_on.get("head", ""), made_on.get("tip", ""))


async def changed_files(repo: git.Repo, oid: str) -> int:
    """How many files of a snapshot are not as in the commit it was made on."""
    tip = (await about(repo, oid)).get("tip", "")
    if not git_files.OID.fullmatch(tip):
        return 0
    done = await git_run.run(
        repo.git_dir,
        *(
            "diff-tree",
            "-r",
            "--no-renames",
            "--name-only",
            "-z",
            f"{tip}^{{tree}}",
            f"{oid}:files",
        ),
        timeout_s=READ_TIMEOUT_S,
        max_output_bytes=MAX_TEXT_BYTES,
    )
    return done.stdout.count(b"\0")


async def about(repo: git.Repo, oid: str) -> dict[str, str]:
    """What it was made on: `head`, `tip`, `branch`."""
    said = await text(repo, f"{oid}:about")
    return dict(line.partition("=")[::2] for line in said.split("\n"))


async def text(repo: git.Repo, name: str) -> str:
    """Of a blob; empty when there is none."""
    return (await texts(repo, [name]))[0]


async def texts(repo: git.Repo, names: list[str]) -> list[str]:
    """Of several blobs, by one process."""
    done = await git_run.run(
        repo.git_dir,
        "cat-file",
        "--batch",
        input="".join(f"{name}\n" for name in names).encode(),
        timeout_s=READ_TIMEOUT_S,
        max_output_bytes=MAX_TEXT_BYTES,
    )
    found, rest = list[str](), done.stdout
    for _ in names:
        head, _, rest = rest.partition(b"\n")
        fields = head.split(b" ")
        if fields[-1] == b"missing" or len(fields) != 3 or not fields[2].isdigit():
            found.append("")
            continue
        size = int(fields[2])
        found.append(rest[:size].decode("utf-8", "replace"))
        rest = rest[size + 1 :]
    return found
