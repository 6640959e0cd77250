"""The border between the engine and the operations, which are somebody else's code.

The one place where any exception is caught: an operation that raises must cost its own node, not
the requests of everybody else, and is reported as the bug it is, with its traceback.
"""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING, Any, TypeVar

from rumpel.errors import Bug, RumpelError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")


def attempt(function: Callable[..., T], *args: Any) -> tuple[T | None, RumpelError | None]:
    """The result of a pure call of an operation, or the error."""
    try:
        return function(*args), None
    except RumpelError as error:
        return None, error
    except Exception as error:  # noqa: BLE001 - see the module
        return None, bug(error)


async def attempt_async(function: Callable[[], Awaitable[None]]) -> RumpelError | None:
    """The error of an awaited call of an operation, if there is one."""
    try:
        await function()
    except RumpelError as error:
        return error
    except Exception as error:  # noqa: BLE001 - see the module
        return bug(error)
    return None


def bug(error: BaseException) -> Bug:
    """An exception no operation should let out; the traceback is in the details."""
    kind = type(error).__name__
    found = Bug(
        f"{kind}: {error}" if str(error) else kind,
        details={"traceback": "".join(traceback.format_exception(error))},
    )
    found.__cause__ = error
    return found


def tuples(value: Any) -> Any:
    """A value read from JSON as the operations write it: sequences are tuples."""
    if isinstance(value, list):
        return tuple(map(tuples, value))
    if isinstance(value, dict):
        return {key: tuples(item) for key, item in value.items()}
    return value
