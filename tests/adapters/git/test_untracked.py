"""Which files of a work tree `copyIn` names, how many they may be, and how they are read."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Iterable

import pytest

from rumpel.adapters import untracked
from rumpel.adapters.named import cleaned, is_named
from rumpel.adapters.tar_copy import Choice, drain
from rumpel.adapters.tar_stream import Changed
from rumpel.errors import ConfigError
from tests.adapters.git.conftest import Pair

NAMED = [
    (".env", ".env", True),
    (".env", "a/b/.env", True),
    (".env", ".env.local", False),
    (".env*", "a/.env.local", True),
    ("conf", "conf/a/b", True),
    ("conf/*.local", "conf/a.local", True),
    ("conf/*.local", "conf/a/b.local", True),
    ("conf/*.local", "x/conf/a.local", False),
    ("/.env", ".env", True),
    ("/.env", "a/.env", False),
    ("/conf", "conf/a", True),
    ("[ab].x", "b.x", True),
    ("*", "any/thing", True),
    ("conf/", "conf/a", True),
    ("conf/", "x/conf/a", True),
    ("./.env", ".env", True),
    ("./.env", "a/.env", False),
    (".//././/.env", ".env", True),
    ("./conf/", "conf/a", True),
    ("./conf/", "x/conf/a", False),
    ("./conf/*.local/", "conf/a.local", True),
    ("./conf/*.local", "x/conf/a.local", False),
]


@pytest.mark.parametrize(("pattern", "path", "is_so"), NAMED)
def test_patterns(pattern: str, path: str, is_so: bool) -> None:
    patterns = cleaned([pattern])
    assert is_named(path.encode(), patterns) is is_so
    assert Choice(kept=patterns).is_wanted(path.encode()) is is_so


@pytest.mark.parametrize(("pattern", "path", "is_so"), NAMED)
async def test_git_is_asked_for_no_less(pair: Pair, pattern: str, path: str, is_so: bool) -> None:
    pair.host.write({path: "x", ".gitignore": "*.local\n.env\n"})
    assert (path in await named(pair, pattern)) is is_so


async def named(pair: Pair, *patterns: str) -> tuple[str, ...]:
    repo = pair.repo
    return (await untracked.named(repo.work_tree, repo.common_dir, cleaned(patterns))).names


async def test_what_is_tracked_or_of_git_is_none_of_them(pair: Pair) -> None:
    pair.host.write({"README.md": "changed\n", "a/stray": "", ".rumpel/x": ""})
    assert await named(pair, "*") == (".rumpel/x", "a/stray")
    assert await named(pair, "README.md", ".git", ".git/*", "*/config", "../*") == ()


async def test_the_configuration_of_git_hides_nothing(pair: Pair) -> None:
    pair.host.write({"sub/.env": "x", ".gitignore": "sub\n"})
    pair.host.git("config", "status.showUntrackedFiles", "no")
    (pair.host.root / ".git/info/exclude").write_text(".env\n")
    assert await named(pair, ".env") == ("sub/.env",)


async def test_too_many_and_too_large(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(untracked, "MAX_FILES", 3)
    monkeypatch.setattr(untracked, "MAX_BYTES", 10)
    pair.host.write({"a.x": "1", "b.x": "1", "c.x": "1"})
    assert len(await named(pair, "*.x")) == 3
    pair.host.write({"d.x": "1"})
    with pytest.raises(ConfigError, match="more than 3 files") as many:
        await named(pair, "*.x")
    assert many.value.hint is not None
    assert "postCreateCommand" in many.value.hint
    pair.host.write({"large": "0123456789+"})
    with pytest.raises(ConfigError, match="more than 10 B of files"):
        await named(pair, "large")
    with pytest.raises(ConfigError, match="more than 10 B of files"):  # it grew since
        await sent(pair, ["large"])


async def sent(pair: Pair, names: Iterable[str], gone: list[str] | None = None) -> bytes:
    found = untracked.tar(pair.repo.work_tree, names, "mark", [] if gone is None else gone)
    return b"".join([piece async for piece in found])


async def test_the_tar(pair: Pair) -> None:
    root = pair.host.root
    odd = os.fsdecode(b"a \xff\n/x")
    pair.host.write({".env": "x=1\n", odd: "odd"})
    (root / ".env").chmod(0o4750)
    (root / "link").symlink_to("/etc/passwd")
    os.utime(root / ".env", (5, 5))
    gone: list[str] = []
    data = await sent(pair, [".env", odd, "link", "never", "link/x"], gone)
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        by_name = {one.name: one for one in tar}
        assert list(by_name) == ["0", "0/.env", f"0/{odd[:-2]}", f"0/{odd}", "0/link", "mark"]
        env, link = by_name["0/.env"], by_name["0/link"]
        assert (env.mode, env.mtime, env.uid, env.size) == (0o750, 5, 0, 4)
        assert (link.issym(), link.linkname) == (True, "/etc/passwd")
    assert gone == ["never", "link/x"]


async def test_a_link_on_the_way_leads_nowhere(pair: Pair) -> None:
    pair.host.write({"real/.env": "x"})
    (pair.host.root / "way").symlink_to("real")
    gone: list[str] = []
    assert b"way" not in await sent(pair, ["way/.env", "../.env"], gone)
    assert len(gone) == 2


@pytest.mark.parametrize("how", ["became shorter", "was changed"])
async def test_a_file_that_changes(pair: Pair, how: str) -> None:
    path = pair.host.root / "large"
    path.write_bytes(bytes(4 << 20))
    found = untracked.tar(pair.repo.work_tree, ["large"], "mark", [])
    await anext(found)
    if how == "was changed":
        os.utime(path, (5, 5))
    else:
        os.truncate(path, 5)
    with pytest.raises(Changed, match=f"large {how}"):
        await drain(found)
