"""Generated JSON with comments: a value, one of its many spellings, and what a slip makes of it."""

from __future__ import annotations

import json
import random
from typing import Any

TEXTS = (
    "", "a", "image", "/* x */", "// y", 'say \\"b\\"', '"', "\\", '\\"//', "{", "}", "[,]", ",}",
    ",]", ":", "http://a:1/b//c", "${localEnv:A:b}", "\n", "\r\n", "\t", "\x7f", "\u00e9", "\u2028",
    "\U0001f600", "*/", "'", "#", "\ufeff", "\u00a0", "\\u0041", "true", "1",
)  # fmt: skip
BLANKS = (
    "", "", "", "", " ", " ", "\n", "\r\n", "\t", "\r", "  \n  ", "// c\n", '// "[,{\r\n', "//\r",
    "/**/", '/*"},//*/', "/* \n */", "/***/", "//*/\n", "/*/*/", "// \u2028 \u00e9\n",
)  # fmt: skip
NUMBERS = (
    "0", "-0", "1", "-17", "3000", "1.5", "0.1", "-2.5E-3", "1e3", "1E+2", "9007199254740993",
    "12345678901234567890", "1e-7", "1.0", "4e300",
)  # fmt: skip
SLIPS = "{}[]:,\"\\/*\n\r\t 01-.eE+truefalsn#'\x00\x0b\u00a0\u00e9\ufeff"
MAX_DEPTH = 4


def spelled(rng: random.Random) -> tuple[str, Any]:
    """A document that is right, and its value."""
    out: list[str] = []
    value = _put(out, rng, 0)
    return "".join(out), value


def slipped(rng: random.Random, text: str) -> str:
    """The same with one or two characters lost, added or changed, or cut off."""
    for _ in range(rng.choice((1, 1, 1, 2))):
        at = rng.randrange(len(text) + 1)
        what = rng.random()
        if what < 0.1:
            text = text[:at]
        elif what < 0.4:
            text = text[:at] + text[at + rng.choice((1, 1, 1, 3)) :]
        else:
            text = text[:at] + rng.choice(SLIPS) + text[at + (what < 0.7) :]
    return text


def _put(out: list[str], rng: random.Random, depth: int) -> Any:
    out.append(rng.choice(BLANKS))
    kind = rng.random()
    value: Any
    if depth < MAX_DEPTH and (kind < 0.45 or depth == 0):
        value = _put_object(out, rng, depth) if kind < 0.28 else _put_array(out, rng, depth)
    elif kind < 0.75:
        value = _put_text(out, rng)
    else:
        word = rng.choice(NUMBERS) if kind < 0.88 else rng.choice(("true", "false", "null"))
        out.append(word)
        value = json.loads(word)
    out.append(rng.choice(BLANKS))
    return value


def _put_object(out: list[str], rng: random.Random, depth: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    out.append("{" + rng.choice(BLANKS))
    count = rng.randrange(4)
    for index in range(count):
        key = _put_text(out, rng)
        out.append(rng.choice(BLANKS) + ":")
        value[key] = _put(out, rng, depth + 1)
        _put_comma(out, rng, is_last=index == count - 1)
    out.append("}")
    return value


def _put_array(out: list[str], rng: random.Random, depth: int) -> list[Any]:
    value = []
    out.append("[" + rng.choice(BLANKS))
    count = rng.randrange(4)
    for index in range(count):
        value.append(_put(out, rng, depth + 1))
        _put_comma(out, rng, is_last=index == count - 1)
    out.append("]")
    return value


def _put_comma(out: list[str], rng: random.Random, *, is_last: bool) -> None:
    if not is_last or rng.random() < 0.2:
        out.append("," + rng.choice(BLANKS))


def _put_text(out: list[str], rng: random.Random) -> str:
    text = "".join(rng.choice(TEXTS) for _ in range(rng.choice((1, 1, 1, 2, 3))))
    out.append(json.dumps(text, ensure_ascii=rng.random() < 0.5))
    return text
