"""`why` names exactly what was changed: one input after the other, on one pod.

Two answers are wider than the question: containerUser is named as the user it stands for, and a
Dockerfile as the folder it lies in.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tests.support.engine import MINI_IMAGE
from tests.support.project import Project, ProjectFactory

BUILD = {"dockerfile": "../image/Dockerfile", "context": "../image"}
"""A folder of its own: beside devcontainer.json that file would be part of the context."""
CONFIG: dict[str, Any] = {
    "build": {**BUILD, "args": {"WHO": "me"}, "target": "last"},
    "runArgs": ["--network=none", "--hostname=first"],
    "containerEnv": {"A": "one", "B": "two"},
    "remoteEnv": {"R": "one"},
    "onCreateCommand": "true",
    "updateContentCommand": "true",
    "postCreateCommand": "true",
    "postStartCommand": "true",
}
CONFIG_FILE = ".devcontainer/devcontainer.json"
DOCKERFILE = f"FROM {MINI_IMAGE} AS last\nARG WHO\nLABEL who=$WHO\n"

FIELDS: tuple[tuple[str, Mapping[str, Any], str], ...] = (
    ("containerEnv changed", {"containerEnv": {"A": "x", "B": "two"}}, "container containerEnv.A"),
    (
        "containerEnv added",
        {"containerEnv": {"A": "one", "B": "two", "C": ""}},
        "container containerEnv.C",
    ),
    ("containerEnv removed", {"containerEnv": {"A": "one"}}, "container containerEnv.B"),
    ("remoteEnv changed", {"remoteEnv": {"R": "x"}}, "lifecycle remoteEnv.R"),
    ("remoteEnv added", {"remoteEnv": {"R": "one", "S": "x"}}, "lifecycle remoteEnv.S"),
    ("onCreateCommand", {"onCreateCommand": "echo x"}, "lifecycle onCreateCommand"),
    (
        "updateContentCommand",
        {"updateContentCommand": ["echo", "x"]},
        "lifecycle updateContentCommand",
    ),
    ("postCreateCommand", {"postCreateCommand": {"a": "echo x"}}, "lifecycle postCreateCommand"),
    ("postStartCommand", {"postStartCommand": "echo x"}, "lifecycle postStartCommand"),
    ("init", {"init": False}, "container init"),
    ("overrideCommand", {"overrideCommand": False}, "container overrideCommand"),
    ("containerUser", {"containerUser": "nobody"}, "tools remoteUser"),
    ("capAdd", {"capAdd": ["SYS_PTRACE"]}, "container runArgs.host.CapAdd"),
    ("securityOpt", {"securityOpt": ["no-new-privileges"]}, "container runArgs.host.SecurityOpt"),
    ("mounts", {"mounts": ["type=volume,source=rumpel-why,target=/extra"]}, "container mounts"),
    ("build args", {"build": {**CONFIG["build"], "args": {"WHO": "you"}}}, "image build.args.WHO"),
    ("build target", {"build": {**CONFIG["build"], "target": "other"}}, "image build.target"),
    (
        "build cacheFrom",
        {"build": {**CONFIG["build"], "cacheFrom": "x:1"}},
        "image build.cacheFrom",
    ),
)
FLAGS = (
    ("--hostname=other", "config.Hostname"),
    ("--domainname=x.example", "config.Domainname"),
    ("--env=E=1", ""),
    ("--label=l=1", "config.Labels"),
    ("--stop-signal=INT", "config.StopSignal"),
    ("--stop-timeout=9", "config.StopTimeout"),
    ("--add-host=h:127.0.0.1", "host.ExtraHosts"),
    ("--dns=127.0.0.1", "host.Dns"),
    ("--dns-search=x.example", "host.DnsSearch"),
    ("--cap-drop=NET_RAW", "host.CapDrop"),
    ("--shm-size=32m", "host.ShmSize"),
    ("--ulimit=nofile=64:64", "host.Ulimits"),
    ("--tmpfs=/t", "host.Tmpfs"),
    ("--read-only", "host.ReadonlyRootfs"),
    ("--group-add=7", "host.GroupAdd"),
    (
        "--sysctl=net.ipv4.ip_unprivileged_port_start=1",
        "host.Sysctls",
    ),
    ("--oom-score-adj=100", "host.OomScoreAdj"),
    ("--cpu-shares=100", "host.CpuShares"),
    ("--cpuset-cpus=0", "host.CpusetCpus"),
    ("--memory-swap=900m", "host.MemorySwap"),
    ("--memory-reservation=64m", "host.MemoryReservation"),
    ("--memory-swappiness=5", "host.MemorySwappiness"),
    ("--ipc=private", "host.IpcMode"),
    ("--cgroupns=private", "host.CgroupnsMode"),
    ("--blkio-weight=100", "host.BlkioWeight"),
)


def changed(project: Project) -> set[str]:
    """`kind component` of every reason that is a changed input."""
    data = project.run("graph", "p", "--json").assert_ok().data
    return {
        f"{node['kind']} {reason['subject']}"
        for node in data["nodes"]
        for reason in node["reasons"]
        if reason["kind"] == "input"
    }


def test_why_names_exactly_what_was_changed(rumpel_project: ProjectFactory) -> None:
    project = rumpel_project(
        config=CONFIG, files={"image/Dockerfile": DOCKERFILE, "image/data": "1"}
    )
    project.run("create", "p").assert_ok()
    assert changed(project) == set()
    wrong: dict[str, Any] = {}

    def look(name: str, files: Mapping[str, Any], expected: str) -> None:
        project.write(files)
        found = changed(project)
        if found != {expected}:
            wrong[name] = (expected, sorted(found))
        project.write(
            {
                CONFIG_FILE: CONFIG,
                "image/Dockerfile": DOCKERFILE,
                "image/data": "1",
            }
        )

    for name, change, expected in FIELDS:
        look(name, {CONFIG_FILE: {**CONFIG, **change}}, expected)
    for flag, component in FLAGS:
        args = [*CONFIG["runArgs"], flag]
        config = {**CONFIG, "runArgs": args}
        expected = f"container runArgs.{component}" if component else "container containerEnv.E"
        look(flag, {CONFIG_FILE: config}, expected)
    dockerfile = {"image/Dockerfile": f"{DOCKERFILE}LABEL more=1\n"}
    look("Dockerfile", dockerfile, "image build.context")
    look("build context", {"image/data": "2"}, "image build.context")
    assert wrong == {}, json.dumps(wrong, indent=1)
    assert changed(project) == set()
    assert len(FIELDS) + len(FLAGS) + 2 >= 45
