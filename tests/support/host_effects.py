"""Configurations that do something to the host, with what is asked for; those that do not; those
that nobody can agree to. Used by the unit tests (all) and, for real, by tests/e2e.

Written for threats C4 and C5: each notation of an effect is one case. In texts `{root}` is the
repository, `{out}` a folder outside of it (see `World`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

from tests.support.effect_case import Case, Fields, Files, commands, feature, mount, volume, words
from tests.support.host_networks import REACHES

INSTALLED: Fields = {"features": {"./x": {}}}
DOCKERFILE = {"dockerfile": "Dockerfile"}

COMMANDS = {
    "a command of this machine": Case(
        fields={"initializeCommand": "touch {out}/x"},
        keys=commands("touch {out}/x"),
        said="runs on this machine: touch {out}/x",
        other={"initializeCommand": "touch {out}/y"},
        more=commands("touch {out}/y"),
    ),
    "a command without a shell": Case(
        fields={"initializeCommand": ["touch", "{out}/a b"]},
        keys=commands("touch '{out}/a b'"),
        said="runs on this machine: touch '{out}/a b'",
        other={"initializeCommand": ["touch", "{out}/a", "b"]},
        more=commands("touch {out}/a b"),
    ),
    "several commands": Case(
        fields={"initializeCommand": {"a": "true", "b": ["echo", "x"]}},
        keys=commands("echo x", "true"),
        said="runs on this machine: echo x",
        other={"initializeCommand": {"a": "true", "b": ["echo", "x"], "c": "false"}},
        more=commands("false"),
    ),
    "a command with a secret": Case(
        fields={"initializeCommand": "test ${localEnv:TOKEN}"},
        keys=(*commands("test ${localEnv:TOKEN}"), "local-env:TOKEN"),
        said="runs on this machine: test ${localEnv:TOKEN}",
        other={"initializeCommand": "test ${localEnv:TOKEN} ${localEnv:OTHER}"},
        more=(*commands("test ${localEnv:TOKEN} ${localEnv:OTHER}"), "local-env:OTHER"),
    ),
    "a script of the repository": Case(
        fields={"initializeCommand": "sh .devcontainer/run"},
        files={"run": "true\n"},
        keys=(
            "command:sh .devcontainer/run "
            + hashlib.sha256(b".devcontainer/run\0true\n").hexdigest(),
        ),
        said="runs on this machine: sh .devcontainer/run",
        other={"initializeCommand": "sh .devcontainer/run"},
        other_files={"run": "true \n"},
        more=(
            "command:sh .devcontainer/run "
            + hashlib.sha256(b".devcontainer/run\0true \n").hexdigest(),
        ),
    ),
}

MOUNTS = {
    "all of the host": Case(
        fields=mount("type=bind,source=/,target=/host"),
        keys=("bind:/",),
        said="mounts / of the host",
        other=mount("type=bind,source=/usr,target=/host"),
        more=("bind:/usr",),
    ),
    "the home, as an object": Case(
        fields={
            "mounts": [{"type": "bind", "source": "${localEnv:HOME}", "target": "/h"}],
        },
        keys=("bind:{out}/home",),
        said="mounts {out}/home of the host",
        other={
            "mounts": [{"type": "bind", "source": "${localEnv:HOME}/.ssh", "target": "/h"}],
        },
        more=("bind:{out}/home/.ssh",),
    ),
    "the engine's socket": Case(
        fields=words("-v", "{out}/docker.sock:/var/run/docker.sock"),
        keys=("engine-socket:{out}/docker.sock",),
        said="gives the pod full control of the host ({out}/docker.sock)",
        other=words("-v", "{out}/podman.sock:/var/run/docker.sock"),
        more=("engine-socket:{out}/podman.sock",),
    ),
    "the engine's socket, to read, behind a link of the repository": Case(
        fields=mount("type=bind,src=${localWorkspaceFolder}/.devcontainer/a,dst=/a,readonly"),
        files={"a": "-> {out}/docker.sock"},
        keys=("engine-socket:{out}/docker.sock",),
        said="gives the pod full control of the host ({out}/docker.sock)",
        other=mount("type=bind,src=${localWorkspaceFolder}/.devcontainer/a,dst=/a,readonly"),
        other_files={"a": "-> {out}/podman.sock"},
        more=("engine-socket:{out}/podman.sock",),
    ),
    "a folder behind a link of the repository": Case(
        fields=mount("type=bind,source={root}/.devcontainer/a,target=/a"),
        files={"a": "-> {out}/data"},
        keys=("bind:{out}/data",),
        said="mounts {out}/data of the host",
        other=mount("type=bind,source={root}/.devcontainer/a,target=/a"),
        other_files={"a": "-> {out}/home"},
        more=("bind:{out}/home",),
    ),
    "processes": Case(
        fields=words("--mount", "type=bind,source=/proc,target=/p"),
        keys=("bind:/proc",),
        said="mounts /proc of the host",
        other=words("--mount", "type=bind,source=/proc/sys,target=/p"),
        more=("bind:/proc/sys",),
    ),
    "a folder to read": Case(
        fields=words("--volume={out}/data:/c:ro"),
        keys=("bind-read:{out}/data",),
        said="mounts {out}/data of the host, to read",
        other=words("--volume={out}/data:/c"),
        more=("bind:{out}/data",),
    ),
    "a folder to read, another notation": Case(
        fields=mount("type=bind,source={out}/data,target=/c,ro"),
        keys=("bind-read:{out}/data",),
        said="mounts {out}/data of the host, to read",
        other=mount("type=bind,source={out}/data,target=/c,ro=false"),
        more=("bind:{out}/data",),
    ),
    "a folder to read that is marked anew": Case(
        fields=words("-v{out}/data:/c:ro,Z"),
        keys=("bind:{out}/data",),
        said="mounts {out}/data of the host",
        other=words("-v{out}/more:/c:ro,Z"),
        more=("bind:{out}/more",),
    ),
    "a folder by a roundabout way": Case(
        fields=words("-v={out}/home/../data/.:/c"),
        keys=("bind:{out}/data",),
        said="mounts {out}/data of the host",
        other=words("-v={out}/home/../home/.:/c"),
        more=("bind:{out}/home",),
    ),
    "a folder beside the repository": Case(
        fields=words("-v", "../outside/data:/c"),
        keys=("bind:{out}/data",),
        said="mounts {out}/data of the host",
        other=words("-v", "../outside:/c"),
        more=("bind:{out}",),
    ),
    "a folder in quotes": Case(
        fields=mount('type=bind,"source={out}/a,b",target=/c,bind-propagation=rshared'),
        keys=("bind:{out}/a,b", "bind-shared:{out}/a,b"),
        said="mounts {out}/a,b of the host",
        other=mount('type=bind,"source={out}/a,c",target=/c'),
        more=("bind:{out}/a,c",),
        can_run=False,
    ),
    "what a pod mounts": Case(
        fields=words("-v", "{out}/data:/c"),
        keys=("bind:{out}/data",),
        said="mounts {out}/data of the host",
        other=words("-v", "{out}/data:/c:rshared"),
        more=("bind-shared:{out}/data",),
    ),
    "a folder of the repository": Case(
        fields=mount("type=bind,source=${localWorkspaceFolder}/.devcontainer,target=/c"),
        keys=("bind:{root}/.devcontainer",),
        said="mounts {root}/.devcontainer of the host",
        other=mount("type=bind,source=${localWorkspaceFolder},target=/c"),
        more=("bind:{root}",),
    ),
    "a volume that is a folder": Case(
        fields=volume(type="none", o="bind", device="{out}/data"),
        keys=("bind:{out}/data",),
        said="mounts {out}/data of the host",
        other=volume(type="none", o="bind", device="/"),
        more=("bind:/",),
    ),
    "a volume that is no tmpfs": Case(
        fields=volume(type="tmpfs", o="bind", device="{out}/data"),
        keys=("bind:{out}/data",),
        said="mounts {out}/data of the host",
        other=words(
            "--mount",
            'dst=/c,volume-opt=type=tmpfs,volume-opt=device=etc,"volume-opt=o=size=1,rbind"',
        ),
        more=("bind:/etc",),
    ),
    "a volume of layers": Case(
        fields=mount(
            "target=/c,volume-opt=type=overlay,volume-opt=device=/a,volume-opt=o=lowerdir=/usr"
        ),
        keys=("volume-device:device=/a o=lowerdir=/usr type=overlay",),
        said="mounts device=/a o=lowerdir=/usr type=overlay through a volume driver",
        other=mount(
            "target=/c,volume-opt=type=overlay,volume-opt=device=/a,volume-opt=o=lowerdir=/"
        ),
        more=("volume-device:device=/a o=lowerdir=/ type=overlay",),
        can_run=False,
    ),
    "a volume of the network": Case(
        fields=volume(type="nfs", o="addr=192.0.2.1", device=":/x"),
        keys=("volume-device:device=:/x o=addr=192.0.2.1 type=nfs",),
        said="mounts device=:/x o=addr=192.0.2.1 type=nfs",
        other=volume(type="nfs", o="addr=192.0.2.2", device=":/x"),
        more=("volume-device:device=:/x o=addr=192.0.2.2 type=nfs",),
        can_run=False,
    ),
    "a volume of a plug-in": Case(
        fields=mount("source=v,target=/c,volume-driver=persist,volume-opt=mountpoint=/etc"),
        keys=("volume-driver:persist mountpoint=/etc",),
        said="mounts through the volume driver persist mountpoint=/etc",
        other=words("-v", "v:/c", "--volume-driver=persist"),
        more=("volume-driver:persist",),
        can_run=False,
    ),
    "volumes of a container": Case(
        fields=words("--volumes-from", "db:ro"),
        keys=("volumes-from:db:ro",),
        said="mounts all volumes of the container db",
        other=words("--volumes-from=db"),
        more=("volumes-from:db",),
        can_run=False,
    ),
}

PRIVILEGES = {
    "privileged": Case(
        fields={"privileged": True},
        keys=("privileged:true",),
        said="runs privileged",
        other={"privileged": True, "capAdd": ["ALL"]},
        more=("cap-add:ALL",),
        can_run=False,
    ),
    "privileged, as an argument": Case(
        fields=words("--privileged"),
        keys=("privileged:true",),
        said="runs privileged",
        other=words("--privileged=true", "--cap-add=ALL"),
        more=("cap-add:ALL",),
        can_run=False,
    ),
    "capabilities": Case(
        fields={"capAdd": ["SYS_PTRACE"], "runArgs": ["--cap-add=cap_net_admin"]},
        keys=("cap-add:NET_ADMIN", "cap-add:SYS_PTRACE"),
        said="adds the capability NET_ADMIN",
        other={"capAdd": ["SYS_ADMIN"], "runArgs": ["--cap-add=cap_net_admin"]},
        more=("cap-add:SYS_ADMIN",),
    ),
    "security": Case(
        fields={"securityOpt": ["seccomp=unconfined"]},
        keys=("security-opt:seccomp=unconfined",),
        said="weakens the isolation: seccomp=unconfined",
        other={
            "securityOpt": ["seccomp=unconfined"],
            "runArgs": [
                "--security-opt",
                "no-new-privileges:false",
                "--security-opt=label:disable",
            ],
        },
        more=("security-opt:label=disable", "security-opt:no-new-privileges=false"),
    ),
    "all of /proc": Case(
        fields=words("--security-opt=systempaths=unconfined"),
        keys=("security-opt:systempaths=unconfined",),
        said="shows all of /proc and /sys",
        other=words("--security-opt=systempaths=unconfined", "--security-opt=apparmor:unconfined"),
        more=("security-opt:apparmor=unconfined",),
        can_run=False,
    ),
    "processes of the host": Case(
        fields=words("--pid=host"),
        keys=("namespace:pid=host",),
        said="shares the host's pid namespace",
        other=words("--pid=container:x"),
        more=("namespace:pid=container:x",),
    ),
    "the network of the host": Case(
        fields=words("--network=host"),
        keys=("namespace:network=host",),
        said="shares the host's network namespace",
        other=words("--net", "container:x"),
        more=("namespace:network=container:x",),
    ),
    "the network of the host, in the long form": Case(
        fields=words("--network", "name=host"),
        keys=("namespace:network=host",),
        said="shares the host's network namespace",
        other=words("--network", "pasta:-T,auto"),
        more=("namespace:network=pasta:-T,auto",),
    ),
    "other namespaces": Case(
        fields=words("--ipc=host", "--uts=host"),
        keys=("namespace:ipc=host", "namespace:uts=host"),
        said="shares the host's ipc namespace",
        other=words("--ipc=ns:/proc/1/ns/ipc", "--userns=host", "--cgroupns=host"),
        more=(
            "namespace:cgroupns=host",
            "namespace:ipc=ns:/proc/1/ns/ipc",
            "namespace:userns=host",
        ),
    ),
    "a cgroup": Case(
        fields=words("--cgroup-parent=/x"),
        keys=("cgroup-parent:/x",),
        said="runs in the cgroup /x of the host",
        other=words("--cgroup-parent=/y"),
        more=("cgroup-parent:/y",),
        can_run=False,
    ),
    "any number of processes": Case(
        fields=words("--pids-limit=-1"),
        keys=("limit:pids-limit=-1",),
        said="lets the pod start any number of processes",
        other=words("--pids-limit=40000"),
        more=("limit:pids-limit=40000",),
    ),
    "memory before others": Case(
        fields=words("--oom-score-adj=-500"),
        keys=("limit:oom-score-adj=-500",),
        said="has other programs ended first when memory is short (oom-score-adj -500)",
        other=words("--oom-score-adj=-600"),
        more=("limit:oom-score-adj=-600",),
    ),
    "memory whatever happens": Case(
        fields=words("--oom-kill-disable"),
        keys=("limit:oom-kill-disable",),
        said="has other programs ended when memory is short, and never its own",
        other=words("--oom-kill-disable", "--oom-score-adj=-1"),
        more=("limit:oom-score-adj=-1",),
        can_run=False,
    ),
    "the processor before others": Case(
        fields=words("--cpu-rt-runtime=900000"),
        keys=("limit:cpu-rt-runtime=900000",),
        said="takes the processor before everything else (900000 µs a period)",
        other=words("--cpu-rt-runtime=950000"),
        more=("limit:cpu-rt-runtime=950000",),
        can_run=False,
    ),
    "a device": Case(
        fields=words("--device=/dev/null:/dev/x:r"),
        keys=("device:/dev/null r",),
        said="gives the pod the device /dev/null (r)",
        other=words("--device=/dev/null:/dev/x"),
        more=("device:/dev/null",),
    ),
    "a device behind a link of the repository": Case(
        fields=words("--device", "{root}/.devcontainer/a:/dev/x"),
        files={"a": "-> /dev/null"},
        keys=("device:/dev/null",),
        said="gives the pod the device /dev/null",
        other=words("--device", "{root}/.devcontainer/a:/dev/x"),
        other_files={"a": "-> /dev/zero"},
        more=("device:/dev/zero",),
    ),
    "devices by a rule": Case(
        fields=words("--device-cgroup-rule=c 1:3 rwm"),
        keys=("device:c 1:3 rwm",),
        said="opens devices by the rule 'c 1:3 rwm'",
        other=words("--device-cgroup-rule=a *:* rwm"),
        more=("device:a *:* rwm",),
    ),
    "GPUs": Case(
        fields=words("--gpus", "1"),
        keys=("device:gpu=1",),
        said="gives the pod devices of the host: gpu=1",
        other=words("--gpus", '1,"capabilities=compute,graphics"'),
        more=("device:gpu=1 compute,graphics",),
        can_run=False,
    ),
    "a GPU as a requirement": Case(
        fields={"hostRequirements": {"gpu": True}},
        keys=("device:gpu=-1",),
        said="gives the pod devices of the host: gpu=-1",
        other={"hostRequirements": {"gpu": "optional"}, "runArgs": ["--device=a.b/c=d"]},
        more=("device:cdi=a.b/c=d",),
    ),
    "a runtime": Case(
        fields=words("--runtime=nvidia"),
        keys=("runtime:nvidia",),
        said="runs in the engine's runtime nvidia",
        other=words("--runtime=/tmp/x"),
        more=("runtime:/tmp/x",),
        can_run=False,
    ),
    "notes for a runtime": Case(
        fields=words("--annotation", "run.oci.hooks.stdout=/etc/x"),
        keys=("annotation:run.oci.hooks.stdout=/etc/x",),
        said="tells the engine's runtime run.oci.hooks.stdout=/etc/x",
        other=words("--annotation", "run.oci.hooks.stdout=/etc/y"),
        more=("annotation:run.oci.hooks.stdout=/etc/y",),
    ),
    "logs that go elsewhere": Case(
        fields=words("--log-driver=syslog", "--log-opt=syslog-address=udp://192.0.2.1:9"),
        keys=("log-driver:syslog syslog-address=udp://192.0.2.1:9",),
        said="sends the pod's output through the engine to syslog",
        other=words("--log-driver=syslog", "--log-opt=syslog-address=udp://192.0.2.2:9"),
        more=("log-driver:syslog syslog-address=udp://192.0.2.2:9",),
        can_run=False,
    ),
    "the environment of a container": Case(
        fields=words("--link", "db:other"),
        keys=("link:db",),
        said="hands over the environment of the container db",
        other=words("--link", "dc"),
        more=("link:dc",),
        can_run=False,
    ),
}

READS = {
    "a file of variables": Case(
        fields=words("--env-file", "{out}/a.list"),
        keys=("env-file:{out}/a.list",),
        said="reads the host file {out}/a.list",
        other=words("--env-file", "{out}/b.list"),
        more=("env-file:{out}/b.list",),
    ),
    "a file behind a link of the repository": Case(
        fields=words("--env-file=.devcontainer/a", "--label-file=.devcontainer/a"),
        files={"a": "-> {out}/a.list"},
        keys=("env-file:{out}/a.list", "label-file:{out}/a.list"),
        said="reads the host file {out}/a.list",
        other=words("--env-file=.devcontainer/a", "--label-file=.devcontainer/a"),
        other_files={"a": "-> {out}/b.list"},
        more=("env-file:{out}/b.list", "label-file:{out}/b.list"),
    ),
    "a file that reads variables": Case(
        fields=words("--env-file=.devcontainer/a"),
        files={"a": "TOKEN\n"},
        keys=("env-file:{root}/.devcontainer/a", "local-env:TOKEN"),
        said="hands over TOKEN of your environment (runArgs)",
        other=words("--env-file=.devcontainer/a"),
        other_files={"a": "TOKEN\nOTHER\n"},
        more=("local-env:OTHER",),
    ),
    "a variable without a value": Case(
        fields=words("-e", "TOKEN", "-eUSER"),
        keys=("local-env:TOKEN",),
        said="hands over TOKEN of your environment (runArgs)",
        other=words("-e", "TOKEN", "-eOTHER"),
        more=("local-env:OTHER",),
    ),
    **{
        f"a variable in {name}": Case(
            fields=fields,
            keys=("local-env:TOKEN",),
            said=f"hands over TOKEN of your environment ({place})",
            other=json.loads(json.dumps(fields).replace("{localEnv:TOKEN}", "{env:OTHER}")),
            more=("local-env:OTHER",),
            files=feature() if name == "features" else {},
            other_files=feature() if name == "features" else {},
            can_run=name not in ("image", "containerUser", "remoteUser"),
        )
        for name, place, fields in (
            ("image", "image", {"image": "x/${localEnv:TOKEN}"}),
            (
                "build.args",
                "build.args.A",
                {"build": DOCKERFILE | {"args": {"A": "${localEnv:TOKEN}"}}},
            ),
            (
                "build.options",
                "build.options[0]",
                {"build": DOCKERFILE | {"options": ["--label=a=${localEnv:TOKEN}"]}},
            ),
            ("containerEnv", "containerEnv.A", {"containerEnv": {"A": "${localEnv:TOKEN}"}}),
            ("remoteEnv", "remoteEnv.A", {"remoteEnv": {"A": "x${localEnv:TOKEN}"}}),
            ("containerUser", "containerUser", {"containerUser": "${localEnv:TOKEN}"}),
            ("remoteUser", "remoteUser", {"remoteUser": "${localEnv:TOKEN}"}),
            ("runArgs", "runArgs[1]", words("--label", "a=${localEnv:TOKEN}")),
            ("mounts", "mounts[0]", mount("source=a-${localEnv:TOKEN},target=/c")),
            ("workspaceFolder", "workspaceFolder", {"workspaceFolder": "/a/${localEnv:TOKEN}"}),
            ("features", "features../x.a", {"features": {"./x": {"a": "${localEnv:TOKEN}"}}}),
            ("a hook", "postCreateCommand", {"postCreateCommand": "true ${localEnv:TOKEN}"}),
            (
                "a part of a hook",
                "onCreateCommand.a[1]",
                {"onCreateCommand": {"a": ["true", "${localEnv:TOKEN}"]}},
            ),
        )
    },
}

IMAGES = {
    "a build in the network of the host": Case(
        fields={"build": {**DOCKERFILE, "options": ["--network=host"]}},
        keys=("namespace:build-network=host",),
        said="builds in the network of host",
        other={"build": {**DOCKERFILE, "options": ["--network", "container:x"]}},
        more=("namespace:build-network=container:x",),
    ),
    "a build in a network of others": Case(
        fields={"build": {**DOCKERFILE, "options": ["--network", "shared"]}},
        keys=("namespace:build-network=shared",),
        said="builds in the network shared",
        other={"build": {**DOCKERFILE, "options": ["--network=other_default"]}},
        more=("namespace:build-network=other_default",),
        can_run=False,
    ),
    "a build in a cgroup": Case(
        fields={"build": {**DOCKERFILE, "options": ["--cgroup-parent=/x"]}},
        keys=("cgroup-parent:build=/x",),
        said="builds in the cgroup /x",
        other={"build": {**DOCKERFILE, "options": ["--cgroup-parent=/y"]}},
        more=("cgroup-parent:build=/y",),
        can_run=False,
    ),
    "a feature that is privileged": Case(
        fields=INSTALLED,
        files=feature(privileged=True, entrypoint="/bin/x"),
        keys=("privileged:true",),
        said="runs privileged",
        other=INSTALLED,
        other_files=feature(privileged=True, capAdd=["ALL"]),
        more=("cap-add:ALL",),
        can_run=False,
    ),
    "a feature with capabilities": Case(
        fields=INSTALLED,
        files=feature(capAdd=["SYS_PTRACE"], securityOpt=["seccomp=unconfined"]),
        keys=("cap-add:SYS_PTRACE", "security-opt:seccomp=unconfined"),
        said="adds the capability SYS_PTRACE",
        other=INSTALLED,
        other_files=feature(capAdd=["SYS_ADMIN"], securityOpt=["seccomp=unconfined"]),
        more=("cap-add:SYS_ADMIN",),
    ),
    "a feature with a mount": Case(
        fields=INSTALLED,
        files=feature(mounts=[{"type": "bind", "source": "{out}/data", "target": "/c"}]),
        keys=("bind:{out}/data",),
        said="mounts {out}/data of the host",
        other=INSTALLED,
        other_files=feature(mounts=["type=bind,source={out}/home,target=/c"]),
        more=("bind:{out}/home",),
    ),
}

HOSTILE: Mapping[str, Case] = {
    **COMMANDS,
    **MOUNTS,
    **PRIVILEGES,
    **REACHES,
    **READS,
    **IMAGES,
}

REFUSED: Mapping[str, tuple[Fields, Files, str]] = {
    "secrets of a build": (
        {"build": {**DOCKERFILE, "options": ["--secret=id=a,src={out}/a.list"]}}, {},
        "--secret cannot be passed on",
    ),
    "keys of a build": (
        {"build": {**DOCKERFILE, "options": ["--ssh", "default"]}}, {}, "--ssh cannot be passed on",
    ),
    "what a build writes": (
        {"build": {**DOCKERFILE, "options": ["-o", "{out}"]}}, {}, "--output cannot be passed on",
    ),
    "limits of a build": (
        {"build": {**DOCKERFILE, "options": ["--allow=security.insecure"]}}, {},
        "--allow cannot be passed on",
    ),
    "a context outside of the repository": (
        {"build": {**DOCKERFILE, "context": "../../outside"}}, {}, "outside the repository",
    ),
    "a context behind a link": (
        {"build": {**DOCKERFILE, "context": "a"}}, {"a": "-> {out}"}, "outside the repository",
    ),
    "a Dockerfile behind a link": (
        {"build": {"dockerfile": "a"}}, {"a": "-> {out}/a.list"}, "outside the repository",
    ),
    "the engine and its passwords": (words("--use-api-socket"), {}, "registry credentials"),
    "a file of the host": (words("--cidfile={out}/id"), {}, "it would write a file on the host"),
    "a folder over the clone": (
        mount("type=bind,source={out},target=/workspaces"), {}, "mounted over the pod's clone",
    ),
    "a volume of another pod": (
        mount("source=rumpel-a-0123456789ab-c,target=/c"), {}, "one of rumpel's own",
    ),
    "labels of our own": (words("--label=rumpel.pod=x"), {}, "rumpel's own"),
    "a feature that reads variables": (
        INSTALLED, feature(mounts=["source=${localEnv:TOKEN},target=/c"]), "reads ${localEnv:TOKEN",
    ),
    "a feature outside of its folder": ({"features": {"../../outside": {}}}, {}, "must lie in"),
    "a feature behind a link": (
        {"features": {"./a": {}}}, {"a": "-> {out}"}, "must lie in",
    ),
}  # fmt: skip
"""Whatever is said: fields, files, and the reason."""
