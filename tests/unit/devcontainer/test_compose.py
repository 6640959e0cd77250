"""A compose project as a pod and what is beside it: every key, and files that mean harm."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rumpel.adapters import compose as program
from rumpel.adapters.compose import Program
from rumpel.daemon import compose as daemon_compose
from rumpel.devcontainer import check, compose_yaml, config
from rumpel.devcontainer.compose import Composer
from rumpel.devcontainer.compose_sources import Sources
from rumpel.devcontainer.config import DevConfig
from rumpel.devcontainer.consent import Unasked
from rumpel.devcontainer.document import Caller
from rumpel.errors import ConfigError
from tests.support.composed import SOURCE, app, as_written, read
from tests.unit.devcontainer.conftest import POD_ID

NET = "rumpel-p-" + POD_ID[:6] + "-default"


@pytest.fixture(name="caller")
def caller_of(root: Path) -> Caller:
    env = {"HOME": "/home/u", "MY_TOKEN": "very-secret", "EMPTY": ""}
    return Caller(root=str(root), local_env=env, pod="p", pod_id=POD_ID, repo_basename="demo")


HOST: list[tuple[str, Any, dict[str, Any]]] = [
    ("cap_add", ["NET_ADMIN"], {"CapAdd": ["CAP_NET_ADMIN"]}),
    ("cap_drop", ["ALL"], {"CapDrop": ["ALL"]}),
    ("cgroup", "host", {"CgroupnsMode": "host"}),
    ("cgroup_parent", "/x", {"CgroupParent": "/x"}),
    ("cpu_shares", 73, {"CpuShares": 73}),
    ("cpus", 0.5, {"NanoCpus": 500_000_000}),
    ("cpuset", "0,1", {"CpusetCpus": "0,1"}),
    ("deploy", {"resources": {"limits": {"cpus": "0.5", "memory": "50M", "pids": 9}}},
     {"NanoCpus": 500_000_000, "Memory": 52_428_800, "PidsLimit": 9}),
    ("deploy", {"resources": {"reservations": {"devices": [
        {"driver": "nvidia", "count": 1, "capabilities": ["gpu", "utility"]}]}}},
     {"DeviceRequests": [{"Driver": "nvidia", "Capabilities": [["gpu", "utility"]], "Options": {},
                          "Count": 1}]}),
    ("devices", ["/dev/fuse:/dev/fuse:rwm"], {"Devices": [{"PathOnHost": "/dev/fuse",
     "PathInContainer": "/dev/fuse", "CgroupPermissions": "rwm"}]}),
    ("devices", [{"source": "/dev/a", "target": "/dev/b", "permissions": "r"}],
     {"Devices": [{"PathOnHost": "/dev/a", "PathInContainer": "/dev/b",
                   "CgroupPermissions": "r"}]}),
    ("dns", "9.9.9.9", {"Dns": ["9.9.9.9"]}),
    ("extra_hosts", {"x": "1.2.3.4"}, {"ExtraHosts": ["x:1.2.3.4"]}),
    ("extra_hosts", ["x:1.2.3.4"], {"ExtraHosts": ["x:1.2.3.4"]}),
    ("gpus", "all", {"DeviceRequests": [{"Driver": "", "Capabilities": [["gpu"]], "Options": {},
                                         "Count": -1}]}),
    ("group_add", [44, "video"], {"GroupAdd": ["44", "video"]}),
    ("ipc", "host", {"IpcMode": "host"}),
    ("logging", {"driver": "local", "options": {"max-size": "1m"}},
     {"LogConfig": {"Type": "local", "Config": {"max-size": "1m"}}}),
    ("mem_limit", 1024, {"Memory": 1024}),
    ("mem_limit", "1g", {"Memory": 1 << 30}),
    ("memswap_limit", -1, {"MemorySwap": -1}),
    ("network_mode", "none", {"NetworkMode": "none"}),
    ("pid", "host", {"PidMode": "host"}),
    ("privileged", True, {"Privileged": True}),
    ("read_only", True, {"ReadonlyRootfs": True}),
    ("runtime", "runsc", {"Runtime": "runsc"}),
    ("security_opt", ["no-new-privileges"], {"SecurityOpt": ["no-new-privileges"]}),
    ("shm_size", "64M", {"ShmSize": 64 << 20}),
    ("sysctls", ["net.core.somaxconn=1024"], {"Sysctls": {"net.core.somaxconn": "1024"}}),
    ("tmpfs", "/run:size=1m", {"Tmpfs": {"/run": "size=1m"}}),
    ("ulimits", {"nofile": {"soft": 1, "hard": 2}, "nproc": 9},
     {"Ulimits": [{"Name": "nofile", "Soft": 1, "Hard": 2},
                  {"Name": "nproc", "Soft": 9, "Hard": 9}]}),
    ("userns_mode", "host", {"UsernsMode": "host"}),
    ("uts", "host", {"UTSMode": "host"}),
]  # fmt: skip


@pytest.mark.parametrize(("key", "value", "expected"), HOST)
def test_a_key_that_is_an_option(
    caller: Caller, key: str, value: Any, expected: dict[str, Any]
) -> None:
    found = read(caller, {"app": app(**{key: value})})
    assert {name: found.run_args.host_config.get(name) for name in expected} == expected


CONFIG: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"hostname": "h", "domainname": "d"}, {"Hostname": "h", "Domainname": "d"}),
    ({"labels": {"a": 1, "b": None}}, {"Labels": {"a": "1", "b": ""}}),
    ({"labels": ["a=1"]}, {"Labels": {"a": "1"}}),
    ({"stop_grace_period": "1m30s", "stop_signal": "INT"}, {"StopTimeout": 90,
                                                            "StopSignal": "INT"}),
    ({"working_dir": "/x"}, {"WorkingDir": "/x"}),
    ({"healthcheck": {"test": "true", "interval": "2s", "retries": 3}},
     {"Healthcheck": {"Test": ["CMD-SHELL", "true"], "Interval": 2_000_000_000, "Retries": 3}}),
    ({"healthcheck": {"test": ["CMD", "a", "b"]}}, {"Healthcheck": {"Test": ["CMD", "a", "b"]}}),
    ({"healthcheck": {"disable": True}}, {"Healthcheck": {"Test": ["NONE"]}}),
    ({"command": ["a", "b c"]}, {"Cmd": ["a", "b c"]}),
    ({"command": "a 'b c'"}, {"Cmd": ["a", "b c"]}),
    ({"command": None, "entrypoint": "/e x"}, {"Entrypoint": ["/e", "x"], "Cmd": []}),
    ({"command": "c", "entrypoint": []}, {"Entrypoint": [""], "Cmd": ["c"]}),
    ({"command": None}, {}),
]  # fmt: skip


@pytest.mark.parametrize(("given", "expected"), CONFIG)
def test_what_it_runs_and_is_called(
    caller: Caller, given: dict[str, Any], expected: dict[str, Any]
) -> None:
    found = read(caller, {"app": app(**given)})
    assert dict(found.run_args.config) == expected
    assert found.override_command is ("command" not in given)


@pytest.mark.parametrize(
    ("command", "is_idle"),
    [
        ("sleep infinity", True),
        ("/bin/sh -c 'while sleep 1000; do :; done'", True),
        (["/bin/bash", "-c", "while true; do sleep 30; done;"], True),
        ("tail -f /dev/null", True),
        ("sleep 1d", True),
        ("sleep 5", False),
        ("npm start", False),
        ("sh -c 'server & sleep infinity'", False),
        ("tail -f /var/log/x", False),
    ],
)
def test_a_command_that_only_waits_may_be_ours(caller: Caller, command: Any, is_idle: bool) -> None:
    assert read(caller, {"app": app(command=command)}).override_command is is_idle
    kept = read(caller, {"app": app(command=command)}, about={"overrideCommand": False})
    assert kept.override_command is False
    assert "Cmd" in kept.run_args.config


def test_users_and_environment(caller: Caller) -> None:
    service = app(user="1000:1000", environment={"A": "1", "B": 2, "C": True, "D": None})
    found = read(caller, {"app": service}, about={"containerEnv": {"A": "mine"}})
    assert found.container_user == "1000:1000"
    assert found.container_env == {"A": "mine", "B": "2", "C": "true"}
    other = read(caller, {"app": service}, about={"containerUser": "dev"})
    assert other.container_user == "dev"


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"frobnicate": 1}, "frobnicate: this key of a service is not handled"),
    ({"external_links": ["x"]}, "external_links: it cannot be had"),
    ({"links": ["x"]}, "links: it cannot be had"),
    ({"provider": {"type": "x"}}, "provider is not handled"),
    ({"use_api_socket": True}, "use_api_socket is not handled"),
    ({"network_mode": "service:nobody"}, "network_mode: there is no service nobody"),
    ({"ipc": "service:web"}, "ipc: service:web is not handled"),
    ({"pid": "service:web"}, "pid: service:web is not handled"),
    ({"labels": {"rumpel.pod": "x"}}, "labels that start with rumpel. are rumpel's own"),
    ({"cap_add": ["a b"]}, "cap_add: 'a b' is not a capability"),
    ({"devices": ["x:y"]}, "is not a device"),
    ({"volumes": [{"type": "npipe", "source": "x", "target": "/x"}]}, "type npipe is not handled"),
    ({"volumes": [{"type": "bind", "source": "/a", "target": "/b", "evil": 1}]},
     "evil of a volume is not handled"),
    ({"volumes": [{"type": "bind", "source": "/a", "target": "/x:ro"}]},
     "'/x:ro' cannot be mounted: there is a colon in it"),
    ({"volumes": [{"type": "bind", "source": "/a", "target": "/x", "bind": {"propagation": "ro"}}]},
     "propagation 'ro' of a volume is not handled"),
    ({"volumes": [{"type": "bind", "source": "/a", "target": "/x", "bind": {"selinux": "ro"}}]},
     "selinux 'ro' of a volume is not handled"),
    ({"volumes": ["nowhere:/x"]}, "there is no volume nowhere"),
    ({"secrets": ["nowhere"]}, "only a file of this machine"),
    ({"volumes": [{"type": "tmpfs", "target": "/x", "tmpfs": {"size": "x"}}]}, "is not a size"),
    ({"networks": ["nowhere"]}, "there is no network nowhere"),
    ({"networks": {"default": {"aliases": ["a,ip=1"]}}}, "is not a name in a network"),
    ({"build": {"context": "/etc"}}, "/etc is outside the repository"),
    ({"build": {"context": ".", "ssh": ["default"]}}, "build.ssh: it is not handled"),
    ({"image": None}, "neither an image nor a build"),
    ({"depends_on": {"web": {"condition": "whenever"}}}, "the condition whenever"),
    ({"environment": ["=x"]}, "environment: a variable has no name"),
    ({"ulimits": "x"}, "ulimits: a mapping is expected"),
    ({"cpus": ["a"]}, "cpus: a text is expected"),
    ({"healthcheck": {"test": {}}}, "healthcheck"),
]  # fmt: skip


@pytest.mark.parametrize(("given", "told"), REFUSED)
def test_what_cannot_be_had_is_refused_by_name(
    caller: Caller, given: dict[str, Any], told: str
) -> None:
    """Of the pod's own service and of one beside it, with its name."""
    with pytest.raises(ConfigError) as of_pod:
        read(caller, {"app": app(**given), "web": app()})
    assert told in of_pod.value.message
    assert of_pod.value.message.startswith(SOURCE + ":1:")
    if not any(str(value).startswith("service:") for value in given.values()):
        with pytest.raises(ConfigError) as beside:
            read(caller, {"app": app(), "web": app(**given)})
        assert told in beside.value.message


EFFECTS: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({"privileged": True}, {}, "service web runs privileged"),
    ({"volumes": ["/etc:/e:ro"]}, {}, "service web mounts /etc of the host, to read"),
    ({"volumes": ["/etc:/e"]}, {}, "service web mounts /etc of the host"),
    ({"volumes": ["/var/run/docker.sock:/s"]}, {}, "service web gives the pod full control"),
    ({"devices": ["/dev/kvm"]}, {}, "service web gives the pod the device /dev/kvm"),
    ({"cap_add": ["SYS_ADMIN"]}, {}, "service web adds the capability SYS_ADMIN"),
    ({"pid": "host"}, {}, "service web shares the host's pid namespace"),
    ({"network_mode": "host"}, {}, "service web shares the host's network namespace"),
    ({"network_mode": "other_default"}, {}, "service web joins the network other_default"),
    ({"network_mode": "container:x"}, {}, "service web joins the network namespace of x"),
    ({"secrets": ["s"]}, {"secrets": {"s": {"file": "/etc/passwd"}}},
     "service web mounts /etc/passwd of the host, to read"),
    ({"volumes": ["v:/v"]}, {"volumes": {"v": {"external": True, "name": "shared"}}},
     "uses the volume shared, which is not the pod's own"),
    ({"volumes": ["v:/v"]},
     {"volumes": {"v": {"driver_opts": {"type": "none", "o": "bind", "device": "/srv"}}}},
     "volume v mounts /srv of the host"),
    ({"networks": ["n"]}, {"networks": {"n": {"external": True, "name": "lan"}}},
     "joins the network lan, which is not the pod's own"),
    ({"networks": ["n"]},
     {"networks": {"n": {"driver": "macvlan", "driver_opts": {"parent": "e"}}}},
     "makes the network n by the driver macvlan"),
]  # fmt: skip


@pytest.mark.parametrize(("given", "top", "told"), EFFECTS)
def test_what_a_service_does_to_the_host_needs_consent(
    caller: Caller, given: dict[str, Any], top: dict[str, Any], told: str
) -> None:
    plain = read(caller, {"app": app(), "web": app()})
    assert plain.effects == ()
    found = read(caller, {"app": app(), "web": app(**given)}, **top)
    assert [one for one in found.effects if one.text.startswith(told)], found.effects
    unused = read(caller, {"app": app(), "web": app(profiles=["no"], **given)}, **top)
    assert unused.effects == ()


def test_the_clone_takes_the_place_of_the_repository(caller: Caller) -> None:
    root = Path(caller.root)
    mounted = app(volumes=[f"{root.parent}:/workspaces:cached", f"{root}/x:/x"])
    found = read(caller, {"app": mounted})
    assert found.workspace_folder == f"/workspaces/{root.name}"
    assert [one.text for one in found.effects] == [f"mounts {root}/x of the host"]
    assert found.run_args.host_config["Binds"] == [f"{root}/x:/x"]
    said = read(caller, {"app": mounted}, about={"workspaceFolder": "/workspaces/other"})
    assert said.workspace_folder == "/workspaces/other"
    elsewhere = read(caller, {"app": app(volumes=[f"{root}:/code"])})
    assert elsewhere.workspace_folder == "/code"
    variable = {"postCreateCommand": "ls ${containerWorkspaceFolder}"}
    found = read(caller, {"app": app(volumes=[f"{root}:/code"])}, about=variable)
    assert found.hooks["postCreateCommand"][0].argv[-1] == "ls /code"
    none = read(caller, {"app": app()})
    assert none.workspace_folder == "/workspaces/demo"


def test_volumes_networks_and_ports_are_the_pods_own(caller: Caller) -> None:
    web = app(
        volumes=["data:/d"], container_name="fixed", ports=["8080:80", "53:53/udp"],
        networks={"default": {"ipv4_address": "172.16.0.2", "aliases": ["w"]}},
        depends_on={"app": {"condition": "service_started"}, "db": {}},
    )  # fmt: skip
    found = read(
        caller,
        {"app": app(volumes=["data:/d"], depends_on=["web"]), "web": web, "db": app()},
        volumes={"data": {"name": "fixed"}},
        networks={"default": {"ipam": {"config": [{"subnet": "172.16.0.0/16"}]}}},
    )
    project = found.project
    assert project is not None
    assert [one["name"] for one in project.networks.values()] == [NET]
    volume = project.volumes["data"]["name"]
    assert volume.startswith(f"rumpel-p-{POD_ID[:12]}-")
    assert found.mounts == ({"Type": "volume", "Target": "/d", "Source": volume},)
    assert found.pod_volumes == (volume,)
    assert found.run_args.networking == {"EndpointsConfig": {NET: {"Aliases": ["app"]}}}
    beside = {one.name: one for one in project.beside}
    body = beside["web"].body
    assert body["networks"] == {"default": {"aliases": ["w", "fixed"]}}
    assert body["depends_on"] == {"db": {"condition": "service_started"}}
    assert not {"ports", "container_name", "image"} & body.keys()
    assert [(port.key, port.wish) for port in project.ports] == [("web:80", 8080)]
    told = " ".join(found.warnings)
    assert "ipv4_address has no effect" in told
    assert "53/udp is not forwarded" in told
    other = read(replace(caller, pod="q", pod_id="f" * 16), {"app": app(), "web": web, "db": app()},
                 volumes={"data": None}).project  # fmt: skip
    assert other is not None
    assert other.networks["default"]["name"] != NET
    assert other.volumes["data"]["name"] != volume


def test_which_services_run_beside_it(caller: Caller) -> None:
    services = {
        "app": app(depends_on=["db"]), "db": app(), "cache": app(),
        "tool": app(profiles=["tools"], depends_on=["extra"]), "extra": app(profiles=["x"]),
    }  # fmt: skip

    def beside(**about: Any) -> list[str]:
        found = read(caller, services, about=about).project
        assert found is not None
        return [one.name for one in found.beside]

    assert beside() == ["db", "cache"]
    assert beside(runServices=["cache"]) == ["db", "cache"]
    services["db"]["depends_on"] = {"gone": {"condition": "service_started", "required": False}}
    assert beside() == ["db", "cache"]
    assert beside(runServices=["tool"]) == ["db", "tool", "extra"]
    Path(caller.root, ".devcontainer/.env").write_text("COMPOSE_PROFILES=tools\n")
    assert beside() == ["db", "cache", "tool", "extra"]
    with pytest.raises(ConfigError, match="runServices\\[0\\]: there is no service x"):
        beside(runServices=["x"])


def test_private_values_are_sealed_and_asked_for(caller: Caller) -> None:
    services = {
        "app": app(environment={"T": "a${MY_TOKEN}b", "E": "${EMPTY}", "H": "${HOME}"}),
        "web": app(command=["x", "${MY_TOKEN}"], environment={"N": "1"}),
    }
    with pytest.raises(Unasked) as refused:
        read(caller, services)
    assert "MY_TOKEN" in refused.value.message
    assert "HOME" not in refused.value.message
    assert "very-secret" not in refused.value.message
    found = read(caller, services, "local-env:MY_TOKEN", "local-env:EMPTY")
    assert found.private_env == ("T",)
    project = found.project
    assert project is not None
    assert project.beside[0].private == (("command", 1),)
    assert "very-secret" not in json.dumps(config.describe(found))


def test_hidden_values_are_found_where_they_are(caller: Caller) -> None:
    """In parts, in the pod's own command and labels, in options of a volume, of files; a short one
    is in no other text.
    """
    env = {**caller.local_env, "N": "1", "PW": "pass word"}
    caller = replace(caller, local_env=env)
    Path(caller.root, ".devcontainer").mkdir()
    Path(caller.root, ".devcontainer/.env").write_text("OF_DOTENV=of-a-file\n")
    Path(caller.root, ".devcontainer/web.env").write_text("# x\nOF_FILE=other\n")
    services = {
        "app": app(command=["a", "1", "${PW}"], labels={"l": "1", "m": "${N}"}, stop_signal="1"),
        "web": app(
            environment={"A": "1", "B": "${N}", "C": "${OF_DOTENV}", "OF_FILE": "other"},
            env_file="web.env", volumes=["v:/v"],
        ),
    }  # fmt: skip
    volumes = {"v": {"driver_opts": {"type": "cifs", "device": "//x/y", "o": "password=${PW}"}}}

    def canonical(sources: Sources, env: Mapping[str, str]) -> dict[str, Any]:
        return as_written(sources, {"OF_DOTENV": "of-a-file", **env})

    path = Path(caller.root, ".devcontainer/c.json")
    path.write_text(json.dumps({"services": services, "volumes": volumes}))
    file = json.dumps({"dockerComposeFile": "c.json", "service": "app"})
    granted = frozenset({"local-env:N", "local-env:PW"})
    composer = Composer(granted=granted, canonical=canonical)
    found = config.parse(file, SOURCE, caller, composer=composer)
    assert set(found.private_parts) == {("config", "Cmd", 2), ("config", "Labels", "m")}
    project = found.project
    assert project is not None
    expected = {("environment", name) for name in ("B", "C", "OF_FILE")}
    assert set(project.beside[0].private) == expected
    assert project.private == (("volumes", "v", "options", "o"),)
    shown = json.dumps([[one.key, one.text] for one in found.effects])
    assert "volume v mounts" in shown
    assert "pass word" not in shown


def test_files_outside_are_asked_for_before_they_are_read(caller: Caller) -> None:
    outside = Path(caller.root).parent / "outside.env"
    outside.write_text("A=1")
    link = Path(caller.root, "link.env")
    link.symlink_to(outside)
    for name in (str(outside), "../link.env", "../../outside.env"):
        for written in (name, [name], [{"path": name}]):
            with pytest.raises(Unasked, match=f"reads the host file {outside}"):
                read(caller, {"app": app(env_file=written)})
    read(caller, {"app": app(env_file=str(outside))}, f"compose-file:{outside}")
    with pytest.raises(ConfigError, match="is not handled: write the path"):
        read(caller, {"app": app(env_file="${MY_TOKEN}")}, "local-env:MY_TOKEN")
    with pytest.raises(ConfigError, match="there is no file"):
        read(caller, {"app": app(env_file="missing.env")})


HOSTILE: dict[str, str | bytes] = {
    "an anchor bomb": "a: &a [x,x,x,x,x,x,x,x]\n" + "".join(
        f"{chr(98 + n)}: &{chr(98 + n)} [{','.join(['*' + chr(97 + n)] * 9)}]\n" for n in range(9)
    ),
    "a long anchor": f"a: &a {'x' * 30_000}\nb: [{','.join(['*a'] * 9000)}]\n",
    "a long key": f"a: &a {{? {'x' * 30_000} : 1}}\nb: [{','.join(['*a'] * 9000)}]\n",
    "a long merge": f"a: &a {{k: {'x' * 30_000}}}\nb: [{','.join(['{<<: *a}'] * 9000)}]\n",
    "one in itself": "a: &a [*a]\n",
    "nested": "[" * 5000,
    "deep": "a: " + "[" * 60 + "]" * 60,
    "a list": "- a\n",
    "a text": "hello",
    "a tag": "services: !!python/object/apply:os.system [id]\n",
    "another tag": "services: !reset {}\n",
    "twice": "a: 1\na: 2\n",
    "a key that is a list": "? [a]\n: 1\n",
    "no YAML": "a: [",
    "not UTF-8": b"a: \xff",
    "control": "a: \x00",
    "large": "#" * ((1 << 20) + 1),
    "merge of a text": "a:\n  <<: x\n",
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_yaml_that_means_harm(name: str) -> None:
    text = HOSTILE[name]
    data = text if isinstance(text, bytes) else text.encode()
    with pytest.raises(ConfigError, match=r"^c.yml"):
        compose_yaml.load(data, "c.yml")


def test_values_of_yaml() -> None:
    text = (
        "a: &x {k: 1}\nb: {<<: *x, l: 2}\nc: [yes, on, true, 'true', 22:22, 0x1, 1.5, 1e3, ~, , '']"
        "\nd: 2001-01-01\ne: 0644\nf: 007a\ng: null\n1: one\n"
    )
    assert compose_yaml.load(text.replace(", ,", ",").encode(), "x") == {
        "a": {"k": 1},
        "b": {"k": 1, "l": 2},
        "c": ["yes", "on", True, "true", "22:22", "0x1", 1.5, "1e3", None, ""],
        "d": "2001-01-01",
        "e": 0o644,
        "f": "007a",
        "g": None,
        "1": "one",
    }


WRONG: list[tuple[Any, str]] = [
    ({"services": []}, "no services"),
    ({"services": {"app": 1}}, "no services"),
    ({"services": {}}, "there is no service app, there are: none"),
    ({"services": {"app": {"image": 1, "volumes": "x"}}}, "volumes: a list is expected"),
    ({"services": {"app": app(), "x": app(profiles={"a": 1})}}, "profiles: a text is expected"),
    ({"services": {"app": app(), "a b": app()}}, "this is not the name of a service"),
    ({"include": ["x"], "services": {"app": app()}}, "include is not handled"),
    ({"services": {"app": app()}, "networks": ["x"]}, "networks: a mapping is expected"),
]


@pytest.mark.parametrize(("document", "told"), WRONG)
def test_models_of_a_wrong_form(caller: Caller, document: Any, told: str) -> None:
    services = document.pop("services")
    with pytest.raises(ConfigError, match=told):
        read(caller, services, **document)


def test_where_the_files_are(caller: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty list is for compose itself to find; a name may not lead to another machine."""
    composer = Composer(granted=frozenset(), canonical=as_written)
    root = Path(caller.root)

    def found(files: Any) -> DevConfig:
        file = {"dockerComposeFile": files, "service": "app"}
        return config.parse(json.dumps(file), SOURCE, caller, composer=composer)

    with pytest.raises(ConfigError, match=r"there is no compose\.yaml or"):
        found([])
    (root / "docker-compose.yml").write_text(json.dumps({"services": {"app": app(image="x")}}))
    assert found([]).image == "x"
    (root / ".env").write_text("COMPOSE_FILE=other.yml\n")
    (root / "other.yml").write_text(json.dumps({"services": {"app": app(image="y")}}))
    assert found([]).image == "y"
    assert found("../other.yml").image == "y"
    for name in ("https://x/compose.yml", "oci://x", "git@x:y"):
        with pytest.raises(ConfigError, match="not a file of this machine"):
            found(name)
    os.mkfifo(root / "pipe.yml")
    with pytest.raises(ConfigError, match=r"there is no file pipe\.yml"):
        found("../pipe.yml")


def test_check_tells_without_reading_what_was_not_agreed_to(caller: Caller) -> None:
    path = Path(caller.root, ".devcontainer/c.json")
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"services": {"app": app(environment={"T": "${MY_TOKEN}"})}}))
    file = json.dumps({"dockerComposeFile": "c.json", "service": "app"})
    composer = Composer(granted=frozenset(), canonical=as_written)
    reports, warnings = check.of_content(file, SOURCE, caller, composer)
    assert [one.verdict for one in reports] == ["honoured", "honoured"]
    assert "hands over MY_TOKEN" in warnings[0]


def test_the_order_of_files_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """What compose made of its files is kept: of these, in this order."""
    asked: list[Any] = []

    def config_of(documents: Any, extended: Any, **more: Any) -> dict[str, Any]:
        asked.append([documents, extended])
        return {"services": {}}

    monkeypatch.setattr(program, "find", lambda: Program(("x",), is_plugin=False))
    monkeypatch.setattr(program, "config", config_of)
    one: dict[str, Any] = {"services": {"a": {}}}
    two: dict[str, Any] = {"services": {"b": {}}}
    for documents, extended in (
        ([one, two], []),
        ([two, one], []),
        ([one], [two]),
        ([one, two], []),
    ):
        given = Sources(folder="/nowhere", documents=[*documents], extended=[*extended])
        given.shown, given.shown_extended = ["c"] * len(documents), ["c"] * len(extended)
        daemon_compose.canonical(given, {})
    told = [[[one for _, one in files] for files in said] for said in asked]
    assert told == [[[one, two], []], [[two, one], []], [[one], [two]]]


def test_more_of_the_pods_own_service(caller: Caller) -> None:
    """As compose 2 writes it, with every key, and what is the host's or rumpel's own."""
    tmpfs = {"type": "tmpfs", "target": "/t", "tmpfs": {"size": "64m", "mode": 0o1777}}
    bind = {"type": "bind", "source": caller.root, "target": "/code",
            "bind": {"create_host_path": True}}  # fmt: skip
    as_v2 = app(
        entrypoint=None, command=None, networks={"default": None}, deploy={"placement": {}},
        volumes=[tmpfs, bind], ports=[{"mode": "ingress", "target": 80, "protocol": "tcp"}],
    )  # fmt: skip
    found = read(caller, {"app": as_v2}, networks={"default": {"name": "x_default", "ipam": {}}})
    assert found.workspace_folder == "/code"
    assert found.mounts == (
        {"Type": "tmpfs", "Target": "/t", "TmpfsOptions": {"SizeBytes": 64 << 20, "Mode": 0o1777}},
    )
    assert found.warnings == ()
    foreign = read(caller, {"app": app(network_mode="other_default")})
    assert [one.text for one in foreign.effects] == [
        "joins the network other_default, which is not the pod's own"
    ]
    external = {"v": {"external": True, "name": "rumpel-p-0123456789ab-x"}}
    for services in ({"app": app(volumes=["v:/v"])}, {"app": app(), "web": app(volumes=["v:/v"])}):
        with pytest.raises(ConfigError, match="is one of rumpel's own"):
            read(caller, services, volumes=external)


def test_names_on_the_engine_are_not_sealed(caller: Caller) -> None:
    """They are found by them, and everybody sees them there."""
    volumes = {"data": {"external": True, "name": "${MY_TOKEN}"}}
    found = read(
        caller, {"app": app(volumes=["data:/data"])}, "local-env:MY_TOKEN", volumes=volumes
    )
    assert found.project is not None
    assert found.project.volumes["data"]["name"] == "very-secret"
    assert ("volumes", "data", "name") not in found.project.private


def test_there_is_one_of_each_service(caller: Caller) -> None:
    """A second one would come back from no stop."""
    more = {"image": "d", "scale": 3, "deploy": {"replicas": 3, "resources": {}}}
    found = read(caller, {"app": app(depends_on=["db"]), "db": more})
    assert found.project is not None
    (db,) = found.project.beside
    assert not {"scale", "replicas"} & {*db.body, *db.body.get("deploy", {})}
    told = "\n".join(found.warnings)
    assert "scale has no effect" in told
    assert "deploy.replicas has no effect" in told
