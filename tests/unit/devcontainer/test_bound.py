"""Links in what is mounted of this machine: where they led is known, and a turned one is found."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rumpel.devcontainer import bound


def options(device: str, **more: str) -> dict[str, Any]:
    driver = {"Options": {"type": "none", "o": "bind", "device": device, **more}}
    return {"Type": "volume", "Source": "v", "VolumeOptions": {"DriverConfig": driver}}


FORMS: list[Any] = [
    lambda path: {"Binds": [f"{path}:/c:ro"]},
    lambda path: {"Binds": [f"{path}/../{Path(path).name}/.:/c"]},
    lambda path: {"Mounts": [{"Type": "bind", "Source": path, "Target": "/c"}]},
    lambda path: {"Mounts": [options(path)]},
    lambda path: {"Mounts": [options(path, type="tmpfs", o="size=1,rbind")]},
    lambda path: {"Devices": [{"PathOnHost": path, "PathInContainer": "/dev/x"}]},
]


@pytest.mark.parametrize("form", FORMS)
def test_a_link_that_is_turned(form: Any, tmp_path: Path) -> None:
    place = tmp_path.resolve() / "place"
    place.mkdir()
    host = form(str(place))
    assert bound.led(host, ()) == ()
    assert bound.astray(host, ()) == ""
    place.rename(tmp_path / "other")
    place.symlink_to(tmp_path / "other")
    assert bound.astray(host, ()) == str(place)
    known = bound.led(host, ())
    assert known == bound.led({}, host.get("Mounts", ())) or "Mounts" not in host
    assert bound.astray(host, known) == ""
    place.unlink()
    place.symlink_to("/")
    assert bound.astray(host, known) == str(place)


def test_what_is_no_path_of_a_repository(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to("/")
    host = {
        "Binds": ["volume:/c"],
        "Mounts": [
            {"Type": "volume", "Source": str(link), "Target": "/c"},
            {"Type": "tmpfs", "Target": "/t"},
            options(str(link), type="nfs", o="addr=192.0.2.1"),
        ],
        "Devices": [{"PathOnHost": "/dev/stdin"}],
    }
    assert bound.astray(host, ()) == ""
    assert bound.astray({"Binds": None, "Mounts": None, "Devices": None}, ()) == ""
