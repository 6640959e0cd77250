"""What is poured into a gateway: everything the branches reach, and nothing else."""

from __future__ import annotations

import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from rumpel.adapters import git_seed, git_seed_packs, threads
from rumpel.errors import RumpelError
from tests.adapters.git.conftest import Pair, seed_tar
from tests.adapters.git.test_hostile import write
from tests.support import large
from tests.support.repo import Repo

FORMATS = pytest.mark.parametrize("pair", [(), ("--object-format=sha256",)], indirect=True)


async def poured(pair: Pair, tmp_path: Path) -> Repo:
    await seed_tar(pair.repo, tmp_path / "seed.tar")
    with tarfile.open(tmp_path / "seed.tar") as tar:
        assert {(item.uid, item.gid) for item in tar} == {(0, 0)}
        tar.extractall(tmp_path / "host.git")
    found = Repo(tmp_path / "host.git", pair.home.environment(None))
    assert found.git("fsck", "--full", "--strict") == ""
    return found


def objects(repo: Repo) -> set[str]:
    listed = repo.git("cat-file", "--batch-all-objects", "--batch-check=%(objectname)")
    return set(listed.splitlines())


def reached(repo: Repo, *args: str) -> set[str]:
    return set(repo.git("rev-list", "--objects", "--no-object-names", *args).splitlines())


def packs(folder: Path) -> set[str]:
    return {path.name for path in folder.glob("pack-*.pack")}


@FORMATS
async def test_own_packs_are_reused(pair: Pair, tmp_path: Path) -> None:
    host = pair.host
    host.git("gc", "-q")
    own = packs(host.root / ".git/objects/pack")
    host.git("switch", "-qc", "later")
    host.commit("loose", {"loose.txt": "loose\n"})
    found = await poured(pair, tmp_path)
    assert own < packs(found.root / "objects/pack"), "its own, and one of the rest"
    assert objects(found) == reached(host, "--branches")
    assert packs(host.root / ".git/objects/pack") == own
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("seed-")] == []


@FORMATS
async def test_a_pack_with_anything_else_is_not_used(pair: Pair, tmp_path: Path) -> None:
    """A stash, another remote's branch, and what was thrown away stay with the user."""
    host = pair.host
    host.write({"README.md": "secret of the stash\n"})
    host.git("stash", "-q")
    host.commit("thrown away", {"secret.txt": "thrown away\n"})
    host.git("update-ref", "refs/remotes/origin/private", "HEAD")
    host.git("reset", "-q", "--hard", "HEAD~1")
    host.git("repack", "-q", "-a", "-d")
    found = await poured(pair, tmp_path)
    assert objects(found) == reached(host, "--branches")
    assert not packs(found.root / "objects/pack") & packs(host.root / ".git/objects/pack")


async def test_packs_on_another_file_system_are_packed_anew(
    pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair.host.git("gc", "-q")

    def refuse(source: Path, target: Path) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr("os.link", refuse)
    found = await poured(pair, tmp_path)
    assert objects(found) == reached(pair.host, "--branches")


async def test_large_files_lie_beside_it(pair: Pair, tmp_path: Path) -> None:
    store = pair.host.root / ".git/lfs"
    content, stash = b"large\n" * 50, b"unused\n" * 50
    large.put(store, content)
    large.put(store, stash)
    large.track(pair.host, file=content)
    found = await poured(pair, tmp_path)
    files = [path for path in (found.root / "lfs").rglob("*") if path.is_file()]
    assert files == [large.stored(found.root / "lfs", content)]
    assert files[0].read_bytes() == content


async def test_an_empty_repository(pair: Pair, tmp_path: Path) -> None:
    empty = Repo.create(tmp_path / "empty", pair.host.env)
    found = await poured(await pair.of(empty, pair.pod), tmp_path)
    assert objects(found) == set()
    assert (found.root / "HEAD").read_text() == "ref: refs/heads/main\n"


async def test_a_folder_that_cannot_be_written(pair: Pair, tmp_path: Path) -> None:
    with pytest.raises(RumpelError, match="cannot be written"):
        async with git_seed.seed(pair.repo, tmp_path / "nowhere"):
            raise AssertionError("it was")


async def test_a_partial_clone_whose_remote_is_gone(pair: Pair, tmp_path: Path) -> None:
    pair.host.git("rm", "-q", "src/app.py")
    pair.host.commit("without it")
    for setting in ("uploadpack.allowFilter", "uploadpack.allowAnySHA1InWant"):
        pair.host.git("config", setting, "true")
    clone = ("clone", "-q", "--filter=blob:none", f"file://{pair.host.root}")
    pair.host.git(*clone, str(tmp_path / "partial"))
    partial = await pair.of(Repo(tmp_path / "partial", pair.host.env), pair.pod)
    await threads.call(pair.host.root.rename, tmp_path / "gone")
    with pytest.raises(RumpelError, match="is a partial clone") as found:
        await seed_tar(partial.repo, tmp_path / "seed.tar")
    assert "--refetch" in str(found.value.hint)


async def poured_boldly(pair: Pair, tmp_path: Path) -> Repo:
    await seed_tar(pair.repo, tmp_path / "seed.tar", is_bold=True)
    with tarfile.open(tmp_path / "seed.tar") as tar:
        names = tar.getnames()
        tar.extractall(tmp_path / "host.git")
    assert names[-1] == "HEAD"
    return Repo(tmp_path / "host.git", pair.home.environment(None))


async def test_a_pack_that_is_poured_while_it_is_proven(
    pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(git_seed_packs, "EARLY_BYTES", 1)
    host = pair.host
    host.git("gc", "-q")
    own = packs(host.root / ".git/objects/pack")
    host.commit("loose", {"loose.txt": "loose\n"})
    host.write({"README.md": "secret of the stash, which is in no pack\n"})
    host.git("stash", "-q")
    found = await poured_boldly(pair, tmp_path)
    assert own < packs(found.root / "objects/pack")
    assert objects(found) == reached(host, "--branches")
    assert found.git("fsck", "--full", "--strict") == ""


async def test_a_pack_that_only_seemed_clean_ends_the_tar(
    pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No ref tells of the secret, so it is found while its pack is on the way."""
    monkeypatch.setattr(git_seed_packs, "EARLY_BYTES", 1)
    host = pair.host
    secret = host.git("hash-object", "-w", "--stdin", input=b"secret\n")
    every = host.git("cat-file", "--batch-all-objects", "--batch-check=%(objectname)")
    assert secret in every
    host.git("pack-objects", "-q", ".git/objects/pack/pack", input=f"{every}\n".encode())
    with pytest.raises(git_seed_packs.Unclean):
        await poured_boldly(pair, tmp_path)
    found = await poured(pair, tmp_path)
    assert objects(found) == reached(host, "--branches")


async def test_a_pack_with_a_stash_is_not_even_tried(
    pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(git_seed_packs, "EARLY_BYTES", 1)
    host = pair.host
    host.write({"README.md": "secret of the stash\n"})
    host.git("stash", "-q")
    host.git("repack", "-q", "-a", "-d")
    found = await poured_boldly(pair, tmp_path)
    assert objects(found) == reached(host, "--branches")


async def test_commits_younger_than_their_children_are_no_strangers(
    pair: Pair, tmp_path: Path
) -> None:
    """Of a clock that went backwards; git's search by dates stops too early then."""
    host = pair.host
    tip = host.oid("HEAD")
    folder = host.oid("HEAD^{tree}")
    for second in (2_000_000_000, *range(1_000_000_000, 1_000_000_020)):
        who = f"A <a@b.c> {second} +0000"
        text = f"tree {folder}\nparent {tip}\nauthor {who}\ncommitter {who}\n\nx\n"
        tip = write(host, "commit", text.encode())
        if second == 2_000_000_000:
            host.git("update-ref", "refs/heads/main", tip)
    host.git("update-ref", "refs/heads/main", tip)
    host.git("repack", "-q", "-a", "-d")
    (index,) = (host.root / ".git/objects/pack").glob("*.idx")
    assert host.git("rev-list", "--all", "--reflog", f"^{tip}") != ""
    assert await git_seed_packs.seems_clean(pair.repo, [tip], index)
    host.commit("amended away")
    host.git("reset", "-q", "--hard", tip)
    host.git("repack", "-q", "-a", "-d")
    (index,) = (host.root / ".git/objects/pack").glob("*.idx")
    assert not await git_seed_packs.seems_clean(pair.repo, [tip], index)


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Path]:
    """A folder on another file system."""
    other = Path("/dev/shm")
    if not other.is_dir() or other.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is only one file system here")
    with tempfile.TemporaryDirectory(dir=other) as folder:
        yield Path(folder)


async def test_to_another_file_system(pair: Pair, elsewhere: Path) -> None:
    """The repository on one disk, the state folder on another."""
    pair.host.git("gc", "-q")
    pair.host.commit("loose", {"loose.txt": "loose\n"})
    found = await poured(pair, elsewhere)
    assert objects(found) == reached(pair.host, "--branches")
