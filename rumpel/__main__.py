"""`python -m rumpel` and the console script."""

from __future__ import annotations

import os
import sys


def main() -> int:
    _open_missing_descriptors()
    from rumpel.cli.boundary import run

    return run(sys.argv[1:])


def _open_missing_descriptors() -> None:
    """`rumpel … <&-`: or our first socket becomes descriptor 0 and is taken for stdin."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDONLY if descriptor == 0 else os.O_WRONLY)
            if descriptor == 1:
                sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115 - lives as long as we
            elif descriptor == 2:
                sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115 - as above


if __name__ == "__main__":
    sys.exit(main())
