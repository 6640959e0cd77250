"""onCreateCommand and updateContentCommand run once for all new pods, in an image."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import time
from typing import Any

import pytest

from rumpel import names
from tests.support.engine import MINI_IMAGE
from tests.support.project import Project, ProjectFactory

WORKSPACE = "workspaces/repo"
ALWAYS = {"prebuild": {"minDuration": "0s"}}
"""For tests: even a quick command of a single pod is run beforehand."""
RAN, UPDATED = "/tmp/ran", "/tmp/updated"
ON_CREATE = f"cat /proc/sys/kernel/random/uuid >{RAN}"
"""Whoever has the same content has it from the same run."""
ON_UPDATE = f"cat /proc/sys/kernel/random/uuid >{UPDATED}"
CONFIG_FILE = ".devcontainer.json"


def config(**more: Any) -> dict[str, Any]:
    return {"image": MINI_IMAGE, "runArgs": ["--network=none"], **more}


def project_of(
    make: ProjectFactory, settings: Any = ALWAYS, files: dict[str, Any] | None = None, **more: Any
) -> Project:
    found = {".rumpelpod.json": json.dumps(settings), **(files or {})}
    return make(found, config=config(**more))


def runs(project: Project, *pods: str, of: str = RAN) -> int:
    """How often the command ran for all of them."""
    return len({project.exec(pod, "cat", of).stdout for pod in pods})


def ours(project: Project, kind: str) -> list[str]:
    label = project.home.label
    assert label, "an empty label would stand for everything on the engine"
    return [label, f"{names.LABEL_KIND}={kind}"]


def images(project: Project) -> list[dict[str, Any]]:
    """Without those that are only the layers of another one."""
    return project.docker.images(*ours(project, "prebuilt"), steps=False)


def tagged(project: Project) -> list[str]:
    return [tag for image in images(project) for tag in image["RepoTags"] or () if "<" not in tag]


def assert_no_builder(project: Project) -> None:
    assert project.docker.containers(*ours(project, "prebuild")) == []


def node(project: Project, pod: str, name: str) -> dict[str, Any]:
    data = project.run("graph", pod, "--json", "--why", name).assert_ok().data
    (found,) = data["nodes"]
    return dict(found)


def test_commands_run_once(rumpel_project: ProjectFactory) -> None:
    """For all pods of one request, and for those that come later."""
    project = project_of(rumpel_project, onCreateCommand=ON_CREATE, postCreateCommand=ON_UPDATE)
    project.run("create", "a", "b", "c").assert_ok()
    assert runs(project, "a", "b", "c") == 1
    assert runs(project, "a", "b", "c", of=UPDATED) == 3, "postCreateCommand is the pod's own"
    project.run("create", "d").assert_ok()
    assert runs(project, "a", "d") == 1
    assert_no_builder(project)
    assert len(tagged(project)) == 1
    # An own pod's lifecycle goes on as it always did.
    changed = {**config(), "onCreateCommand": f"{ON_CREATE}; true"}
    project.write({CONFIG_FILE: changed, ".devcontainer/devcontainer.json": changed})
    before = project.container_id("a")
    project.run("create", "a").assert_ok()
    assert runs(project, "a", "b") == 2
    assert project.container_id("a") == before


EVERYTHING = """
set -e
echo more >>tracked; echo new >untracked; mkdir -p target/deep; echo warm >target/deep/cache
chmod 750 target; chmod +x script; ln -s ../tracked target/link; echo odd >"odd name"; rm removed
git config core.hooksPath .husky; git config --add remote.host.fetch +refs/x/*:refs/x/*
git config alias.say '!echo "quoted \\\\ text"'; git config --bool rumpel.test true
printf '#!/bin/sh\\n' >.git/hooks/pre-commit; chmod 755 .git/hooks/pre-commit
echo secret-note >>.git/info/exclude
echo "$ONE-$TWO-$HOME" >~/env; umask 077; echo mine >~/private; mkdir -p /tmp/made
"""


def test_a_prebuilt_pod_equals_one_that_is_not(rumpel_project: ProjectFactory) -> None:
    """Files, modes, users, git's state and settings, environment; and git finds no stale index."""
    files = {f"src/file-{number}": f"{number}\n" for number in range(1200)}
    files |= {"tracked": "one\n", "script": "#!/bin/sh\n", "removed": "gone\n"}
    files |= {".gitignore": "target/\n"}
    project = project_of(
        rumpel_project,
        files=files,
        remoteUser="dev",
        containerEnv={"ONE": "1 one"},
        remoteEnv={"TWO": "${containerEnv:ONE} two"},
        onCreateCommand=EVERYTHING,
        updateContentCommand={"one": "echo one >update-one", "two": ["touch", "update two"]},
    )
    project.run("create", "plain", "--no-prebuild").assert_ok()
    assert images(project) == []
    project.run("create", "built").assert_ok()
    assert len(images(project)) == 1
    # Without a look at contents: the index knows the files as they lie there.
    stale = project.exec(
        "built", "git", "diff-files", "--name-only", user="dev", cwd=f"/{WORKSPACE}"
    )
    assert stale.stdout.split() == ["removed", "script", "tracked"]
    plain, built = (exported(project, pod) for pod in ("plain", "built"))
    assert {path: built.get(path) for path in plain} == plain
    assert built.keys() == plain.keys()
    for command in (
        ["git", "status", "--porcelain", "--ignored"],
        ["sh", "-c", "git config --list | grep -v ^branch | sort"],
        ["git", "say"],
        ["git", "for-each-ref", "--format=%(refname) %(objectname)", "refs/remotes/host"],
        ["git", "fsck", "--no-dangling"],
        ["sh", "-c", "git reflog; git log -1 --format=%H; ls .git/hooks"],
        ["sh", "-c", "env -u RUMPEL_EXEC | sort; id; umask; pwd"],
    ):
        one, other = (
            project.run("enter", pod, "--", *command).assert_ok().stdout.replace(pod, "POD")
            for pod in ("plain", "built")
        )
        assert other == one, command
    shown = node(project, "built", "onCreateCommand")
    assert shown["state"] == "cached"
    assert shown["by"].startswith("prebuild ")
    assert node(project, "plain", "onCreateCommand")["by"] is None


POD_OWN = (".git/config", ".git/HEAD", ".git/index", ".git/logs/", ".git/refs/", ".git/rumpel/")
ENGINE_OWN = ("etc/hosts", "etc/hostname", "etc/resolv.conf", "proc/", "sys/", "dev/", ".dockerenv")
PEERS = "refs/remotes/rumpelpod"


def exported(project: Project, pod: str) -> dict[str, tuple[Any, ...]]:
    """Path -> all that a file is, of the whole container, but for what is the pod's own."""
    stream = b"".join(project.docker.api.export(project.container_id(pod)))
    skipped = (*ENGINE_OWN, *(f"{WORKSPACE}/{path}" for path in POD_OWN))
    found = {}
    with tarfile.open(fileobj=io.BytesIO(stream)) as tar:
        for item in tar:
            if item.name.startswith(skipped):
                continue
            data = tar.extractfile(item) if item.isfile() else None
            digest = hashlib.sha256(data.read()).hexdigest() if data is not None else ""
            found[item.name] = (
                item.type,
                oct(item.mode),
                item.uid,
                item.gid,
                item.linkname,
                digest,
            )
    return found


def test_no_secret_enters_a_layer(rumpel_project: ProjectFactory) -> None:
    """Not even values of the file itself, which the commands get and the image does not."""
    canaries = ["canary-5f1c-container", "canary-5f1c-remote", "canary-5f1c-local"]
    project = project_of(rumpel_project, files={"README.md": "x\n"})
    project.git("rm", "-q", "-r", "--cached", ".devcontainer")
    project.git("commit", "-qm", "the configuration is not in the repository")
    checked = config(
        containerEnv={"ONE": canaries[0]},
        remoteEnv={"TWO": canaries[1]},
        onCreateCommand=f'[ -n "$ONE" ] && [ -n "$TWO" ] && {ON_CREATE}',
    )
    project.write({".devcontainer/devcontainer.json": checked})
    project.run("create", "a", "b").assert_ok()
    assert runs(project, "a", "b") == 1
    (image,) = images(project)
    said = json.dumps(project.docker.api.inspect_image(image["Id"]))
    said += json.dumps(project.docker.api.history(image["Id"]))
    saved = b"".join(project.docker.api.get_image(image["Id"])) + said.encode()
    assert RAN[1:].encode() in saved, "the layers are what is looked at"
    assert not [canary for canary in canaries if canary.encode() in saved]
    project.write(
        {
            ".devcontainer/devcontainer.json": {
                **checked,
                "remoteEnv": {"TWO": "${localEnv:CANARY}"},
            }
        }
    )
    project.run("create", "c", "d", "--trust", env={"CANARY": canaries[2]}).assert_ok()
    assert runs(project, "c", "d") == 2
    assert len(images(project)) == 1


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (f"{ON_CREATE}; echo broken >&2; exit 3", 6),
        (f"{ON_CREATE}; sleep 1000 >/dev/null 2>&1 &", 0),
        (f"{ON_CREATE}; git commit -q --allow-empty -m work", 0),
    ],
    ids=["fails", "leaves a process", "commits"],
)
def test_what_no_image_can_hold_is_run_by_each_pod(
    rumpel_project: ProjectFactory, command: str, code: int
) -> None:
    project = project_of(rumpel_project, onCreateCommand=command)
    done = project.run("create", "a", "b").assert_code(code)
    assert runs(project, "a", "b") == 2
    assert images(project) == []
    assert_no_builder(project)
    if code:
        assert "onCreateCommand failed: it exited with 3" in done.stderr
        shown = project.run("enter", "a", "--ignore-failed", "--", "cat", RAN).assert_ok()
        assert shown.stdout
        project.write({".devcontainer/devcontainer.json": config(onCreateCommand=ON_CREATE)})
        project.run("create", "a", "b").assert_ok()


def test_content_that_changed(rumpel_project: ProjectFactory) -> None:
    """updateContentCommand runs again for other content, onCreateCommand for other inputs."""
    project = project_of(
        rumpel_project,
        {"prebuild": {"minDuration": 0, "inputs": ["lock"]}},
        {"lock": "1\n", "other": "1\n", "odd": "1\n"},
        onCreateCommand=f"{ON_CREATE}; echo built >>odd",
        updateContentCommand=ON_UPDATE,
    )
    project.run("create", "a").assert_ok()
    project.commit("other content", {"other": "2\n", "new/file": "new\n"})
    project.run("create", "b").assert_ok()
    assert (runs(project, "a", "b"), runs(project, "a", "b", of=UPDATED)) == (1, 2)
    look = ("sh", "-c", "cat other new/file odd; git status --porcelain; git rev-parse HEAD")
    seen = project.run("enter", "b", "--", *look).assert_ok().stdout
    head = project.repo.oid("HEAD")
    assert seen.splitlines() == ["2", "new", "1", "built", " M odd", head]
    project.commit("a file that the command changes", {"odd": "2\n"})
    project.run("create", "c").assert_ok()
    assert project.exec("c", "cat", "odd", cwd=f"/{WORKSPACE}").stdout.startswith("2\n")
    project.commit("other inputs", {"lock": "2\n"})
    project.run("create", "d").assert_ok()
    assert runs(project, "a", "d") == 2


def test_when_it_pays(rumpel_project: ProjectFactory) -> None:
    """Not for the first pod, nor for quick commands; from the second one on for slow ones."""
    command = f"{ON_CREATE}; sleep 1.1"
    project = project_of(
        rumpel_project, {"prebuild": {"minDuration": "1s"}}, onCreateCommand=command
    )
    project.run("create", "a").assert_ok()
    assert images(project) == []
    project.run("create", "b").assert_ok()
    project.run("create", "c").assert_ok()
    assert (runs(project, "a", "b"), runs(project, "b", "c")) == (2, 1)
    assert len(images(project)) == 1
    project.write({".rumpelpod.json": '{"prebuild": false}'})
    project.run("create", "d").assert_ok()
    assert runs(project, "b", "d") == 2
    project.write({".rumpelpod.json": "{}"})
    project.write({".devcontainer/devcontainer.json": config(onCreateCommand=ON_CREATE)})
    project.run("create", "e", "f").assert_ok()
    assert runs(project, "e", "f") == 2
    assert len(images(project)) == 1, "what is quick needs no image"
    mounted = config(onCreateCommand=command, mounts=["type=volume,target=/cache"])
    project.write({".devcontainer/devcontainer.json": mounted})
    told = project.run("create", "g", "h").assert_ok().stderr
    assert runs(project, "g", "h") == 2
    assert "each pod runs onCreateCommand itself: a mount" in told


def test_old_images_go(rumpel_project: ProjectFactory) -> None:
    """The newest are kept, and those a pod was made of; what is too old is made again."""
    project = project_of(rumpel_project, onCreateCommand=ON_CREATE)
    for number in range(4):
        project.commit("content", {"content": f"{number}\n"})
        project.run("create", "p").assert_ok()
        if number < 3:
            project.run("delete", "--force", "p").assert_ok()
    made = time.monotonic()
    newest = tagged(project)
    assert len(newest) == 3
    project.write({".rumpelpod.json": '{"prebuild": {"minDuration": 0, "maxAge": "1s"}}'})
    project.wait_until(lambda: time.monotonic() > made + 1.0, "the newest is a second old")
    project.run("create", "q").assert_ok()
    assert runs(project, "p", "q") == 2
