"""`rumpel review` of hostile pods: risky files first, any name, and nothing of theirs runs."""

from __future__ import annotations

from pathlib import Path

from tests.support.project import Project, ProjectFactory
from tests.support.reviewed import ONE, paths, review, risks

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
    project.inside("p", RISKY)
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
    project.inside("p", HOSTILE)
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
    project.inside("p", ONE)
    project.run("review", "p", "--tool", "no-such-tool").assert_error(6, "difftool", "--patch")
    # Who saw nothing has reviewed nothing.
    project.run("merge", "p", "--reviewed").assert_error(4, "not reviewed")
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
    project.inside("p", BOMB)
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
