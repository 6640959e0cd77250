"""Contexts: the rules of .dockerignore, compared with the docker CLI; tar and key."""

from __future__ import annotations

import asyncio
import io
import os
import random
import shutil
import socket
import tarfile
from pathlib import Path

import pytest

from rumpel.adapters import build_context, build_ignore
from rumpel.adapters.build_ignore import Ignore, Verdict
from rumpel.errors import ConfigError
from tests.adapters.docker.fake_engine import Request, answer, fake_engine, json_answer
from tests.support.repo import Repo


def tree(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"content of " + os.fsencode(name))
    return root


def is_ignored(ignore: Ignore, path: str) -> bool:
    verdict: Verdict = ignore.root()
    parts = path.split("/")
    for end in range(1, len(parts) + 1):
        verdict = ignore.judge("/".join(parts[:end]), verdict)
    return verdict.is_ignored


@pytest.mark.parametrize(
    ("patterns", "ignored", "kept"),
    [
        ("node_modules", ["node_modules", "node_modules/a/b"], ["x/node_modules", "node_modules2"]),
        ("**/node_modules", ["node_modules", "x/node_modules/y", "a/b/node_modules"], ["x/node"]),
        ("*.log", ["a.log"], ["x/a.log", "a.log2"]),
        ("**/*.log", ["a.log", "x/y/a.log"], ["a.logs"]),
        ("*/temp*", ["a/temp", "a/temporary/x"], ["temp", "a/b/temp"]),
        ("temp?", ["tempa", "temp1"], ["temp", "tempab"]),
        ("a/**", ["a/b", "a/b/c"], ["a", "b"]),
        ("a/**/z", ["a/z", "a/b/z", "a/b/c/z"], ["a/zz", "z"]),
        ("**", ["a", "a/b"], []),
        ("*\n!keep", ["a", "b/c"], ["keep", "keep/inner"]),
        ("*\n!dir/keep", ["dir/other", "x"], ["dir/keep"]),
        ("*\n!**/keep", ["dir/other", "x"], ["dir/keep", "keep", "a/b/keep/inner"]),
        ("*.md\n!README*.md\nREADME-secret.md", ["a.md", "README-secret.md"], ["README.md"]),
        ("*.md\nREADME-secret.md\n!README*.md", ["a.md"], ["README.md", "README-secret.md"]),
        ("/foo/bar\nother/", ["foo/bar", "foo/bar/x", "other/x"], ["x/foo/bar", "foo"]),
        ("./a/../b//c/", ["b/c", "b/c/d"], ["a", "b"]),
        ("# comment\n\n  spaced  \n\\#hash", ["spaced", "#hash"], ["# comment"]),
        ("\ufeffbom", ["bom"], []),
        ("[a-c]x\n[^a-c]y", ["ax", "cx", "dy"], ["dx", "ay"]),
        ("a\\*b", ["a*b"], ["axb"]),
        ("a.b", ["a.b"], ["axb"]),
        ("! spaced-exception", [], ["spaced-exception"]),
        ("dir\n!dir/sub\ndir/sub/deep", ["dir/a", "dir/sub/deep/x"], ["dir/sub/b"]),
        ("{a,b}", ["{a,b}"], ["a", "b"]),
        ("ü*", ["über"], ["uber"]),
        (".", [], ["a", ".x"]),
        ("..\n../x", [], ["a", "x"]),
    ],
)
def test_patterns(patterns: str, ignored: list[str], kept: list[str]) -> None:
    ignore = build_ignore.parse(patterns)
    assert {path: is_ignored(ignore, path) for path in ignored + kept} == {
        **dict.fromkeys(ignored, True),
        **dict.fromkeys(kept, False),
    }


@pytest.mark.parametrize("line", ["[", "[]", "[a", "[a-]", "x\\", "!", "[z-a]", "[-a]"])
def test_a_bad_pattern_is_named_with_its_line(line: str) -> None:
    with pytest.raises(ConfigError, match=r"^\.dockerignore:2: bad pattern"):
        build_ignore.parse(f"good\n{line}\n")


def names(context: build_context.Context) -> list[str]:
    return [entry.path for entry in context.entries]


def test_the_dockerfile_is_sent_and_not_seen(tmp_path: Path) -> None:
    tree(tmp_path, "Dockerfile", "src/a", "secret")
    (tmp_path / ".dockerignore").write_text("Dockerfile\n.dockerignore\nsecret\n")
    context = build_context.scan(tmp_path, tmp_path / "Dockerfile")
    assert names(context) == [".dockerignore", "Dockerfile", "src", "src/a"]
    assert [entry.path for entry in context.entries if entry.is_hidden] == [
        ".dockerignore",
        "Dockerfile",
    ]
    before = build_context.key_of(context)
    (tmp_path / ".dockerignore").write_text("# only words\nDockerfile\n.dockerignore\nsecret\n")
    (tmp_path / "secret").write_text("changed")
    assert build_context.content_key(tmp_path, tmp_path / "Dockerfile") == before


def test_the_configuration_counts_where_it_is_read(tmp_path: Path) -> None:
    """An edited port makes no new image, unless the image has the file in it."""
    config, dockerfile = tmp_path / "devcontainer.json", tmp_path / "Dockerfile"

    def keys(text: str) -> list[str]:
        dockerfile.write_text(text)
        found = []
        for port in "12":
            config.write_text(port)
            found.append(build_context.content_key(tmp_path, dockerfile, config=config))
        return found

    (tmp_path / "setup.sh").write_text("x")
    one, other = keys("FROM a\nCOPY setup.sh /\n")
    assert one == other
    (tmp_path / "setup.sh").write_text("y")
    assert one not in keys("FROM a\nCOPY setup.sh /\n")
    one, other = keys("FROM a\nCOPY . /\n")
    assert one != other


def test_a_dockerfile_outside_gets_a_name_inside(tmp_path: Path) -> None:
    tree(tmp_path, "app/a", ".devcontainer/Dockerfile", "app/.dockerignore")
    (tmp_path / "app/.dockerignore").write_text("b")
    context = build_context.scan(tmp_path / "app", tmp_path / ".devcontainer/Dockerfile")
    assert context.dockerfile == ".rumpel.Dockerfile"
    assert names(context) == ["a"]
    assert dict(context.extra) == {
        ".dockerignore": b"b\n.dockerignore\n.rumpel.Dockerfile\n",
        ".rumpel.Dockerfile": b"content of .devcontainer/Dockerfile",
    }


def test_a_dockerfile_can_have_its_own_ignore_file(tmp_path: Path) -> None:
    tree(tmp_path, "docker/Dockerfile", "a", "b")
    (tmp_path / ".dockerignore").write_text("a")
    (tmp_path / "docker/Dockerfile.dockerignore").write_text("b")
    context = build_context.scan(tmp_path, tmp_path / "docker/Dockerfile")
    assert "a" in names(context)
    assert "b" not in names(context)


def test_the_tar_is_the_same_everywhere(tmp_path: Path) -> None:
    tars = []
    for place, order in (("one", ["b", "a/x", "a/y"]), ("two/deeper", ["a/y", "b", "a/x"])):
        root = tree(tmp_path / place, *order, "Dockerfile")
        (root / "run").write_text("#!/bin/sh")
        (root / "run").chmod(0o755)
        (root / "link").symlink_to("a/x")
        (root / "dangling").symlink_to("/no/where")
        os.mkfifo(root / "pipe")
        with socket.socket(socket.AF_UNIX) as sock:
            sock.bind(str(root / "sock"))
        out = io.BytesIO()
        build_context.write(build_context.scan(root, root / "Dockerfile"), out)
        tars.append((out.getvalue(), build_context.content_key(root, root / "Dockerfile")))
    assert tars[0] == tars[1]
    with tarfile.open(fileobj=io.BytesIO(tars[0][0])) as tar:
        assert tar.getnames() == ["Dockerfile", "a", "a/x", "a/y", "b", "dangling", "link", "run"]
        assert {one.uid for one in tar} == {0}
        assert tar.getmember("run").mode == 0o755
        assert tar.getmember("dangling").linkname == "/no/where"


def test_the_key_follows_what_a_build_can_see(tmp_path: Path) -> None:
    root = tree(tmp_path, "Dockerfile", "a", "d/b")
    keys = [build_context.content_key(root, root / "Dockerfile")]

    def changed() -> bool:
        keys.append(build_context.content_key(root, root / "Dockerfile"))
        return keys[-1] != keys[-2]

    os.utime(root / "a", (1, 1))
    assert not changed()
    (root / "a").write_text("other")
    assert changed()
    (root / "a").chmod(0o755)
    assert changed()
    (root / "empty").mkdir()
    assert changed()
    (root / "d/b").rename(root / "d/c")
    assert changed()
    (root / "a").unlink()
    (root / "a").symlink_to("d")
    assert changed()
    (root / "Dockerfile").write_text("FROM scratch")
    assert changed()


def test_the_key_is_the_users_part_of_a_repository(git_repo: Repo) -> None:
    """A root that is a context holds git's folder, in which each commit of a pod lands."""
    root = git_repo.root
    oid = git_repo.commit("first", {"Dockerfile": "FROM scratch\n"})
    git_repo.git("pack-refs", "--all")
    key = build_context.content_key(root, root / "Dockerfile")
    other = git_repo.git("commit-tree", "-p", oid, "-m", "of a pod", f"{oid}^{{tree}}")
    for name in ("refs/remotes/rumpelpod/p", "refs/remotes/rumpelpod/p@p", "refs/rumpel/keep/x"):
        git_repo.git("update-ref", "--create-reflog", name, other)
    for name in ("HEAD.lock", "packed-refs.lock", "refs/heads/x.lock", "objects/ab/tmp_obj_1"):
        (root / ".git" / name).parent.mkdir(exist_ok=True)
        (root / ".git" / name).write_text("")
    assert build_context.content_key(root, root / "Dockerfile") == key
    sent = names(build_context.scan(root, root / "Dockerfile"))
    assert not [name for name in sent if "rumpel" in name or ".lock" in name or "tmp_" in name]
    assert {".git/refs/remotes", ".git/objects", ".git/logs/HEAD", ".git/packed-refs"} <= set(sent)
    for name in ("HEAD.lock", "packed-refs.lock", "refs/heads/x.lock"):
        (root / ".git" / name).unlink()
    git_repo.git("tag", "-a", "-m", "t", "annotated", other)
    git_repo.git("update-ref", "refs/rumpel/keep/tag", git_repo.oid("annotated"))
    git_repo.git("tag", "-d", "annotated")
    git_repo.git("pack-refs", "--all")
    assert b"rumpelpod/p@p" in (root / ".git/packed-refs").read_bytes()
    assert build_context.content_key(root, root / "Dockerfile") == key
    (root / ".git/gc.log").write_text("")
    git_repo.git("gc", "-q", "--prune=now")
    git_repo.git("update-server-info")
    assert (root / ".git/info/refs").exists()
    assert build_context.content_key(root, root / "Dockerfile") == key, "nobody moved a ref"
    for change in (
        ("branch", "leak", other),
        ("branch", "-f", "leak", oid),
        ("config", "a.b", "c"),
        ("symbolic-ref", "HEAD", "refs/heads/leak"),
    ):
        git_repo.git(*change)
        changed = build_context.content_key(root, root / "Dockerfile")
        assert changed != key, change
        key = changed


def test_the_digests_of_files_can_be_remembered(tmp_path: Path) -> None:
    root = tree(tmp_path, "Dockerfile", "a")
    asked: list[str] = []

    def remember(path: Path, info: os.stat_result) -> str:
        asked.append(path.name)
        assert info.st_size == path.stat().st_size
        return build_context.plain_digest(path, info)

    key = build_context.content_key(root, root / "Dockerfile", digest_file=remember)
    assert key == build_context.content_key(root, root / "Dockerfile")
    assert asked == ["Dockerfile", "a"]


def test_odd_names_survive(tmp_path: Path) -> None:
    odd = ["new\nline", "ü", "a" * 200, os.fsdecode(b"\xff\xfe")]
    root = tree(tmp_path, "Dockerfile", *odd)
    out = io.BytesIO()
    build_context.write(build_context.scan(root, root / "Dockerfile"), out)
    with tarfile.open(fileobj=io.BytesIO(out.getvalue()), errors="surrogateescape") as tar:
        assert set(tar.getnames()) == {"Dockerfile", *odd}


@pytest.mark.parametrize("missing", ["context", "dockerfile"])
def test_what_is_missing_is_named(tmp_path: Path, missing: str) -> None:
    root = tree(tmp_path, "app/a")
    context = root / ("nowhere" if missing == "context" else "app")
    with pytest.raises(ConfigError, match=r"nowhere|no Dockerfile at"):
        build_context.scan(context, root / "Dockerfile")


PARTS = ["a", "b", "aa", "ab.log", "x.log", "keep", "c"]
PIECES = ["a", "b", "*", "**", "*.log", "a*", "?", "keep", "[ab]", "x.log", "c"]


def random_patterns(rng: random.Random) -> str:
    lines = []
    for _ in range(rng.randint(1, 5)):
        pattern = "/".join(rng.choice(PIECES) for _ in range(rng.randint(1, 3)))
        lines.append(("!" if rng.random() < 0.4 else "") + pattern)
    return "\n".join(lines)


async def sent_by_docker(folder: Path, root: Path) -> set[str]:
    """The files in the context that the docker CLI's own code sends."""
    bodies: list[bytes] = []

    async def engine(request: Request, writer: asyncio.StreamWriter) -> None:
        if "/build" in request.path:
            bodies.append(request.body)
            writer.write(json_answer({"stream": "done"}))
        else:
            writer.write(answer(b"OK", 200, "Api-Version: 1.41", "Ostype: linux"))

    async with fake_engine(folder, engine) as url:
        process = await asyncio.create_subprocess_exec(
            "docker",
            "build",
            "-q",
            root,
            env={**os.environ, "DOCKER_HOST": url, "DOCKER_BUILDKIT": "0"},
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        await process.wait()
    with tarfile.open(fileobj=io.BytesIO(bodies[0])) as tar:
        return {one.name for one in tar if one.isfile()}


def random_tree(rng: random.Random, root: Path) -> None:
    tree(root, "Dockerfile")
    for _ in range(25):
        name = "/".join(rng.choice(PARTS) for _ in range(rng.randint(1, 4)))
        above = [root.joinpath(*name.split("/")[:end]) for end in range(1, name.count("/") + 1)]
        if not (root / name).exists() and not any(path.is_file() for path in above):
            tree(root, name)


@pytest.mark.skipif(shutil.which("docker") is None, reason="no docker CLI to compare with")
def test_the_docker_cli_sends_the_same_files(tmp_path: Path) -> None:
    seed = os.environ.get("DOCKERIGNORE_SEED", "1")
    for turn in range(int(os.environ.get("DOCKERIGNORE_TURNS", "15"))):
        rng = random.Random(f"{seed}-{turn}")
        root = tmp_path / f"t{turn}"
        random_tree(rng, root)
        patterns = random_patterns(rng)
        (root / ".dockerignore").write_text(patterns)
        ignore = build_ignore.parse(patterns)
        context = build_context.scan(root, root / "Dockerfile")
        ours = {entry.path for entry in context.entries if entry.kind == "file"}
        theirs = asyncio.run(sent_by_docker(tmp_path, root))
        if all(one.is_plain() for one in ignore.patterns if one.is_exception):
            assert ours == theirs, f"{patterns!r} (seed {seed}, turn {turn})"
        else:  # the classic CLI does not look into ignored folders for these, BuildKit does
            assert ours >= theirs, f"{patterns!r} (seed {seed}, turn {turn})"
