"""The id of the request that is being served: set by who receives it, read by who logs or calls the master.

It follows the request through every await by itself, since Twisted keeps a context for each coroutine; so no operation
passes it on. Spec: none; it is for those who operate the server.
"""

from contextvars import ContextVar
from typing import Final

CURRENT_REQUEST_ID: Final[ContextVar[str]] = ContextVar("request_id", default="")
