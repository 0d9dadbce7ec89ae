"""A request as it came off the wire, before anybody has looked for its endpoint."""

from typing import BinaryIO, NamedTuple

from twisted.web.http_headers import Headers

from hs_common.http.body_stream import BodyStream


class Incoming(NamedTuple):
    """`uri_path` and `query_string` are as sent, percent-encoded; only the former may be logged. `stream` is the body
    of a request to an endpoint that receives it while it comes; `content` is empty then. `started_s`: when its headers
    were there, on the process' clock that never goes back."""

    method: str
    uri_path: str
    query_string: bytes
    headers: Headers
    content: BinaryIO
    request_id: str
    client_ip: str
    stream: BodyStream | None = None
    started_s: float | None = None
