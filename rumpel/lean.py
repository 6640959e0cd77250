"""The C cores of `socket` and `signal`, for a process that starts for every command.

The standard modules wrap them to make enums of the same numbers. That, with what it needs (enum,
functools, collections, selectors), is a sixth of the time of `rumpel list`. Not here but there:
`with` for a socket, and everything else written in Python.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket as socket
    import signal as signal  # there are no types for _signal
else:
    try:
        import _signal as signal
        import _socket as socket
    except ImportError:  # not CPython
        import signal
        import socket

__all__ = ["signal", "socket"]
