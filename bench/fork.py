"""Forks: what the work of the source costs beside making the pod."""

from __future__ import annotations

from world import MINI, Figure, Rumpel, pairs

CONFIG = '{"image": "%s", "runArgs": ["--network=none"]}'
HALF = """
for n in $(seq 0 999); do echo changed >>src/f$n; done
mkdir new && for n in $(seq 0 999); do echo new $n >new/f$n; done
"""


def fork(rumpel: Rumpel, rounds: int) -> Figure:
    """A pod with 1,000 changed and 1,000 new files, against `create` of the same repository."""
    repo = rumpel.repo("forked", CONFIG % MINI)
    (repo / "src").mkdir()
    for number in range(1000):
        (repo / "src" / f"f{number}").write_text(f"line {number}\n")
    rumpel.git(repo, "add", "-A")
    rumpel.git(repo, "commit", "-qm", "files")
    rumpel.run("enter", "source", "--", "sh", "-ec", HALF, cwd=repo)
    mine, base = pairs(
        lambda n: rumpel.run("fork", "source", f"fork-{n}", cwd=repo),
        lambda n: rumpel.run("create", f"plain-{n}", cwd=repo),
        rounds,
    )
    made = [f"{name}-{n}" for n in range(rounds) for name in ("fork", "plain")]
    rumpel.run("delete", "--force", "source", *made, cwd=repo)
    note = f"bar in ms; fork {mine:.0f} ms, create {base:.0f} ms"
    return Figure(
        "fork with 2,000 uncommitted files, beyond create", mine - base, "ms", bar=1000, note=note
    )
