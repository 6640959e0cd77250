"""What a container is created with, where no engine here has what it is about."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rumpel.adapters.docker_types import EngineInfo, ImageInfo
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
