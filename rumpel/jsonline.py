"""JSON by the C core of the json package alone.

The package compiles regular expressions when it is imported, and `re` needs enum and more: a
sixth of the time of `rumpel list`. The core does the work for everybody else, too; whatever it
refuses goes to the package, so that values and errors are the same.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


class _Rules:
    """What JSONDecoder() tells the scanner."""

    strict = True
    object_hook = object_pairs_hook = None
    parse_float, parse_int = float, int
    parse_constant = {
        "-Infinity": float("-inf"),
        "Infinity": float("inf"),
        "NaN": float("nan"),
    }.__getitem__


try:
    from _json import encode_basestring_ascii, make_encoder, make_scanner

    _scan: Any = make_scanner(_Rules())  # type: ignore[arg-type] # wants a JSONDecoder, reads its fields
    _encoder: Any = make_encoder
except (ImportError, AttributeError, TypeError):  # not CPython, or a version that wants more
    _scan = _encoder = None


def dumps(value: object, *, spaced: bool = False) -> str:
    """As json.dumps(); without blanks unless `spaced`."""
    comma, colon = (", ", ": ") if spaced else (",", ":")
    if _encoder is None:
        import json

        return json.dumps(value, separators=(comma, colon))
    # The markers find circles; they, hence the encoder, are good for one call.
    encode = _encoder({}, _refuse, encode_basestring_ascii, None, colon, comma, False, False, True)
    return "".join(encode(value, 0))


def encoder(*, sort_keys: bool = False) -> Callable[[object], str]:
    """As json.JSONEncoder().encode without blanks and NaN, but the core is made once.

    It keeps no markers: a circle is a RecursionError, not a ValueError.
    """
    if _encoder is None:
        import json

        return json.JSONEncoder(
            sort_keys=sort_keys, separators=(",", ":"), check_circular=False, allow_nan=False
        ).encode
    core = _encoder(None, _refuse, encode_basestring_ascii, None, ":", ",", sort_keys, False, False)

    def encode(value: object) -> str:
        return "".join(core(value, 0))

    return encode


def loads(data: bytes) -> Any:
    """As json.loads(). Raises ValueError, RecursionError."""
    if _scan is not None:
        try:
            text = data.decode()
            value, end = _scan(text, 0)
            if end == len(text):
                return value
        # SystemError: the core looks up its error class in a module that is not loaded.
        except (ValueError, StopIteration, SystemError):
            pass
    import json

    return json.loads(data)


def _refuse(value: object) -> object:
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")
