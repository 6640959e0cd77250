"""Work that is not committed, of every kind git knows, and a picture of it to compare."""

from __future__ import annotations

import random
import subprocess
from pathlib import Path

from tests.support.project import Project
from tests.support.repo import Content

FILES: dict[str, Content] = {
    ".gitignore": "*.log\nignored/\n",
    ".gitattributes": "*.crlf text eol=crlf\n",
    "src/app.py": "print(1)\n",
    "src/lib.py": "print(2)\n",
    "docs/one.crlf": "a\r\nb\r\n",
    "run.sh": "#!/bin/sh\n",
    "data.bin": bytes(range(256)),
}
"""A repository for it to happen in."""

BASE = """
git config user.name Dev; git config user.email dev@example.com
git switch -qc other; printf 'other\\n' >src/lib.py; printf 'o\\n' >src/app.py
git commit -qam other
git switch -q p; printf 'mine\\n' >src/lib.py; git commit -qam mine
printf 'stash one\\n' >run.sh; git stash -q
printf 'stash two\\n' >run.sh; printf 'u\\n' >untracked-in-stash; git stash -qu
"""
PROGRESS = {
    "none": "",
    "merge": "git merge -q other >/dev/null 2>&1 || true",
    "rebase": "git rebase other >/dev/null 2>&1 || true",
    "cherry-pick": "git cherry-pick other >/dev/null 2>&1 || true",
    "detached": "git switch -q --detach; git commit -q --allow-empty -m loose",
}
STEPS = (
    "printf 'staged\\n' >>src/app.py; git add src/app.py",
    "printf 'unstaged\\n' >>src/app.py",
    "printf 'changed\\r\\n' >docs/one.crlf",
    "chmod +x data.bin",
    "chmod -x run.sh; chmod +x run.sh; git add run.sh",
    "git mv docs/one.crlf docs/moved.crlf",
    "rm -f data.bin",
    "git rm -q --cached .gitattributes",
    "rm -f src/app.py; ln -s lib.py src/app.py",
    "rm -rf docs; printf 'file\\n' >docs",
    "mkdir -p deep/er; printf 'x' >deep/er/new; printf '\\000\\001\\377' >deep/bin",
    "ln -s ../nowhere deeplink",
    "printf 'n\\n' >\"$(printf 'new\\nline')\"",
    "printf 'q\\n' >'quo\"te\\back'",
    "printf 'b\\n' >\"$(printf 'by\\351te')\"",
    "printf 'l\\n' >' leading'; printf 'd\\n' >-dash; printf 'g\\n' >'*glob[1]'",
    "printf 'm\\n' >ünï; git add ünï; printf 'm2\\n' >ünï",
    "printf 'i\\n' >intent; git add -N intent",
    "git tag -a -m t v1; git tag light",
    "git notes add -m noted HEAD",
    "printf 'a\\n' >assumed; git add assumed; git update-index --assume-unchanged assumed;"
    "printf 'b\\n' >assumed",
    "mkdir -p nested; git -C nested init -q; printf 'n\\n' >nested/n",
    "printf 'extra.tmp\\n' >>.git/info/exclude; printf 'e\\n' >extra.tmp",
    "printf 'log\\n' >x.log",
    "mkdir -p empty/inner ignored/empty src/none",
    "printf 'key\\n' >key; chmod 600 key; printf 'k\\n' >open; chmod 666 open",
)
PHOTO = r"""
export LC_ALL=C
git status --porcelain=v2 --branch --untracked-files=all | grep -v '^# branch.ab'
git status | grep -v 'Your branch\|different commits\|HEAD detached\|Not currently on'
git ls-files -s; git ls-files -v | grep '^[a-z]' || :
git stash list; git rev-parse -q refs/stash || :
git for-each-ref | grep -v 'refs/remotes/\|refs/stash' || :
git symbolic-ref -q HEAD || git rev-parse HEAD
find . -path ./.git -prune -o -path ./ignored -prune -o -name '*.log' -prune \
    -o -name '*.tmp' -prune -o -path ./nested/.git -prune -o -print | sort |
    while IFS= read -r f; do
        if [ -L "$f" ]; then echo "$f -> $(readlink "$f")"
        elif [ -f "$f" ]; then echo "$(stat -c %a "$f") $f $(sha1sum <"$f")"
        else echo "$f"; fi
    done
for f in MERGE_HEAD MERGE_MSG CHERRY_PICK_HEAD rebase-merge/git-rebase-todo rebase-merge/onto; do
    [ ! -f .git/$f ] || { echo "$f"; cat ".git/$f"; }
done
"""


def dirty(rng: random.Random, progress: str) -> str:
    """A script for a pod's workspace: commits, stashes, something in progress, random changes."""
    chosen = rng.sample(STEPS, k=rng.randrange(6, len(STEPS) + 1))
    steps = "\n".join(f"({step}) >/dev/null 2>&1 || true" for step in chosen)
    return f"{BASE}\n{PROGRESS[progress]}\n{steps}\nprintf 'always\\n' >always\n"


def photo(project: Project, pod: str) -> list[str]:
    """Everything a user could see of it; comes past rumpel, which may not change it."""
    script = f"cd /workspaces/repo && git config --global safe.directory '*'; {PHOTO}"
    done = project.exec(pod, "sh", "-c", script)
    assert done.code == 0, done.stderr
    return done.stdout.splitlines()


def photo_of(folder: Path) -> list[str]:
    """The same of a folder of this machine."""
    done = subprocess.run(["sh", "-c", PHOTO], cwd=folder, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.decode(errors="surrogateescape").splitlines()
