"""What an endpoint answers, and how it becomes bytes.

A JSON-able value or a msgspec Struct is encoded; `Encoded` is sent as it is, for bodies that are spliced from stored
pieces; `Response` also chooses the status and headers; `Streamed` is read while it is sent. Errors are raised as
MatrixError and encoded here as well.
"""

from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
import orjson

from hs_common.http.streaming import ByteSource
from hs_common.matrix.errors import MatrixError

JSON_CONTENT_TYPE: Final = "application/json"

# Else orjson would write `Encoded` as a dataclass, before we are asked.
_OPTIONS: Final = orjson.OPT_NON_STR_KEYS | orjson.OPT_PASSTHROUGH_DATACLASS


@dataclass(frozen=True, slots=True)
class Encoded:
    """JSON that is bytes already."""

    json: bytes


@dataclass(frozen=True, slots=True)
class Response:
    """A status, headers and a body. `bytes` are sent as they are, under the Content-Type that `headers` must name;
    everything else is JSON."""

    status: int = 200
    body: "JSON | Encoded | bytes" = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Streamed:
    """A status, headers, and a body of `length` bytes that is read while it is sent; None: as many as the source has.
    Whoever receives this closes `source`. It stays open for as long as the client takes, so it must hold little."""

    status: int
    headers: dict[str, str]
    length: int | None
    source: ByteSource


JSON = dict[str, Any] | list[Any] | msgspec.Struct
Reply = JSON | Encoded | Response | Streamed
"""What an endpoint returns. Everything but a Response is status 200."""


def encode_json(value: object) -> bytes:
    """JSON of dicts, lists and msgspec Structs, mixed as one likes; `Encoded` parts are spliced in. Integers that do
    not fit 64 bits and unpaired surrogates are our own mistake (such input is refused at the door): TypeError."""
    return orjson.dumps(value, default=_jsonable, option=_OPTIONS)


def _jsonable(value: object) -> object:
    if isinstance(value, Encoded):
        return orjson.Fragment(value.json)
    if isinstance(value, msgspec.Struct):
        return msgspec.to_builtins(value)
    raise TypeError(f"{type(value).__name__} cannot be sent as JSON")


def to_response(reply: Reply) -> Response | Streamed:
    """The reply with its body as bytes and its Content-Type named; a streamed one as it is."""
    if isinstance(reply, Streamed):
        return reply
    if not isinstance(reply, Response):
        return Response(200, _body(reply), {"Content-Type": JSON_CONTENT_TYPE})
    if isinstance(reply.body, bytes):
        return reply
    return Response(reply.status, _body(reply.body), {"Content-Type": JSON_CONTENT_TYPE} | reply.headers)


def _body(body: "JSON | Encoded") -> bytes:
    return body.json if isinstance(body, Encoded) else encode_json(body)


def error_response(error: MatrixError) -> Response:
    """The standard error response: `errcode`, `error` and the fields that belong to the code.

    https://spec.matrix.org/v1.19/client-server-api/#standard-error-response
    A 429 also says when to come back in the header that generic HTTP clients know.
    """
    headers = {"Content-Type": JSON_CONTENT_TYPE}
    retry_after_ms = error.fields.get("retry_after_ms")
    if isinstance(retry_after_ms, int):
        headers["Retry-After"] = str(-(-retry_after_ms // 1000))
    body = {"errcode": error.errcode, "error": error.error, **error.fields}
    return Response(error.status, encode_json(body), headers)
