"""What of a pod the host has already, under whatever name."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rumpel.adapters import git_merged
from rumpel.daemon.background import Background
from rumpel.daemon.landed import HOLDS_S, Landed
from tests.adapters.git.conftest import SHA256, Pair


def work(pair: Pair) -> list[str]:
    """Two commits in the pod, which the host gets as a published ref; their names."""
    pair.pod.commit("one", {"src/app.py": "print(2)\n", "new.bin": bytes(range(256))})
    pair.pod.commit("two", {"src/other.py": "print(3)\n"})
    pair.host.git("fetch", "-q", str(pair.pod.root), "alice:refs/remotes/rumpelpod/alice")
    return pair.pod.git("rev-list", "--max-count=2", "HEAD").split()


async def left(pair: Pair) -> list[str]:
    tip = pair.pod.oid("HEAD")
    return [subject for _, subject in await git_merged.unmerged(pair.repo, [tip])]


@SHA256
async def test_nothing_is_merged_at_first(pair: Pair) -> None:
    work(pair)
    assert await left(pair) == ["two", "one"]
    pair.host.commit("elsewhere", {"README.md": "# Other\n"})
    assert await left(pair) == ["two", "one"]


@pytest.mark.parametrize("moved", [False, True])
async def test_a_squash_merge(pair: Pair, moved: bool) -> None:
    work(pair)
    if moved:
        pair.host.commit("elsewhere", {"README.md": "# Other\n"})
    pair.host.git("merge", "-q", "--squash", "rumpelpod/alice")
    pair.host.git("commit", "-qm", "all of it")
    pair.host.commit("later", {"src/app.py": "print(9)\n"})
    assert await left(pair) == []
    pair.pod.commit("three", {"src/app.py": "print(4)\n"})
    pair.host.git("fetch", "-q", str(pair.pod.root), "+alice:refs/remotes/rumpelpod/alice")
    assert "three" in await left(pair)


async def test_a_rebase_and_a_cherry_pick(pair: Pair) -> None:
    two, one = work(pair)
    pair.host.commit("elsewhere", {"README.md": "# Other\n"})
    pair.host.git("cherry-pick", one)
    assert await left(pair) == ["two"]
    pair.host.git("cherry-pick", two)
    assert await left(pair) == []


async def test_what_is_told_of_it_follows_the_branches_of_the_host(pair: Pair) -> None:
    two, one = work(pair)
    asked, now = [(pair.repo, (pair.host.oid("HEAD"), pair.pod.oid("HEAD")))], 0.0
    async with Background() as background:
        landed = Landed(background, clock=lambda: now)
        assert not await landed.look(asked, within_s=60)
        pair.host.git("checkout", "-q", "-b", "other")
        pair.host.commit("elsewhere", {"README.md": "# Other\n"})
        pair.host.git("cherry-pick", one, two)
        assert not await landed.look(asked, within_s=60), "not so soon"
        now += HOLDS_S
        assert await landed.look(asked, within_s=60)
        assert landed.is_known(asked[0][1])
        pair.host.git("checkout", "-q", "main")
        pair.host.git("branch", "-qD", "other")
        now += HOLDS_S
        assert await landed.look(asked, within_s=60)
        assert not landed.is_known(asked[0][1])


async def test_the_same_files_with_other_content_are_not_it(pair: Pair) -> None:
    work(pair)
    pair.host.commit("one", {"src/app.py": "print(2)\n", "new.bin": bytes(range(255)) + b"\0"})
    pair.host.commit("two", {"src/other.py": "print(3) \n"})
    assert await left(pair) == ["two", "one"]


async def test_commits_that_change_nothing_count(pair: Pair) -> None:
    pair.pod.commit("empty")
    pair.host.git("fetch", "-q", str(pair.pod.root), "alice:refs/remotes/rumpelpod/alice")
    pair.host.commit("empty, too")
    assert await left(pair) == ["empty"]


LINE = st.binary(max_size=12).map(lambda data: b"+" + data.replace(b"\n", b"").replace(b"\r", b""))


@given(st.lists(LINE, max_size=6), st.lists(LINE, max_size=6), st.integers(0, 999))
def test_a_patch_is_its_lines_and_not_their_numbers(
    one: list[bytes], two: list[bytes], number: int
) -> None:
    head = [b"diff --git a/f b/f", b"index 1234..5678 100644", b"--- a/f", b"+++ b/f"]
    other = [b"diff --git a/f b/f", b"index 9999..8888 100644", b"--- a/f", b"+++ b/f"]
    here = git_merged.patch_id([*head, b"@@ -1,2 +3,4 @@ def f", *one])
    there = git_merged.patch_id([*other, b"@@ -%d,2 +7,4 @@ def g" % number, *two])
    assert (here == there) == (one == two)
