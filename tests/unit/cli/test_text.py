"""The sanitiser, tables, times."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rumpel import text, ui
from rumpel.cli import recreate


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("plain – ünïcode 日本", "plain – ünïcode 日本"),
        ("\x1b[31mred\x07", "\\x1b[31mred\\x07"),
        ("a\nb\tc\r", "a\\nb\\tc\\r"),
        ("\x9b2J\x85", "\\x9b2J\\x85"),
        ("\u202etxt.exe\u2066", "\\u202etxt.exe\\u2066"),
        ("zero\u200bwidth\ufeff", "zero\\u200bwidth\\ufeff"),
        ("\udc9b", "\\x9b"),
        ("\ud800", "\\ud800"),
        ("\u2028", "\\u2028"),
        ("\U000e0041", "\\U000e0041"),
    ],
)
def test_safe_makes_everything_visible(raw: str, shown: str) -> None:
    assert text.safe(raw) == shown


@given(st.text(st.characters(codec=None)))
def test_safe_is_printable_and_stable(raw: str) -> None:
    once = text.safe(raw)
    assert once.isprintable()
    assert text.safe(once) == once


@given(st.binary())
def test_safe_bytes_takes_anything(data: bytes) -> None:
    assert text.safe_bytes(data).isprintable()


def test_lines_keep_only_what_a_progress_bar_left() -> None:
    assert text.safe_lines("10%\r20%\rdone\r\nnext\ttab\n") == ["done", "next    tab"]
    assert text.safe_lines("") == []


def test_a_table_is_aligned_without_trailing_blanks() -> None:
    lines = text.table(("NAME", "X"), [("a", ""), ("日本", "é")])
    assert lines == ["NAME   X", "a", "日本   é"]


def test_a_narrow_terminal_shortens_the_widest_cell_only() -> None:
    lines = text.table(("NAME", "GIT"), [("a" * 40, "up to date")], columns=30)
    assert lines[1] == "a" * 16 + "…   up to date"
    assert max(map(text.width, lines)) <= 30
    assert text.table(("NAME",), [("a" * 40,)])[1] == "a" * 40


def test_some_columns_are_shortened_before_others() -> None:
    headers, row = ("NAME", "GIT", "STATUS", "CREATED"), ("n" * 12, "g" * 20, "s" * 27, "c" * 14)
    for columns in range(60, 90):
        lines = text.table(headers, [row], columns=columns, first=("CREATED", "GIT"))
        assert max(map(text.width, lines)) <= columns
        is_whole = columns >= 12 + 8 + 27 + 8 + 3 * len(text.GAP)
        assert ("n" * 12 in lines[1] and "s" * 27 in lines[1]) is is_whole
    lines = text.table(headers, [row], columns=78, first=("CREATED", "GIT"))
    assert lines[1].endswith("c" * 7 + "…")
    assert "g" * 20 in lines[1]


@given(st.lists(st.tuples(st.text(), st.text(), st.text()), max_size=5), st.integers(1, 60))
def test_tables_of_anything_never_fail(rows: list[tuple[str, str, str]], columns: int) -> None:
    lines = text.table(("A", "B", "C"), rows, columns=columns)
    assert len(lines) == len(rows) + 1
    assert all(line.isprintable() for line in lines)
    assert all(text.width(line) <= max(columns, 3 * 8 + 2 * len(text.GAP)) for line in lines)


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0.00 s"),
        (0.2399, "0.24 s"),
        (9.99, "9.99 s"),
        (9.999, "10.0 s"),
        (59.94, "59.9 s"),
        (59.99, "1 min"),
        (185, "3 min 5 s"),
        (3600, "1 h"),
        (7850, "2 h 10 min"),
        (100_000, "1 d 3 h"),
    ],
)
def test_durations(seconds: float, shown: str) -> None:
    assert text.duration(seconds) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (-3, "just now"),
        (7, "7 seconds ago"),
        (60, "1 minute ago"),
        (7199, "1 hour ago"),
        (2 * 86400, "2 days ago"),
        (13 * 86400, "13 days ago"),
        (14 * 86400, "2 weeks ago"),
    ],
)
def test_ages(seconds: float, shown: str) -> None:
    assert text.ago(seconds) == shown


@given(st.datetimes(dt.datetime(1970, 1, 1), dt.datetime(2199, 1, 1)))
def test_unix_time_agrees_with_datetime(moment: dt.datetime) -> None:
    expected = moment.replace(tzinfo=dt.UTC).timestamp()
    for iso in (moment.isoformat() + "Z", moment.isoformat() + "+00:00"):
        found = text.unix_time(iso)
        assert found is not None
        assert abs(found - expected) < 1e-3


@pytest.mark.parametrize("bad", ["", "yesterday", "2026-01-01", "2026-01-01T00:00:00+02:00"])
def test_unix_time_of_something_else_is_none(bad: str) -> None:
    assert text.unix_time(bad) is None


def test_counts_and_listings() -> None:
    assert [text.count(n, "pod") for n in (0, 1, 2)] == ["0 pods", "1 pod", "2 pods"]
    assert text.count(2, "entry", "entries") == "2 entries"
    assert text.listing(["a"]) == "a"
    assert text.listing(["a", "b", "c"]) == "a, b and c"


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        *((0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (99_900, "99.9 kB"), (99_960, "100 kB")),
        *((999_499, "999 kB"), (999_500, "1.0 MB"), (3_456_789_000, "3.5 GB")),
        *((7 * 10**15, "7000 TB"),),
    ],
)
def test_sizes(count: int, shown: str) -> None:
    assert text.size(count) == shown


def test_of_a_hint_only_words_are_wrapped() -> None:
    def shown(hint: str) -> list[str]:
        assert ui.hint(hint, None, taken=5) == [hint], "whole where there is no terminal"
        return ui.hint(hint, 25, taken=5)

    assert shown("rumpel list") == ["rumpel list"]
    typed = "ssh-keygen -f known_hosts -R build"
    assert shown(typed) == [typed]
    assert shown(f"{typed}   forgets the key of that host") == [
        typed,
        "  forgets the key of",
        "  that host",
    ]
    words = "set A, or B, or nothing; or lend your own; now and then: ls   looks"
    assert shown(words) == [
        "set A, or B, or",
        "  nothing",
        "or lend your own",
        "now and then: ls",
        "  looks",
    ]


def test_of_values_that_changed_only_what_differs_is_told() -> None:
    before = {"web": {"command": ["httpd"], "tty": False, "env": {"A": "1"}}, "db": {"image": "x"}}
    after = {
        "web": {"command": ["nginx"], "tty": False, "env": {"A": "1", "B": "\x1b"}},
        "db": None,
    }
    reason = {"node": "services/local/4f/a", "kind": "input", "subject": "bodies"}
    assert recreate.reasons({**reason, "before": before, "after": after}) == [
        'services: bodies.db {"image": "x"} -> not set',
        'services: bodies.web.command ["httpd"] -> ["nginx"]',
        "services: bodies.web.env.B not set -> '\\x1b'",
    ]
    many = {str(number): number for number in range(30)}
    shown = recreate.reasons({**reason, "before": {}, "after": many})
    assert (len(shown), shown[-1]) == (11, "services: and 20 more")
