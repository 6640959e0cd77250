"""The models have every property of the specification's schemas, with the types that they have."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from rumpel.devcontainer import feature_schema, mounts, schema
from rumpel.devcontainer.feature_schema import Feature
from rumpel.devcontainer.schema import DevContainer
from rumpel.devcontainer.sizes import number_text
from tests.unit.devcontainer.test_check import SPECIFICATION
from tests.unit.devcontainer.test_corpus import CORPUS, FILES

FEATURE = {
    "capAdd", "containerEnv", "customizations", "dependsOn", "deprecated", "description",
    "documentationURL", "entrypoint", "id", "init", "installsAfter", "keywords", "legacyIds",
    "licenseURL", "mounts", "name", "onCreateCommand", "options", "postAttachCommand",
    "postCreateCommand", "postStartCommand", "privileged", "securityOpt", "updateContentCommand",
    "version",
}  # fmt: skip
MEMBERS = {
    "args", "cacheFrom", "context", "dockerfile", "options", "target",
    "elevateIfNeeded", "label", "onAutoForward", "protocol", "requireLocalPort",
    "cores", "cpus", "gpu", "memory", "storage", "description", "documentationUrl",
    "default", "enum", "proposals", "type",
}  # fmt: skip
MOUNT = {"source", "target", "type"}
"""Read by mounts.parse, where a mount as text is read, too."""
DEPRECATED = {"fish", "gradle", "homebrew", "jupyterlab", "maven"}
"""Features by their old names, which the schema lists."""


def names(model: type[BaseModel]) -> set[str]:
    return {field.alias or name for name, field in model.model_fields.items()}


def inner(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """The models in it."""
    for field in model.model_fields.values():
        yield from models_in(field.annotation)


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
        yield from inner(annotation)
    for argument in get_args(annotation):
        yield from models_in(argument)


def test_the_models_have_every_property() -> None:
    assert names(DevContainer) == SPECIFICATION
    assert names(Feature) == FEATURE
    found = [*inner(DevContainer), *inner(Feature)]
    assert {name for model in found for name in names(model)} == MEMBERS
    assert {*mounts._object({"type": "bind", "source": "/a", "target": "/b"}, ())} == {
        name.capitalize() for name in MOUNT
    }


@pytest.mark.skipif(not FILES, reason="the schemas do not lie beside the checkout")
def test_those_are_all_there_are() -> None:
    """Held against the schema files themselves."""
    known = SPECIFICATION | FEATURE | MEMBERS | MOUNT | DEPRECATED
    files = sorted((CORPUS.parent / "schema").glob("*.json"))
    assert len(files) == 3
    found = {name for file in files for name in properties(json.loads(file.read_text()))}
    assert found | {"extensions"} == known | {"extensions"}


def properties(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, part in value.items():
            if key == "properties":
                yield from part
            yield from properties([*part.values()] if key == "properties" else part)
    elif isinstance(value, list):
        for part in value:
            yield from properties(part)


def test_a_feature() -> None:
    found, problems = feature_schema.read(
        {
            "id": "tool", "version": "1.2.3", "unknown": 1, "keywords": "x",
            "options": {"a": {"type": "boolean", "default": True},
                        "b": {"type": "string", "proposals": ["1"], "default": "1"}},
            "containerEnv": {"PATH": "/x:${PATH}", "N": 1}, "mounts": [{"target": "/a"}],
        }
    )  # fmt: skip
    assert [one.message for one in problems] == ["keywords: a list is expected, not 'x'"]
    assert (found.id, found.options["a"].default) == ("tool", True)
    assert found.container_env == {"PATH": "/x:${PATH}", "N": "1"}


def test_a_wrong_value_leaves_the_others() -> None:
    found, problems = schema.read(
        {"image": "a", "appPort": [1, "2:3", None], "hostRequirements": {"gpu": {"cores": "x"}}}
    )
    assert found.image == "a"
    assert {one.path for one in problems} == {("appPort", 2), ("hostRequirements", "gpu")}
    ports, _ = schema.read({"appPort": 3000, "dockerComposeFile": "c.yml"})
    assert (ports.app_port, ports.compose_file) == ([3000], ["c.yml"])


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (1, "1"), (-0.0, "0"), (1.0, "1"), (0.5, "0.5"), (1e-6, "0.000001"), (1.5e-7, "1.5e-7"),
        (1e20, "100000000000000000000"), (1e21, "1e+21"), (1.25e300, "1.25e+300"), (-1e-7, "-1e-7"),
        (12345678901234567890, "12345678901234567000"), (0.1, "0.1"), (123456.789, "123456.789"),
    ],
)  # fmt: skip
def test_numbers_are_written_as_the_reference_does(number: float, text: str) -> None:
    assert number_text(number) == text
