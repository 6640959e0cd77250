"""devcontainer.json files of our own for the comparison with the reference's program.

Each is over an image of scripts/images. A hook leaves a line in /tmp/hooks: its name, who ran it,
where, and what it saw.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.support.engine import DEV_IMAGE, MINI_IMAGE

LASTS = "86399"
"""Seconds; a process that sleeps so long is the image's own."""


@dataclass(frozen=True, kw_only=True)
class Compared:
    config: Mapping[str, Any]
    files: Mapping[str, Any] = field(default_factory=dict)
    """Below .devcontainer."""
    base: str = ""
    """Dockerfile of the image `{token}-base:1`."""
    env: Mapping[str, str] = field(default_factory=dict)
    """Of the caller."""
    looks: str = ""
    """A script that is run in both as `exec` and `enter` do; its output is compared."""
    is_failure: bool = False
    argued: Mapping[str, str] = field(default_factory=dict)
    """What differs in this one only, and why."""


def note(name: str) -> str:
    return f'echo "{name} $(id -un) $PWD ${{A-unset}} ${{R-unset}}" >>/tmp/hooks'


HOOKS = ("onCreate", "updateContent", "postCreate", "postStart", "postAttach")


def hooks(**more: Any) -> dict[str, Any]:
    return {f"{name}Command": note(name) for name in HOOKS} | more


def feature(name: str, install: str = "", **about: Any) -> dict[str, Any]:
    said = 'echo "$NAME ${GREETING-unset} ${VERSION-unset} $_REMOTE_USER $_REMOTE_USER_HOME'
    said += ' $_CONTAINER_USER $_CONTAINER_USER_HOME" >>/etc/features'
    script = f"#!/bin/sh\nset -e\nNAME={name}\n{said}\n{install}"
    return {
        f"{name}/devcontainer-feature.json": {"id": name, "version": "1.0.0", **about},
        f"{name}/install.sh": script,
    }


MINI: dict[str, Any] = {"image": MINI_IMAGE}
DEV: dict[str, Any] = {"image": DEV_IMAGE}
PROFILES = f"""FROM {DEV_IMAGE}
ENV PATH=/opt/tool:$PATH:/opt/sbin
RUN echo 'export FROM_PROFILE=yes PATH=$PATH:/profile' >>/home/dev/.profile; \\
    sed -i '1iexport FROM_RC=yes' /home/dev/.bashrc; \\
    echo 'export FROM_ETC=yes' >/etc/profile.d/x.sh
"""
OTHER_PATH = "echo 'PATH=/bin:/usr/bin:/odd'"
PROBED = 'echo "${FROM_PROFILE-no} ${FROM_RC-no} ${FROM_ETC-no} $PATH"'


def built(dockerfile: str, **more: Any) -> dict[str, Any]:
    return {
        "config": {"build": {"dockerfile": "Dockerfile"}, **more},
        "files": {"Dockerfile": dockerfile},
    }


OWN_COMMAND = f'FROM {MINI_IMAGE}\nCMD ["sleep", "{LASTS}"]\n'
OWN_ENTRY = f"""FROM {MINI_IMAGE}
RUN printf '#!/bin/sh\\necho "entry $*" >>/tmp/entry\\nexec "$@"\\n' >/entry; chmod 755 /entry
ENTRYPOINT ["/entry"]
CMD ["sleep", "{LASTS}"]
"""

PLAIN: Mapping[str, Compared] = {
    "an image": Compared(config=MINI),
    "hooks of root": Compared(config=MINI | hooks()),
    "a user of the commands": Compared(config=DEV | hooks(remoteUser="dev")),
    "a user of the container": Compared(config=DEV | hooks(containerUser="dev")),
    "two users": Compared(config=DEV | hooks(containerUser="dev", remoteUser="root")),
    "a user as an argument": Compared(config=DEV | hooks(runArgs=["--user", "dev"])),
    "variables of the container": Compared(
        config=MINI
        | hooks(containerEnv={"A": "a b", "Q": "\"'$HOME `x` \\ *", "N": 7, "T": True, "E": ""}),
        looks='printf "%s|" "$A" "$Q" "$N" "$T" "${E-unset}"',
    ),
    "variables of commands": Compared(
        config=MINI
        | hooks(
            containerEnv={"A": "base"},
            remoteEnv={
                "R": "${containerEnv:A}+",
                "PATH": "${containerEnv:PATH}:/mine",
                "D": "${containerEnv:NOPE:default}",
                "W": "${containerWorkspaceFolder}",
            },
        ),
        looks='printf "%s|" "$A" "$R" "$PATH" "$D" "$W"',
    ),
    "a variable taken away": Compared(
        config=MINI | hooks(containerEnv={"A": "a"}, remoteEnv={"A": None}),
        looks='echo "${A-unset}"',
        argued={
            "looks": "null takes a variable away, as the specification says; there it is 'null'",
            "hooks": "as in what is entered",
        },
    ),
    "variables of the caller": Compared(
        config=MINI
        | {
            "containerEnv": {
                "A": "${localEnv:WORD}",
                "B": "${localEnv:NOPE:default}",
                "C": "[${localEnv:NOPE}]",
                "F": "${localWorkspaceFolderBasename}",
                "G": "${containerWorkspaceFolderBasename}",
            },
            "remoteEnv": {"R": "${localEnv:WORD}+${env:EMPTY:x}"},
            "runArgs": ["--label=mine=${localEnv:WORD}"],
            "postCreateCommand": "echo postCreate ${localEnv:WORD} >>/tmp/hooks",
        },
        env={"WORD": "a word", "EMPTY": ""},
        looks='printf "%s|" "$A" "$B" "$C" "$F" "$G" "$R"',
    ),
    "mounts": Compared(
        config=MINI
        | {
            "mounts": [
                "source={token}-cache,target=/cache,type=volume",
                {"type": "volume", "source": "{token}-other", "target": "/other"},
                "type=tmpfs,target=/memory,tmpfs-size=1m,tmpfs-mode=1777",
                "type=bind,source=${localWorkspaceFolder}/.devcontainer,target=/read,readonly",
                {"type": "bind", "source": "{root}/.devcontainer", "target": "/write"},
            ]
        },
        looks="ls /cache /other /memory; ls /read | head -n 1; touch /read/x 2>&1 | tail -c 23",
    ),
    "a target that is mounted twice": Compared(
        config=MINI
        | {
            "mounts": [
                "source={token}-first,target=/cache,type=volume",
                "source={token}-second,target=/cache,type=volume",
            ]
        },
    ),
    "volumes of one container": Compared(
        config=MINI
        | {
            "mounts": ["source={token}-${devcontainerId},target=/cache,type=volume"],
            "runArgs": ["-v", "{token}-plain:/plain:ro"],
        },
        argued={"mounts": "each pod has an id of its own, so that pods share no such volume"},
    ),
    "rights": Compared(
        config=MINI
        | {
            "capAdd": ["SYS_PTRACE", "NET_ADMIN", "SYS_PTRACE"],
            "securityOpt": ["seccomp=unconfined", "no-new-privileges"],
            "runArgs": ["--cap-drop=MKNOD"],
        },
        looks="grep ^CapBnd /proc/1/status",
    ),
    "an init process": Compared(config=MINI | {"init": True}, looks="cat /proc/1/comm"),
    "limits and names": Compared(
        config=MINI
        | {
            "runArgs": [
                "--memory=256m",
                "--cpus",
                "1.5",
                "--shm-size=32m",
                "--ulimit",
                "nofile=512:1024",
                "--hostname=web",
                "--add-host=a.test:192.0.2.1",
                "--dns=192.0.2.53",
                "--sysctl=net.ipv4.ip_unprivileged_port_start=0",
                "--tmpfs=/t:size=1m",
                "--pids-limit=300",
                "--label",
                "mine=a b",
                "--group-add=5",
                "--cap-drop=CHOWN",
                "--stop-timeout=3",
                "--oom-score-adj=100",
                "--ipc=private",
                "-eB=2",
            ],
        },
        looks="hostname; ulimit -n; id -G; cat /proc/1/oom_score_adj; echo $B",
    ),
    "a file of variables": Compared(
        config=MINI
        | {
            "containerEnv": {"A": "field"},
            "runArgs": ["--env-file={root}/.devcontainer/list", "--network=none"],
        },
        files={"list": "# comment\n\nA=file\nB= b # c \nC=\nWORD\nNOPE\n"},
        env={"WORD": "taken"},
        looks='printf "%s|" "$A" "$B" "${C-unset}" "$WORD" "${NOPE-unset}"',
    ),
    "a workspace elsewhere": Compared(
        config=MINI
        | hooks(
            workspaceFolder="/code/here",
            workspaceMount="source=${localWorkspaceFolder},target=/code/here,type=bind",
        ),
        looks="pwd",
    ),
}

IMAGES: Mapping[str, Compared] = {
    "the image's own command": Compared(**built(OWN_COMMAND, overrideCommand=False)),
    "the image's command below an init process": Compared(
        **built(OWN_COMMAND, overrideCommand=False, init=True), looks="cat /proc/1/comm"
    ),
    "another command than the image's": Compared(**built(OWN_COMMAND)),
    "another entrypoint than the image's": Compared(**built(OWN_ENTRY, overrideCommand=True)),
    "the image's own entrypoint": Compared(**built(OWN_ENTRY, overrideCommand=False)),
    "arguments, stage and context": Compared(
        config={
            "build": {
                "dockerfile": "Dockerfile", "context": "..", "target": "wanted",
                "args": {"WORD": "${localEnv:WORD:none}"}, "options": ["--label=mine=x"],
            },
            **hooks(),
        },
        files={
            "Dockerfile": f"FROM {MINI_IMAGE} AS base\nARG WORD\nCOPY .devcontainer/in /in\n"
            'RUN echo "$WORD" >>/in\nFROM base AS wanted\nENV A=image\nUSER dev\n'
            "FROM base\nRUN echo no >>/in\n",
            "in": "copied\n",
        },
        env={"WORD": "word"},
        looks="cat /in; id -un; echo $A",
    ),
    **{
        f"profiles, {probe}": Compared(
            **built(
                PROFILES, remoteUser="dev", userEnvProbe=probe,
                postCreateCommand=f"({PROBED}) >>/tmp/hooks",
            ),
            looks=PROBED,
        )
        for probe in ("none", "loginShell", "interactiveShell", "loginInteractiveShell")
    },
    "profiles, as usual": Compared(
        **built(PROFILES, remoteUser="dev"), looks=f"{PROBED}; bash -lc 'echo $PATH'"
    ),
    "profiles of a user who wants another path": Compared(
        **built(f"{PROFILES}RUN {OTHER_PATH} >>/home/dev/.profile\n", remoteUser="dev"),
        looks=PROBED,
    ),
    "profiles of root": Compared(
        **built(f"{PROFILES}RUN {OTHER_PATH} >>/root/.profile\n"), looks=PROBED,
    ),
}  # fmt: skip

ORDER: Mapping[str, Compared] = {
    "commands in all forms": Compared(
        config=MINI
        | {
            "onCreateCommand": [
                "sh",
                "-c",
                note("onCreate-list") + '; echo "$0" >>/tmp/hooks',
                "a b",
            ],
            "updateContentCommand": {
                "one": note("update-one"),
                "two": ["sh", "-c", note("update-two")],
            },
            "postCreateCommand": "cd /; " + note("postCreate"),
            "postStartCommand": {},
            "postAttachCommand": "",
        },
    ),
    "a command that fails": Compared(
        config=MINI | hooks(updateContentCommand=note("fails") + "; exit 3"), is_failure=True
    ),
    "one of several that fails": Compared(
        config=MINI
        | hooks(
            onCreateCommand={"bad": "exit 3", "good": f"sleep 0.5; {note('good')}"},
        ),
        is_failure=True,
    ),
    "variables in commands": Compared(
        config=MINI
        | {
            "containerEnv": {"A": "a"},
            "postCreateCommand": "echo ${containerEnv:A} ${containerEnv:NOPE:d} ${nothing:x} "
            "${containerWorkspaceFolder} ${localWorkspaceFolderBasename} >>/tmp/hooks",
        },
        argued={
            "hooks": "the specification has ${containerEnv} in commands; there a shell gets it"
        },
    ),
}

BASE = [
    {
        "id": "base",
        "remoteUser": "dev",
        "containerEnv": {"A": "label", "B": "label"},
        "remoteEnv": {"R": "label", "P": "${containerEnv:B}"},
        "userEnvProbe": "none",
        "onCreateCommand": note("base-onCreate"),
        "mounts": ["source={token}-base,target=/base,type=volume"],
    },
    {
        "onCreateCommand": {"a": note("second-onCreate")},
        "postStartCommand": note("second-start"),
        "capAdd": ["SYS_PTRACE"],
        "securityOpt": ["seccomp=unconfined"],
        "init": True,
        "mounts": [{"type": "volume", "source": "{token}-two", "target": "/two"}],
        "entrypoint": "/starts",
    },
]


def labelled(**more: Any) -> dict[str, Any]:
    said = json.dumps(BASE).replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$")
    dockerfile = f"""FROM {DEV_IMAGE}
RUN printf '#!/bin/sh\\necho "starts $#" >>/tmp/entry\\nexec "$@"\\n' >/starts; chmod 755 /starts
LABEL devcontainer.metadata="{said}"
"""
    return {"base": dockerfile, "config": {"image": "{token}-base:1", **more}}


LABELS: Mapping[str, Compared] = {
    "an image that says how it is used": Compared(
        **labelled(), looks='id -un; printf "%s|" "$A" "$B" "$R" "$P"; cat /proc/1/comm'
    ),
    "an image and a file that both say how": Compared(
        **labelled(
            **hooks(remoteUser="root", containerEnv={"A": "file"}, remoteEnv={"R": "file"}),
            capAdd=["NET_ADMIN"],
            init=False,
            userEnvProbe="loginShell",
            mounts=["source={token}-file,target=/base,type=volume"],
        ),
        looks='id -un; printf "%s|" "$A" "$B" "$R" "$P"; cat /proc/1/comm',
    ),
    "an image that says how, with a feature": Compared(
        **labelled(features={"./x": {}}, onCreateCommand=note("file-onCreate")),
        files=feature(
            "x", onCreateCommand=note("x-onCreate"), capAdd=["NET_ADMIN"],
            containerEnv={"B": "feature"},
        ),
        looks='cat /etc/features; printf "%s|" "$A" "$B"',
    ),
}  # fmt: skip

FEATURES: Mapping[str, Compared] = {
    "features": Compared(
        config=MINI
        | hooks(features={"./second": {"greeting": "moin"}, "./first": {}})
        | {"mounts": ["source={token}-own,target=/own,type=volume"]},
        files={
            **feature(
                "first",
                options={"greeting": {"type": "string", "default": "hello"}},
                containerEnv={"PATH": "/first:${PATH}", "FIRST": "1"},
                onCreateCommand=note("first-onCreate"),
                postStartCommand={"a": note("first-postStart")},
                mounts=[{"type": "volume", "source": "{token}-first", "target": "/first-data"}],
            ),
            **feature(
                "second",
                installsAfter=["./first"],
                options={"greeting": {"type": "string", "default": "hi"}},
                containerEnv={"PATH": "/second:${PATH}", "SECOND": "a \"b\" c"},
                onCreateCommand=note("second-onCreate"),
                capAdd=["SYS_PTRACE"], securityOpt=["seccomp=unconfined"], init=True,
            ),
        },
        looks='cat /etc/features; printf "%s|" "$PATH" "$FIRST" "$SECOND"; cat /proc/1/comm',
    ),
    "features that start something": Compared(
        config={
            "build": {"dockerfile": "Dockerfile"}, "overrideCommand": False,
            "features": {"./starts": {}},
        },
        files={
            "Dockerfile": OWN_ENTRY,
            **feature(
                "starts",
                "printf '#!/bin/sh\\necho \"starts $#\" >>/tmp/entry\\nexec \"$@\"\\n' >/starts;"
                " chmod 755 /starts\n",
                entrypoint="/starts",
            ),
        },
    ),
    "features that need others": Compared(
        config=DEV
        | {
            "features": {"./top": "9", "./other": True, "./low": {"greeting": "second time"}},
            "overrideFeatureInstallOrder": ["./other"],
            "remoteUser": "dev",
        },
        files={
            **feature(
                "top", dependsOn={"./low": {"greeting": "needed"}},
                options={"version": {"type": "string", "default": "1"}},
            ),
            **feature("low", options={"greeting": {"type": "string", "default": "x"}}),
            **feature("other"),
        },
        looks="cat /etc/features",
    ),
    "features for users": Compared(
        config=DEV | hooks(features={"./x": {}}, containerUser="dev", remoteUser="root"),
        files=feature("x", "id -un >>/etc/features\n"),
        looks="cat /etc/features",
    ),
}  # fmt: skip

CASES: Mapping[str, Compared] = {**PLAIN, **IMAGES, **ORDER, **LABELS, **FEATURES}


def filled(value: Any, token: str, root: str) -> Any:
    text = json.dumps(value)
    return json.loads(text.replace("{token}", token).replace("{root}", root))
