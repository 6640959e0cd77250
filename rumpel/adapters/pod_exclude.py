"""What a pod was given of this machine's files is in none of its commits: its git ignores them."""

from __future__ import annotations

import re
from collections.abc import Iterable

# Lines on stdin that are not in `info/exclude` yet; of a list without any line a grep may say that
# it has all of them.
IGNORE = """
list=$(git rev-parse --git-path info/exclude) && mkdir -p "${list%/*}" && : >>"$list" || exit 1
[ -z "$(tail -c 1 "$list")" ] || echo >>"$list"
[ -s "$list" ] || echo '# files of the host' >>"$list"
new=$(LC_ALL=C grep -vxF -f "$list") || [ $? = 1 ] || exit 1
[ -z "$new" ] || printf '%s\\n' "$new" >>"$list"
"""


def lines(names: Iterable[str]) -> str:
    """Of files below the workspace, one for each."""
    return "".join(f"/{_escaped(name)}\n" for name in names)


def _escaped(name: str) -> str:
    """No line can hold a line break, and git drops a carriage return at its end: any character."""
    return re.sub(r"[\n\r]", "?", re.sub(r"([\\*?\[ ])", r"\\\1", name))
