"""What a person is asked about a compose project shows what they would agree to."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from rumpel.devcontainer import config
from rumpel.devcontainer.compose import Composer
from rumpel.devcontainer.compose_sources import Sources
from rumpel.devcontainer.document import Caller
from rumpel.errors import ConfigError
from tests.support.composed import SOURCE, app, read
from tests.unit.devcontainer.conftest import POD_ID


@pytest.fixture(name="caller")
def caller_of(root: Path) -> Caller:
    env = {"HOME": "/home/u", "MY_TOKEN": "very-secret", "EMPTY": ""}
    return Caller(root=str(root), local_env=env, pod="p", pod_id=POD_ID, repo_basename="demo")


def test_a_question_shows_what_is_agreed_to(caller: Caller) -> None:
    """Whoever wrote the file, or its .env, has no say in what a person sees of it."""
    services = {
        "app": app(depends_on=["db"]),
        "db": {"image": "d", "volumes": ["/srv/${MY_TOKEN}:/x", "v:/v"], "network_mode": "host"},
    }
    said = "username=u,password=my own,, ${MY_TOKEN},ro"
    options = {"type": "cifs", "device": "//nas/x", "o": said}
    volumes = {"v": {"driver": "local", "driver_opts": options}}
    found = read(caller, services, "local-env:MY_TOKEN", volumes=volumes)
    told = "\n".join(effect.text for effect in found.effects)
    assert "mounts /srv/very-secret of the host" in told
    assert "o=username=u,password=***,ro type=cifs" in told
    keys = "\n".join(effect.value for effect in found.effects)
    assert "password=very-secret" not in keys


def test_what_a_dotenv_says_of_an_option_is_shown(caller: Caller) -> None:
    """Else the file that a repository brings would hide where its own options lead."""
    folder = Path(caller.root, ".devcontainer")
    folder.mkdir()
    (folder / ".env").write_text("WHERE=udp://far.example:514\nDB_PASSWORD=ab,,cdefg\n")
    logging = {"driver": "syslog", "options": {"syslog-address": "${WHERE}"}}
    options = {"mountpoint": "${WHERE}", "password": "${DB_PASSWORD}", "tag": "${MY_TOKEN}"}
    found = read(
        caller,
        {"app": app(volumes=["v:/v"], logging=logging)},
        "local-env:MY_TOKEN",
        volumes={"v": {"driver": "local-persist", "driver_opts": options}},
    )
    told = "\n".join(effect.text for effect in found.effects)
    assert "syslog-address=udp://far.example:514" in told
    assert "mountpoint=udp://far.example:514 password=*** tag=***" in told
    keys = "\n".join(effect.value for effect in found.effects)
    assert "cdefg" not in keys
    assert "very-secret" not in keys


@pytest.mark.parametrize("network", ["bridge", "default", "none", "host", "other"])
def test_a_build_in_a_network_of_others_is_asked_for(caller: Caller, network: str) -> None:
    Path(caller.root, "Dockerfile").write_text("FROM scratch\n")
    build = {"context": caller.root, "network": network}
    found = read(caller, {"app": app(), "web": {"build": build}})
    told = [effect.text for effect in found.effects]
    wanted = {
        "host": ["service web builds in the network of host"],
        "other": ["service web builds in the network other"],
    }
    assert told == wanted.get(network, [])


def test_a_volume_is_the_folder_that_was_agreed_to(caller: Caller, tmp_path: Path) -> None:
    link, place = tmp_path.resolve() / "link", tmp_path.resolve() / "place"
    link.symlink_to(place)
    for given, device in (
        ({"type": "none", "o": "bind"}, str(place)),
        ({"type": "nfs", "o": "addr=192.0.2.1"}, str(link)),
    ):
        volumes = {"v": {"driver_opts": {**given, "device": str(link)}}}
        found = read(caller, {"app": app(volumes=["v:/v"])}, volumes=volumes)
        assert found.project is not None
        assert found.project.volumes["v"]["options"] == {**given, "device": device}


def test_there_are_not_too_many_ports(caller: Caller) -> None:
    many = {"image": "d", "ports": ["1000-1150:1000-1150"]}
    with pytest.raises(ConfigError, match="more than 200 ports"):
        read(caller, {"app": app(), "a": many, "b": many})
    with pytest.raises(ConfigError, match="service a: ports: more than 200 ports"):
        read(caller, {"app": app(), "a": {"image": "d", "ports": ["1-60000:1-60000"]}})


def test_a_port_of_a_service_that_is_none_is_told(caller: Caller) -> None:
    db = {"image": "d", "networks": {"default": {"aliases": ["store"]}}}
    services = {"app": app(depends_on=["db"]), "db": db}
    right = read(caller, services, about={"forwardPorts": ["db:1", "store:2", "a.example:3", 4]})
    assert right.warnings == ()
    found = read(caller, services, about={"forwardPorts": ["dbb:1", "dbb:2", "zzz:3"]})
    assert found.warnings == (
        "dbb is no service of the compose project, did you mean db?",
        "zzz is no service of the compose project, there are: app, db",
    )


def test_a_variable_that_nobody_sets_is_told(caller: Caller) -> None:
    folder = Path(caller.root, ".devcontainer")
    folder.mkdir()
    (folder / ".env").write_text("SAID=x\n")
    words = "$NOT_SET ${NOT_SET} ${WITH_ONE:-x} ${SAID} $$NO_VARIABLE ${EMPTY}"
    found = read(caller, {"app": app(environment={"A": words})}, "local-env:EMPTY")
    assert found.warnings == ("NOT_SET is not set: it is empty in the compose project",)


def test_what_the_program_says_has_no_values(caller: Caller) -> None:
    def refuses(sources: Sources, env: Mapping[str, str]) -> dict[str, Any]:
        raise ConfigError(
            f"ports: {env['MY_TOKEN']!r} is no port", details={"said": [*env.values()]}
        )

    path = Path(caller.root, ".devcontainer/c.json")
    path.parent.mkdir()
    path.write_text(json.dumps({"services": {"app": app(ports=["${MY_TOKEN}"])}}))
    file = json.dumps({"dockerComposeFile": "c.json", "service": "app"})
    composer = Composer(granted=frozenset({"local-env:MY_TOKEN"}), canonical=refuses)
    with pytest.raises(ConfigError, match="'\\*\\*\\*' is no port") as caught:
        config.parse(file, SOURCE, caller, composer=composer)
    assert "very-secret" not in repr(caught.value.to_json())
