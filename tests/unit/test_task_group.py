"""A cancel that comes while something fails: Python 3.11 loses it in its own TaskGroup."""

from __future__ import annotations

import asyncio

import pytest

from rumpel.adapters import task_group


async def _slow_to_end(ending: asyncio.Event, may_end: asyncio.Event) -> None:
    try:
        await asyncio.Event().wait()
    finally:
        ending.set()
        await may_end.wait()


async def _fails(now: asyncio.Event) -> None:
    await now.wait()
    raise ValueError


@pytest.mark.parametrize("when", ["while it ends", "in the same step", "with nothing else to do"])
def test_a_cancel_is_not_lost_in_a_failure(when: str) -> None:
    async def main() -> tuple[int, bool]:
        rounds, now, ending, may_end = 0, asyncio.Event(), asyncio.Event(), asyncio.Event()

        async def again_and_again() -> None:
            nonlocal rounds
            while rounds < 3:  # as the view of an engine: connected anew after each failure
                rounds += 1
                try:
                    async with task_group.opened() as group:
                        group.create_task(_slow_to_end(ending, may_end))
                        group.create_task(_fails(now))
                        if when != "with nothing else to do":
                            await asyncio.Event().wait()
                except* ValueError:
                    pass

        task = asyncio.ensure_future(again_and_again())
        await asyncio.sleep(0)
        now.set()
        if when != "in the same step":
            await ending.wait()
        task.cancel()
        may_end.set()
        async with asyncio.timeout(10):
            await asyncio.wait({task})
        return rounds, task.cancelled()

    assert asyncio.run(main()) == (1, True)


@pytest.mark.parametrize("when", ["inside", "at its end"])
def test_a_failure_alone_is_told(when: str) -> None:
    async def main() -> int:
        now = asyncio.Event()
        task = asyncio.current_task()
        assert task is not None

        async def fails() -> None:
            async with task_group.opened() as group:
                group.create_task(_fails(now))
                asyncio.get_running_loop().call_soon(now.set)
                if when == "inside":
                    await asyncio.Event().wait()

        with pytest.raises(ExceptionGroup) as told:
            await fails()
        assert isinstance(told.value.exceptions[0], ValueError)
        await asyncio.sleep(0)
        return task.cancelling()

    assert asyncio.run(main()) == 0, "nobody asked for it"


def test_it_waits_for_all_also_for_those_that_come_late() -> None:
    ended: list[str] = []

    async def late(group: task_group.TaskGroup) -> None:
        await asyncio.sleep(0)
        group.create_task(_notes(ended, "late"))

    async def main() -> None:
        async with task_group.opened() as group:
            group.create_task(late(group))
            group.create_task(_notes(ended, "first"))

    asyncio.run(main())
    assert ended == ["first", "late"]


async def _notes(ended: list[str], name: str) -> None:
    await asyncio.sleep(0)
    ended.append(name)
