"""Who is given a slot, and when."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rumpel.engine.slots import Rank, Slots, Ticket

CAPACITY = {"a": 1, "b": 2, "c": 3}


class Claims:
    """Tickets by name, and those that were given, in order."""

    def __init__(self, slots: Slots) -> None:
        self.slots = slots
        self.tickets: dict[str, Ticket] = {}
        self.given: list[str] = []

    def ask(self, name: str, *names: str, rank: Rank = (0,)) -> None:
        ticket = Ticket(tuple(sorted(names)), rank, lambda: self.given.append(name))
        self.tickets[name] = ticket
        self.slots.ask(ticket)

    def drop(self, name: str) -> None:
        self.slots.drop(self.tickets[name])


@pytest.fixture
def claims() -> Claims:
    return Claims(Slots(CAPACITY))


def test_the_best_rank_goes_first_and_equals_in_turn(claims: Claims) -> None:
    claims.ask("now", "a")
    for name, rank in (("late", (2,)), ("one", (1,)), ("two", (1,)), ("first", (0,))):
        claims.ask(name, "a", rank=rank)
    for name in ("now", "first", "one", "two"):
        claims.drop(name)
    assert claims.given == ["now", "first", "one", "two", "late"]


def test_a_claim_on_two_classes_is_not_overtaken_for_ever(claims: Claims) -> None:
    """Without the reservation a stream of claims on `b` alone would keep `both` waiting."""
    claims.ask("holder", "a")
    claims.ask("b1", "b")
    claims.ask("both", "a", "b")
    claims.ask("b2", "b")
    assert claims.given == ["holder", "b1"], "b2 must not take what `both` waits for"
    claims.drop("holder")
    assert claims.given == ["holder", "b1", "both"]
    claims.drop("b1")
    assert claims.given[-1] == "b2"


def test_what_others_do_not_want_is_given_at_once(claims: Claims) -> None:
    claims.ask("holder", "a")
    claims.ask("waits", "a", "b")
    claims.ask("free", "c")
    assert claims.given == ["holder", "free"]


def test_who_hurries_overtakes_and_who_leaves_is_forgotten(claims: Claims) -> None:
    claims.ask("now", "a")
    for name in ("one", "two", "three"):
        claims.ask(name, "a", rank=(5,))
    claims.slots.hurry(claims.tickets["three"], (1,))
    claims.slots.hurry(claims.tickets["two"], (9,))
    claims.drop("one")
    claims.drop("now")
    claims.drop("three")
    assert claims.given == ["now", "three", "two"]


def test_no_class_is_no_wait_and_an_unknown_class_has_a_limit(claims: Claims) -> None:
    claims.ask("free")
    for number in range(6):
        claims.ask(f"x{number}", "unknown")
    assert claims.given == ["free", "x0", "x1", "x2", "x3"]


async def test_a_cancelled_wait_gives_back(claims: Claims) -> None:
    claims.ask("holder", "a")
    told: list[str] = []
    ticket = Ticket(("a",), (0,), lambda: None)
    waiting = asyncio.ensure_future(claims.slots.wait(ticket, told.append))
    await asyncio.sleep(0)
    claims.drop("holder")
    assert ticket.is_held
    waiting.cancel()  # between the grant and the turn of who waited for it
    with pytest.raises(asyncio.CancelledError):
        await waiting
    claims.ask("next", "a")
    assert told == ["a"]
    assert claims.given == ["holder", "next"]


@given(
    st.lists(
        st.tuples(
            st.sets(st.sampled_from("abc")), st.integers(0, 2), st.integers(0, 9), st.booleans()
        ),
        max_size=40,
    )
)
def test_never_too_many_and_never_stuck(steps: list[tuple[set[str], int, int, bool]]) -> None:
    claims = Claims(Slots(CAPACITY))
    for number, (wanted, rank, other, is_drop) in enumerate(steps):
        claims.ask(str(number), *wanted, rank=(rank,))
        if is_drop:
            claims.drop(str(min(other, number)))
        held = [ticket for ticket in claims.tickets.values() if ticket.is_held]
        for name, most in CAPACITY.items():
            assert sum(name in ticket.names for ticket in held) <= most
    while names := [name for name, ticket in claims.tickets.items() if ticket.is_held]:
        claims.drop(names[0])
    assert not any(ticket.is_queued for ticket in claims.tickets.values())
