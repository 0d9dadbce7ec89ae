"""What is logged of requests: those that failed through our fault or took too long, and all of them at level debug."""

from twisted.logger import Logger, LogLevel

from hs_common.http.reception import FinishedRequest, RequestObserver

_FORMAT = "{method} {uri_path} {status} {milliseconds} ms, request {request_id} of {client_ip}"


class RequestLog:
    """An observer of requests that writes the log and passes on to the next. `slow_ms` 0: none is too slow;
    `log_all` says whether level debug is written at all, which costs as much as a small request."""

    def __init__(self, following: RequestObserver, slow_ms: int, log_all: bool) -> None:
        self._following = following
        self._slow_ms = slow_ms
        self._log_all = log_all
        self._log = Logger()

    def request_started(self) -> None:
        self._following.request_started()

    def request_forwarded(self, role: str) -> None:
        self._following.request_forwarded(role)

    def request_finished(self, request: FinishedRequest) -> None:
        self._following.request_finished(request)
        milliseconds = round(request.seconds * 1000, 1)
        slow = 0 < self._slow_ms < milliseconds and not request.waits
        if slow or request.status >= 500:
            level = LogLevel.warn
        elif self._log_all:
            level = LogLevel.debug
        else:
            return
        self._log.emit(
            level,
            _FORMAT,
            method=request.method,
            uri_path=request.uri_path,
            status=request.status,
            milliseconds=milliseconds,
            request_id=request.request_id,
            client_ip=request.client_ip,
        )
