"""The 15 invariants of the engine over random histories: seeded ones, and ones hypothesis shrinks.

`RUMPEL_LIVES=100000` plays as many (scripts/long); a failure names its seed, and
`python -m tests.engine.history SEED` plays that one again. `RUMPEL_SEED` is the first one.
"""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from rumpel.cache.fingerprint import canonical, digest
from rumpel.cache.store import Store
from rumpel.engine import pilot, plan, run
from rumpel.engine.execute import Engine
from rumpel.engine.operation import Reason, ReasonKind
from rumpel.engine.slots import Slots
from rumpel.engine.states import Phase
from tests.engine.history import History, held_to_the_tables, play

ROOT = Path(__file__).resolve().parents[2]
FIRST = int(os.environ.get("RUMPEL_SEED", "0"))
COUNT = int(os.environ.get("RUMPEL_LIVES", "800"))
FEW = settings(
    max_examples=int(os.environ.get("RUMPEL_EXAMPLES", "40")), stateful_step_count=12, deadline=None
)
seeds = st.integers(0, 1 << 16)


@pytest.mark.timeout(60 + COUNT)
def test_histories(record_property: Any) -> None:
    record_property("histories", COUNT)
    for seed in range(FIRST, FIRST + COUNT):
        play(seed)


class Machine(RuleBasedStateMachine):
    """The same steps, chosen by hypothesis: what fails comes back short."""

    def __init__(self) -> None:
        super().__init__()
        self.history: History | None = None
        self.tables = held_to_the_tables()
        self.tables.__enter__()

    @precondition(lambda self: self.history is None)
    @rule(seed=seeds)
    def begin(self, seed: int) -> None:
        self.history = History(random.Random(seed))

    @precondition(lambda self: self.history is not None)
    @rule(step=st.sampled_from([step for step, _ in History.STEPS]), seed=seeds)
    def step(self, step: Any, seed: int) -> None:
        assert self.history is not None
        self.history.do(step, random.Random(seed))

    @precondition(lambda self: self.history is not None)
    @rule()
    def rest(self) -> None:
        assert self.history is not None
        self.history.settle()

    def teardown(self) -> None:
        try:
            if self.history is not None:
                self.history.end()
        finally:
            if self.history is not None:
                self.history.bury()
            self.tables.__exit__(None, None, None)


@pytest.mark.timeout(3600 if COUNT > 1000 else 60)
def test_histories_that_hypothesis_makes() -> None:
    run_state_machine_as_test(Machine, settings=FEW)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=12,
)


def shuffled(value: Any, rng: random.Random) -> Any:
    if isinstance(value, dict):
        pairs = [(key, shuffled(item, rng)) for key, item in value.items()]
        rng.shuffle(pairs)
        return dict(pairs)
    return [shuffled(item, rng) for item in value] if isinstance(value, list) else value


@FEW
@given(json_values, seeds)
def test_a_fingerprint_knows_no_order(value: Any, seed: int) -> None:
    """13, within a process."""
    assert canonical(shuffled(value, random.Random(seed))) == canonical(value)


def test_a_fingerprint_is_the_same_in_every_process() -> None:
    """13, with other hashes of strings."""
    program = (
        "from rumpel.cache.fingerprint import digest;"
        "print(digest({k: sorted({'a', 'b', k}) for k in {'x', 'y', 'z', 'ä'}}))"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": number},
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for number in ("0", "1", "4711")
    }
    assert found == {digest({k: sorted({"a", "b", k}) for k in ("x", "y", "z", "ä")})}


# Would the histories notice? Each of these breaks one law in the engine.


@contextmanager
def fault(owner: Any, name: str, value: Any) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(owner, name, value)
        yield


async def _no_intent(self: Any) -> Any:
    """The effect without the journal before it."""
    self.flight.started = asyncio.get_running_loop().time()
    self.flight.enter(Phase.RUNNING)
    self.is_begun = self.has_effect = True
    return self._succeeded(await self._effect())


def _forgetful_mark(self: Any, attempt: Any, failure: Any) -> Any:
    self._records.pop(attempt.node_id, None)
    return _mark(self, attempt, failure)


def _greedy(self: Any, names: Any, reserved: Any) -> None:
    for name in names:
        self._free.setdefault(name, 2)
    return


async def _leave_it(self: Any) -> None:
    return None


def _rebuild_when_unknown(found: Any) -> Any:
    def decide(*args: Any, **more: Any) -> Any:
        decided = found(*args, **more)
        if decided.verdict is plan.Verdict.BLOCKED and decided.error is None:
            components = args[0].operation.fingerprint(decided.inputs)
            return plan._run(args[0], decided.reasons, decided.inputs, components)
        return decided

    return decide


def _always_join(self: Any, node: Any, flight: Any, decision: Any) -> None:
    self._engine.join(self, flight)
    self.flights[node.id] = flight


def _cancel_for_all(self: Any, run: Any, flight: Any) -> bool:
    self._close(flight)
    return True


def _trust_the_record(node: Any, record: Any, world: Any, inputs: Any, components: Any) -> Any:
    return plan.as_recorded(node, record)[0]


_mark = Store._mark
ALWAYS = (Reason(ReasonKind.INPUT, "text"),)
BROKEN = {
    "no-journal": (pilot.Try, "_go", _no_intent),
    "lost-record": (Store, "_mark", _forgetful_mark),
    "no-slots": (Slots, "_lacks", _greedy),
    "no-undo": (pilot.Try, "undo", _leave_it),
    "unknown-is-stale": (run, "decide", _rebuild_when_unknown(plan.decide)),
    "join-any": (run.GraphRun, "_share", _always_join),
    "cancel-for-all": (Engine, "leave", _cancel_for_all),
    "no-probe": (plan, "_probed", _trust_the_record),
    "slots-lost": (Slots, "free", lambda self, ticket: None),
    "no-recovery": (Engine, "recover", _leave_it),
    "never-fresh": (plan, "input_reasons", lambda record, components: ALWAYS),
}


@pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)
@pytest.mark.parametrize("law", BROKEN)
def test_a_broken_engine_is_noticed(law: str) -> None:
    with fault(*BROKEN[law]):
        for seed in range(400):
            try:
                play(seed)
            except BaseException as error:
                if isinstance(error, KeyboardInterrupt | pytest.fail.Exception):
                    raise
                return
    pytest.fail(f"400 histories without {law} and nothing was noticed")
