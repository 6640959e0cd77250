"""The file DESCRIPTION: a pod's own text for the merge commit, which is then not in the tree.

An agent writes into it what it did. It counts when the pod added it and the host has none. The
merged tree is built without it, and a merge strategy of ours lets `git merge` take that tree: so
hooks, signing, editor and all options work as ever, both parents are the real commits, and a
second merge of the pod finds nothing to conflict with.
"""

from __future__ import annotations

import os

from rumpel import text
from rumpel.cli import merge_trial

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rumpel.cli.usergit import Git

NAME = "DESCRIPTION"
MAX_BYTES = 64 << 10
STRATEGY = "rumpel"
TREE = "RUMPEL_MERGE_TREE"
PROGRAM = f"""\
#!/bin/sh
# git merge runs this: BASE... -- HEAD REMOTE. Ends with 2 when nothing could be done.
changed=$(git diff-index --cached --name-only HEAD --) || exit 2
if [ -n "$changed" ]; then
    echo 'error: Your local changes to the following files would be overwritten by merge:' >&2
    printf '%s\\n' "$changed" | sed 's/^/  /' >&2
    exit 2
fi
git read-tree -m -u HEAD "${TREE}" || exit 2
"""


class Description:
    """`text` is fit for a commit message and may be empty."""

    __slots__ = ("text",)

    def __init__(self, raw: bytes) -> None:
        lines = raw.decode("utf-8", "replace").replace("\r\n", "\n")
        self.text = text.safe(lines, keep="\n\t").strip()


def find(
    git: Git, head: str, theirs: str, pod_base: str | None
) -> tuple[Description | None, str | None]:
    """(what the pod added, or None; a warning, or None)."""
    entry = _entry(git, theirs)
    if entry is None or _entry(git, head) is not None:
        return None, None
    bases = (git.line("merge-base", "--all", head, theirs) or "").split()
    if any(_entry(git, base) is not None for base in bases) and not _is_the_pods(
        git, head, pod_base
    ):
        return None, None
    mode, kind, oid = entry
    size = git.line("cat-file", "-s", oid) if kind == "blob" and mode != "120000" else None
    if size is None or int(size) > MAX_BYTES:
        return None, f"{NAME} of the pod is no text of at most 64 kB: it is merged as a file"
    raw = git.ask("cat-file", "blob", oid)
    if b"\0" in raw:
        return None, f"{NAME} of the pod is not a text: it is merged as a file"
    return Description(raw), None


def _is_the_pods(git: Git, head: str, pod_base: str | None) -> bool:
    """The merge base has the file. From an earlier merge of the pod, or was it ever the host's?"""
    if pod_base is not None:
        if not git.says("cat-file", "-e", f"{pod_base}^{{commit}}"):
            return False
        if _entry(git, pod_base) is not None:
            return False
    spans = [head] if pod_base is None else [f"{pod_base}..{head}"]
    path = f":(top,literal){NAME}"
    return git.line("log", "--first-parent", "-1", "--format=%H", *spans, "--", path) == ""


def _entry(git: Git, commit: str) -> tuple[str, str, str] | None:
    """(mode, kind, oid) of the file at the root of `commit`."""
    line = os.fsdecode(git.ask("ls-tree", "--full-tree", "-z", commit, "--", NAME))
    if not line:
        return None
    mode, kind, oid = line.partition("\t")[0].split()
    return mode, kind, oid


def without(git: Git, commit: str, *, env: merge_trial.Env) -> str:
    """A commit like `commit`, on top of it, without the file."""
    entries = git.ask("ls-tree", "--full-tree", "-z", commit).split(b"\0")
    left = [entry for entry in entries if entry and not entry.endswith(b"\t" + NAME.encode())]
    data = b"".join(entry + b"\0" for entry in left)
    tree = os.fsdecode(git.ask("mktree", "-z", "--missing", env=env, input=data))
    made = git.ask(
        *("commit-tree", "-p", commit, "-m", f"without {NAME}", tree),
        env={**env, **merge_trial.IDENTITY},
    )
    return os.fsdecode(made)


def strategy(folder: str, tree: str) -> tuple[list[str], dict[str, str]]:
    """Options and environment that make `git merge` result in `tree`."""
    programs = os.path.join(folder, "bin")
    os.mkdir(programs)
    path = os.path.join(programs, f"git-merge-{STRATEGY}")
    with open(path, "w") as file:
        file.write(PROGRAM)
    os.chmod(path, 0o700)
    search = programs + os.pathsep + os.environ.get("PATH", os.defpath)
    return ["-s", STRATEGY], {"PATH": search, TREE: tree}
