"""A repository that means harm: how soon it is refused, and what that costs the host."""

from __future__ import annotations

import json
import os
import subprocess
import threading
import time
from pathlib import Path

from pods import WORKSPACE, container_of
from world import Figure, Raw, Rumpel

PAGE = os.sysconf("SC_PAGE_SIZE")
BOMB = r"""
oid=$(echo x | git hash-object -w --stdin) mode=100644 kind=blob
for level in 1 2 3 4 5 6 7; do
    oid=$(for name in 0 1 2 3 4 5 6 7 8 9; do
        printf '%s %s %s\t%s\n' $mode $kind $oid $name
    done | git mktree)
    mode=040000 kind=tree
done
git commit-tree $oid -p HEAD -m bomb
"""
ZEROS = r"""
oid=$(head -c 1073741824 /dev/zero | git hash-object -w --stdin)
git commit-tree $(printf '100644 blob %s\tzeros\n' $oid | git mktree) -p HEAD -m zeros
"""
WAIT_S = 120.0


def hostile(rumpel: Rumpel, raw: Raw, repo: Path) -> list[Figure]:
    figures: list[Figure] = []
    for name, script in (("tree bomb of 44 kB", BOMB), ("1 GiB of zeros", ZEROS)):
        rumpel.run("create", "evil", cwd=repo)
        container = container_of(rumpel, raw, "evil")
        oid = inside(container, repo, script)
        time.sleep(2)  # the imports of the new pod are over
        before = disk(rumpel, repo)
        with Peak(rumpel.daemon_pid()) as peak:
            begun = time.perf_counter()
            inside(container, repo, f"git update-ref refs/heads/bomb {oid}")
            why = refused(rumpel, repo)
            took = time.perf_counter() - begun
        time.sleep(1)  # what is left behind is to be seen, not what is about to go
        left = max(0, disk(rumpel, repo) - before) / 1e6
        rumpel.run("delete", "--force", "evil", cwd=repo)
        figures += [
            Figure(f"{name}, until it is refused", took, "s", bar=5.0, note=why),
            Figure(f"{name}, daemon and its git, peak", peak.mb, "MB", bar=500.0, note="RSS"),
            Figure(f"{name}, left on the disk", left, "MB", bar=1.0, note="state and .git"),
        ]
    return figures


def inside(container: str, repo: Path, script: str) -> str:
    argv = ["docker", "exec", "-w", WORKSPACE % repo.name, container, "sh", "-ec", script]
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip()


def refused(rumpel: Rumpel, repo: Path) -> str:
    """The reason, as soon as list has it."""
    begun = time.monotonic()
    while time.monotonic() - begun < WAIT_S:
        rows = json.loads(rumpel.run("list", "--json", cwd=repo))["data"]
        found = next(row for row in rows if row["name"] == "evil")["git"]["refused"]
        if found:
            return str(found[0]["reason"])
    raise SystemExit("the hostile branch was not refused")


def disk(rumpel: Rumpel, repo: Path) -> int:
    """Bytes of the daemon's state (but its log and database) and of the user's repository."""
    tops = (rumpel.folder / "s/rumpel/doors", rumpel.folder / "s/rumpel/scratch", repo / ".git")
    files = (path for top in tops for path in top.rglob("*") if not path.is_symlink())
    return sum(path.stat().st_size for path in files if path.is_file())


class Peak:
    """The most memory a process and its descendants have together, looked at all the time."""

    def __init__(self, pid: int) -> None:
        self._pid, self._stop = pid, threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self.mb = 0.0

    def __enter__(self) -> Peak:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(0.01):
            family, total = [self._pid], 0
            while family:
                pid = family.pop()
                try:
                    total += int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE
                    children = Path(f"/proc/{pid}/task/{pid}/children").read_text()
                    for task in Path(f"/proc/{pid}/task").iterdir():
                        if task.name != str(pid):
                            children += " " + (task / "children").read_text()
                except OSError:  # it has just ended
                    continue
                family += map(int, children.split())
            self.mb = max(self.mb, total / 1e6)
