"""The reactor's turn, without a logging context for each connection that has something to read.

Twisted copies a dictionary, and pushes and pops it, around each read and write, so that messages of its old logging
know of which connection they are. Nobody reads that here: ours say so themselves. It costs as much as the reading.
"""

from errno import EINTR
from typing import Any

from twisted.internet.epollreactor import EPollReactor


def poll_plainly(reactor: Any) -> None:
    """From now on the reactor does so; one of another kind is left as it is. What goes wrong in a read or a write ends
    its connection and is logged, as before: that is done further in."""
    if not isinstance(reactor, EPollReactor):
        return
    poll, selectables = reactor._poller.poll, reactor._selectables
    read_or_write: Any = reactor._doReadOrWrite

    def turn(timeout: float | None) -> None:
        try:
            ready = poll(-1 if timeout is None else timeout, len(selectables))
        except OSError as error:
            if error.errno == EINTR:
                return
            raise
        for fd, event in ready:
            selectable = selectables.get(fd)
            if selectable is not None:
                read_or_write(selectable, fd, event)

    reactor.doIteration = turn  # type: ignore[method-assign]
