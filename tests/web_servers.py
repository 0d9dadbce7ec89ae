"""Web servers of the standard library, each in a thread of its own for as long as a test needs it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import HTTPServer
from typing import Final, TypeVar

_POLL_S: Final = 0.02  # how soon a server notices that it should end
S = TypeVar("S", bound=HTTPServer)


@contextmanager
def serving(server: S) -> Iterator[S]:
    """It answers within the block."""
    thread = threading.Thread(target=server.serve_forever, args=[_POLL_S], daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
