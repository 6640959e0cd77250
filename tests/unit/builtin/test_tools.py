"""Tools against real shells in a folder: what they do, and what they say to nonsense."""

from __future__ import annotations

import os
import stat
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from rumpel.builtin import tools
from rumpel.builtin.model import Call, Ran, Result
from tests.unit.builtin.conftest import Folder


def use(pod: Folder, name: str, **arguments: Any) -> Result:
    return tools.run(pod, Call(id="1", name=name, arguments=arguments))


def ok(pod: Folder, name: str, **arguments: Any) -> str:
    result = use(pod, name, **arguments)
    assert not result.is_error, result.text
    return result.text


def wrong(pod: Folder, name: str, **arguments: Any) -> str:
    result = use(pod, name, **arguments)
    assert result.is_error, result.text
    return result.text


def test_bash(pod: Folder) -> None:
    assert ok(pod, "bash", command="echo out; echo err >&2") == "out\nerr"
    assert ok(pod, "bash", command="true") == "(no output)"
    assert ok(pod, "bash", command="pwd") == pod.workspace
    assert ok(pod, "bash", command="[[ a == a ]] && cat") == "(no output)", "bash, without input"
    assert wrong(pod, "bash", command="echo no; exit 3") == "no\nexit code 3"
    late = wrong(pod, "bash", command="echo begun; sleep 9", timeout_s=1)
    assert late == "begun\nit did not end within 1 s, and was ended"
    assert ok(pod, "bash", command="printf 'a\\000b\\377'") == "a\ufffdb\ufffd"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, "command is missing"),
        ({"command": ""}, "command is missing"),
        ({"command": ["ls"]}, "command is missing"),
        ({"command": "a\0b"}, "no NUL"),
        ({"command": "x" * 100_001}, "at most 100000 bytes"),
        ({"command": "true", "timeout_s": "soon"}, "timeout_s is no number"),
        ({"command": "true", "timeout_s": True}, "timeout_s is no number"),
        ({"command": "true", "timeout_s": float("nan")}, "timeout_s is no number"),
    ],
)
def test_nonsense_for_bash(pod: Folder, arguments: dict[str, Any], words: str) -> None:
    assert words in wrong(pod, "bash", **arguments)


def test_an_unknown_tool(pod: Folder) -> None:
    assert wrong(pod, "rm -rf /") == "there is no tool rm -rf /: bash, read, write, edit, search"


def test_read(pod: Folder) -> None:
    (pod.path / "a b").write_text("".join(f"line {n}\n" for n in range(1, 11)))
    assert ok(pod, "read", path="a b").splitlines() == [f"line {n}" for n in range(1, 11)]
    part = ok(pod, "read", path=f"{pod.workspace}/a b", offset=3, limit=2)
    assert part == "line 3\nline 4\n(lines 3 to 4 of 10: go on with offset 5)"
    assert ok(pod, "read", path="a b", offset=10) == "line 10"
    assert ok(pod, "read", path="a b", offset=99) == "(nothing)"
    (pod.path / "open end").write_text("one\ntwo")
    assert "go on with offset 2" in ok(pod, "read", path="open end", limit=1)
    (pod.path / "empty").touch()
    assert ok(pod, "read", path="empty") == "(nothing)"
    (pod.path / "odd").write_bytes(b"a\x0cb\xe2\x80\xa8c\r\n\xff\n")
    assert ok(pod, "read", path="odd") == "a\x0cb\u2028c\r\n\ufffd"
    (pod.path / "wide").write_text("x" * 5000)
    assert ok(pod, "read", path="wide").endswith("x… (3000 more characters)")
    (pod.path / "-n").write_text("a dash\n")
    assert ok(pod, "read", path="-n") == "a dash"
    (pod.path / "link").symlink_to("a b")
    assert ok(pod, "read", path="link", limit=1).startswith("line 1\n")


def test_what_cannot_be_read(pod: Folder) -> None:
    (pod.path / "folder").mkdir()
    os.mkfifo(pod.path / "fifo")
    (pod.path / "endless").symlink_to("/dev/zero")
    (pod.path / "nowhere").symlink_to("gone")
    (pod.path / "binary").write_bytes(b"\x7fELF\0\0")
    assert wrong(pod, "read", path="missing") == "there is no file missing"
    assert wrong(pod, "read", path="folder") == "folder is a folder"
    assert wrong(pod, "read", path="fifo") == "fifo is no plain file"
    assert wrong(pod, "read", path="endless") == "endless is no plain file"
    assert wrong(pod, "read", path="nowhere") == "nowhere is no plain file"
    assert wrong(pod, "read", path="binary") == "binary is no text file"
    assert wrong(pod, "read", path="a\0b") == "that is no path"
    assert wrong(pod, "read", path="x" * 5000) == "that is no path"
    assert wrong(pod, "read", path="$(touch pwned)") == "there is no file $(touch pwned)"
    assert not (pod.path / "pwned").exists()


def test_write(pod: Folder) -> None:
    content = "a 'quoted' $text\n\\n\ttab `x` ☃\r\n"
    said = ok(pod, "write", path="new/folder/-a b", content=content)
    assert said == f"wrote {len(content.encode())} bytes to new/folder/-a b"
    written = pod.path / "new/folder/-a b"
    assert written.read_bytes() == content.encode()
    written.chmod(0o755)
    ok(pod, "write", path="new/folder/-a b", content="")
    assert written.read_bytes() == b""
    assert stat.S_IMODE(written.stat().st_mode) == 0o755, "what is there keeps its mode"
    ok(pod, "write", path="--", content="dashes")
    assert (pod.path / "--").read_text() == "dashes"
    (pod.path / "link").symlink_to("target")
    ok(pod, "write", path="link", content="through")
    assert (pod.path / "target").read_text() == "through"
    ok(pod, "write", path="lone", content="\ud800")
    assert (pod.path / "lone").read_text() == "?"


def test_what_cannot_be_written(pod: Folder, tmp_path: Path) -> None:
    os.mkfifo(pod.path / "fifo")
    (pod.path / "file").write_text("x")
    assert wrong(pod, "write", path="fifo", content="x") == "fifo is no plain file"
    assert wrong(pod, "write", path=".", content="x") == ". is no plain file"
    assert "file" in wrong(pod, "write", path="file/below", content="x")
    assert wrong(pod, "write", path="a") == "content is missing"
    assert wrong(pod, "write", path="a", content=7) == "content is missing"
    assert "write less at once" in wrong(pod, "write", path="a", content="x" * (5 << 20))
    assert sorted(path.name for path in pod.path.iterdir()) == ["fifo", "file"]


def test_edit(pod: Folder) -> None:
    file = pod.path / "code.py"
    file.write_bytes(b"one\r\n\ttwo $x\r\nthree\xff two\n")
    file.chmod(0o700)
    assert ok(pod, "edit", path="code.py", old="\ttwo $x\r\n", new="\tTWO & \\1\r\n")
    assert file.read_bytes() == b"one\r\n\tTWO & \\1\r\nthree\xff two\n", "bytes around it stay"
    assert stat.S_IMODE(file.stat().st_mode) == 0o700
    file.write_text("a a a")
    assert "3 times" in wrong(pod, "edit", path="code.py", old="a", new="b")
    assert ok(pod, "edit", path="code.py", old="a", new="b", all=True) == "replaced 3 in code.py"
    assert file.read_text() == "b b b"
    ok(pod, "edit", path="code.py", old="b b b", new="")
    assert file.read_bytes() == b""


def test_what_cannot_be_edited(pod: Folder) -> None:
    (pod.path / "a").write_text("text\n")
    assert "is not in a" in wrong(pod, "edit", path="a", old="Text", new="x")
    assert wrong(pod, "edit", path="a", old="", new="x") == "old is missing"
    assert wrong(pod, "edit", path="a", old="text", new="text") == "both texts are the same"
    assert wrong(pod, "edit", path="b", old="x", new="y") == "there is no file b"
    (pod.path / "large").write_bytes(b"x" * ((4 << 20) + 1))
    assert "use bash" in wrong(pod, "edit", path="large", old="x", new="y")
    assert (pod.path / "a").read_text() == "text\n"


def test_an_edit_does_not_overwrite_what_came_between(pod: Folder) -> None:
    file = pod.path / "a"
    file.write_text("one two\n")
    run = pod.run

    def meanwhile(argv: Any, **how: Any) -> Any:
        if how["input"] is not None:
            file.write_text("one two three\n")
        return run(argv, **how)

    pod.run = meanwhile  # type: ignore[method-assign]
    said = wrong(pod, "edit", path="a", old="one", new="1")
    assert said == "a was changed meanwhile: read it again"
    assert file.read_text() == "one two three\n"


def test_nor_what_comes_while_the_new_content_arrives(pod: Folder) -> None:
    file = pod.path / "a"
    file.write_text("one two\n")
    run = pod.run

    def slowly(argv: Sequence[str], *, input: bytes | None, timeout_s: float, keep: int) -> Ran:
        if input is None:
            return run(argv, input=input, timeout_s=timeout_s, keep=keep)
        pipe = subprocess.PIPE
        with subprocess.Popen(argv, cwd=pod.path, stdin=pipe, stderr=pipe) as process:
            time.sleep(1.0)  # all that can be done before it has come is done
            file.write_text("one two three\n")
            err = process.communicate(input, timeout=timeout_s)[1]
        return Ran(code=process.returncode, out=b"", err=err)

    pod.run = slowly  # type: ignore[method-assign]
    said = wrong(pod, "edit", path="a", old="one", new="1")
    assert said == "a was changed meanwhile: read it again"
    assert file.read_text() == "one two three\n"


SMALL = """\
mkdir -p small && mount -t tmpfs -o size=64k none small || exit 99
cp -p was small/file
"$@"; code=$?
cp -p small/file is 2>/dev/null || rm -f is
exit $code
"""


@pytest.fixture(name="full")
def pod_with_a_small_disk(pod: Folder) -> Folder:
    """`small` is a file system of 64 KiB, with `was` in it as `file`; afterwards that is `is`."""
    spaces = ["unshare", "-m"] if os.getuid() == 0 else ["unshare", "-Urm"]
    run = pod.run

    def within(argv: Sequence[str], **how: Any) -> Ran:
        return run([*spaces, "/bin/sh", "-c", SMALL, "sh", *argv], **how)

    (pod.path / "was").write_text("precious\n" * 3000)
    if within(["true"], input=None, timeout_s=20, keep=100).code != 0:
        pytest.skip("this system lets nobody mount a small file system")
    pod.run = within  # type: ignore[method-assign]
    return pod


def test_a_full_disk_takes_nothing_away(full: Folder) -> None:
    (full.path / "was").chmod(0o750)
    said = wrong(full, "write", path="small/file", content="x" * 100_000)
    assert "No space left" in said
    assert "small/file is as it was" in said
    assert (full.path / "is").read_text() == (full.path / "was").read_text()
    assert stat.S_IMODE((full.path / "is").stat().st_mode) == 0o750
    said = wrong(full, "edit", path="small/file", old="precious\n", new="x" * 99 + "\n", all=True)
    assert "small/file is as it was" in said
    assert (full.path / "is").read_text() == (full.path / "was").read_text()
    assert ok(full, "write", path="small/file", content="y" * 50_000)
    assert (full.path / "is").read_text() == "y" * 50_000


def test_half_of_a_new_file_is_not_left_on_a_full_disk(full: Folder) -> None:
    run = full.run

    def looked(argv: Sequence[str], **how: Any) -> Ran:
        script = '"$@"; code=$?; ls small >&2; exit $code'
        return run(["/bin/sh", "-c", script, "sh", *argv], **how)

    full.run = looked  # type: ignore[method-assign]
    said = wrong(full, "write", path="small/new", content="x" * 100_000)
    assert "No space left" in said
    assert said.splitlines()[-1] == "file", "what the folder holds"


def test_half_characters_of_a_model(pod: Folder) -> None:
    assert ok(pod, "bash", command="echo \ud83d") == "?"
    assert "there is no file ?" in wrong(pod, "read", path="\ud83d")
    assert ok(pod, "search", pattern="\udc80x") == "(nothing found)"


@pytest.mark.parametrize("is_repository", [True, False])
def test_search(pod: Folder, is_repository: bool) -> None:
    if is_repository:
        ok(pod, "bash", command="git init -q . && echo ignored >.gitignore")
        (pod.path / "ignored").write_text("needle\n")
    (pod.path / "src").mkdir()
    (pod.path / "src/a.py").write_text("x\nneedle 1\n")
    (pod.path / "b c").write_text("needle 22\n" + "y" * 1000 + "needle\n")
    found = ok(pod, "search", pattern="needle( [0-9]+)?$").splitlines()
    paths = sorted(line.removeprefix("./").partition(":")[0] for line in found)
    assert paths == ["b c", "b c", "src/a.py"]
    assert any(line.endswith("a.py:2:needle 1") for line in found)
    assert max(map(len, found)) < 400
    assert ok(pod, "search", pattern="needle", path="src").endswith("2:needle 1")
    assert ok(pod, "search", pattern="nothing of that") == "(nothing found)"
    assert ok(pod, "search", pattern="-e") == "(nothing found)"
    assert ok(pod, "search", pattern="needle 1", path=f"{pod.workspace}/src/a.py")
    assert wrong(pod, "search", pattern="needle", path="missing") == "there is no missing"
    assert wrong(pod, "search", pattern="(")
    assert "one line" in wrong(pod, "search", pattern="a\nb")
    (pod.path / "many").write_text("needle\n" * 20_000)
    many = ok(pod, "search", pattern="needle", path="many")
    assert len(many) < 31_000
    assert many.endswith("(there is more: search for less, or in one folder)")


def test_a_path_with_magic_is_a_path(pod: Folder) -> None:
    ok(pod, "bash", command="git init -q .")
    (pod.path / ":(top)").mkdir()
    (pod.path / ":(top)/a").write_text("needle\n")
    (pod.path / "b").write_text("needle\n")
    assert ok(pod, "search", pattern="needle", path=":(top)") == ":(top)/a:1:needle"
