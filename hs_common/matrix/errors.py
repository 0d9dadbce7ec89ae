"""The standard error response of Matrix: what a client or a peer did wrong, as an exception.

Only faults of the other side are expressed here. An operating fault (a database that is away) has its own type where it
arises, and our own bugs are assertions. This module must not know HTTP beyond the status code.

Spec: client-server API, "Standard error response".
"""

from collections.abc import Mapping

_NO_FIELDS: Mapping[str, object] = {}


class MatrixError(Exception):
    """An error to answer: HTTP status, errcode, human-readable text and the extra keys of the JSON body.

    Spec: client-server API, #standard-error-response.
    """

    def __init__(self, status: int, errcode: str, error: str, fields: Mapping[str, object] = _NO_FIELDS) -> None:
        super().__init__(f"{status} {errcode}: {error}")
        self.status = status
        self.errcode = errcode
        self.error = error
        self.fields = dict(fields)

    def body(self) -> dict[str, object]:
        """The JSON body; `errcode` and `error` cannot be overridden by the extra keys."""
        return {**self.fields, "errcode": self.errcode, "error": self.error}


def bad_json(error: str) -> MatrixError:
    """Valid JSON of a wrong shape: missing or ill-typed keys."""
    return MatrixError(400, "M_BAD_JSON", error)


def not_json(error: str = "The body is not valid JSON") -> MatrixError:
    """The body cannot be parsed."""
    return MatrixError(400, "M_NOT_JSON", error)


def invalid_param(error: str) -> MatrixError:
    """A parameter has the wrong value."""
    return MatrixError(400, "M_INVALID_PARAM", error)


def missing_param(error: str) -> MatrixError:
    """A required parameter is absent."""
    return MatrixError(400, "M_MISSING_PARAM", error)


def unknown_token(soft_logout: bool = False) -> MatrixError:
    """The access token is not, or no longer, valid. With `soft_logout` the client keeps its encryption keys."""
    return MatrixError(401, "M_UNKNOWN_TOKEN", "Unrecognised access token", {"soft_logout": soft_logout})


def missing_token() -> MatrixError:
    """No access token was given to an endpoint that needs one."""
    return MatrixError(401, "M_MISSING_TOKEN", "Missing access token")


def unauthorized(error: str) -> MatrixError:
    """A request of another server whose signature does not hold."""
    return MatrixError(401, "M_UNAUTHORIZED", error)


def forbidden(error: str) -> MatrixError:
    """The requester may not do this."""
    return MatrixError(403, "M_FORBIDDEN", error)


def not_found(error: str = "Not found") -> MatrixError:
    """The resource named by the request does not exist."""
    return MatrixError(404, "M_NOT_FOUND", error)


def unrecognized(error: str = "Unrecognized request", status: int = 404) -> MatrixError:
    """No such endpoint (404), or an endpoint without this method (405)."""
    return MatrixError(status, "M_UNRECOGNIZED", error)


def too_large(error: str = "Too large", status: int = 413) -> MatrixError:
    """The request or the event is larger than the limit."""
    return MatrixError(status, "M_TOO_LARGE", error)


def guests_cannot() -> MatrixError:
    """The account is a guest's, and this is not for guests."""
    return MatrixError(403, "M_GUEST_ACCESS_FORBIDDEN", "Guests cannot do this")


def limit_exceeded(retry_after_ms: int) -> MatrixError:
    """Too many requests; the client may try again after that many milliseconds."""
    return MatrixError(429, "M_LIMIT_EXCEEDED", "Too many requests", {"retry_after_ms": retry_after_ms})


def unsupported_room_version(version: str) -> MatrixError:
    """A room version this server does not know."""
    return MatrixError(400, "M_UNSUPPORTED_ROOM_VERSION", f"Room version {version!r} is not supported")


def incompatible_room_version(version: str) -> MatrixError:
    """The room's version is not among those the joining server named."""
    error = "Your homeserver does not support the features required to join this room"
    return MatrixError(400, "M_INCOMPATIBLE_ROOM_VERSION", error, {"room_version": version})


def unknown(error: str, status: int = 500) -> MatrixError:
    """An error for which the specification has no better code."""
    return MatrixError(status, "M_UNKNOWN", error)
