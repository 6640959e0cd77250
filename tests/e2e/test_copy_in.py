"""`copyIn`: files of the host that git does not have, in new pods: which, when, what is told."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from docker.errors import APIError

from tests.e2e.test_outside import seen_by_docker
from tests.support.copied_in import (
    MINE,
    NODE,
    SECRET,
    commit,
    image_with,
    prepared,
    set_up,
    settings,
    without_all_rights,
)
from tests.support.project import Project, ProjectFactory


@pytest.fixture
def project(rumpel_project: ProjectFactory) -> Project:
    return prepared(rumpel_project)


def node_of(project: Project, pod: str) -> dict[str, object] | None:
    nodes = project.run("graph", pod, "--json").assert_ok().data["nodes"]
    found = [node for node in nodes if node["kind"] == NODE]
    return found[0] if found else None


def test_they_are_there_before_any_command(project: Project) -> None:
    set_up(
        project,
        postCreateCommand="cp .env /tmp/seen",
        updateContentCommand="cp conf/dev.local /tmp",
    )
    made = project.run("create", "a", env=MINE).assert_ok()
    assert "copied 2 files: .env, conf/dev.local" in made.stderr
    assert "1 uncommitted change of the host" in made.stderr, "what was copied is none"
    look = "cat /tmp/seen /tmp/dev.local; ls; stat -c '%a %u' .env conf/dev.local; id -u"
    said = project.inside("a", look).splitlines()
    uid = said.pop()
    assert said == [SECRET.strip(), "dev", "README.md", "conf", f"640 {uid}", f"755 {uid}"]
    assert project.inside("a", "git status --porcelain; git add -A; git diff --cached") == ""
    node = node_of(project, "a")
    assert node is not None
    assert node["state"] == "cached"


def test_only_for_new_pods_and_only_what_is_there(project: Project) -> None:
    project.run("create", "a").assert_ok()
    assert node_of(project, "a") is None
    assert "up to date" in project.run("create", "a", env=MINE).assert_ok().stdout
    assert project.inside("a", "ls -A conf") == "base"
    project.run("create", "b", env={"RUMPEL_COPY_IN": "no-such-file,README.md"}).assert_ok()
    assert node_of(project, "b") is None
    drawn = project.run("graph", "c", "--plan", "create", "--json", env=MINE).assert_ok().data
    assert NODE in [node["kind"] for node in drawn["nodes"]]


def test_consent(project: Project) -> None:
    settings(project, copyIn=[".env"])
    refused = project.run("create", "a").assert_error(4, "copies files of this folder that match")
    assert ".env" in refused.stderr
    assert project.containers() == []
    project.run("create", "a", "--trust").assert_ok()
    assert project.inside("a", "cat .env") == SECRET.strip()
    project.run("create", "b").assert_ok()
    settings(project, copyIn=[".env", "stray/"])
    refused = project.run("create", "c").assert_error(4, "match stray into pods")
    assert "match .env" not in refused.stderr
    project.run("recreate", "a", "--force").assert_ok()
    project.run("create", "c", env=MINE).assert_ok()


def test_what_is_agreed_to_is_what_is_copied(project: Project) -> None:
    """`./.env` is the one at the top, and no other of that name."""
    project.write({"deep/sub/.env": "another secret\n"})
    settings(project, copyIn=["./.env"])
    project.run("create", "a").assert_error(4, "match /.env into pods")
    made = project.run("create", "a", "--trust").assert_ok()
    assert "copied 1 file: .env" in made.stderr
    assert project.inside("a", "find . -name .env") == "./.env"
    settings(project, copyIn=[".env"])
    project.run("create", "b").assert_error(4, "match .env into pods")


def test_no_content_stays_anywhere(project: Project) -> None:
    slow = "sleep 1; date >/tmp/ran"
    set_up(project, onCreateCommand=slow, postCreateCommand="cp .env /tmp/seen")
    settings(project, prebuild={"minDuration": "0s"})
    canary = SECRET.strip().encode()
    for pod in ("a", "b"):
        said = project.run("create", pod, "-v", env=MINE).assert_ok()
        assert canary.decode() not in said.stdout + said.stderr
        assert project.exec(pod, "cat", "/tmp/seen").stdout == SECRET
    done_by = project.run("logs", "b", "onCreateCommand").assert_ok().stdout
    assert "done by prebuild" in done_by
    project.run("recreate", "b", "--force").assert_ok()
    assert project.inside("b", "cat .env") == SECRET.strip()
    assert canary.decode() not in seen_by_docker(project)
    _no_image_has(project, canary)
    project.run("snapshot", "a").assert_ok()
    objects = ["git", "-C", str(project.root), "cat-file", "--batch-all-objects", "--batch"]
    assert canary not in subprocess.run(objects, capture_output=True, check=True).stdout
    project.home.kill_daemon()
    for path in project.home.state.rglob("*"):
        assert not path.is_file() or canary not in path.read_bytes(), path


def _no_image_has(project: Project, canary: bytes) -> None:
    """A container of each, with all that its layers have."""
    label, api = project.home.label, project.docker.api
    ids = {row["Id"] for row in api.images(filters={"label": label})}
    assert ids, "there is a prebuild"
    for image in ids:
        made = api.create_container(image, ["true"])
        try:
            assert canary not in b"".join(api.export(made["Id"])), image
        finally:
            api.remove_container(made["Id"], v=True, force=True)


def test_fork_and_undelete(project: Project) -> None:
    project.run("create", "a", env=MINE).assert_ok()
    project.inside("a", "echo work >untracked; echo own >stray")
    env = {"RUMPEL_COPY_IN": f"{MINE['RUMPEL_COPY_IN']},stray"}
    forked = project.run("fork", "a", "b", env=env).assert_ok()
    assert "pod b has its own: stray" in forked.stderr
    see = "cat .env conf/dev.local stray; git status --porcelain"
    all_of_it = f"{SECRET}dev\nown\n?? stray\n?? untracked"
    assert project.inside("b", see) == all_of_it
    project.run("delete", "--force", "a").assert_ok()
    project.run("undelete", "a", env=env).assert_ok()
    assert project.inside("a", see) == all_of_it


def test_one_command_for_many_pods_and_a_worktree(project: Project, tmp_path: Path) -> None:
    made = project.run("create", "p", "--count", "3", env=MINE).assert_ok()
    assert made.stderr.count("copied 2 files") == 1
    for number in (1, 2, 3):
        assert project.inside(f"p-{number}", "cat .env") == SECRET.strip()
    tree = tmp_path / "tree"
    project.git("worktree", "add", "-q", "-b", "other", str(tree))
    (tree / ".env").write_text("of the worktree\n")
    project.run("create", "w", cwd=tree, env=MINE).assert_ok()
    assert project.inside("w", "cat .env; ls conf") == "of the worktree\nbase"


NAMES = (
    b"a\nb.x",
    b"\xff\xfe.x",
    b" b *[c]\\ .x ",
    b"-x.x",
    "ü.x".encode(),
    b"cr\r.x\r",
    b"#.x",
    b"!.x",
)


def test_any_name(project: Project) -> None:
    for name in NAMES:
        path = os.path.join(os.fsencode(project.root), b"dir \n", name)  # noqa: PTH118 - bytes
        os.makedirs(os.path.dirname(path), exist_ok=True)  # noqa: PTH103, PTH120 - bytes
        Path(os.fsdecode(path)).write_bytes(name)
    made = project.run("create", "a", env={"RUMPEL_COPY_IN": "*.x*"}).assert_ok()
    assert f"copied {len(NAMES)} files" in made.stderr
    put = "find . -path ./.git -prune -o -type f -name '*.x*' -exec cat {} +"
    put += " | od -An -tx1 | tr -d ' \\n'"
    got = bytes.fromhex(project.inside("a", put))
    assert sorted(got) == sorted(b"".join(NAMES))
    assert project.inside("a", "git status --porcelain; git add -A; git diff --cached") == ""


def test_links_are_copied_as_such_and_nothing_special_is(project: Project) -> None:
    root, outside = project.root, project.home.path / "home/outside"
    outside.write_text(SECRET)
    (root / "out.x").symlink_to(outside)
    (root / "in.x").symlink_to("conf/base")
    (root / "dir.x").symlink_to("conf")
    os.mkfifo(root / "pipe.x")
    (root / "nested.x").mkdir()
    project.git("init", "-q", "nested.x")
    (root / "nested.x/file").write_text("x")
    made = project.run("create", "a", env={"RUMPEL_COPY_IN": "*.x,/../*,.git/config"}).assert_ok()
    assert "copied 3 files: dir.x, in.x, out.x" in made.stderr
    assert "lead out of here: out.x" in made.stderr
    assert "repositories of their own, not copied: nested.x" in made.stderr
    see = "for l in out in dir; do readlink $l.x; done; printf '%s\\n' *.x; cat in.x"
    expected = [str(outside), "conf/base", "conf", "dir.x", "in.x", "out.x", "base"]
    assert project.inside("a", see).splitlines() == expected


def test_nothing_of_the_pod_is_written_over_or_through(project: Project) -> None:
    """Neither a link of the image that leads elsewhere, nor a file of its own, nor a folder."""
    (project.root / "data").mkdir()
    project.write({"data/x.local": "host\n", "link": "host\n", "folder": "host\n", "conf/a": "a\n"})
    image_with(
        project,
        "RUN mkdir /elsewhere && ln -s /elsewhere /workspaces/repo/data",
        "RUN ln -s /elsewhere/made /workspaces/repo/link && mkdir /workspaces/repo/folder",
        "RUN echo image >/workspaces/repo/.env && chmod -R 777 /workspaces /elsewhere",
    )
    env = {"RUMPEL_COPY_IN": "data,link,folder,.env,/conf/a"}
    made = project.run("create", "a", env=env).assert_ok()
    assert "copied 1 file: conf/a" in made.stderr
    assert "pod a has its own: .env, data, folder, link" in made.stderr
    see = "cat .env; ls -A /elsewhere folder; cat conf/a; find / -name '.rumpel-cp*' 2>/dev/null"
    assert project.inside("a", see).split() == ["image", "/elsewhere:", "folder:", "a"]


def test_a_folder_the_user_may_not_write(project: Project) -> None:
    """It keeps nobody out who says so, and goes on when it is put right."""
    project.write({"data/x.local": "x\n"})
    folder = "/workspaces/repo"
    mount = ["--network=none", "--tmpfs", f"{folder}/data:mode=755"]
    set_up(project, workspaceFolder=folder, remoteUser="dev", runArgs=mount)
    env = {"RUMPEL_COPY_IN": "*.local"}
    failed = project.run("create", "a", env=env).assert_error(1, "could not be copied", "denied")
    assert "rumpel enter a --ignore-failed   goes in to look" in failed.stderr
    assert "failed at copy-in" in project.run("list").assert_ok().stdout
    project.run("enter", "a", "--", "true").assert_error(1, "could not be copied")
    entered = project.run("enter", "a", "--ignore-failed", "--", "ls", "data").assert_ok()
    assert entered.stdout == ""
    assert "copy-in failed and was not run again" in entered.stderr
    project.exec("a", "chown", "dev", f"{folder}/data", user="0")
    assert project.inside("a", "cat data/x.local conf/dev.local") == "x\ndev"
    assert leftovers(project) == ""


def test_onto_a_mount(project: Project) -> None:
    """By a rename there, too."""
    config = {"runArgs": ["--network=none", "--tmpfs", "/workspaces/repo/conf/vol:mode=1777"]}
    project.write(
        {"conf/vol/a.local": "a\n", "conf/vol/b/c.local": "c\n", "conf/.gitignore": "vol\n"}
    )
    set_up(project, workspaceFolder="/workspaces/repo", **config)
    project.run("create", "a", env=MINE).assert_ok()
    see = "cat conf/vol/a.local conf/vol/b/c.local; ls -A conf/vol"
    assert project.inside("a", see).split() == ["a", "c", "a.local", "b"]


@pytest.mark.skipif(os.geteuid() != 0, reason="drops what root may")
def test_a_file_that_cannot_be_read(project: Project) -> None:
    (project.root / ".env").chmod(0)
    failed = without_all_rights(project, "create", "a", env=MINE)
    failed.assert_error(1, ".env cannot be copied into the pod: Permission denied")
    assert "make it readable" in failed.stderr
    assert project.run("list", "--json").data == []
    (project.root / ".env").chmod(0o600)
    project.run("create", "a", env=MINE).assert_ok()


def test_too_much(project: Project) -> None:
    (project.root / "big.x").write_bytes(b"")
    os.truncate(project.root / "big.x", (1 << 30) + 1)
    failed = project.run("create", "a", env={"RUMPEL_COPY_IN": "*.x"})
    assert "name fewer files in copyIn" in failed.assert_error(2, "copyIn names more than 1").stderr
    assert project.run("list", "--json").data == []


POINTS = [f"{NODE}.{point}" for point in ("effect-before", "excluded", "copied", "effect-after")]


@pytest.mark.parametrize("point", POINTS)
def test_the_daemon_is_killed(project: Project, point: str) -> None:
    set_up(project, postCreateCommand="cp .env /tmp/seen")
    project.run("create", "a", env={**MINE, "RUMPEL_FAULT": f"{point}:1:kill"})
    made = project.run("create", "a").assert_ok()  # what it was to get is known
    assert "has its own" not in made.stderr
    see = "cat /tmp/seen conf/dev.local; git status --porcelain"
    assert project.inside("a", see) == f"{SECRET}dev"
    assert leftovers(project) == ""


def leftovers(project: Project) -> str:
    find = "find / -xdev -name '.rumpel-cp*' 2>/dev/null; ps -o args | grep '[t]ar -' || true"
    return project.exec("a", "sh", "-c", find).stdout


def in_its_middle(project: Project, size: int) -> tuple[subprocess.Popen[bytes], str]:
    """A file that takes some time, on its way; and what of it is under its name in the pod."""
    (project.root / "large.x").write_bytes(b"")
    os.truncate(project.root / "large.x", size)
    begun = project.start("create", "a", env={"RUMPEL_COPY_IN": "large.x"})
    find = "find /workspaces -path '*/.rumpel-cp-*/0/large.x' -size +1k 2>/dev/null"

    def is_there() -> bool:
        return len(project.containers("a")) == 1 and find_in(project, find) != ""

    project.wait_until(is_there, "bytes beside the destination")
    return begun, find_in(project, "find /workspaces -name large.x ! -path '*/.rumpel-cp-*'")


def find_in(project: Project, script: str) -> str:
    try:
        return project.exec("a", "sh", "-c", script, check=False).stdout
    except (APIError, AssertionError):  # it does not run yet
        return ""


@pytest.mark.slow
def test_the_daemon_is_killed_while_it_copies(project: Project) -> None:
    size = 1 << 30
    begun, early = in_its_middle(project, size)
    assert early == ""
    project.home.kill_daemon()
    begun.communicate(timeout=60)
    project.wait_until(lambda: leftovers(project) == "", "what was half there is gone")
    assert find_in(project, "find /workspaces -name large.x") == ""
    os.truncate(project.root / "large.x", 1 << 20)
    project.run("create", "a").assert_ok()
    assert project.inside("a", "stat -c %s large.x") == str(1 << 20)


@pytest.mark.slow
def test_a_file_that_changes_while_it_is_copied(project: Project) -> None:
    begun, _ = in_its_middle(project, 1 << 30)
    os.truncate(project.root / "large.x", 5)
    assert begun.wait(60) == 0
    assert project.inside("a", "stat -c %s large.x") == "5"
    assert "large.x became shorter" in project.run("logs", "a", NODE).assert_ok().stdout
    assert leftovers(project) == ""


def test_a_file_that_vanishes(project: Project, tmp_path: Path) -> None:
    """After it was found, and before it is read; and one in whose place a link is meanwhile."""
    project.write({"sub/x.local": "x\n", "other/y.local": "y\n"})
    log = tmp_path / "faults"
    held = {"RUMPEL_FAULT": f"{NODE}.effect-before:1:hold", "RUMPEL_FAULT_LOG": str(log)}
    env = {"RUMPEL_COPY_IN": ".env,*.local", **held}
    begun = project.start("create", "a", env=env)
    project.wait_until(
        lambda: log.exists() and f"{NODE}.effect-before" in log.read_text(), "it is about to copy"
    )
    (project.root / ".env").unlink()
    (project.root / "sub/x.local").unlink()
    (project.root / "sub").rmdir()
    (project.root / "sub").symlink_to("other")
    (project.root / "other").rename(project.root / "moved")
    (project.root / "other").symlink_to("/etc")
    Path(f"{log}.{NODE}.effect-before").touch()
    out, err = begun.communicate(timeout=60)
    assert begun.returncode == 0, err
    said = (out or b"").decode() + (err or b"").decode()
    assert "copied 1 file: conf/dev.local" in said
    assert "gone meanwhile: .env, other/y.local, sub/x.local" in said
    assert project.inside("a", "ls -A") == ".devcontainer\n.git\n.gitignore\nREADME.md\nconf"


def test_a_batch_agrees_once(project: Project) -> None:
    settings(project, copyIn=[".env"])
    batch = "tasks: [{name: one, command: cp .env got; git add -f got; git commit -qm x}]\n"
    project.write({"batch.yml": batch})
    project.run("batch", "run", "batch.yml").assert_error(4, "match .env into pods")
    project.run("batch", "run", "batch.yml", "--trust", timeout=120).assert_ok()
    assert project.git("show", "rumpelpod/one:got") == SECRET.strip()


def test_what_the_pod_could_commit_does_not_come(project: Project) -> None:
    """A .gitignore has more to say than the list of the pod's own."""
    project.write({"sub/.env": "a secret\n"})
    commit(project, {".gitignore": ".env\n", "conf/.gitignore": "!*.local\n"})
    commit(project, {"sub/.gitignore": "!.env\n"})
    made = project.run("create", "a", env=MINE).assert_ok()
    assert "copied 1 file: .env" in made.stderr
    assert "would not ignore it (its .gitignore un-ignores it" in made.stderr
    assert "conf/dev.local, sub/.env" in made.stderr
    assert "sub/.env" in project.run("logs", "a", NODE).assert_ok().stdout
    see = "cat .env; ls -A conf sub; git add -A; git diff --cached --stat"
    assert project.inside("a", see).split() == [
        *(SECRET.strip(), "conf:", ".gitignore", "base", "sub:", ".gitignore")
    ]


def test_a_repository_in_the_pod_ignores_what_lies_in_it(project: Project) -> None:
    """And nothing comes into a submodule that is not there."""
    image_with(
        project,
        "RUN git init -q /workspaces/repo/sub && git init -q /workspaces/repo/open",
        "RUN echo '!*' >/workspaces/repo/open/.gitignore && chmod -R 777 /workspaces",
        "RUN git init -q /workspaces/repo/own && chown -R 4321 /workspaces/repo/own",
    )
    head = project.git("rev-parse", "HEAD").strip()
    project.git("update-index", "--add", "--cacheinfo", f"160000,{head},mod")
    project.git("commit", "-qm", "a submodule")
    project.git("branch", "-q", "with")
    project.git("reset", "-q", "--hard", "HEAD~")
    names = ("sub/a.local", "sub/deep/b.local", "open/c.local", "mod/d.local", "own/e.local")
    project.write(dict.fromkeys(names, "secret\n"))
    made = project.run("create", "a", "--from", "with", env={"RUMPEL_COPY_IN": "*.local"})
    assert (
        "copied 3 files: conf/dev.local, sub/a.local, sub/deep/b.local" in made.assert_ok().stderr
    )
    assert "or it lies in a submodule): mod/d.local, open/c.local" in made.stderr
    assert "could not be told to ignore it (fatal: detected dubious ownership" in made.stderr
    assert "/repo/own'): own/e.local" in made.stderr
    see = "find . -name '*.local' | sort; git -C sub status --porcelain; git -C sub add -A"
    found = project.inside("a", f"{see}; git -C sub ls-files").split()
    assert found == ["./conf/dev.local", "./sub/a.local", "./sub/deep/b.local"]


def test_patterns_as_people_write_them(project: Project) -> None:
    """And those that name nothing are told, once."""
    patterns = "./.env,conf/,README.md,none/"
    made = project.run("create", "p", "--count", "2", env={"RUMPEL_COPY_IN": patterns}).assert_ok()
    assert "copied 2 files: .env, conf/dev.local" in made.stderr
    for pattern in ("README.md", "none"):
        told = f"copyIn {pattern}: nothing here has that name, or git has it"
        assert made.stderr.count(told) == 1
    assert made.stderr.count("nothing here has that name") == 2
    own = project.home.path / "config/rumpel/config.json"
    own.parent.mkdir(exist_ok=True)
    own.write_text('{"copyIn": [".env", "none"]}')
    quiet = project.run("create", "q").assert_ok()
    assert "nothing here has that name" not in quiet.stderr, "one's own are for all repositories"


def test_a_work_tree_that_moves_away(project: Project, tmp_path: Path) -> None:
    log = tmp_path / "faults"
    held = {"RUMPEL_FAULT": f"{NODE}.excluded:1:hold", "RUMPEL_FAULT_LOG": str(log)}
    begun = project.start("create", "a", env={**MINE, **held})
    project.wait_until(
        lambda: log.exists() and "excluded" in log.read_text(), "it is about to copy"
    )
    away = project.root.with_name("away")
    project.root.rename(away)
    Path(f"{log}.{NODE}.excluded").touch()
    out, err = begun.communicate(timeout=60)
    away.rename(project.root)
    said = (out or b"").decode() + (err or b"").decode()
    assert begun.returncode != 0, said
    assert "FAILED" in said
    assert "cannot be read: No such file" in said
    assert project.inside("a", "cat .env") == SECRET.strip()
