"""What the command line imports: every start pays for it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
LATER = (
    "argparse", "asyncio", "asyncssh", "cache", "concurrent", "contextlib", "ctypes",
    "dataclasses", "datetime", "docker", "doit", "email", "enum", "functools", "gettext",
    "greenlet", "http", "inspect", "json", "locale", "logging", "multiprocessing",
    "pathlib", "pydantic", "pygit2", "re", "rich", "rumpel.daemon", "rumpel.engine", "selectors",
    "shutil", "signal", "socket", "sqlite3", "ssl", "subprocess", "tempfile", "threading",
    "traceback", "typing", "unicodedata",
)  # fmt: skip
"""Never loaded for a plain `list` or `enter`, nor anything in these."""


def loaded(code: str) -> set[str]:
    """By `code`, in an interpreter that looks for no installed packages (they import much)."""
    out = subprocess.run(
        [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
         f"{code}\nprint(*sorted(sys.modules))"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return set(out.stdout.split())


def heavy(names: set[str]) -> set[str]:
    return {name for name in names if f"{name}.".startswith(tuple(f"{one}." for one in LATER))}


def test_a_plain_list_imports_nothing_heavy() -> None:
    names = loaded(
        "from rumpel.cli import grammar, boundary\n"
        "from rumpel import jsonline\n"
        "module = grammar.module_of('list')\n"
        "grammar.parse('list', module, ['-q'])\n"
        "jsonline.loads(jsonline.dumps({'a': [1.5, None]}).encode())"
    )
    assert "rumpel.cli.list" in names
    assert not heavy(names)


def test_entering_imports_nothing_heavy_either() -> None:
    names = loaded(
        "from rumpel import names\n"
        "from rumpel.cli import grammar, boundary, enter, attach, progress\n"
        "grammar.parse('enter', enter, ['a', '--', 'true'])\n"
        "names.check_pod_name('a')"
    )
    assert not heavy(names)


def test_a_request_does_not_wait_for_what_the_answer_needs() -> None:
    names = loaded("from rumpel.cli import grammar, boundary, enter")
    assert "rumpel.cli.attach" not in names
    assert "rumpel.cli.progress" not in names
