"""What a pod answers about its files and commits is foreign text: matched, escaped, cut."""

from __future__ import annotations

from rumpel.tasks.unsaved import MAX_SUBJECT, SHOWN, parse_commits, parse_files

OID = "a" * 40


def test_files() -> None:
    assert parse_files(b" M a b\0?? n\xc3\xa9w\n  and 7 more\0A  cut of") == (
        "a b",
        "n\u00e9w\\n  and 7 more",
    )
    assert parse_files(b"?? \xff\x1b[2J\0") == ("\\xff\\x1b[2J",)
    assert len(parse_files(b"?? x\0" * 50)) == SHOWN
    assert parse_files(b"") == parse_files(b"?\0\0") == ()


def test_commits() -> None:
    told = f"{OID} one\n; rm -rf / x\n{OID} \x1b[2J{'y' * 500}\n".encode()
    (first, second) = parse_commits(told)
    assert first == (OID, "one")
    assert second[1].startswith("\\x1b[2Jyyy")
    assert len(second[1]) <= MAX_SUBJECT
    assert parse_commits(b"") == ()
