"""The law of the project that no linter knows: packages, sizes, names, pins."""

from __future__ import annotations

import ast
import functools
import os
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import rumpel

ROOT = Path(__file__).parents[2]
LINKED = ("cache", "graphs", "tasks")
"""Packages of rumpel whose folders lie at the top."""
CODE_FOLDERS = ("rumpel", *LINKED)
MODULE_LIMIT_LINES = 400
TEST_MODULE_LIMIT_LINES = 600
FUNCTION_LIMIT_LINES = 40
POSITIONAL_LIMIT = 5
VAGUE_NAMES = frozenset({"base", "common", "helpers", "manager", "misc", "utils"})


def modules(*folders: str) -> list[Path]:
    """Python files below `folders`, each once: links are not followed."""
    found: list[Path] = []
    for folder in folders:
        for path, subfolders, names in os.walk(ROOT / folder):
            subfolders[:] = [name for name in subfolders if name != "__pycache__"]
            found += (Path(path) / name for name in names if name.endswith(".py"))
    return sorted(found)


@functools.cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), filename=str(path))


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def where(path: Path, node: ast.stmt | None = None) -> str:
    return f"{path.relative_to(ROOT)}{f':{node.lineno}' if node else ''}"


def pyproject() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pairs = (line.split("==") for line in lines if line and not line.startswith("#"))
    return {normal(name): version for name, version in pairs}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_every_package_is_in_the_wheel() -> None:
    on_disk = {
        ".".join(part for part in ("rumpel", *path.parent.relative_to(ROOT).parts) if part)
        for path in modules(*LINKED)
    } | {".".join(path.parent.relative_to(ROOT).parts) for path in modules("rumpel")}
    on_disk.add("rumpel.resources")  # no Python in it, but what pods run
    assert set(pyproject()["tool"]["setuptools"]["packages"]) == on_disk


def test_every_package_mapped_from_the_top_has_its_link() -> None:
    mapping = pyproject()["tool"]["setuptools"]["package-dir"]
    assert mapping == {"rumpel": "rumpel"} | {f"rumpel.{name}": name for name in LINKED}
    for name in LINKED:
        assert (ROOT / "rumpel" / name).readlink() == Path("..", name)


def test_modules_are_short() -> None:
    limits = dict.fromkeys(modules(*CODE_FOLDERS, "bench"), MODULE_LIMIT_LINES)
    limits |= dict.fromkeys(modules("tests"), TEST_MODULE_LIMIT_LINES)
    sizes = {path: len(path.read_text().splitlines()) for path in limits}
    assert not [f"{where(p)}: {sizes[p]} lines" for p in limits if sizes[p] > limits[p]]


def test_functions_are_short() -> None:
    long = [
        f"{where(path, node)} {node.name}: {size} lines"
        for path in modules(*CODE_FOLDERS, "bench")
        for node in functions(path)
        if (size := (node.end_lineno or 0) - node.lineno + 1) > FUNCTION_LIMIT_LINES
    ]
    assert not long


def test_functions_take_few_positional_parameters() -> None:
    greedy = []
    for path in modules(*CODE_FOLDERS):
        for node in functions(path):
            named = [arg.arg for arg in (*node.args.posonlyargs, *node.args.args)]
            count = len([name for name in named if name not in ("self", "cls")])
            if count > POSITIONAL_LIMIT:
                greedy.append(f"{where(path, node)} {node.name}: {count}")
    assert not greedy


def test_import_names_start_with_rumpel() -> None:
    """A bare `import tasks` would run the tasks.py of whoever starts us."""
    bare = []
    for path in modules(*CODE_FOLDERS, "bench", "scripts", "tests"):
        for node in ast.walk(tree(path)):
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [node.module or ""]
            if isinstance(node, ast.stmt) and any(n.partition(".")[0] in LINKED for n in names):
                bare.append(where(path, node))
    assert not bare


def test_no_possessive_groups_in_patterns() -> None:
    """`(...)*+` matches wrongly before Python 3.11.5 (Debian 12 has 3.11.2); `x*+` is fine."""
    found = [
        f"{where(path)}:{node.lineno}"
        for path in modules(*CODE_FOLDERS)
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and re.search(r"(?<!\\)\)[*+?]\+", node.value)
    ]
    assert not found


def test_modules_say_what_they_are() -> None:
    silent = [where(p) for p in modules(*CODE_FOLDERS, "bench", "tests") if not describes_itself(p)]
    assert not silent


def describes_itself(path: Path) -> bool:
    return bool(ast.get_docstring(tree(path))) or not path.read_text().strip()


def test_module_names_are_the_nouns_users_see() -> None:
    assert not [where(p) for p in modules(*CODE_FOLDERS) if p.stem in VAGUE_NAMES]


def test_every_dependency_is_pinned_within_its_bound() -> None:
    project = pyproject()["project"]
    pinned = pins()
    extras = project["optional-dependencies"].values()
    for requirement in (*project["dependencies"], *(one for extra in extras for one in extra)):
        name, bound = requirement.split(">=")
        version = pinned[normal(name)]
        assert tuple(map(int, version.split(".")[:2])) >= tuple(map(int, bound.split(".")[:2]))


def test_constraints_are_versions_only() -> None:
    """No index, no link: where packages come from is the business of the machine."""
    text = (ROOT / "constraints.txt").read_text()
    assert not re.search(r"://|^-|@", text, flags=re.MULTILINE)


def test_the_changelog_names_the_version() -> None:
    heading = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), flags=re.MULTILINE)
    assert heading is not None
    assert heading[1] == rumpel.__version__


@pytest.mark.parametrize("name", ["demo", "engine", "images", "venv", "check", "test"])
def test_scripts_can_be_run(name: str) -> None:
    path = ROOT / "scripts" / name
    if name == "demo" and not path.exists():
        pytest.skip("scripts/demo is not written yet")
    assert os.access(path, os.X_OK)
    assert path.read_text().startswith("#!/usr/bin/env ")
