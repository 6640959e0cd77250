"""Pods beside the containers of the reference's own program (npm), from the same files.

Compared by what the engine says of both, by what hooks left behind and by what a command sees.
What differs is argued here, or in the case; nothing else may. A normal run takes a few cases,
RUMPEL_LONG=1 (scripts/long) all.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from rumpel import names
from tests.support import reference_cli
from tests.support.peer_cases import CASES, LASTS, MINI, Compared, filled, hooks
from tests.support.project import Project, ProjectFactory
from tests.support.reference_cli import Peer
from tests.support.share import share

ARGUED = {
    "Config.AttachStderr": "rumpel attaches streams of its own",
    "Config.AttachStdout": "rumpel attaches streams of its own",
    "Config.Cmd": "each keeps a container alive in its own way; see `processes`",
    "Config.Entrypoint": "each keeps a container alive in its own way; see `processes`",
    "Config.Hostname": "a pod is called by its name, unless the file names it",
    "Config.Image": "each names its images itself",
    "Config.Labels": "each finds its containers by labels of its own; see `labels`",
    "Config.OpenStdin": "rumpel attaches streams of its own",
    "Config.WorkingDir": "a pod starts in its clone; commands start there in both",
    "HostConfig.Binds": "see `mounts`",
    "HostConfig.Init": "a pod has an init process unless the file says no",
    "HostConfig.LogConfig": "the log of a pod is bounded",
    "HostConfig.Mounts": "see `mounts`",
    "HostConfig.RestartPolicy": "none given is the same as no",
    "HostConfig.PidsLimit": "the processes of a pod are bounded, unless the file says how",
}
"""What the engine says of any two containers, and why it differs."""
SAID = {
    "Hostname": "--hostname",
    "Init": "init",
    "PidsLimit": "--pids-limit",
    "RestartPolicy": "--restart",
}
"""Argued only where the file does not name it."""
POD = "p"
pytestmark = [pytest.mark.slow, pytest.mark.here("the reference is on this machine")]


@pytest.fixture(name="project")
def repository(rumpel_project: ProjectFactory, dev_image: str) -> Iterator[Project]:
    assert dev_image
    project = rumpel_project(config=None)
    yield project
    if project.home.label is not None:
        project.docker.remove_labelled(project.home.label)
    if project.docker.has_image(f"{token(project)}-base:1"):
        project.docker.api.remove_image(f"{token(project)}-base:1", force=True)
    for row in project.docker.api.volumes()["Volumes"] or ():
        if row["Name"].startswith(token(project)):
            project.docker.api.remove_volume(row["Name"], force=True)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", share(CASES, 5))
def test_a_pod_is_as_the_reference_makes_it(project: Project, name: str) -> None:
    case = CASES[name]
    configured(project, case)
    with reference_cli.peer(project.home, project.root.resolve(), project.docker) as peer:
        theirs = of_the_reference(project, peer, case)
        ours = of_rumpel(project, case)
    differs = {
        key: (ours.get(key), theirs.get(key))
        for key in sorted(ours.keys() | theirs.keys())
        if ours.get(key) != theirs.get(key) and not is_argued(key, case)
    }
    assert bool(ours["hooks"]) == ("/tmp/hooks" in json.dumps([case.config, case.files, case.base]))
    assert differs == {}, json.dumps(differs, indent=1)
    needless = [key for key in case.argued if ours.get(key) == theirs.get(key)]
    assert needless == [], "it does not differ"


def test_what_runs_when_it_is_started_again(project: Project) -> None:
    """Stopped and started: once for the start, once for who comes in."""
    case = Compared(config=MINI | hooks())
    configured(project, case)
    with reference_cli.peer(project.home, project.root.resolve(), project.docker) as peer:
        of_the_reference(project, peer, case)
        of_rumpel(project, case)
        (row,) = project.docker.containers(peer.label)
        project.docker.api.stop(row["Id"], timeout=0)
        peer.up()
        theirs = left(project, row["Id"], "/tmp/hooks")
    project.run("stop", POD).assert_ok()
    project.run("enter", POD, "--", "true").assert_ok()
    ours = left(project, project.container_id(POD), "/tmp/hooks")
    assert ours == theirs
    assert len(ours) == 7


def token(project: Project) -> str:
    """In the names of what a case makes."""
    return project.home.path.name.replace("_", "0")


def configured(project: Project, case: Compared) -> None:
    parts = {"config": case.config, "files": case.files, "base": case.base}
    found = filled(parts, token(project), str(project.root.resolve()))
    if case.base:
        project.docker.build(f"{token(project)}-base:1", found["base"])
    files = {**found["files"], "devcontainer.json": found["config"]}
    project.commit("configured", {f".devcontainer/{path}": one for path, one in files.items()})
    project.home.env = {**project.home.env, **case.env}


def is_argued(key: str, case: Compared) -> bool:
    named = SAID.get(key.partition(".")[2])
    said = named is not None and named in json.dumps(case.config)
    return key in case.argued or (key in ARGUED and not said)


def of_the_reference(project: Project, peer: Peer, case: Compared) -> dict[str, Any]:
    peer.up(is_failure=case.is_failure)
    (row,) = project.docker.containers(peer.label)
    looked = peer.enter("sh", "-c", case.looks) if case.looks else ""
    return {
        **seen(project, row["Id"]),
        "looks": looked.replace("\r\n", "\n").strip(),
    }


def of_rumpel(project: Project, case: Compared) -> dict[str, Any]:
    made = project.run("create", POD, "--trust", timeout=120)
    assert (made.code != 0) == case.is_failure, made
    looked = project.inside(POD, case.looks) if case.looks else ""
    if not case.looks and not case.is_failure:
        project.run("enter", POD, "--", "true").assert_ok()  # it attaches
    return {
        **seen(project, project.container_id(POD)),
        "looks": looked,
    }


def seen(project: Project, container: str) -> dict[str, Any]:
    """What is compared, by its name."""
    detail = project.docker.inspect(container)
    plain = {
        f"{part}.{key}": value or None
        for part in ("Config", "HostConfig")
        for key, value in detail[part].items()
    }
    # Of two values the later one counts.
    plain["Config.Env"] = dict(one.partition("=")[::2] for one in detail["Config"]["Env"] or ())
    for key in ("CapAdd", "CapDrop", "SecurityOpt"):
        plain[f"HostConfig.{key}"] = sorted(detail["HostConfig"][key] or ()) or None
    labels = detail["Config"]["Labels"] or {}
    return plain | {
        "labels": {key: value for key, value in labels.items() if key == "mine"},
        "mounts": mounts(project, detail),
        "hooks": left(project, container, "/tmp/hooks"),
        "entry": left(project, container, "/tmp/entry"),
        "processes": own_processes(project, container),
    }


def mounts(project: Project, detail: Mapping[str, Any]) -> list[tuple[str, ...]]:
    root = str(project.root.resolve())
    found = []
    for one in detail["Mounts"]:
        place = one["Destination"]
        if place.startswith(names.SEED_PATH.rpartition("/")[0]) or one.get("Source") == root:
            continue
        source = one["Name"] if one["Type"] == "volume" else one.get("Source", "")
        found.append((one["Type"], source, place, str(one["RW"])))
    return sorted(found)


def left(project: Project, container: str, path: str) -> list[str]:
    """Lines; those of commands that run at once have one order."""
    done = project.docker.exec(container, "cat", path, user="0", check=False)
    lines = done.stdout.splitlines()
    if any(line.startswith("update-") for line in lines):
        lines.sort(key=lambda line: line.startswith("postCreate"))
        return sorted(lines)
    return lines


def own_processes(project: Project, container: str) -> list[str]:
    """Those of the image: its user and command line, without what started it."""
    script = "for p in /proc/[0-9]*; do tr '\\0' ' ' <$p/cmdline; echo; done 2>/dev/null"
    done = project.docker.exec(container, "sh", "-c", script, user="0", check=False)
    return [
        line.strip() for line in done.stdout.splitlines() if re.fullmatch(rf"sleep {LASTS} ?", line)
    ]
