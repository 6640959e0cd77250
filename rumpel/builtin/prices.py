"""What models cost, in dollars for a million tokens, as their providers list it (2026-11).

Only what is known is said: a model that is missing here has no cost. Prices of long prompts
(Gemini, Grok: above 200,000 tokens) are a factor on all of the request.
"""

from __future__ import annotations

from dataclasses import dataclass

from rumpel.agents.headless import Usage

PER = 1e6
LONG_TOKENS = 200_000


@dataclass(frozen=True, slots=True)
class Price:
    input: float
    output: float
    cached: float
    """Read from a cache."""
    written: float
    """Read, and put into a cache."""
    long: float = 1.0
    """Factor for prompts above LONG_TOKENS."""


def _anthropic(input: float, output: float) -> Price:
    """A read from the cache costs a tenth, a write a quarter more."""
    return Price(input, output, input / 10, input * 1.25)


def _grok(input: float, output: float, cached: float) -> Price:
    return Price(input, output, cached, input, long=2.0)


PRICES = {
    "claude-fable-5-2": _anthropic(8, 40),
    "claude-opus-5-5": _anthropic(4, 20),
    "claude-sonnet-5-5": _anthropic(2, 10),
    "gemini-3.8-flash": Price(0.75, 3.75, 0.075, 0.75),
    "grok-4.6": _grok(2, 6, 0.5),
    "grok-4.5": _grok(2, 6, 0.5),
    "grok-4.3": _grok(1.25, 2.5, 0.2),
}


def cost_usd(model: str, usage: Usage, written: int = 0) -> float | None:
    """`written`: those of `usage.input` that were put into a cache. None: no price is known."""
    price = PRICES.get(model)
    if price is None:
        return None
    fresh = max(usage.input - usage.cached - written, 0)
    cents = (
        fresh * price.input
        + usage.cached * price.cached
        + written * price.written
        + usage.output * price.output
    )
    return cents * (price.long if usage.input > LONG_TOKENS else 1) / PER
