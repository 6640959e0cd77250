"""Which Dockerfiles may read the devcontainer.json of their context: in doubt, all."""

from __future__ import annotations

import pytest

from rumpel.adapters.build_reads import may_read

PATH = ".devcontainer/devcontainer.json"
NO = (
    "FROM a\nRUN make\n",
    "FROM a\nCOPY scripts/*.sh /tmp/\nADD --chown=1:1 a b /c/\n",
    "FROM a AS b\nFROM c\nCOPY --from=b . /x\nCOPY --link --from=b / /y\n",
    "FROM a\nRUN --mount=type=cache,target=/c --mount=from=b,target=/d make\n",
    "# syntax=docker/dockerfile:1\nFROM a\n# COPY . .\nCOPY a \\\n  # COPY . .\n\n  b /c/\n",
    'FROM a\nCOPY ["a b", "/x"]\nADD https://x/.devcontainer /y\nLABEL x="COPY . ."\n',
    "FROM a\nCOPY .devcontainer/*.sh .devcontainer/lib /x/\nCOPY .devcontainer/d/e /x/\n",
)
YES = (
    "FROM a\nCOPY . .\n",
    "FROM a\ncopy --chown=x ./ /x\n",
    "FROM a\nADD / /x\n",
    "FROM a\nCOPY a .devcontainer /x/\n",
    "FROM a\nCOPY .devcontainer/*.json /x/\n",
    "FROM a\nCOPY */dev* /x/\n",
    "FROM a\nCOPY \\\n  . /x\n",
    "FROM a\r\nCOPY a \\\r\n  . /x\r\n",
    "FROM a\nCOPY $WHAT /x\n",
    "FROM a\nCOPY\t. /x\n",
    "FROM a\nCOPY a/.. /x\n",
    "FROM a\nCOPY --parents **/x /x\n",
    "FROM a\nCOPY .[^a]evcontainer /x\n",
    'FROM a\nCOPY [".", "/x"]\n',
    'FROM a\nCOPY [".", \n',
    'FROM a\nCOPY "." /x\n',
    "FROM a\nONBUILD COPY . /x\n",
    "FROM a\nRUN --mount=target=/c cat /c/x\n",
    "FROM a\nRUN --mount=type=bind,source=.,target=/c true\n",
    "# syntax=example/other\nFROM a\n",
    "# escape=`\nFROM a\n",
    "FROM a\nRUN <<EOF\nx \\\nEOF\nCOPY . .\n",
)


@pytest.mark.parametrize("dockerfile", NO)
def test_no(dockerfile: str) -> None:
    assert not may_read(dockerfile.encode(), PATH)


@pytest.mark.parametrize("dockerfile", YES)
def test_yes(dockerfile: str) -> None:
    assert may_read(dockerfile.encode(), PATH)
