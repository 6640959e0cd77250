"""Tests of mounts in devcontainer.json."""

from __future__ import annotations

import re
from typing import Any

import pytest

from rumpel.devcontainer import mounts
from rumpel.devcontainer.positions import FieldError

READ: dict[str, dict[str, Any]] = {
    "type=bind,source=/a,target=/b": {"Type": "bind", "Source": "/a", "Target": "/b"},
    "TYPE=Bind,src=/a,dst=/b,ro": {
        "Type": "bind",
        "Source": "/a",
        "Target": "/b",
        "ReadOnly": True,
    },
    "source=v,destination=/b": {"Type": "volume", "Source": "v", "Target": "/b"},
    "target=/b": {"Type": "volume", "Target": "/b"},
    "type=bind,source=./x,target=/b,readonly=false": {
        "Type": "bind",
        "Source": "/root/x",
        "Target": "/b",
        "ReadOnly": False,
    },
    "type=bind,source=../x,target=/b": {"Type": "bind", "Source": "/x", "Target": "/b"},
    'type=bind,"source=/a,b",target=/b': {"Type": "bind", "Source": "/a,b", "Target": "/b"},
    "type=bind,source=/a,target=/b,bind-propagation=rshared,consistency=cached": {
        "Type": "bind",
        "Source": "/a",
        "Target": "/b",
        "Consistency": "cached",
        "BindOptions": {"Propagation": "rshared"},
    },
    "type=tmpfs,target=/b,tmpfs-size=64m,tmpfs-mode=1770": {
        "Type": "tmpfs",
        "Target": "/b",
        "TmpfsOptions": {"SizeBytes": 64 << 20, "Mode": 0o1770},
    },
    "source=v,target=/b,volume-nocopy,volume-driver=d,volume-opt=a=b=c,volume-label=l=": {
        "Type": "volume",
        "Source": "v",
        "Target": "/b",
        "VolumeOptions": {
            "NoCopy": True,
            "DriverConfig": {"Name": "d", "Options": {"a": "b=c"}},
            "Labels": {"l": ""},
        },
    },
}

REFUSED = {
    "source=/a": "needs a target",
    "target=b": "not an absolute path",
    "type=bind,target=/b": "needs a source",
    "type=bind,source=a,target=/b": "not an absolute path",
    "type=tmpfs,source=a,target=/b": "has no source",
    "type=foo,target=/b": "not a mount type",
    "target=/b,foo=1": "no mount option 'foo'",
    "target=/b,foo": "not a key=value",
    "target=/b,source": "not a key=value",
    "type=bind, source=/a,target=/b": "no mount option ' source'",
    "target=/b,bind-propagation=shared": "another mount type",
    "target=/b,readonly=maybe": "neither true nor false",
    "type=tmpfs,target=/b,tmpfs-mode=9": "not a whole number",
    "": "needs a target",
    '"target=/b': "not a list of key=value",
}


@pytest.mark.parametrize("text", READ)
def test_reads_what_docker_reads(text: str) -> None:
    assert mounts.parse(text, ("mounts", 0), root="/root") == READ[text]


@pytest.mark.parametrize("text", REFUSED)
def test_refuses_what_docker_refuses(text: str) -> None:
    with pytest.raises(FieldError, match=re.escape(REFUSED[text])):
        mounts.parse(text, ("mounts", 0), root="/root")


def test_objects() -> None:
    parse = mounts.parse
    assert parse({"type": "volume", "target": "/b"}, ("m",), root="/") == {
        "Type": "volume",
        "Target": "/b",
    }
    assert parse({"type": "bind", "source": "/a", "target": "/b", "readonly": True}, (), root="/")[
        "ReadOnly"
    ]
    with pytest.raises(FieldError, match=r"m\.source: a string is expected"):
        parse({"source": 1, "target": "/b"}, ("m",), root="/")


def test_the_later_mount_of_a_target_counts_in_its_place() -> None:
    given: list[mounts.Mount] = [{"Target": "/a"}, {"Target": "/b"}, {"Target": "/a/", "n": 2}]
    assert mounts.last_by_target(given) == [{"Target": "/b"}, {"Target": "/a/", "n": 2}]


def test_anonymous_volumes_get_a_name_of_the_pod() -> None:
    one = mounts.named({"Type": "volume", "Target": "/a b"}, "p", "0123456789abcdef")
    two = mounts.named({"Type": "volume", "Target": "/a-b"}, "p", "0123456789abcdef")
    other = mounts.named({"Type": "volume", "Target": "/a b"}, "p", "f123456789abcdef")
    assert re.fullmatch(r"rumpel-p-0123456789ab-a-b-[0-9a-f]{8}", one["Source"])
    assert len({one["Source"], two["Source"], other["Source"]}) == 3


@pytest.mark.parametrize(
    ("target", "expected"),
    [("/", True), ("/w", True), ("/w/x", True), ("/w/x/", True), ("/w/x/y", False), ("/wx", False)],
)
def test_covers(target: str, expected: bool) -> None:
    assert mounts.covers(target, "/w/x") is expected
