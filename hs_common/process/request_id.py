"""The request that is being served, by its id and by whom it is for: set by who receives it, read by who logs or calls
the master.

It follows the request through every await by itself, since Twisted keeps a context for each coroutine; so no operation
passes it on. Spec: none; it is for those who operate the server.
"""

from collections.abc import Callable
from contextvars import ContextVar, copy_context
from typing import Final

CURRENT_REQUEST_ID: Final[ContextVar[str]] = ContextVar("request_id", default="")
CURRENT_ORIGIN: Final[ContextVar[str]] = ContextVar("origin", default="")
"""The application service or user that the request is of: between origins the master is fair."""
CURRENT_WAIT_S: Final[ContextVar[float]] = ContextVar("wait_s", default=0.0)
"""How long the request waited for its turn: its calls to the master have so much less time, so that it ends in time."""


def on_behalf_of(request_id: str, origin: str, call: Callable[[], None]) -> None:
    """Calls for a request, from where no coroutine of it runs: what the call starts is the request's."""
    copy_context().run(_call_for, request_id, origin, call)


def _call_for(request_id: str, origin: str, call: Callable[[], None]) -> None:
    CURRENT_REQUEST_ID.set(request_id)
    CURRENT_ORIGIN.set(origin)
    call()
