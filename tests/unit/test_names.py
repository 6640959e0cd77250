"""Names: what is allowed, and what becomes of other people's."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rumpel import names
from rumpel.errors import UsageError

TEXTS = st.text() | st.text("abz09-AZ_. é\n", max_size=70)


@given(TEXTS | st.from_regex(r"[a-z0-9-]{60,65}", fullmatch=True))
def test_the_rule_of_pod_names(name: str) -> None:
    allowed = re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", name)
    assert names.is_pod_name(name) == bool(allowed)
    if not allowed:
        with pytest.raises(UsageError, match="1-63 characters"):
            names.check_pod_name(name)


@given(TEXTS)
def test_a_slug_is_part_of_a_docker_name(text: str) -> None:
    expected = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
    assert names.slug(text) == (expected[:24].strip("-") or "repo")
