"""The JSON of the wire is json's."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rumpel import jsonline

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
NOT_JSON = [
    b"", b" ", b"{", b'{"a":}', b'{"a" 1}', b"[1,]", b"nope", b'"\n"', b"{} x", b"\xff", b"-",
    b"\xef\xbb\xbf", b"0x", b'{"a":1}{',
]  # fmt: skip


@given(VALUES)
def test_it_writes_what_json_writes(value: object) -> None:
    assert jsonline.dumps(value) == json.dumps(value, separators=(",", ":"))
    assert jsonline.dumps(value, spaced=True) == json.dumps(value)


@given(VALUES, st.sampled_from(["", " ", "\r"]), st.sampled_from(["utf-8", "utf-16", "utf-32-le"]))
def test_it_reads_what_json_reads(value: object, around: str, encoding: str) -> None:
    data = (around + json.dumps(value) + around).encode(encoding)
    assert repr(jsonline.loads(data)) == repr(json.loads(data))


@given(st.binary(max_size=12) | st.text('{}[]",:01.eE-+ tfn\\u', max_size=12).map(str.encode))
def test_it_refuses_what_json_refuses(data: bytes) -> None:
    assert _outcome(jsonline.loads, data) == _outcome(json.loads, data)


@pytest.mark.parametrize("data", NOT_JSON)
def test_bad_json_is_told_even_before_json_is_loaded(data: bytes) -> None:
    code = (
        "import sys; from rumpel import jsonline\n"
        "for name in [n for n in sys.modules if n.startswith('json')]: del sys.modules[name]\n"
        f"try: jsonline.loads({data!r})\n"
        "except ValueError as err: print(err)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert f"ValueError: {out.stdout.strip()}" == _outcome(json.loads, data)


def test_what_has_no_json_is_refused() -> None:
    with pytest.raises(TypeError, match="set is not JSON serializable"):
        jsonline.dumps({"a": {1}})
    circle: list[object] = []
    circle.append(circle)
    with pytest.raises(ValueError, match="Circular"):
        jsonline.dumps(circle)


def test_without_the_c_core(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsonline, "_scan", None)
    monkeypatch.setattr(jsonline, "_encoder", None)
    assert jsonline.dumps({"a": [1]}) == '{"a":[1]}'
    assert jsonline.loads(b'{"a":[1]}') == {"a": [1]}


def _outcome(read: object, data: bytes) -> str:
    assert callable(read)
    try:
        return repr(read(data))
    except ValueError as err:
        return f"ValueError: {err}"
