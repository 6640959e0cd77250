"""What engines say, as one of them would say it."""

from __future__ import annotations

from rumpel.adapters import docker_types


def test_tags_are_as_docker_writes_them() -> None:
    podmans = ["docker.io/library/debian:12", "docker.io/rumpel/a:1", "localhost/b:1"]
    written = ("debian:12", "rumpel/a:1", "localhost/b:1")
    assert docker_types.image_tags({"RepoTags": podmans}) == written
    assert docker_types.image_tags({"RepoTags": ["<none>:<none>"]}) == ()
    assert docker_types.image_tags({"RepoTags": None}) == ()
