"""Pods whose root means harm, for real: the host, and the pod beside it, notice nothing.

The normal run takes a share of the attacks, RUMPEL_LONG=1 (scripts/long) all of them.
"""

from __future__ import annotations

import os
import zlib
from dataclasses import dataclass

import pytest

from tests.adapters.git.hostile import everything, foreign_changes
from tests.support.project import Project, ProjectFactory

LONG = bool(os.environ.get("RUMPEL_LONG"))
"""Read when imported: no test sees the caller's variables."""
COMMIT = "git commit -q --allow-empty -m work && git rev-parse HEAD"
INSTEAD = r"""
real=$(command -v git)
mv $real $real.real
cat >$real <<'EOF'
#!/bin/sh
case "$*" in *upload-pack*) %s ;; esac
exec "$0.real" "$@"
EOF
chmod 755 $real
"""
BACK = "real=$(command -v git); mv $real.real $real"


@dataclass(frozen=True)
class Attack:
    """What root does in the pod, what `list` then says of it, and how the pod is honest again."""

    script: str
    why: str | None = None
    heal: str = "true"
    commits: int = 1
    """Until it is felt: the first import may use a server that was started before."""


ATTACKS = {
    "git is a flood": Attack(INSTEAD % "exec yes", "is not git's protocol", BACK, commits=2),
    "git is a flood of errors": Attack(
        INSTEAD % "exec yes >&2", "more than 1048576 bytes of errors", BACK, commits=2
    ),
    "git is gone": Attack(INSTEAD % "exit 1", None, BACK, commits=2),
    "git hangs": Attack(INSTEAD % "exec sleep 1000", None, BACK, commits=2),
    "configuration that runs programs": Attack(
        "for key in core.fsmonitor core.sshCommand uploadpack.packObjectsHook core.pager "
        "diff.external core.editor; do git config $key 'touch /canary'; done; "
        "git config core.alternateRefsCommand 'touch /canary'; "
        "printf '[include]\\npath = /etc/passwd-none\\n' >>.git/config"
    ),
    "hooks that fail": Attack(
        "printf '#!/bin/sh\\nexit 1\\n' >.git/hooks/post-commit; chmod 755 .git/hooks/post-commit"
    ),
    "repository behind a link": Attack("mv .git /elsewhere && ln -s /elsewhere .git"),
    "HEAD is a link": Attack(
        "cp .git/HEAD /tmp/head && ln -sf /tmp/head .git/HEAD",
        heal="rm .git/HEAD; cp /tmp/head .git/HEAD",
        commits=0,
    ),
    "names of the other pod": Attack(
        "for name in v/x V v@v@v rumpelpod/v remotes/rumpelpod/v main HEAD; do "
        "git update-ref refs/heads/$name HEAD; done"
    ),
    "thousands of branches": Attack(
        "oid=$(git rev-parse HEAD); cp .git/packed-refs /tmp/old; "
        "{ echo '# pack-refs with: peeled fully-peeled sorted '; "
        "i=1000; while [ $i -lt 4000 ]; do echo $oid refs/heads/x$i; i=$((i + 1)); done; "
        "} >.git/packed-refs",
        "more than 2000 branches",
        "cp /tmp/old .git/packed-refs",
    ),
    "a notice without an end": Attack(
        "(i=0; while [ $i -lt 200000 ]; do echo '@rumpel 0 notice'; i=$((i + 1)); done "
        ">/proc/1/fd/1) >/dev/null 2>&1 &"
    ),
    "answers nobody asked for": Attack(
        '(i=0; while [ $i -lt 100000 ]; do echo "@rumpel $i ok $i"; i=$((i + 1)); done '
        ">/proc/1/fd/1; head -c 9000000 /dev/zero >/proc/1/fd/1) >/dev/null 2>&1 &"
    ),
    "a gigabyte of zeros": Attack(
        "oid=$(head -c 1073741824 /dev/zero | git hash-object -w --stdin); git update-ref "
        "refs/heads/zeros $(git commit-tree $(printf '100644 blob %s\\tz\\n' $oid | git mktree) "
        "-p HEAD -m z)",
        "an object of 1073741824 bytes",
        "git update-ref -d refs/heads/zeros",
    ),
}
HEAVY = {"a gigabyte of zeros", "git hangs"}
SHARE = [name for name in ATTACKS if LONG or (zlib.crc32(name.encode()) % 3 and name not in HEAVY)]


def inside(project: Project, pod: str, script: str) -> str:
    """Past rumpel, as what runs in the pod would."""
    return project.exec(pod, "sh", "-ec", f"cd /workspaces/repo\n{script}").stdout.strip()


def refused(project: Project, pod: str) -> str:
    rows = project.run("list", "--json").assert_ok().data
    found = next(row for row in rows if row["name"] == pod)["git"]["refused"]
    return " ".join(item["reason"] for item in found)


def left_bytes(project: Project) -> int:
    """Of packs in quarantines: an empty one is of the next import, made ready."""
    try:
        packs = project.home.state.rglob("incoming-*/objects/pack/*")
        return sum(path.stat().st_size for path in packs)
    except FileNotFoundError:  # it goes just now
        return -1


@pytest.mark.parametrize("name", SHARE)
def test_attack(rumpel_project: ProjectFactory, name: str) -> None:
    attack = ATTACKS[name]
    project = rumpel_project()
    project.run("create", "p", "v").assert_ok()
    before = everything(project.root)
    inside(project, "p", attack.script)
    for _ in range(attack.commits):
        inside(project, "p", COMMIT)
    # Whatever that costs, the other pod does not wait for it.
    project.wait_for_ref("v", inside(project, "v", COMMIT))
    if attack.why is not None:
        project.wait_until(lambda: (attack.why or "") in refused(project, "p"), "refused")
    assert refused(project, "v") == ""
    inside(project, "p", attack.heal)
    oid = inside(project, "p", COMMIT)
    project.wait_for_ref("p", oid, timeout_s=60)
    project.wait_until(lambda: refused(project, "p") == "", "nothing is refused any more")
    assert project.repo.published()["v@v"] == project.repo.published()["v"]
    assert foreign_changes(before, everything(project.root)) == []
    assert project.git("fsck", "--no-dangling") == ""
    assert not list(project.home.path.rglob("canary"))
    project.wait_until(lambda: left_bytes(project) == 0, "nothing is left")
    project.run("delete", "--force", "p", "v").assert_ok()


CONTROL = "\x1b[31m\x1b]0;title\x07\u202e\x9b2J"


def test_nothing_of_a_pod_reaches_the_terminal_raw(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    project.run("create", "p").assert_ok()
    project.exec(
        "p",
        "sh",
        "-ec",
        'cd /workspaces/repo; git commit -q --allow-empty -m "$0"; '
        'oid=$(git rev-parse HEAD); printf "%s\\n" $oid >".git/refs/heads/evil$1"; '
        'printf "%s\\n" $oid >".git/refs/heads/odd$2"; git branch other',
        f"subject {CONTROL}",
        "\x1b[31m",
        "\u202e\x9b2J",
    )
    project.wait_until(lambda: "other@p" in project.repo.published(), "the import")
    project.wait_until(lambda: bool(refused(project, "p")), "the refusal")
    for outcome in (
        project.run("list"),
        project.run("list", "--json"),
        project.run("delete", "p").assert_code(4),
        project.run("graph", "p"),
        project.run("daemon", "logs"),
        project.run("enter", "p", "--", "true"),
    ):
        for text in (outcome.stdout, outcome.stderr):
            assert all(char.isprintable() or char == "\n" for char in text), outcome
            assert "\u202e" not in text
    assert "evil" in project.run("list").stdout
    project.run("delete", "--force", "p").assert_ok()
