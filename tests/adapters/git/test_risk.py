"""What review marks as risky, in real repositories: tripwires are found, ordinary work is not."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from rumpel.adapters import git, git_diff, threads
from rumpel.adapters.git_diff import Scope
from rumpel.errors import NotFound, RumpelError
from rumpel.tasks import risk, risk_content
from tests.adapters.git.conftest import SHA256, Pair
from tests.support.repo import Repo

Row = dict[str, Any]

WHOLE = Scope()
PACKAGE = {"name": "x", "version": "1", "scripts": {"test": "jest"}, "dependencies": {"a": "^1"}}
LOCK = (
    '"node_modules/a": {"version": "1.0.0", "resolved": "https://registry.npmjs.org/a/-/a.tgz"}\n'
)
BEFORE: Mapping[str, str | bytes] = {
    "package.json": json.dumps(PACKAGE),
    "package-lock.json": LOCK,
    "tool.sh": "echo\n",
    "src/app.py": "print(1)\n",
}

TRIPWIRES: Mapping[str, tuple[str, str | bytes, str]] = {
    "husky": (".husky/pre-commit", "x\n", "hook"),
    "githooks": (".githooks/post-merge", "x\n", "hook"),
    "hooks folder": ("scripts/hooks/pre-push", "x\n", "hook"),
    "pre-commit": (".pre-commit-config.yaml", "x\n", "hook"),
    "lefthook": ("lefthook.yml", "x\n", "hook"),
    "workflow": (".github/workflows/ci.yml", "x\n", "ci"),
    "gitlab": (".gitlab-ci.yml", "x\n", "ci"),
    "jenkins": ("Jenkinsfile", "x\n", "ci"),
    "circle": (".circleci/config.yml", "x\n", "ci"),
    "azure": ("azure-pipelines.yml", "x\n", "ci"),
    "devcontainer folder": (".devcontainer/setup.sh", "x\n", "devcontainer"),
    "devcontainer": (".devcontainer.json", "{}\n", "devcontainer"),
    "rumpel": (".rumpelpod.json", "{}\n", "rumpel"),
    "dockerfile": ("docker/api.Dockerfile", "FROM x\n", "container"),
    "compose": ("docker-compose.override.yml", "x\n", "container"),
    "vscode": (".vscode/tasks.json", "{}\n", "editor"),
    "idea": (".idea/runConfigurations/x.xml", "x\n", "editor"),
    "emacs": (".dir-locals.el", "x\n", "editor"),
    "envrc": (".envrc", "x\n", "environment"),
    "dotenv": (".env", "NODE_OPTIONS=--require ./x\n", "environment"),
    "attributes": ("src/.gitattributes", "* filter=x\n", "git"),
    "submodules": (".gitmodules", '[submodule "x"]\n', "git"),
    "letter case": (".GitAttributes", "x\n", "git"),
    "npmrc": (".npmrc", "registry=x\n", "packages"),
    "pip": ("pip.conf", "x\n", "packages"),
    "cargo": (".cargo/config.toml", "x\n", "packages"),
    "setup.py": ("setup.py", "x\n", "packages"),
    "makefile": ("Makefile", "all:\n", "build"),
    "claude": (".claude/settings.json", "{}\n", "agent"),
    "instructions": ("AGENTS.md", "x\n", "agent"),
    "mcp": (".mcp.json", "{}\n", "agent"),
    "bidi": ("src/app.py", "if ok: \u202e# x\n", "hidden"),
    "zero width": ("src/app.py", "pass\u200bword = 1\n", "hidden"),
    "tags": ("docs/x.md", "hello \U000e0069\U000e0067\n", "hidden"),
    "escape": ("docs/x.txt", "a \x1b[8m b\n", "hidden"),
    "program": ("bin/x", b"\x7fELF\x02\x01\x01\0\0\0", "binary"),
    "archive": ("lib/x.jar", b"PK\x03\x04\0\0\0\0", "binary"),
    "large": ("data.txt", b"x" * (5 << 20), "large"),
    "script": ("package.json", json.dumps({**PACKAGE, "scripts": {"a": "x"}}), "packages"),
    "git dependency": (
        "package.json", json.dumps({**PACKAGE, "dependencies": {"a": "evil/a"}}), "packages"
    ),
    "lock alone": ("package-lock.json", LOCK.replace("a.tgz", "b.tgz"), "lock"),
    "lock elsewhere": ("package-lock.json", LOCK.replace("registry.npmjs.org", "evil.io"), "lock"),
    "option": ("--output=x", "x\n", "name"),
}  # fmt: skip


async def judged(repo: Repo, old: str, new: str, scratch: Path) -> dict[str, set[str]]:
    rows, unread = await rows_of(repo, old, new, scratch)
    assert unread == 0
    return {str(row["path"]): {item["kind"] for item in row["risks"]} for row in rows}


async def rows_of(
    repo: Repo, old: str, new: str, scratch: Path, scope: Scope = WHOLE
) -> tuple[list[Row], int]:
    """As the task does it."""
    await threads.call(scratch.mkdir, exist_ok=True)
    found = await threads.call(git.discover, str(repo.root))
    view = await git_diff.view_of(found, scratch)
    changes = await git_diff.changes(view, old, new, scope)
    counted = await git_diff.counted(view, old, new, scope)
    assert counted is not None
    look = await risk.searched(found, view, changes)
    renamed = [change for change in counted[0] if change.status == "R"]
    look = look.updated(await risk.searched(found, view, renamed))
    return risk.judged(*counted, look), len(look.unread)


@pytest.mark.parametrize("name", TRIPWIRES)
async def test_a_tripwire_is_marked(pair: Pair, tmp_path: Path, name: str) -> None:
    path, content, kind = TRIPWIRES[name]
    old = pair.host.commit("before", BEFORE)
    pair.host.write({"src/other.py": "print(1)\n"})
    new = pair.host.commit("after", {path: content})
    found = await judged(pair.host, old, new, tmp_path / "scratch")
    assert found[path] == {kind}
    assert found["src/other.py"] == set()
    assert next(iter(found)) == path, "it comes first"


async def test_modes_links_and_submodules_are_marked(pair: Pair, tmp_path: Path) -> None:
    host = pair.host
    old = host.commit("before", BEFORE)
    (host.root / "tool.sh").chmod(0o755)
    host.write({"new.sh": "x\n", "HEAD": "ref: x\n", "config": "x\n", "objects/aa/b": "x\n"})
    (host.root / "new.sh").chmod(0o755)
    for name, target in {
        "inside": "src/app.py",
        "src/up": "../tool.sh",
        "src/out": "../../x",
        "absolute": "/etc/passwd",
        "git": ".git/config",
    }.items():
        (host.root / name).symlink_to(target)
    host.git("update-index", "--add", "--cacheinfo", f"160000,{old},sub")
    (host.root / "sub").mkdir()
    host.git("add", "-A", "--", ":!sub")
    host.git("commit", "-qm", "after")
    rows, _ = await rows_of(host, old, host.oid("HEAD"), tmp_path / "scratch")
    reasons = {str(row["path"]): "".join(r["reason"] for r in row["risks"]) for row in rows}
    assert reasons["tool.sh"] == "becomes executable"
    assert reasons["new.sh"] == "a new executable"
    assert reasons["inside"] == "a symlink to src/app.py"
    assert reasons["src/up"] == "a symlink to ../tool.sh"
    assert reasons["src/out"] == "a symlink out of the repository, to ../../x"
    assert reasons["absolute"] == "a symlink out of the repository, to /etc/passwd"
    assert reasons["git"] == "a symlink into git's own folder, to .git/config"
    assert reasons["sub"] == f"a submodule at {old}"
    assert "repository" in reasons["HEAD"]
    assert "repository" in reasons["config"]
    assert reasons["objects/aa/b"] == ""


KINDS = ("py", "ts", "tsx", "go", "rs", "java", "c", "h", "md", "css", "html", "sql", "yaml")
PERSIAN = "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645"


async def test_ordinary_work_is_not_marked(pair: Pair, tmp_path: Path) -> None:
    """200 files: code, tests, documents in several scripts, pictures, versions, a lock file."""
    host = pair.host
    before: dict[str, str | bytes] = {
        **{f"src/old{n}.{KINDS[n % 13]}": f"{n}\n" * 9 for n in range(120)},
        **BEFORE,
        "src/hooks/useUpdate.ts": "1\n",
        "pyproject.toml": '[project]\nname = "x"\n',
    }
    old = host.commit("before", before)
    after: dict[str, str | bytes] = {name: f"{text!r}\nchanged\n" for name, text in before.items()}
    after |= {f"src/new{n}.{KINDS[n % 13]}": f"def f{n}():\r\n\treturn 'é'\n" for n in range(60)}
    after |= {
        "package.json": json.dumps({**PACKAGE, "version": "1.1.0", "dependencies": {"a": "^2"}}),
        "package-lock.json": LOCK.replace("1.0.0", "2.0.0").replace("a.tgz", "a2.tgz"),
        "pyproject.toml": '[project]\nname = "x"\nversion = "2"\n',
        "tool.sh": "echo more\n",
        "src/hooks/useUpdate.ts": "2\n",
        "tests/conftest.py": "import pytest\n",
        "docs/emoji.md": "A \U0001f469\u200d\U0001f4bb writes \u2764\ufe0f " + PERSIAN + "\n",
        "docs/flag.md": "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f\n",
        "docs/bom.csv": "\ufeffa;b\n",
        "docs/hebrew.md": "\u05e9\u05dc\u05d5\u05dd \u4f60\u597d\n",
        "docs/logo.png": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
        "docs/font.woff2": b"wOF2\0\1\0\0",
        ".env.example": "KEY=\n",
        ".gitignore": "*.o\n",
        ".editorconfig": "root = true\n",
        ".eslintrc.json": "{}\n",
        "LICENSE": "MIT\n",
        "src/config": "x\n",
        "src/updates/update.py": "x\n",
        "environment.ts": "x\n",
        "docker.md": "x\n",
        "makefiles.md": "x\n",
    }  # fmt: skip
    host.git("mv", f"src/old119.{KINDS[119 % 13]}", "src/renamed.ts")
    after.pop(f"src/old119.{KINDS[119 % 13]}")
    new = host.commit("after", after)
    found = await judged(host, old, new, tmp_path / "scratch")
    assert len(found) >= 200
    assert {path: kinds for path, kinds in found.items() if kinds} == {}


async def test_what_was_hidden_before_is_not_new(pair: Pair, tmp_path: Path) -> None:
    old = pair.host.commit("before", {"a.txt": "one \u202e two\nthree\n"})
    new = pair.host.commit("after", {"a.txt": "one \u202e two\nfour\n"})
    assert await judged(pair.host, old, new, tmp_path / "scratch") == {"a.txt": set()}


async def test_names_of_any_bytes(pair: Pair, tmp_path: Path) -> None:
    host = pair.host
    old = host.oid("HEAD")
    names = [b"caf\xe9", b"new\nline", b"tab\there", b"esc\x1b[31m", b":colon", b"100644 x", b" "]
    for name in names:
        Path(os.fsdecode(os.fsencode(host.root) + b"/" + name)).write_text("x\n")
    host.git("add", "-A")
    host.git("commit", "-qm", "names")
    host.git("mv", os.fsdecode(b"caf\xe9"), os.fsdecode(b"th\xe9"))
    first = host.oid("HEAD")
    host.git("commit", "-qm", "renamed")
    rows, _ = await rows_of(host, old, first, tmp_path / "scratch")
    assert len(rows) == len(names)
    assert {row["additions"] for row in rows} == {1}
    rows, _ = await rows_of(host, first, host.oid("HEAD"), tmp_path / "scratch")
    assert [(row["status"], row["old_path"], row["path"]) for row in rows] == [
        ("renamed", "caf%E9", "th%E9")
    ]
    assert rows[0]["path_base64"] == "dGjp"


async def test_a_binary_file_has_no_lines(pair: Pair, tmp_path: Path) -> None:
    old = pair.host.oid("HEAD")
    new = pair.host.commit("binary", {"x.bin": b"\0\1"})
    rows, _ = await rows_of(pair.host, old, new, tmp_path / "scratch")
    assert (rows[0]["additions"], rows[0]["deletions"]) == (None, None)


async def test_too_many_files_are_refused(
    pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(git_diff, "MAX_FILES", 3)
    old = pair.host.oid("HEAD")
    new = pair.host.commit("many", {f"{n}.txt": "x\n" for n in range(4)})
    with pytest.raises(RumpelError, match="4 files differ, 3 can be shown"):
        await rows_of(pair.host, old, new, tmp_path / "scratch")
    rows, _ = await rows_of(pair.host, old, new, tmp_path / "scratch", Scope(paths=("1.txt",)))
    assert [row["path"] for row in rows] == ["1.txt"]


def test_a_lock_file_with_its_manifest_may_download_other_files() -> None:
    new, old = LOCK.replace("a.tgz", "b.tgz").encode(), LOCK.encode()
    path = b"web/package-lock.json"
    assert risk_content.manifest_of(path) == b"web/package.json"
    assert risk_content.lock(path, new, old, is_manifest_changed=True) is None
    assert risk_content.lock(path, new, old, is_manifest_changed=False) is not None
    assert risk_content.lock(path, new, b"", is_manifest_changed=False) is None


SLOW: dict[str, Callable[[int], object]] = {
    "yarn": lambda size: risk_content.lock(
        b"yarn.lock", b"a" * size, b"b", is_manifest_changed=False
    ),
    "composer": lambda size: risk_content.lock(
        b"composer.lock", b'"dist":{' * (size // 8), b"b", is_manifest_changed=False
    ),
    "joiners": lambda size: risk_content.hidden("\u00e9\u200d".encode() * (size // 5), b""),
    "escapes": lambda size: risk_content.hidden(b"\x1b\n" * (size // 2), b""),
    "nested": lambda size: risk_content.manifest(b"package.json", b"[" * size, b"{}"),
}
"""What a careless pattern would take minutes for."""


def work_of(judge: Callable[[int], object], size: int) -> float:
    """Seconds of this thread's CPU, which a busy machine does not stretch as it does time."""
    begun = time.thread_time()
    judge(size)
    return time.thread_time() - begun


@pytest.mark.parametrize("name", SLOW)
def test_content_made_to_be_slow_is_not(name: str) -> None:
    """Eight times the content is eight times the work; it would be 64 times with a square."""
    size = 32 << 10
    little = max(work_of(SLOW[name], size), work_of(SLOW[name], size), 0.002)
    assert work_of(SLOW[name], 8 * size) < 24 * little


@SHA256
async def test_with_sha256(pair: Pair, tmp_path: Path) -> None:
    old = pair.host.commit("before", {"a.txt": "one \u202e two\n", "b.txt": "b\n"})
    new = pair.host.commit("after", {"a.txt": "1\none \u202e two\n", "b.txt": "\u202e\n"})
    found = await judged(pair.host, old, new, tmp_path / "scratch")
    assert found == {"b.txt": {"hidden"}, "a.txt": set()}
    empty = git_diff.EMPTY_TREE["sha256"]
    assert len(await judged(pair.host, empty, new, tmp_path / "scratch")) == 4


async def test_what_a_partial_clone_lacks_is_fetched(pair: Pair, tmp_path: Path) -> None:
    source = pair.host
    source.git("config", "uploadpack.allowFilter", "true")
    source.commit("before", {"a.txt": "one\n"})
    source.git("clone", "-q", "--filter=blob:none", f"file://{source.root}", str(tmp_path / "part"))
    part = Repo(tmp_path / "part", source.env)
    old = part.oid("HEAD")
    part.git("rm", "-q", "README.md")
    new = part.commit("after", {"a.txt": "one\ntwo\n"})
    source.commit("later", {"a.txt": "three\n"})
    part.git("fetch", "-q")
    lacking = part.git("rev-parse", "origin/main:a.txt")
    assert part.git("rev-list", "--objects", "--missing=print", "origin/main").count("?") >= 1
    await threads.call((tmp_path / "scratch").mkdir)
    repo = await threads.call(git.discover, str(part.root))
    view = await git_diff.view_of(repo, tmp_path / "scratch")
    theirs = part.oid("origin/main")
    with pytest.raises(NotFound, match=lacking):
        await git_diff.counted(view, theirs, new, WHOLE)
    await git_diff.fetch_missing(repo, theirs, new)
    counted = await git_diff.counted(view, theirs, new, WHOLE)
    assert counted is not None
    assert counted[1][b"a.txt"] == git_diff.Lines(2, 1)
    assert old
