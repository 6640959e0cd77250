"""The table of what `recreate` does has every field and setting, and the document is its own."""

from __future__ import annotations

from pathlib import Path

from rumpel import config
from rumpel.cli import recreate
from rumpel.cli.plain import Plain
from rumpel.devcontainer import actions, field_table, fields

ROOT = Path(__file__).resolve().parents[3]


def test_every_field_has_an_action() -> None:
    assert {*actions.FIELDS} == fields.NAMES
    assert {*actions.SETTINGS} <= {*config.SETTINGS}


def test_every_flag_is_in_it() -> None:
    parser = Plain()
    recreate.add_arguments(parser)
    offered = {name for name in parser._options if name.startswith("--")}
    assert offered == {flag.partition(" ")[0] for flag in actions.FLAGS}


def test_the_document_is_up_to_date() -> None:
    assert (ROOT / "docs/recreate.md").read_text() == actions.document()


def test_the_fields_in_the_readme_are_up_to_date() -> None:
    _, begin, rest = (ROOT / "README.md").read_text().partition(field_table.BEGIN)
    table, end, _ = rest.partition(field_table.END)
    assert begin
    assert end
    assert table == field_table.markdown(), "scripts/tables writes it"
