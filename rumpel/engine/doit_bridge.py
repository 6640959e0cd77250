"""Our nodes as doit tasks. The only module that imports doit.

A node that must run is a doit `Task` with one action of ours, executed by `Task.execute`. doit
calls actions as plain functions; ours switches out of a greenlet to await the operation on the
event loop (the pattern of SQLAlchemy's `greenlet_spawn`), so there is no thread, no swap of
sys.stdout, and a cancellation reaches the operation.
"""

from __future__ import annotations

import inspect
import re
import threading
from typing import TYPE_CHECKING, Any, Final

from doit.action import BaseAction
from doit.exceptions import BaseFail, TaskError, TaskFailed
from doit.loader import generate_tasks
from doit.task import Stream, Task
from greenlet import getcurrent, greenlet  # type: ignore[import-untyped] # has no types

from rumpel import __version__
from rumpel.engine import doit_view
from rumpel.engine.boundary import bug
from rumpel.errors import RumpelError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping

    from rumpel.engine.operation import Reason

# Read once, here: a file must not be read on the loop. mypy needs its remarks, a user does not.
try:
    DODO_HEAD: Final = re.sub(r"  # type: ignore.*", "", inspect.getsource(doit_view))
except OSError:  # an install without sources: the file needs rumpel beside doit then
    DODO_HEAD = f"from {doit_view.__name__} import *"  # type: ignore[misc] # the other way to it
QUIET: Final = Stream(0)
"""No stream is handed to actions and none is replaced."""

MAX_IDLE: Final = 64


class UpToDate:
    """doit's `uptodate` protocol over a decision of the engine. `repr` is what doit shows."""

    def __init__(self, is_fresh: bool, reasons: tuple[Reason, ...]) -> None:
        self.is_fresh = is_fresh
        self.reasons = reasons

    def __call__(self, task: Task, values: Mapping[str, Any]) -> bool:
        return self.is_fresh

    def __repr__(self) -> str:
        why = "; ".join(f"{reason.kind}: {reason.subject}" for reason in self.reasons)
        return why or ("fresh" if self.is_fresh else "stale")


class EffectAction(BaseAction):  # type: ignore[misc] # doit has no types
    """Await the operation; keep the real exception beside doit's picture of it."""

    def __init__(
        self, effect: Callable[[], Awaitable[Any]], to_values: Callable[[Any], dict[str, Any]]
    ) -> None:
        self.effect = effect
        self.to_values = to_values
        self.output: Any = None
        self.error: RumpelError | None = None
        self.result: Mapping[str, Any] | None = None
        self.values: Mapping[str, Any] = {}

    def execute(self, _out: Any = None, _err: Any = None) -> BaseFail | None:
        driver = getcurrent().parent
        if driver is None:
            raise RuntimeError("an operation runs in the rumpel daemon only")
        try:
            self.output = driver.switch(self.effect)
            self.values = self.to_values(self.output)
            self.result = self.values
        except RumpelError as error:
            self.error = error
            return TaskFailed(error.message)
        except Exception as error:  # noqa: BLE001 - what doit's own PythonAction does
            self.error = bug(error)
            return TaskError(self.error.message, error)
        return None


class _Workers(threading.local):
    """Greenlets that have nothing to do; each belongs to a thread."""

    def __init__(self) -> None:
        self.idle: list[greenlet] = []


_workers = _Workers()


def _work(task: Task) -> None:
    """The life of a worker: a task, then None to its driver, then the next task.

    They are kept because a new one costs 11 us and an idle one 0.6, of 100 us for a node.
    """
    while True:
        task.execute(QUIET)
        task = getcurrent().parent.switch(None)


async def execute(task: Task, action: EffectAction) -> Any:
    """Run the task's action on the loop and return its output.

    Raises the RumpelError of the operation, and CancelledError when this is cancelled.
    """
    worker = _workers.idle.pop() if _workers.idle else greenlet(_work)
    wanted = worker.switch(task)
    while wanted is not None:
        try:
            value = await wanted()
        except BaseException as error:  # noqa: BLE001 - raised again inside the greenlet
            wanted = worker.throw(error)  # a CancelledError comes back out of it, and ends it
        else:
            wanted = worker.switch(value)
    if len(_workers.idle) < MAX_IDLE:
        _workers.idle.append(worker)
    if action.error is not None:
        raise action.error
    return action.output


def task_of(
    node_id: str,
    action: EffectAction,
    *,
    needs: Iterable[str] = (),
    files: Iterable[str] = (),
    reasons: tuple[Reason, ...] = (),
    meta: Mapping[str, Any] | None = None,
    title: str = "",
) -> Task:
    """The doit task of a node that will run."""
    task = Task.__new__(Task)
    task.__dict__.update(_TEMPLATE.__dict__)
    task.name, task.doc, task.meta = node_id, title, dict(meta or {})
    task._actions = task._action_instances = [action]
    task.task_dep, task.file_dep = list(needs), set(files)
    task.uptodate = [(UpToDate(False, reasons), [], {})]
    task.values, task.value_savers = {}, []
    return task


def _template() -> Task:
    """What all our tasks have in common; `Task()` checks 19 arguments, a copy costs a tenth.

    No options: doit would build a parser for the command line to find out that there are none.
    """
    task = Task("template", [lambda: None], io={"capture": False}, meta={})
    task.options = {}
    return task


_TEMPLATE: Final = _template()


def tasks_for_doit(nodes: list[dict[str, Any]]) -> list[Task]:
    """The nodes of the daemon's graph JSON as tasks that say of themselves what it said."""
    found: list[Task] = generate_tasks("rumpel", (item for item in doit_view.dicts_of(nodes)))
    return found if nodes else []


def dodo_text(socket: str, repo: str, pod: str) -> str:
    """A dodo.py for a user: the graph of a pod (of all pods, when `pod` is empty) in plain doit."""
    request = {
        "proto": [1, 1],
        "version": __version__,
        "verb": "graph",
        "args": {"name": pod or None},
        "cwd": repo,
        "tty": False,
        "ask": False,
    }
    return f"""{DODO_HEAD}

import atexit
import os
import shutil
import tempfile

STATE = tempfile.mkdtemp(prefix="rumpel-doit-")
atexit.register(shutil.rmtree, STATE, ignore_errors=True)
DOIT_CONFIG = {{"backend": "json", "dep_file": os.path.join(STATE, "nothing-is-kept-here.json")}}


def task_rumpel():
    request = {request!r}
    yield from dicts_of(ask({socket!r}, request | {{"env": dict(os.environ)}}))
"""
