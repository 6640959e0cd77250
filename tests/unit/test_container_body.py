"""What a container is created with, where no engine here has what it is about."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace

import pytest

from rumpel.adapters.docker_types import ContainerState, EngineInfo, ImageInfo
from rumpel.devcontainer import requirements
from rumpel.devcontainer.schema import HostRequirements
from rumpel.model import ContainerSpec, RepoRef
from rumpel.tasks import container, container_body

SPEC = ContainerSpec(workspace_folder="/w")
INPUTS = container.Inputs(
    repo=RepoRef(repo_id="r", common_dir="/r/.git", work_tree="/r"),
    host="local",
    pod="p",
    pod_id="1",
    image_id="sha256:1",
    image_key="k",
    user="root",
    image_user="",
    seed_volume="v",
    spec=SPEC,
)
ENGINE = EngineInfo(
    engine_id="e",
    version="1",
    api_version="1",
    os="linux",
    architecture="amd64",
    cpus=1,
    memory_bytes=1,
    runtimes=("nvidia", "runc"),
    kind="docker",
)
IMAGE = ImageInfo(
    id="sha256:1",
    tags=(),
    user="",
    env=(),
    entrypoint=("/entry", "a b"),
    cmd=("serve",),
    labels={},
    workdir="/",
    architecture="amd64",
    os="linux",
    volumes=(),
    size_bytes=1,
    created_at="",
)


def test_gpus_where_there_are_some() -> None:
    wanted = replace(INPUTS, spec=replace(SPEC, gpu=True))
    body = container_body.create(wanted, {}, IMAGE, ENGINE)
    assert body["HostConfig"]["DeviceRequests"] == [requirements.GPU]
    for inputs, engine in ((INPUTS, ENGINE), (wanted, replace(ENGINE, runtimes=("runc",)))):
        body = container_body.create(inputs, {}, IMAGE, engine)
        assert "DeviceRequests" not in body["HostConfig"]


def test_the_command_of_the_image_goes_after_those_of_features() -> None:
    spec = replace(SPEC, override_command=False, entrypoints=("/one", "/two x"))
    body = container_body.create(replace(INPUTS, spec=spec), {}, IMAGE, ENGINE)
    assert body["Entrypoint"][:2] == ["/bin/sh", "-c"]
    lines = '( /one\n) </dev/null >&2\n( /two x\n) </dev/null >&2\nexec "$@"'
    assert body["Entrypoint"][2:] == [lines, "rumpel", "/entry", "a b"]
    assert body["Cmd"] == ["serve"]
    plain = container_body.create(
        replace(INPUTS, spec=replace(SPEC, override_command=False)), {}, IMAGE, ENGINE
    )
    assert "Entrypoint" not in plain


@pytest.mark.parametrize(
    ("text", "expected"),
    [("8gb", 8 << 30), ("512mb", 512 << 20), ("4096", 4096), ("1tb", 1 << 40), (None, 0)],
)
def test_sizes_of_requirements(text: str | None, expected: int) -> None:
    assert requirements.of(HostRequirements(memory=text)).memory_bytes == expected


@pytest.mark.parametrize("host", [{"UTSMode": "host"}, {"NetworkMode": "container:x"}])
def test_a_host_name_that_is_not_the_pods(host: dict[str, str]) -> None:
    """The engine refuses another one then; a container to join would have to be kept."""
    wanted = replace(INPUTS, spec=replace(SPEC, host_config=host))
    assert "Hostname" not in container_body.create(wanted, {}, IMAGE, ENGINE)
    assert container_body.create(INPUTS, {}, IMAGE, ENGINE)["Hostname"] == "p"


def test_the_command_of_a_service_goes_after_those_of_features() -> None:
    config = {"Entrypoint": ["/own"], "Cmd": ["x"]}
    spec = replace(SPEC, override_command=False, entrypoints=("/one",), config=config)
    body = container_body.create(replace(INPUTS, spec=spec), {}, IMAGE, ENGINE)
    assert body["Entrypoint"][3:] == ["rumpel", "/own"]
    assert body["Cmd"] == ["x"]
    plain = replace(spec, entrypoints=())
    body = container_body.create(replace(INPUTS, spec=plain), {}, IMAGE, ENGINE)
    assert (body["Entrypoint"], body["Cmd"]) == (["/own"], ["x"])


def test_networks_that_an_older_engine_is_told_of_later() -> None:
    endpoints = {"one": {"Aliases": ["a"]}, "two": {"Aliases": ["b"]}}
    spec = replace(SPEC, networking={"EndpointsConfig": endpoints})
    inputs = replace(INPUTS, spec=spec)
    body = container_body.create(inputs, {}, IMAGE, ENGINE)
    assert container_body.later(body, replace(ENGINE, api_version="1.41")) == {
        "two": {"Aliases": ["b"]}
    }
    assert body["NetworkingConfig"] == {"EndpointsConfig": {"one": {"Aliases": ["a"]}}}
    body = container_body.create(inputs, {}, IMAGE, ENGINE)
    assert container_body.later(body, replace(ENGINE, api_version="1.44")) == {}
    assert body["NetworkingConfig"] == {"EndpointsConfig": endpoints}


def test_the_network_of_a_service() -> None:
    inputs = replace(INPUTS, network_of="f" * 64)
    body = container_body.create(inputs, {}, IMAGE, ENGINE)
    assert body["HostConfig"]["NetworkMode"] == "container:" + "f" * 64
    assert "Hostname" not in body


def test_a_label_of_a_version_that_had_the_network_in_it() -> None:
    inputs = replace(INPUTS, network_of="f" * 64)
    text = json.dumps(container.fingerprint(inputs), sort_keys=True, default=list)
    label = hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
    state = ContainerState(
        id="c",
        name="c",
        labels={container.LABEL_SPEC: label},
        status="running",
        image_id="sha256:1",
        started_at="",
        networks={},
    )
    now = replace(inputs, network_of="e" * 64)
    assert container.is_made_of(now, state, "f" * 64), "it is the network alone that is another"
    assert not container.is_made_of(replace(now, user="u", image_key="z"), state, "f" * 64)
    new = replace(state, labels={container.LABEL_SPEC: container.spec_digest(inputs)})
    assert container.is_made_of(now, new, "f" * 64)
