"""Files of features: the same bytes for the same files, and nothing hostile gets in."""

from __future__ import annotations

import gzip
import io
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from rumpel.adapters import feature_files
from rumpel.errors import ConfigError, NotFound


def archive(*entries: tuple[str, bytes, bytes, str]) -> bytes:
    """(name, type, content, link) of each."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, kind, content, link in entries:
            info = tarfile.TarInfo(name)
            info.type, info.size, info.linkname, info.mtime = kind, len(content), link, 7
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


REG, SYM, DIR = tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.DIRTYPE


def test_a_folder_and_an_archive_of_it_are_the_same(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/b").write_text("b")
    (tmp_path / "a").write_text("a")
    (tmp_path / "link").symlink_to("sub/b")
    packed = feature_files.pack(tmp_path)
    given = archive(
        ("./sub", DIR, b"", ""),
        ("./sub/b", REG, b"b", ""),
        ("link", SYM, b"", "sub/b"),
        ("./a", REG, b"a", ""),
    )
    assert feature_files.repack(given, "x") == packed
    assert feature_files.repack(gzip.compress(given), "x") == packed
    assert feature_files.member(packed, "sub/b") == b"b"
    assert feature_files.member(packed, "none") is None
    (tmp_path / "a").chmod(0o755)
    assert feature_files.pack(tmp_path) != packed, "whether it may be run counts"


@pytest.mark.parametrize("entry", [
    ("../x", REG, b"", ""), ("/etc/x", REG, b"", ""), ("a/../../x", REG, b"", ""),
    ("x", SYM, b"", "/etc/passwd"), ("x", SYM, b"", "../y"), ("a/x", SYM, b"", "../../y"),
    ("x", tarfile.LNKTYPE, b"", "/etc/passwd"), ("x", tarfile.CHRTYPE, b"", ""),
    ("x", tarfile.FIFOTYPE, b"", ""), ("..", REG, b"", ""),
])  # fmt: skip
def test_what_leads_out_of_it_is_refused(entry: tuple[str, bytes, bytes, str]) -> None:
    with pytest.raises(ConfigError):
        feature_files.repack(archive(entry), "x")


def test_nothing_lies_behind_a_link() -> None:
    chain = archive(
        ("a/b/y", SYM, b"", "../.."),
        ("a/b/z", SYM, b"", "y/../../../esc"),
        ("a/b/z/evil", REG, b"x", ""),
    )
    with pytest.raises(ConfigError, match=r"behind a link|outside of it"):
        feature_files.repack(chain, "x")
    loop = archive(("install.sh", SYM, b"", "install.sh"))
    assert feature_files.member(feature_files.repack(loop, "x"), "install.sh") is None


def test_several_at_once_leave_one_whole_file(tmp_path: Path) -> None:
    store, content = feature_files.store(tmp_path), b"x" * (4 << 20)
    with ThreadPoolExecutor(8) as pool:
        digests = set(pool.map(store.put, [content] * 16))
    (digest,) = digests
    assert store.read(digest) == content
    assert [path.name for path in store.folder.iterdir()] == [f"{digest}.tar"]


def test_what_is_no_archive_is_refused() -> None:
    for content in (b"", b"no", gzip.compress(b"no"), b"\x1f\x8b" + b"x" * 100):
        with pytest.raises(ConfigError, match="cannot be read"):
            feature_files.repack(content, "x")


def test_how_much_there_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feature_files, "MAX_FILES", 3)
    monkeypatch.setattr(feature_files, "MAX_BYTES", 100)
    with pytest.raises(ConfigError, match="larger than"):
        feature_files.repack(archive(("a", REG, b"x" * 60, ""), ("b", REG, b"x" * 60, "")), "x")
    with pytest.raises(ConfigError, match="more than 3 files"):
        feature_files.repack(archive(*((f"f{n}", REG, b"", "") for n in range(4))), "x")
    with pytest.raises(ConfigError, match="more than 3 files"):
        feature_files.repack(archive(*((f"d{n}", DIR, b"", "") for n in range(9))), "x")


def test_what_is_kept_is_whole_or_gone(tmp_path: Path) -> None:
    store = feature_files.store(tmp_path)
    digest = store.put(b"content")
    assert store.put(b"content") == digest
    assert store.read(digest) == b"content"
    store.path(digest).write_bytes(b"changed")
    with pytest.raises(NotFound):
        store.read(digest)
    assert store.put(b"content") == digest
    assert store.read(digest) == b"content", "written anew"
    with pytest.raises(ValueError, match="no digest"):
        store.path("../x")
