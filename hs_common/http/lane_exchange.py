"""A request that a quick lane took, on its connection: what `exchange` is to the requests that twisted.web reads,
without a body to read.

Rules: it ends once, by an answer, by an error, or because its client has gone; counted and logged as every request.
Not known here: what is done for it.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

from twisted.logger import Logger
from twisted.python.failure import Failure

from hs_common.http.endpoint import EndpointDeclaration
from hs_common.http.faults import response_for
from hs_common.http.reception import FinishedRequest, Reception
from hs_common.http.response_head import common_headers, whole_response
from hs_common.http.write_now import write_now

CLIENT_GONE: Final = 499
"""Counted as the status of a request whose client went away before the answer; never sent."""


def _nothing() -> None:
    """Nobody minds."""


class LaneExchange:
    """Nothing of the request has happened before `begin`; `on_gone` is called if the client goes away after that,
    before the answer. `told_id` and `forwarded_for` are what its headers say of it."""

    __slots__ = (
        "_channel",
        "_declaration",
        "_method",
        "_path",
        "_received_bytes",
        "_reception",
        "client_ip",
        "has_begun",
        "is_over",
        "on_gone",
        "request_id",
        "started_s",
    )

    def __init__(
        self,
        channel: Any,
        reception: Reception,
        declaration: EndpointDeclaration,
        path: bytes,
        told_id: bytes | None,
        forwarded_for: Sequence[bytes],
    ) -> None:
        self._channel = channel
        self._reception = reception
        self._declaration = declaration
        self._method = "GET"
        self._path = path
        self._received_bytes = 0
        self.started_s = reception.monotonic()
        self.request_id, self.client_ip = reception.identify(channel.peer_address(), told_id, forwarded_for)
        self.has_begun = self.is_over = False
        self.on_gone: Callable[[], None] = _nothing

    def begin(self) -> None:
        """The lane keeps it."""
        self.has_begun = True
        self._reception.observer.request_started()
        self._channel.begin_quick(self)

    def refuse(self, error: Exception) -> None:
        """What the error means to a client. A bug that shows after the end is merely logged."""
        response = response_for(error, self.request_id, _log)
        assert isinstance(response.body, bytes), "errors are encoded"
        if not self.is_over:
            self._finish(response.status, whole_response(response, self._common_headers()), len(response.body))

    def connectionLost(self, reason: Failure) -> None:
        """The client has gone. Called by the channel."""
        self._gone(CLIENT_GONE, 0)

    def _gone(self, status: int, sent_bytes: int) -> None:
        self.is_over = True
        self._observe(status, sent_bytes)
        self.on_gone()

    def _finish(self, status: int, data: bytes, sent_bytes: int) -> None:
        """Writes what is left of the answer, and ends it."""
        self.is_over = True
        if data:
            write_now(self._channel.transport, data)
        self._channel.end_quick(self)
        self._observe(status, sent_bytes)

    def _common_headers(self) -> bytes:
        channel, reception = self._channel, self._reception
        if reception.draining:
            channel.persistent = False
        return common_headers(reception.date(), bool(channel.persistent))

    def _observe(self, status: int, sent_bytes: int) -> None:
        reception, declaration = self._reception, self._declaration
        reception.observer.request_finished(
            FinishedRequest(
                request_id=self.request_id,
                client_ip=self.client_ip,
                method=self._method,
                template=declaration.path,
                uri_path=self._path.decode("ascii"),
                status=status,
                seconds=reception.monotonic() - self.started_s,
                received_bytes=self._received_bytes,
                sent_bytes=sent_bytes,
                waits=declaration.waits,
            )
        )


_log = Logger()
