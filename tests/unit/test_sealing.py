"""Private values as digests: over and over, and beside texts that only look like them."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from rumpel.model import (
    ContainerSpec,
    FeatureSpec,
    ImageSpec,
    PodSpec,
    ProjectSpec,
    ServiceSpec,
)
from rumpel.sealing import is_sealed
from rumpel.tasks import service_digest
from tests.unit.test_prebuild import REPO

LIKE = "sealed:" + "0" * 32
"""Of a user's own."""
TEXTS = ["very-secret", "sealed:strict", LIKE]


def spec_of(text: str) -> PodSpec:
    """With it at every place that is private, and `LIKE` at others."""
    built = ImageSpec(dockerfile="d", args={"A": f"x{text}", "B": "sealed:"}, hidden=(text,))
    feature = FeatureSpec(name="f", written="f", options={"O": text}, private=("O",))
    body = {"environment": {"P": text, "MODE": LIKE}, "command": ["a", text]}
    service = ServiceSpec(
        name="db", image=built, body=body, private=(("environment", "P"), ("command", 1))
    )
    volumes = {"v": {"name": "v", "external": False, "driver": "local", "options": {"o": text}}}
    container = ContainerSpec(
        workspace_folder="/w",
        env={"P": text, "MODE": LIKE, "NONE": None},
        private_env=("P", "NONE"),
        config={"Labels": {"l": text}, "Cmd": [LIKE]},
        private=(("config", "Labels", "l"),),
    )
    project = ProjectSpec(
        service="app",
        services=(service,),
        volumes=volumes,
        private=(("volumes", "v", "options", "o"),),
    )
    return PodSpec(
        repo=REPO,
        host="local",
        pod="p",
        pod_id="i",
        base_branch=None,
        base_oid=None,
        image=replace(built, features=(feature,)),
        container=container,
        project=project,
    )


def private_of(spec: PodSpec) -> list[Any]:
    assert spec.project is not None
    (service,) = spec.project.services
    return [
        spec.image.args,
        spec.image.features[0].options,
        service.body,
        service.image.args,
        spec.project.volumes,
        spec.container.env,
        spec.container.config,
    ]


@pytest.mark.parametrize("text", TEXTS)
def test_what_is_stored_has_digests_however_often_it_is_stored(text: str) -> None:
    spec = spec_of(text)
    assert not any(map(is_sealed, private_of(spec)))
    stored = json.dumps(spec.to_json())
    of_mine = stored.replace('"MODE": "' + LIKE, "").replace('"Cmd": ["' + LIKE, "")
    assert text not in of_mine
    known = PodSpec.from_json(json.loads(stored))
    assert all(map(is_sealed, private_of(known)))
    assert json.dumps(known.to_json()) == stored
    again = PodSpec.from_json(json.loads(json.dumps(known.to_json())))
    assert again == known
    assert all(map(is_sealed, private_of(again)))


def test_what_compose_is_given_is_sealed_only_where_a_value_is_not_known() -> None:
    spec = spec_of("very-secret")
    known = PodSpec.from_json(json.loads(json.dumps(spec.to_json())))
    for one, is_stored in ((spec, False), (known, True)):
        assert one.project is not None
        made_of = [(service, "i") for service in one.project.services]
        assert is_sealed(service_digest.model(one.project, made_of, {})) is is_stored
        assert is_sealed(one.project.services[0].private_texts) is is_stored


def test_a_text_that_looks_like_a_digest_is_none() -> None:
    body = {"environment": {"MODE": LIKE, "OTHER": "sealed:strict"}}
    service = ServiceSpec(name="db", image=ImageSpec(ref="i"), body=body)
    stored = json.loads(json.dumps({"name": "db", "image": {"ref": "i"}, "body": body}))
    assert not is_sealed(service.body)
    assert not is_sealed(ServiceSpec.from_json(stored).body)
