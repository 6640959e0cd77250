"""Fingerprints: the same for the same thing, whatever the order, the process or the machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rumpel.cache.fingerprint import (
    FileHashes,
    canonical,
    digest,
    fingerprint,
    keyed,
    tree_hash,
)

plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 60), 1 << 60) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
OLD_NS = 5_000_000_000


def reversed_dicts(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: reversed_dicts(item) for key, item in reversed(value.items())}
    if isinstance(value, list):
        return tuple(map(reversed_dicts, value))
    return value


@given(plain)
def test_order_of_keys_and_kind_of_sequence_do_not_matter(value: Any) -> None:
    assert canonical(value) == canonical(reversed_dicts(value))
    assert json.loads(canonical(value)) == value


@given(plain, plain)
def test_different_values_have_different_texts(one: Any, other: Any) -> None:
    def strict(value: Any) -> str:
        return json.dumps(value, sort_keys=True)

    assert (canonical(one) == canonical(other)) == (strict(one) == strict(other))


def test_the_same_in_another_process() -> None:
    value = {"b": ["ä", 1, None], "a": {"z": True, "y": "\ud800"}}
    code = (
        "from rumpel.cache.fingerprint import digest;"
        "print(digest({'a': {'y': '\\ud800', 'z': True}, 'b': ('ä', 1, None)}))"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            cwd=Path(__file__).parents[2],
            capture_output=True,
            text=True,
            check=True,
            timeout=20,
        ).stdout.strip()
        for seed in ("0", "1")
    }
    assert found == {digest(value)}


def test_true_is_not_one_and_sets_are_refused() -> None:
    assert digest({"a": True}) != digest({"a": 1})
    assert digest({"a": "1"}) != digest({"a": 1})
    with pytest.raises(TypeError):
        canonical({"a": {1, 2}})
    with pytest.raises(ValueError, match="Out of range"):
        canonical(float("nan"))


def test_kind_and_version_are_part_of_it() -> None:
    text = canonical({"a": 1})
    assert (
        len({fingerprint("x", 1, text), fingerprint("x", 2, text), fingerprint("y", 1, text)}) == 3
    )
    assert fingerprint("x", 1, text) == fingerprint("x", 1, canonical({"a": 1}))


def test_a_secret_is_hidden_by_its_key() -> None:
    assert keyed("secret", b"k1") == keyed("secret", b"k1")
    assert len({keyed("secret", b"k1"), keyed("secret", b"k2"), keyed("other", b"k1")}) == 3


def age(path: Path, ns: int = OLD_NS) -> None:
    old = time.time_ns() - ns
    os.utime(path, ns=(old, old), follow_symlinks=False)


def test_a_file_is_read_again_only_when_it_changed(tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_text("one")
    age(file)
    files = FileHashes()
    first = files.get(str(file))
    assert len(files) == 1
    status = file.stat()
    with file.open("r+") as stream:  # same size, same inode, and the times put back
        stream.write("two")
    os.utime(file, ns=(status.st_mtime_ns, status.st_mtime_ns))
    assert files.get(str(file)) == first, "the memo was not used"
    age(file, OLD_NS * 2)
    assert files.get(str(file)) != first


def test_a_fresh_file_is_not_trusted(tmp_path: Path) -> None:
    """An edit within one tick of the clock keeps size and mtime."""
    file = tmp_path / "f"
    file.write_text("one")
    files = FileHashes()
    first = files.get(str(file))
    assert len(files) == 0
    status = file.stat()
    file.write_text("two")
    os.utime(file, ns=(status.st_mtime_ns, status.st_mtime_ns))
    assert files.get(str(file)) != first


def test_a_file_from_the_future_is_not_trusted(tmp_path: Path) -> None:
    file = tmp_path / "f"
    file.write_text("one")
    age(file, -OLD_NS)
    files = FileHashes()
    files.get(str(file))
    assert len(files) == 0


def test_the_memo_is_bounded(tmp_path: Path) -> None:
    files = FileHashes(limit=3)
    for number in range(10):
        file = tmp_path / str(number)
        file.write_text(str(number))
        age(file)
        files.get(str(file))
        assert len(files) <= 3


def everything(_path: str) -> bool:
    return False


def make_tree(root: Path) -> None:
    (root / "sub").mkdir(parents=True)
    (root / "a.txt").write_text("a")
    (root / "sub" / "b.sh").write_text("b")
    (root / "link").symlink_to("a.txt")


def test_a_tree_is_its_content_not_its_place_or_times(tmp_path: Path) -> None:
    for name in ("one", "two"):
        make_tree(tmp_path / name)
    age(tmp_path / "two" / "a.txt")
    (tmp_path / "two" / "a.txt").chmod(0o600)
    files = FileHashes()
    first, second = (
        tree_hash(str(tmp_path / name), skip=everything, files=files) for name in ("one", "two")
    )
    assert first == second


@pytest.mark.parametrize(
    "change",
    [
        lambda root: (root / "a.txt").write_text("x"),
        lambda root: (root / "a.txt").rename(root / "A.txt"),
        lambda root: (root / "sub" / "b.sh").chmod(0o755),
        lambda root: ((root / "link").unlink(), (root / "link").symlink_to("sub")),
        lambda root: (root / "new").mkdir(),
        lambda root: (root / "sub" / "b.sh").unlink(),
        lambda root: os.mkfifo(root / "pipe"),
    ],
)
def test_every_change_of_a_tree_shows(tmp_path: Path, change: Any) -> None:
    root = tmp_path / "root"
    make_tree(root)
    files = FileHashes()
    before = tree_hash(str(root), skip=everything, files=files)
    change(root)
    assert tree_hash(str(root), skip=everything, files=files) != before


def test_what_is_ignored_does_not_count(tmp_path: Path) -> None:
    root = tmp_path / "root"
    make_tree(root)
    (root / "sub" / "kept").write_text("kept")
    files = FileHashes()

    def skip(path: str) -> bool:
        return path in {"a.txt", "sub", "sub/b.sh"}

    before = tree_hash(str(root), skip=skip, files=files)
    (root / "a.txt").write_text("x")
    (root / "sub" / "b.sh").unlink()
    assert tree_hash(str(root), skip=skip, files=files) == before
    (root / "sub" / "kept").write_text("changed")
    assert tree_hash(str(root), skip=skip, files=files) != before
