"""`rumpel review` with real pods: what it shows and pins, and that it runs nothing of theirs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rumpel.cache.store import Store
from tests.support.project import DEFAULT_CONFIG, Project, ProjectFactory

ONE = "mkdir -p src && echo 'print(2)' >src/app.py && git add -A && git commit -qm one"


def inside(project: Project, pod: str, script: str) -> str:
    return project.run("enter", pod, "--", "sh", "-ec", script).assert_ok().stdout.strip()


def review(project: Project, *args: str, cwd: Path | None = None) -> dict[str, Any]:
    data: dict[str, Any] = project.run("review", *args, "--json", cwd=cwd).assert_ok().data
    return data


def paths(data: dict[str, Any]) -> list[str]:
    return [file["path"] for file in data["files"]]


def risks(data: dict[str, Any], path: str) -> set[str]:
    found = next(file for file in data["files"] if file["path"] == path)
    return {risk["kind"] for risk in found["risks"]}


def test_a_commit_made_just_now_is_shown(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project({"src/app.py": "print(1)\n"})
    base = project.repo.oid("HEAD")
    inside(project, "p", "true")
    data = review(project, "p")
    assert (data["files"], data["ahead"], data["commit"]) == ([], 0, base)
    project.run("review", "p").assert_ok().assert_error(0, "nothing to review")
    oid = inside(project, "p", f"{ONE} && git rev-parse HEAD")
    data = review(project, "p")
    assert data == {
        "name": "p",
        "base": "main",
        "base_commit": base,
        "commit": oid,
        "merge_base": base,
        "ahead": 1,
        "uncommitted": None,
        "files": [
            {
                "path": "src/app.py",
                "status": "modified",
                "additions": 1,
                "deletions": 1,
                "risks": [],
            }
        ],
        "totals": {"files": 1, "additions": 1, "deletions": 1, "risky": 0},
    }
    # The host's own work since then is no part of it.
    project.commit("elsewhere", {"other.txt": "x\n"})
    assert paths(review(project, "p")) == ["src/app.py"]
    stat = project.run("review", "p", "--stat").assert_ok()
    assert stat.stdout.splitlines() == [
        "  src/app.py | 2 +-",
        "  1 file changed, 1 insertion(+), 1 deletion(-)",
    ]
    assert oid[:12] in stat.stderr
    patch = project.run("review", "p").assert_ok()
    assert patch.stdout_bytes == project.repo.run_git("diff", base, oid).stdout
    project.repo.git("apply", "--check", input=patch.stdout_bytes)
    project.run("delete", "--force", "p").assert_ok()


async def test_the_commit_is_pinned(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project({"src/app.py": "print(1)\n"})
    first = inside(project, "p", f"{ONE} && git rev-parse HEAD")
    assert review(project, "p")["commit"] == first
    second = inside(project, "p", "git commit -q --allow-empty -m two && git rev-parse HEAD")
    assert review(project, "p", "src")["commit"] == second
    pod_id = project.containers("p")[0]["Labels"]["rumpel.pod-id"]
    project.run("daemon", "stop").assert_ok()
    async with Store(project.home.path / "state/rumpel/state.db") as store:
        seen = store.kv_get(f"reviewed/{pod_id}")
    assert seen["oid"] == first, "some paths of a newer commit do not make it a reviewed one"
    assert seen["at"] > 0
    review(project, "p")
    project.run("daemon", "stop").assert_ok()
    async with Store(project.home.path / "state/rumpel/state.db") as store:
        assert store.kv_get(f"reviewed/{pod_id}")["oid"] == second
    project.run("delete", "--force", "p").assert_ok()
    project.run("daemon", "stop").assert_ok()
    async with Store(project.home.path / "state/rumpel/state.db") as store:
        assert store.kv_get(f"reviewed/{pod_id}") is None


def test_merge_knows_what_was_reviewed(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project({"src/app.py": "print(1)\n"})
    inside(project, "p", ONE)
    project.run("merge", "p", "--reviewed").assert_error(4, "not reviewed")
    review(project, "p", "src")
    project.run("merge", "p", "--reviewed").assert_error(4, "not reviewed")
    review(project, "p")
    last = inside(project, "p", "git commit -q --allow-empty -m two && git rev-parse HEAD")
    project.run("merge", "p", "--reviewed").assert_error(4, "1 commit since", "rumpel review p")
    project.run("review", "p", "--stat").assert_ok()
    project.run("merge", "p", "--reviewed").assert_ok()
    assert last in project.git("rev-list", "HEAD")
    project.run("delete", "p").assert_ok()


def test_a_stopped_pod_and_a_base_that_is_gone(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project({"src/app.py": "print(1)\n"})
    project.git("branch", "topic")
    project.run("create", "p", "--from", "topic").assert_ok()
    inside(project, "p", ONE)
    project.run("stop", "p").assert_ok()
    project.git("branch", "-D", "topic")
    outcome = project.run("review", "p", "--name-only").assert_error(0, "it is stopped", "topic")
    assert outcome.stdout == "src/app.py\n"
    project.run("review", "q").assert_error(3, "no pod 'q'")
    project.run("delete", "--force", "p").assert_ok()


def test_detached_and_unborn(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project({"src/app.py": "print(1)\n"})
    project.git("switch", "-q", "--detach")
    base = project.repo.oid("HEAD")
    inside(project, "p", ONE)
    data = review(project, "p")
    assert (data["base"], data["merge_base"], paths(data)) == (base, base, ["src/app.py"])
    project.git("switch", "-q", "--orphan", "empty")
    project.write({".devcontainer.json": DEFAULT_CONFIG})
    inside(project, "q", f"{ONE} && rm -f nothing")
    data = review(project, "q")
    assert (data["base"], data["merge_base"]) == (None, None)
    assert data["ahead"] == 1
    assert paths(data) == ["src/app.py"]
    project.run("delete", "--force", "p", "q").assert_ok()


def test_paths_are_those_of_git(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project({"src/app.py": "print(1)\n", "docs/a.md": "a\n"})
    inside(
        project,
        "p",
        "for f in src/app.py docs/a.md new.txt; do echo y >>$f; done; git add -A; git commit -qm x",
    )
    assert paths(review(project, "p")) == ["docs/a.md", "new.txt", "src/app.py"]
    assert paths(review(project, "p", "docs", "src/app.py")) == ["docs/a.md", "src/app.py"]
    assert paths(review(project, "p", "app.py", cwd=project.root / "src")) == ["src/app.py"]
    assert paths(review(project, "p", "../docs", cwd=project.root / "src")) == ["docs/a.md"]
    assert paths(review(project, "p", ":(top)*.txt", cwd=project.root / "src")) == ["new.txt"]
    assert paths(review(project, "p", str(project.root / "docs"))) == ["docs/a.md"]
    outcome = project.run("review", "p", "--stat", "--", "docs").assert_ok()
    assert outcome.stdout.startswith("  docs/a.md | 1 +\n")
    patch = project.run("review", "p", "--patch", "app.py", cwd=project.root / "src").assert_ok()
    assert "src/app.py" in patch.stdout
    assert "docs" not in patch.stdout
    project.run("review", "p", "../../x").assert_error(2, "../../x")
    project.run("review", "p", "none").assert_error(0, "in these paths")
    project.run("delete", "--force", "p").assert_ok()


def test_two_pods_against_each_other(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project({"src/app.py": "print(1)\n"})
    inside(project, "alice", ONE)
    inside(project, "bob", "echo 'print(3)' >src/app.py; touch b; git add -A; git commit -qm b")
    data = review(project, "alice", "--against", "bob")
    assert (data["base"], data["ahead"]) == ("pod/bob", 1)
    assert data["base_commit"] == project.repo.published()["bob"]
    assert {file["path"]: file["status"] for file in data["files"]} == {
        "src/app.py": "modified",
        "b": "deleted",
    }
    patch = project.run("review", "alice", "--against", "bob", "--patch").assert_ok().stdout
    assert "-print(3)\n+print(2)\n" in patch
    project.run("review", "alice", "--against", "alice").assert_error(2, "itself")
    project.run("review", "alice", "--against", "carol").assert_error(3, "carol")
    project.run("delete", "--force", "alice", "bob").assert_ok()


DIRTY = """
echo staged >staged.txt && git add staged.txt
echo 'print(3)' >src/app.py
echo new >new.txt && echo no >ignored.o && echo '*.o' >.gitignore
chmod +x README.md
printf 'pod\\n' >"$(printf 'caf\\351')"
"""


def test_uncommitted_files_are_shown_when_asked_for(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project({"src/app.py": "print(1)\n"})
    inside(project, "p", ONE)
    clean = review(project, "p", "--include-dirty")
    assert (clean["uncommitted"], paths(clean)) == (0, ["src/app.py"])
    inside(project, "p", DIRTY)
    state = inside(project, "p", "git status --porcelain; git rev-parse HEAD; ls -l .git/index")
    assert paths(review(project, "p")) == ["src/app.py"]
    data = review(project, "p", "--include-dirty")
    assert data["commit"] == project.repo.published()["p"]
    assert data["uncommitted"] == 6
    assert paths(data) == [
        *["README.md", "caf%E9", ".gitignore", "new.txt", "src/app.py", "staged.txt"]
    ]
    assert risks(data, "README.md") == {"executable"}
    patch = project.run("review", "p", "--include-dirty", "--patch", "src").assert_ok()
    assert "-print(1)\n+print(3)\n" in patch.stdout
    after = inside(project, "p", "git status --porcelain; git rev-parse HEAD; ls -l .git/index")
    assert after == state, "nothing in the pod changes"
    inside(project, "p", "git switch -qc other")
    project.run("review", "p", "--include-dirty", "--stat").assert_error(0, "'other'")
    project.run("stop", "p").assert_ok()
    project.run("review", "p", "--include-dirty").assert_error(4, "stopped", "rumpel enter p")
    project.run("delete", "--force", "p").assert_ok()


def test_the_graph_knows_it_and_nothing_runs_twice(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project({"src/app.py": "print(1)\n"})
    inside(project, "p", ONE)
    nodes = project.run("graph", "p", "--plan", "review", "--json").assert_ok().data["nodes"]
    assert [node["kind"] for node in nodes] == ["imported", "range", "risk"]
    review(project, "p")
    nodes = project.run("graph", "p", "--plan", "review", "--json").assert_ok().data["nodes"]
    assert {node["state"] for node in nodes} == {"cached"}, nodes
    project.run("delete", "--force", "p").assert_ok()


RISKY = r"""
mkdir -p .husky .github/workflows
echo 'touch /tmp/pwned' >.husky/pre-commit
echo 'on: push' >.github/workflows/ci.yml
ln -s /etc/passwd escape
echo x >run.sh; chmod +x run.sh
printf 'a = 1 # \342\200\256 evil\n' >src/hidden.py
echo y >src/app.py
git add -A
git commit -qm risky
"""


def test_risky_files_come_first_with_the_reason(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project({"src/app.py": "print(1)\n"})
    inside(project, "p", RISKY)
    data = review(project, "p")
    assert paths(data)[-1] == "src/app.py"
    assert data["totals"]["risky"] == 5
    assert risks(data, ".husky/pre-commit") == {"hook"}
    assert risks(data, ".github/workflows/ci.yml") == {"ci"}
    assert risks(data, "escape") == {"symlink"}
    assert risks(data, "run.sh") == {"executable"}
    assert risks(data, "src/hidden.py") == {"hidden"}
    stat = project.run("review", "p", "--stat").assert_ok().stdout.splitlines()
    assert [line[0] for line in stat] == ["!"] * 5 + [" ", " "]
    assert "out of the repository, to /etc/passwd" in "".join(stat)
    patch = project.run("review", "p", "--patch").assert_ok()
    shown = [line.split(" b/")[1] for line in patch.stdout.splitlines() if line[:5] == "diff "]
    assert shown == paths(data)
    assert "! .husky/pre-commit: run by git" in patch.stderr
    project.run("delete", "--force", "p").assert_ok()


HOSTILE = r"""
printf '* filter=evil diff=evil merge=evil text=auto eol=crlf\n' >.gitattributes
touch "$(printf 'a\033]0;title\007b')" "$(printf 'new\nline')" -- --output=pwned -rf
touch "$(printf 'caf\351')" "\$(touch pwned)" '`touch pwned`' ';touch pwned;' 'a b' "quo\"te'"
touch "$(printf '\342\200\256gnp.exe')" %s .envrc '*' 'CON' '~'
for f in *; do [ -d "$f" ] || echo "content of a file" >"./$f"; done
ln -s ../../../../../../etc/passwd leaves
ln -s .git/config into
mkdir deep && printf '\033[2J\033[31mred\302\233 \342\200\256' >deep/escapes.txt
git mv README.md moved.md && chmod +x src/app.py && mkdir sub
printf '%s/' 0123456789 0123456789 .git-like ..x -y | xargs -I{} sh -c 'mkdir -p {} && echo z >{}z'
git add -A
git update-index --add --cacheinfo "160000,$(git rev-parse HEAD),sub"
git commit -qm "$(printf 'subject \033[31m')"
"""
TOOL = """#!/bin/sh
for side in "$1" "$2"; do
    [ "$side" != /dev/null ] || continue # as git does for a file that is not there
    [ -f "$side" ] && [ ! -L "$side" ] || echo "not a plain file: $side" >>"$LOG"
    stat -c '%a' "$(dirname "$(dirname "$side")")" >>"$LOG.modes"
done
printf '%s\\n' "$2" >>"$LOG"
cat "$2" >>"$LOG.content"
"""


def hostile(project: Project) -> Path:
    """A host whose configuration has a canary behind everything that attributes can start."""
    canary = project.home.path / "canary"
    touch = f"touch {canary}; cat"
    for key in (
        "filter.evil.smudge", "filter.evil.clean", "diff.evil.textconv", "diff.evil.command",
        "merge.evil.driver",
    ):  # fmt: skip
        project.git("config", key, touch)
    project.git("config", "filter.evil.required", "true")
    inside(project, "p", HOSTILE)
    return canary


def test_any_name_and_nothing_of_the_pod_runs(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project({"src/app.py": "print(1)\n"})
    canary = hostile(project)
    before = snapshot(project)
    data = review(project, "p")
    odd = next(file for file in data["files"] if "path_base64" in file)
    assert odd["path"] == "caf%E9"
    for mode in ("--stat", "--name-only", "--patch", "--color=always"):
        outcome = project.run("review", "p", mode).assert_ok()
        raw = outcome.stderr_bytes + (b"" if mode == "--patch" else outcome.stdout_bytes)
        for bad in (b"\x1b]", b"\x1b[2J", b"\x07", "\u202e".encode(), b"\xe9", "\x9b".encode()):
            assert bad not in raw, (mode, bad)
    assert not canary.exists()
    assert snapshot(project) == before
    assert not (project.root / "pwned").exists()
    project.run("delete", "--force", "p").assert_ok()


def test_the_difftool_gets_plain_files_of_neutral_names(
    rumpel_project: ProjectFactory, tmp_path: Path
) -> None:
    project = rumpel_project({"src/app.py": "print(1)\n"})
    canary = hostile(project)
    log, tool = tmp_path / "log", tmp_path / "tool"
    tool.write_text(TOOL)
    tool.chmod(0o755)
    project.git("config", "diff.tool", "rec")
    project.git("config", "difftool.rec.cmd", f'LOG={log} {tool} "$LOCAL" "$REMOTE"')
    before = snapshot(project)
    outcome = project.run("review", "p", cwd=project.root / "src").assert_ok()
    shown = log.read_text().splitlines()
    files = review(project, "p")["files"]
    modified = [file for file in files if file["status"] == "modified"]
    only_mode = [file["path"] for file in modified if not file["additions"] + file["deletions"]]
    assert only_mode == ["src/app.py"], "there is nothing to see in it but what stderr says"
    assert "src/app.py: becomes executable" in outcome.stderr
    assert len(shown) == len(files) - 1, outcome
    assert len(shown) >= 20
    plain = set(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_+-./")
    for path in shown:
        name = path.rsplit("/", 1)[1]
        assert set(path.encode()) <= plain
        assert name[0] not in ".-"
    assert "../../../../../../etc/passwd" in Path(f"{log}.content").read_text(errors="replace")
    assert set(Path(f"{log}.modes").read_text().split()) == {"700"}
    assert not canary.exists()
    assert snapshot(project) == before
    assert not list(project.root.rglob("pwned"))
    project.run("delete", "--force", "p").assert_ok()


def test_a_difftool_that_is_missing_or_fails(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project({"src/app.py": "print(1)\n"})
    inside(project, "p", ONE)
    project.run("review", "p", "--tool", "no-such-tool").assert_error(6, "difftool", "--patch")
    project.run("review", "p", "--tool", "-x").assert_error(2, "--tool")
    project.run("review", "p", "--stat", "--patch").assert_error(2, "exclude")
    assert not list((project.home.path / "run/rumpel").glob("review-*"))
    project.run("delete", "--force", "p").assert_ok()


# A million paths: the import refuses trees of more than two.
BOMB = r"""
oid=$(echo x | git hash-object -w --stdin) mode='100644 blob'
for level in 1 2 3 4 5 6; do
    oid=$(for n in 0 1 2 3 4 5 6 7 8 9; do
        printf '%s %s\tf%s\n' "$mode" "$oid" $n
    done | git mktree)
    mode='040000 tree'
done
git switch -qc other
git update-ref refs/heads/p "$(git commit-tree -p HEAD -m bomb "$oid")"
"""


def test_a_tree_bomb_is_refused_in_time(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project()
    inside(project, "p", BOMB)
    outcome = project.run("review", "p", "--stat").assert_error(1, "too large to review")
    assert outcome.elapsed_s < 15, "the limit is 4 s; the rest is room for a busy machine"
    assert "f0/f0" not in outcome.stdout
    project.run("review", "p", "f0/f0/f0/f0/f0").assert_ok()
    project.run("delete", "--force", "p").assert_ok()


def test_on_a_terminal(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project({"src/app.py": "print(1)\n"})
    hostile(project)
    child = project.spawn("review", "p", env={"PAGER": "cat"})
    child.expect(b"commit ")
    out = child.read()
    child.wait()
    assert b"\x1b[32m+content of a file" in out
    for bad in (b"\x1b]0", b"\x1b[2J", b"\x1b[31mred", "\u202e".encode()):
        assert bad not in out
    pager = "sed -e s/^/PAGED:/"
    child = project.spawn("review", "p", "src", "deep", env={"GIT_PAGER": pager})
    child.expect(b"PAGED:")
    child.read()
    assert child.wait() == 0
    project.run("delete", "--force", "p").assert_ok()


def snapshot(project: Project) -> dict[str, bytes]:
    """All of .git but objects and our own refs."""
    top = project.root / ".git"
    names = {str(path.relative_to(top)): path for path in sorted(top.rglob("*")) if path.is_file()}
    return {
        name: path.read_bytes()
        for name, path in names.items()
        if not name.startswith(("objects/", "refs/remotes/rumpelpod/", "refs/rumpel/"))
    }
