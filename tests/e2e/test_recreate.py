"""`recreate`: what changed decides what is done, and no byte of work is lost."""

from __future__ import annotations

import contextlib
import json
import random
from typing import Any

import pytest

from rumpel.devcontainer import actions, compose, fields
from rumpel.devcontainer.actions import Action
from tests.support.dirty import FILES as WORKED_IN
from tests.support.dirty import dirty, photo
from tests.support.engine import MINI_IMAGE
from tests.support.exact import Picture, differences, picture
from tests.support.project import CONFIG_NAMES, Project, ProjectFactory
from tests.support.repo import Content

NO_NETWORK: dict[str, Any] = {"runArgs": ["--network=none"]}
BASE: dict[str, Any] = {"image": MINI_IMAGE, **NO_NETWORK}
FOLDER = "/workspaces/repo"
FILES: dict[str, Content] = {**WORKED_IN, ".gitignore": "*.log\nignored/\n.env\n"}
BUILD = {"dockerfile": "../Dockerfile", "context": ".."}


def configure(project: Project, **changes: Any) -> None:
    """The configuration of the repository, uncommitted; None takes a field out."""
    fields = {key: value for key, value in {**BASE, **changes}.items() if value is not None}
    (project.root / CONFIG_NAMES[0]).write_text(json.dumps(fields))


def exact(project: Project, pod: str) -> Picture:
    return picture(project.docker, project.container_id(pod), FOLDER, without=("ignored/",))


def test_a_new_container_has_every_byte(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project(FILES)
    seed = random.randrange(1 << 30)
    project.inside("p", dirty(random.Random(seed), "merge"))
    project.inside("p", "echo secret >.env; mkdir -p ignored; echo big >ignored/big; echo l >l.log")
    first = project.container_id("p")
    image = project.docker.inspect(first)["Image"]
    before, shown = exact(project, "p"), photo(project, "p")
    before = exact(project, "p")
    again = project.run("recreate", "p").assert_ok()
    assert again.stdout == "p: up to date\n"
    assert project.container_id("p") == first
    configure(project, containerEnv={"COLOUR": "red"})
    told = project.run("recreate", "p", "--plan").assert_ok().stdout
    assert told.startswith("p: would make a new container\n")
    assert "container: containerEnv.COLOUR not set -> red" in told
    assert project.container_id("p") == first
    done = project.run("recreate", "p", "--json").assert_ok().data
    assert done["action"] == "new container"
    second = project.container_id("p")
    assert second != first
    assert done["container_id"] == second
    assert project.docker.inspect(second)["Image"] == image
    after = exact(project, "p")
    gone = {name for name in before if name not in after}
    assert gone == {name for name in before if name.endswith((".log", ".tmp"))}, f"seed {seed}"
    for name in gone:
        del before[name]
    assert differences(before, after) == [], f"seed {seed}"
    assert photo(project, "p") == shown, f"seed {seed}"
    assert project.inside("p", "echo $COLOUR; cat .env; ls ignored 2>&1 || :") == (
        "red\nsecret\nls: ignored: No such file or directory"
    )
    assert project.run("recreate", "p").assert_ok().stdout == "p: up to date\n"
    assert project.container_id("p") == second
    project.wait_until(lambda: len(project.containers("p")) == 1, "the old one is removed")
    project.run("delete", "--force", "p").assert_ok()
    assert project.containers() == []


def assert_same_work(project: Project, before: Picture, *, why: str) -> None:
    """Nothing but ignored files differs."""
    after = exact(project, "p")
    kept = {
        name: item
        for name, item in before.items()
        if name in after or not name.endswith((".log", ".tmp"))
    }
    assert differences(kept, after) == [], why


def pid_of(project: Project) -> tuple[str, int]:
    found = project.docker.inspect(project.container_id("p"))
    return found["Id"], found["State"]["Pid"]


@pytest.mark.parametrize("state", ["stopped", "broken"])
def test_a_pod_that_does_not_run_loses_nothing(rumpel_project: ProjectFactory, state: str) -> None:
    """Nothing can be asked in it, so its ignored files are told from others in the new one."""
    project = rumpel_project(FILES)
    with contextlib.ExitStack() as broken:
        if state == "broken":
            configure(project, runArgs=[f"--network={broken.enter_context(project.network())}"])
            project.run("create", "p", "--trust").assert_ok()
        seed = random.randrange(1 << 30)
        project.inside("p", dirty(random.Random(seed), "rebase"))
        project.inside("p", "echo secret >.env; mkdir -p ignored; echo big >ignored/big")
        shown = photo(project, "p")
        first = project.container_id("p")
        project.run("stop", "p").assert_ok()  # looks for work in it, which touches objects
        before = exact(project, "p")
    if state == "broken":
        assert project.run("enter", "p", "--", "true").code != 0
    configure(project, containerEnv={"COLOUR": "red"})
    project.run("recreate", "p").assert_ok()
    assert project.container_id("p") != first
    assert_same_work(project, before, why=f"seed {seed}")
    assert photo(project, "p") == shown, f"seed {seed}"
    assert project.inside("p", "echo $COLOUR; cat .env; ls -A ignored 2>/dev/null || :") == (
        "red\nsecret"
    )


def test_what_fails_leaves_the_pod_as_it_was(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project({**FILES, "Dockerfile": f"FROM {MINI_IMAGE}\n"}, config=BASE)
    seed = random.randrange(1 << 30)
    project.inside("p", dirty(random.Random(seed), "cherry-pick"))
    before, first = exact(project, "p"), pid_of(project)
    (project.root / "Dockerfile").write_text(f"FROM {MINI_IMAGE}\nRUN false\n")
    configure(project, image=None, build={"dockerfile": "../Dockerfile", "context": ".."})
    project.run("recreate", "p").assert_code(6)
    assert pid_of(project) == first, "a build that fails does not touch it"
    configure(project, overrideCommand=False, containerEnv={"A": "b"})
    failed = project.run("recreate", "p").assert_code(6)
    assert "ended at once" in failed.stderr
    assert pid_of(project)[0] == first[0], "the old one is started again"
    assert_same_work(project, before, why=f"seed {seed}")
    configure(project)
    oid = project.inside(
        "p",
        "git cherry-pick --quit; rm .git/index; git symbolic-ref HEAD refs/heads/p;"
        "git reset -q --hard; git commit -q --allow-empty -m on; git rev-parse HEAD",
    )
    project.wait_for_ref("p", oid)
    assert len(project.containers("p")) == 1
    project.run("recreate", "q").assert_error(3, "no pod 'q'")


def test_the_smallest_action(rumpel_project: ProjectFactory) -> None:
    """One pod, many changes: container id and process ids say what was really done."""
    project = rumpel_project(FILES)
    project.run("create", "p").assert_ok()
    first = pid_of(project)

    def recreate(*flags: str, **changes: Any) -> str:
        configure(project, **changes)
        return str(project.run("recreate", "p", "--json", *flags).assert_ok().data["action"])

    assert recreate() == "nothing"
    assert recreate(remoteEnv={"COLOUR": "blue"}) == "later"
    assert project.inside("p", "echo $COLOUR") == "blue"
    assert recreate(remoteEnv={"COLOUR": "blue"}, forwardPorts=[9300]) == "ports"
    assert recreate(postCreateCommand="echo ran >>/tmp/ran") == "lifecycle"
    assert recreate(postCreateCommand="echo again >>/tmp/ran") == "lifecycle"
    assert project.inside("p", "cat /tmp/ran") == "ran\nagain"
    assert pid_of(project) == first
    assert recreate("--plan", "--force") == "new container"
    assert pid_of(project) == first
    assert recreate("--force") == "new container"
    second = pid_of(project)
    assert second[0] != first[0]
    assert project.inside("p", "mkdir -p ignored/a; echo 1 >ignored/a/1; echo 2 >.env") == ""
    assert recreate("--force", "--keep", "ignored/a") == "new container"
    assert project.inside("p", "cat ignored/a/1 .env") == "1\n2"
    assert recreate("--clean") == "new container"
    assert project.inside("p", "ls -A ignored .env 2>/dev/null || :") == ""


def test_a_gateway_that_stopped_makes_no_new_container(rumpel_project: ProjectFactory) -> None:
    """As after a restart of the engine; but what changed beside that is seen."""
    project = rumpel_project(config=BASE)
    project.run("create", "p").assert_ok()
    first = project.container_id("p")

    def stop_gateway() -> None:
        (row,) = project.docker.containers(project.home.label or "", "rumpel.kind=gateway")
        project.docker.api.stop(row["Id"], timeout=1)
        why = ("graph", "p", "--why", "seed")
        stopped = "gateway is exited"
        project.wait_until(lambda: stopped in project.run(*why).stdout, "the gateway is stopped")

    stop_gateway()
    assert project.run("recreate", "p", "--plan", "--json").assert_ok().data["action"] == "start"
    assert project.run("recreate", "p", "--json").assert_ok().data["action"] == "start"
    assert project.container_id("p") == first
    stop_gateway()
    configure(project, containerEnv={"COLOUR": "red"})
    assert project.run("recreate", "p", "--json").assert_ok().data["action"] == "new container"
    assert project.inside("p", "echo $COLOUR") == "red"


def test_a_step_is_done_again_when_asked_for(rumpel_project: ProjectFactory) -> None:
    """With what depends on its result; work and container stay where the step leaves them."""
    logged = {"onCreateCommand": "echo on >>/tmp/log", "postCreateCommand": "echo post >>/tmp/log"}
    build = {"dockerfile": "../Dockerfile", "context": ".."}
    config = {"build": build, **NO_NETWORK, **logged}
    project = rumpel_project({**FILES, "Dockerfile": f"FROM {MINI_IMAGE}\n"}, config=config)
    project.inside("p", "echo mine >mine; git add mine; echo log >/tmp/only-here")
    first, before = pid_of(project), exact(project, "p")

    def again(*steps: str, plan: bool = False) -> str:
        flags = [flag for step in steps for flag in ("--refresh", step)]
        done = project.run("recreate", "p", "--json", *flags, *(["--plan"] if plan else []))
        found = done.assert_ok().data
        assert {"refresh"} <= {reason["kind"] for reason in found["reasons"]}, found
        return str(found["action"])

    assert again("postCreateCommand", plan=True) == "lifecycle"
    assert project.inside("p", "cat /tmp/log") == "on\npost"
    assert again("postCreateCommand") == "lifecycle"
    assert project.inside("p", "cat /tmp/log") == "on\npost\npost"
    assert again("onCreateCommand") == "lifecycle"
    assert project.inside("p", "cat /tmp/log").split()[3:] == ["on", "post"]
    for step in ("image", "tools", "seed", "clone", "sync"):
        again(step)
        assert pid_of(project) == first, f"{step} gives what it gave before"
    assert project.inside("p", "cat /tmp/log").split()[5:] == []
    assert differences(before, exact(project, "p")) == []
    assert again("container", "image") == "new image"
    assert pid_of(project)[0] != first[0]
    assert_same_work(project, before, why="it was carried over")
    assert project.inside("p", "cat /tmp/log; ls /tmp/only-here 2>/dev/null || :") == "on\npost"
    project.run("recreate", "p", "--refresh", "nothing").assert_error(
        3, "no step 'nothing'", "clone"
    )


def test_a_baked_checkout_brings_nothing_back(rumpel_project: ProjectFactory) -> None:
    """The new container starts with the image's checkout: its caches stay, the rest of it goes."""
    dockerfile = (
        f"FROM {MINI_IMAGE}\nCOPY . {FOLDER}\n"
        f"RUN cd {FOLDER} && mkdir -p stray/er ignored && echo 1 >stray/er/file"
        " && echo warm >ignored/cache && git update-ref refs/heads/baked HEAD && rm -rf docs"
        " && mkdir -p src/lib.d && echo x >src/lib.d/x\n"
    )
    config = {**BASE, "build": {"dockerfile": "../Dockerfile", "context": ".."}}
    del config["image"]
    project = rumpel_project({**FILES, "Dockerfile": dockerfile}, config=config)
    seed = random.randrange(1 << 30)
    project.inside("p", dirty(random.Random(seed), "merge"))
    assert project.inside("p", "cat ignored/cache") == "warm"
    project.inside("p", "git rm -qf --ignore-unmatch run.sh; rm -rf docs README.md; echo f >docs")
    shown, before, first = photo(project, "p"), exact(project, "p"), project.container_id("p")
    configure(project, image=None, build=config["build"], containerEnv={"A": "b"})
    project.run("recreate", "p").assert_ok()
    assert project.container_id("p") != first
    assert_same_work(project, before, why=f"seed {seed}")
    assert photo(project, "p") == shown, f"seed {seed}"
    assert project.inside("p", "cat ignored/cache; git branch --list baked") == "warm"


def test_another_user_owns_the_workspace(rumpel_project: ProjectFactory) -> None:
    """The files of the one workspace user are those of the next one; others' stay theirs."""
    make = f"FROM {MINI_IMAGE}\nRUN echo '%s:x:%d:%d::/home/%s:/bin/sh' >>/etc/passwd\n"
    project = rumpel_project(
        {
            **FILES,
            "one.Dockerfile": make % ("ann", 1001, 1001, "ann"),
            "two.Dockerfile": make % ("bob", 1002, 1002, "bob"),
        },
        config={"build": {"dockerfile": "../one.Dockerfile"}, "remoteUser": "ann", **NO_NETWORK},
    )
    project.inside("p", "echo mine >mine; git add mine; echo new >new; git stash -q; echo 1 >2")
    project.exec("p", "sh", "-c", f"echo root >{FOLDER}/roots")
    before = exact(project, "p")
    build = {"dockerfile": "../two.Dockerfile"}
    configure(project, image=None, build=build, remoteUser="bob")
    project.run("recreate", "p").assert_ok()
    after = exact(project, "p")
    owned = ["stat", "-c", "%u:%g", f"{FOLDER}/2", f"{FOLDER}/roots"]
    assert project.exec("p", *owned).stdout.split() == ["1002:1002", "0:0"]
    assert {name: item[6] for name, item in before.items() if item[0] == b"0"} == {
        name: item[6] for name, item in after.items() if item[0] == b"0"
    }
    assert project.inside("p", "id -un; git stash pop -q; cat mine; git status --porcelain") == (
        "bob\nmine\nA  mine\n?? 2\n?? new\n?? roots"
    )


def test_the_user_of_the_image_need_not_be_one_of_the_engines_machine(
    rumpel_project: ProjectFactory,
) -> None:
    """The engine would look a name up there, and give that user all files."""
    config = {"build": {"dockerfile": "Dockerfile"}, "runArgs": ["--network=none"]}
    files: dict[str, Content] = {".devcontainer/Dockerfile": f"FROM {MINI_IMAGE}\nUSER dev\n"}
    project = rumpel_project(files, config=config)
    project.inside("a", "echo x >new")
    project.exec("a", "sh", "-c", "echo y >/workspaces/repo/of-root", user="0")
    project.write({CONFIG_NAMES[0]: config | {"containerEnv": {"A": "b"}}})
    project.run("recreate", "a").assert_ok()
    assert project.inside("a", "stat -c %U new of-root; id -un") == "dev\nroot\ndev"


def test_repositories_and_worktrees_come_along(rumpel_project: ProjectFactory) -> None:
    """Also an ignored one: it is work, whoever ignores it."""
    project = rumpel_project(FILES)
    project.inside(
        "p",
        "mkdir -p ignored/tool/deep; cd ignored/tool; git init -q; echo t >deep/t; git add .;"
        "git -c user.name=a -c user.email=a@b commit -qm tool; cd ../..;"
        "echo junk >ignored/junk; git worktree add -q wt -b side; echo w >wt/w;"
        "ln ignored/junk linked; ln README.md hard; mkfifo pipe",
    )
    before = picture(project.docker, project.container_id("p"), FOLDER)
    configure(project, containerEnv={"A": "b"})
    project.run("recreate", "p").assert_ok()
    after = picture(project.docker, project.container_id("p"), FOLDER)
    assert {name for name in before if name not in after} <= {"ignored/junk"}
    assert (
        project.inside(
            "p",
            "cat linked; stat -c %h README.md; git -C ignored/tool log --format=%s;"
            "git -C wt status --porcelain; test -p pipe && echo pipe;"
            "git fsck 2>&1 | grep error || :",
        )
        == "junk\n2\ntool\n?? w\npipe"
    )


@pytest.mark.parametrize("how", ["rm -rf .git && git init -q", "rm -rf .git/rumpel"])
def test_a_repository_that_was_made_anew_is_not_reset(
    rumpel_project: ProjectFactory, how: str
) -> None:
    """Nothing tells it from a checkout of the image, but that it was carried."""
    project = rumpel_project(FILES)
    project.inside("p", f"{how}; echo precious >README.md; echo new >untracked")
    before, first = exact(project, "p"), project.container_id("p")
    done = project.run("recreate", "--force", "p")
    done.assert_error(1, "/.git is not the one rumpel made")
    assert project.container_id("p") == first
    assert differences(before, exact(project, "p")) == []
    project.run("delete", "--force", "p")


def test_ignored_files_that_go_are_named(rumpel_project: ProjectFactory) -> None:
    """Before, where the pod can be asked, and after; a --keep that keeps nothing is told of."""
    project = rumpel_project(FILES)
    fill = "mkdir -p ignored; touch ignored/1 ignored/2 ignored/3 l.log .env"
    project.inside("p", fill)
    plan = project.run("recreate", "p", "--force", "--plan").assert_ok().stdout
    assert "would go (ignored): ignored\n  would go (ignored): l.log\n" in plan
    assert ".env" not in plan
    done = project.run("recreate", "p", "--force", "--keep", "*.log", "--keep", "tpyo").assert_ok()
    assert "went (ignored): ignored (3 files)\n" in done.stdout
    assert "l.log" not in done.stdout
    assert "--keep tpyo" in done.stderr
    assert "*.log" not in done.stderr
    project.inside("p", fill)
    project.run("stop", "p").assert_ok()
    assert "start it" in project.run("recreate", "p", "--force", "--plan").assert_ok().stdout
    done = project.run("recreate", "p", "--force", "--keep", "ignored/").assert_ok()
    assert done.stdout == "p: new container\n  went (ignored): l.log (1 file)\n"
    assert "--keep" not in done.stderr
    assert project.inside("p", "ls ignored") == "1\n2\n3"
    assert "went" not in project.run("recreate", "p", "--force", "--keep", "ignored").stdout


def test_an_edited_port_makes_no_new_image(rumpel_project: ProjectFactory) -> None:
    """Also where the configuration lies beside its Dockerfile, so in the context of the build."""
    project = rumpel_project(
        {".devcontainer/Dockerfile": f"FROM {MINI_IMAGE}\nRUN true\n"},
        config={"build": {"dockerfile": "Dockerfile"}, **NO_NETWORK},
    )
    project.run("create", "p").assert_ok()
    first = project.container_id("p")
    configure(project, image=None, build={"dockerfile": "Dockerfile"}, forwardPorts=[39817])
    done = project.run("recreate", "p", "--json").assert_ok().data
    assert (done["action"], done["container_id"]) == ("ports", first)


CHANGES: dict[str, Any] = {
    "remoteEnv": {"A": "b"},
    "secrets": {"TOKEN": {}},
    "appPort": [9301],
    "capAdd": ["SYS_PTRACE"],
    "containerEnv": {"A": "b"},
    "containerUser": "dev",
    "forwardPorts": [9300],
    "init": False,
    "initializeCommand": "true",
    "mounts": ["type=tmpfs,target=/scratch"],
    "name": "other",
    "onCreateCommand": "true",
    "otherPortsAttributes": {"onAutoForward": "silent"},
    "overrideCommand": False,
    "portsAttributes": {"9300": {"label": "web"}},
    "postAttachCommand": "true",
    "postCreateCommand": "true",
    "postStartCommand": "true",
    "privileged": True,
    "remoteUser": "dev",
    "runArgs": ["--network=none", "--memory=64m"],
    "securityOpt": ["no-new-privileges"],
    "updateContentCommand": "true",
    "userEnvProbe": "none",
    "waitFor": "postCreateCommand",
    "workspaceFolder": "/elsewhere",
}
"""A change of each field that needs no image, nor services (test_compose has those);
customizations stand for what is for others."""


def test_each_field_has_its_action(rumpel_project: ProjectFactory) -> None:
    """What leaves the container alone is done for real, one after the other in one pod."""
    project = rumpel_project(FILES)
    project.run("create", "p").assert_ok()
    first, changed = pid_of(project), dict[str, Any]()
    images = {name for name, does in actions.FIELDS.items() if does is Action.IMAGE}
    assert {*CHANGES} == fields.HONOURED - images - {*compose.FIELDS}
    for name, value in {**CHANGES, "customizations": {"a": 1}}.items():
        expected = actions.FIELDS[name]
        does = expected not in (Action.CONTAINER, Action.IMAGE)
        configure(project, **{**changed, name: value})
        flags = ("--trust", "--json", *(() if does else ("--plan",)))
        done = project.run("recreate", "p", *flags).assert_ok().data
        assert done["action"] == expected, f"{name}: {done}"
        assert pid_of(project) == first, name
        if does:
            changed[name] = value
