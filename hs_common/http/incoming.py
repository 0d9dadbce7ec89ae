"""A request as it came off the wire, before anybody has looked for its endpoint."""

from dataclasses import dataclass
from typing import BinaryIO

from twisted.web.http_headers import Headers


@dataclass(frozen=True, slots=True)
class Incoming:
    """`uri_path` and `query_string` are as sent, percent-encoded; only the former may be logged."""

    method: str
    uri_path: str
    query_string: bytes
    headers: Headers
    content: BinaryIO
    request_id: str
    client_ip: str
