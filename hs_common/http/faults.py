"""From an exception to the answer: the client's fault has its errcode, an operating fault is 503 and will pass, and our
own mistake is 500, with the request's id so that it can be found in the log.
"""

from typing import Final

from twisted.logger import Logger

from hs_common.http.reply import Response, error_response
from hs_common.matrix.errors import MatrixError, invalid_param, unknown
from hs_common.storage.queries import DatabaseUnavailable, StatementConflict, StatementRefused

RETRY_AFTER_S: Final = 2
"""A leader is replaced in about that time, and PostgreSQL restarts in little more."""

_UNSTORABLE_CLASSES: Final = ("22", "54")
"""SQLSTATE classes for values that the client chose and no column takes: out of range, NUL in text, a key too long."""


def unavailable(reason: str) -> MatrixError:
    """Something that we depend on is away; the request may be sent again."""
    return unknown(reason, status=503)


def response_for(error: Exception, request_id: str, log: Logger) -> Response:
    """The answer for a request that raised; logs what an operator should see."""
    matrix_error = _matrix_error(error)
    if matrix_error is None:
        log.failure("Request {request_id} failed", request_id=request_id)
        matrix_error = unknown(f"Internal server error (request {request_id})")
    elif matrix_error is not error:
        log.warn("Request {request_id}: {error}", request_id=request_id, error=str(error))
    response = error_response(matrix_error)
    if response.status == 503:
        response.headers.setdefault("Retry-After", str(RETRY_AFTER_S))
    return response


def _matrix_error(error: Exception) -> MatrixError | None:
    if isinstance(error, MatrixError):
        return error
    if isinstance(error, DatabaseUnavailable | StatementConflict):
        return unavailable("The database is not available at the moment")
    if isinstance(error, StatementRefused) and error.sqlstate[:2] in _UNSTORABLE_CLASSES:
        return invalid_param("A value in the request cannot be stored")
    return None
