"""Connections to other processes of this server, kept for the next request that is passed on.

Made for one thing: a request whose body is here already, a response that may be of any size, and another process of
ours at the other end. It replaces a general HTTP client because each long poll of a split server goes through here.

Rules: an idle connection that dies, says anything, or is idle for too long goes. Nothing is ever sent twice.
"""

from typing import Any, Final

from twisted.internet.defer import CancelledError, gatherResults
from twisted.internet.endpoints import HostnameEndpoint, connectProtocol
from twisted.internet.error import ConnectError, ConnectingCancelledError, DNSLookupError

from hs_common.http.kept_connection import KeptConnection, Question, Sink, Worker

CONNECT_TIMEOUT_S: Final = 2.0
"""A worker is in the same network: what does not answer by then is gone, and the client should try again."""
ANSWER_TIMEOUT_S: Final = 180.0
"""Above the longest long poll that we allow."""
KEPT_CONNECTIONS: Final = 1000
"""Idle ones per worker. A long poll holds one, and its next request should find it: a connect costs more than all else
about a request. An idle connection is a file descriptor and some KiB on either side."""
KEEP_ALIVE_S: Final = 60.0
"""Below the listeners' idle timeout, so that no request meets a connection that is just being closed."""
SWEEP_INTERVAL_S: Final = 5.0
"""How often the two limits above are looked at: a timer for each request would be a good part of its cost."""


class NotListening(Exception):
    """The worker takes no connection. Nothing was sent."""


class Relay:
    """All connections to other processes, made with the reactor (which is also the clock)."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._idle: dict[Worker, dict[KeptConnection, None]] = {}
        self._busy: set[KeptConnection] = set()
        self._sweeping: Any = None
        self._closed = False

    async def ask(self, worker: Worker, question: Question, sink: Sink) -> None:
        """Sends the request, and its response to the sink, until it is complete. Raises NotListening, NoResponse,
        BrokenResponse."""
        idle = self._idle.get(worker)
        # The one that was used last: those that are too many grow old and go.
        connection = idle.popitem()[0] if idle else await self._connect(worker)
        self._busy.add(connection)
        await connection.ask(question, sink, self._reactor.seconds() + ANSWER_TIMEOUT_S)

    async def _connect(self, worker: Worker) -> KeptConnection:
        host, port = worker
        endpoint = HostnameEndpoint(self._reactor, host, port, timeout=CONNECT_TIMEOUT_S)
        try:
            connection: KeptConnection = await connectProtocol(endpoint, KeptConnection(worker, self._free, self._lost))
        except ConnectingCancelledError as error:
            raise CancelledError from error
        except (ConnectError, DNSLookupError) as error:
            raise NotListening(str(error)) from error
        if self._sweeping is None and not self._closed:
            self._sweeping = self._reactor.callLater(SWEEP_INTERVAL_S, self._sweep)
        return connection

    def _free(self, connection: KeptConnection) -> None:
        """Its response is complete, and another request may follow."""
        self._busy.discard(connection)
        idle = self._idle.setdefault(connection.worker, {})
        if self._closed or len(idle) >= KEPT_CONNECTIONS:
            self._drop(connection)
            return
        connection.deadline_s = self._reactor.seconds() + KEEP_ALIVE_S
        idle[connection] = None

    def _drop(self, connection: KeptConnection) -> None:
        self._lost(connection)
        connection.abort()

    def _lost(self, connection: KeptConnection) -> None:
        self._busy.discard(connection)
        idle = self._idle.get(connection.worker)
        if idle is not None:
            idle.pop(connection, None)
            if not idle:
                del self._idle[connection.worker]

    def _sweep(self) -> None:
        """Ends what is idle or unanswered for too long."""
        now_s = self._reactor.seconds()
        idle = self._all_idle()
        for connection in (*idle, *self._busy):
            if connection.deadline_s < now_s:
                self._drop(connection)
        some = idle or self._busy
        self._sweeping = self._reactor.callLater(SWEEP_INTERVAL_S, self._sweep) if some else None

    def _all_idle(self) -> list[KeptConnection]:
        return [connection for idle in self._idle.values() for connection in idle]

    async def close(self) -> None:
        """Closes the idle connections; one in use is closed after its response."""
        self._closed = True
        if self._sweeping is not None:
            self._sweeping.cancel()
            self._sweeping = None
        idle = self._all_idle()
        for connection in idle:
            self._drop(connection)
        await gatherResults([connection.lost for connection in idle])
