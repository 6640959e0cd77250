"""What engines say of a container that could not be started."""

from __future__ import annotations

import pytest

from rumpel.tasks.service_start import reason


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        (
            "failed to create task for container: failed to create shim task: OCI runtime create "
            "failed: runc create failed: unable to start container process: error during container "
            'init: exec: "x": executable file not found in $PATH: unknown',
            'exec: "x": executable file not found in $PATH',
        ),
        (
            "crun: executable file `x` not found: No such file",
            "executable file `x` not found: No such file",
        ),
        ("network a not found", "network a not found"),
        ("one\ntwo  three", "one two three"),
    ],
)
def test_the_reason_without_those_that_handed_it_on(said: str, shown: str) -> None:
    assert reason(said) == shown
