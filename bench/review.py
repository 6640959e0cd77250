"""`review --stat` beside `git diff --stat` of the same commits; the CLI's own floor taken off."""

from __future__ import annotations

import statistics
from pathlib import Path

from world import Figure, Rumpel, timed

CHANGE = """
set -e
n=0
while [ $n -lt %(files)s ]; do
    i=0
    while [ $i -lt 40 ]; do echo "line $i of round %(round)s in $n"; i=$((i + 1)); done >>src/$n.txt
    n=$((n + 1))
done
git add -A
git commit -qm 'round %(round)s'
"""


def stat(rumpel: Rumpel, repo: Path, rounds: int, *, files: int) -> list[Figure]:
    """A new commit each round, so that nothing was looked at before; then the same once more."""
    (repo / "src").mkdir(exist_ok=True)
    text = "".join(f"this is line {line}\n" for line in range(400))
    for number in range(files):
        (repo / f"src/{number}.txt").write_text(f"{number}\n{text}")
    rumpel.git(repo, "add", "-A")
    rumpel.git(repo, "commit", "-qm", "many files")
    times: dict[str, list[float]] = {"git": [], "floor": [], "first": [], "again": []}
    rumpel.run("create", "reviewed", cwd=repo)
    for number in range(rounds):
        script = CHANGE % {"files": files, "round": number}
        rumpel.run("enter", "reviewed", "--", "sh", "-c", script, cwd=repo)
        rumpel.run("review", "reviewed", "--name-only", "README", cwd=repo)  # imports
        for name, action in (
            ("git", lambda: rumpel.git(repo, "diff", "--stat", "main...rumpelpod/reviewed")),
            ("floor", lambda: rumpel.run("list", "-q", cwd=repo)),
            ("first", lambda: rumpel.run("review", "reviewed", "--stat", cwd=repo)),
            ("again", lambda: rumpel.run("review", "reviewed", "--stat", cwd=repo)),
        ):
            times[name].append(timed(action))
    rumpel.run("delete", "--force", "reviewed", cwd=repo)
    found = {name: statistics.median(values) for name, values in times.items()}
    against = f"git diff --stat; a CLI that does nothing ({found['floor']:.0f} ms) is taken off"
    return [
        Figure(
            f"review --stat of {files} files, {name}",
            max(found[key] - found["floor"], 0.0),
            "ms",
            found["git"],
            against,
            1.5,
        )
        for key, name in (("first", "a new commit"), ("again", "seen before"))
    ]
