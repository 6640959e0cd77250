"""Tests of variables in devcontainer.json."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rumpel.devcontainer import variables
from rumpel.devcontainer.positions import FieldError
from rumpel.devcontainer.variables import Folders, Reads

FOLDERS = Folders(local="/foo/red", container="/baz/${localWorkspaceFolderBasename}")
ENV = {"SET": "value", "EMPTY": "", "LATER": "${containerEnv:X}${devcontainerId}"}

TABLE = {
    "plain": "plain",
    "a${localEnv:SET}b": "avalueb",
    "a${env:SET}b": "avalueb",
    "a${localEnv:UNSET}b": "ab",
    "${localEnv:UNSET:default}": "default",
    "${localEnv:UNSET:a:b}": "a",
    "${localEnv:UNSET:}": "",
    "${localEnv:SET:default}": "value",
    "${localEnv:EMPTY:default}": "",
    "${localEnv:}": "",
    "${localEnv:UNSET:${localEnv:SET}}": "${localEnv}",
    "${localEnv:SET}${localEnv:SET}": "valuevalue",
    "${localWorkspaceFolder}": "/foo/red",
    "${localWorkspaceFolder:x}": "/foo/red",
    "${localWorkspaceFolderBasename}": "red",
    "${containerWorkspaceFolder}": "/baz/red",
    "${containerWorkspaceFolderBasename}": "red",
    "${containerEnv:PATH}": "${containerEnv:PATH}",
    "${devcontainerId}": "${devcontainerId}",
    "${localenv:SET}": "${localenv:SET}",
    "${ localEnv:SET}": "${ localEnv:SET}",
    "${workspaceFolder} ${}": "${workspaceFolder} ${}",
    "$localEnv:SET ${": "$localEnv:SET ${",
    "${localEnv:\nSET}": "${localEnv:\nSET}",
    "${localEnv:LATER}": "${containerEnv:X}${devcontainerId}",
}


def read(value: Any) -> Any:
    return variables.read_stage(value, FOLDERS, ENV, Reads())


@pytest.mark.parametrize("text", TABLE)
def test_read_stage(text: str) -> None:
    assert read({"f": [text]}) == {"f": [TABLE[text]]}


def test_keys_and_other_values_stay() -> None:
    value = {"${localEnv:SET}": 1, "b": [None, True, 1.5, {"c": "${localEnv:SET}"}]}
    assert read(value) == {"${localEnv:SET}": 1, "b": [None, True, 1.5, {"c": "value"}]}


def test_a_variable_without_a_name_is_an_error_with_its_path() -> None:
    with pytest.raises(FieldError, match=r"\$\{localEnv\} needs the name") as caught:
        read({"a": ["", "x${localEnv}"]})
    assert caught.value.path == ("a", 1)


def test_later_stages_see_what_earlier_ones_brought_in() -> None:
    value = read("${localEnv:LATER}")
    value = variables.pod_stage(value, "id")
    assert value == "${containerEnv:X}id"
    assert variables.running_stage(value, {"X": "${localEnv:SET}"}) == "${localEnv:SET}id"
    assert variables.running_stage("${containerEnv:NO:d:e}", {}) == "d"


def test_reads_are_recorded_with_their_place() -> None:
    reads = Reads()
    variables.read_stage(
        {"a": "${localEnv:SET:x:y}", "b": ["${env:NO:http://x}"]}, FOLDERS, ENV, reads
    )
    assert [(one.name, one.path, one.is_set, one.is_cut) for one in reads.seen] == [
        ("SET", ("a",), True, False),
        ("NO", ("b", 0), False, True),
    ]


def test_devcontainer_id_is_the_references() -> None:
    labels = {"devcontainer.local_folder": "/srv/demo", "devcontainer.config_file": "/srv/é"}
    found = variables.devcontainer_id(labels)
    assert found == variables.devcontainer_id(dict(reversed(labels.items())))
    # By BigInt("0x" + sha256 of {"a":"b"}).toString(32), as the reference has it.
    assert variables.devcontainer_id({"a": "b"}) == (
        "1mqafr5h2iu6dhh3k1m4vtnuhml2uiec4s7bntt1v0f25ao63i1n"
    )


@given(st.dictionaries(st.text(), st.text(), max_size=3))
def test_devcontainer_id_is_52_digits(labels: dict[str, str]) -> None:
    found = variables.devcontainer_id(labels)
    assert len(found) == 52
    assert set(found) <= set("0123456789abcdefghijklmnopqrstuv")
