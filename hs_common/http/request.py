"""What an endpoint receives: the request's parameters, body and author, each checked when it is asked for.

Rules: whatever the client got wrong is a MatrixError with the specification's code, raised here, so that endpoints do
not check shapes by hand. Nothing is parsed that nobody asks for. The access token itself never gets this far.

Not known here: routing, authentication, and where the answer goes.
"""

import re
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from typing import Any, BinaryIO, Final, TypeVar, overload
from urllib.parse import parse_qsl

import msgspec
import orjson
from twisted.web.http_headers import Headers

from hs_common.http.body_stream import BodyStream
from hs_common.http.endpoint import EndpointDeclaration
from hs_common.matrix.errors import MatrixError

JSON_DEPTH_LIMIT: Final = 100
"""Deeper bodies are nobody's work, and code that walks them recursively would hit Python's limit of 1000."""
QUERY_PARAMETERS_LIMIT: Final = 200
"""`/publicRooms` has a handful, `?via=` at most some tens; a bound on what one URL makes us keep."""
REMEMBERED_LIMIT: Final = 4_096
REMEMBERED_LENGTH: Final = 128
"""Queries that are remembered parsed, some MiB at most: a bridge's say for which ghost it asks, again and again. None
that may hold a token."""

# Parameters with nothing to decode, few enough, as nearly all are: `parse_qsl` would take five times as long.
_PLAIN_QUERY: Final = re.compile(rb"[\w.~!:-]+=[\w.~!:-]*(?:&[\w.~!:-]+=[\w.~!:-]*){,19}")

_Struct = TypeVar("_Struct")


@dataclass(frozen=True, slots=True)
class Requester:
    """Who calls, as the access token says. `device_id` is None for an application service without a device, and for
    an administrator who acts as the user: then `opened_by` is the administrator. `by_oauth`: the token is one of the
    authentication service."""

    user_id: str
    device_id: str | None
    token_hash: bytes
    is_guest: bool = False
    app_service_id: str | None = None
    locked: bool = False
    suspended: bool = False
    admin: bool = False
    consent: str | None = None
    opened_by: str | None = None
    by_oauth: bool = False

    @property
    def transaction_scope(self) -> str | None:
        """What transaction ids are unique in: the device, or the token that an administrator has."""
        return self.device_id if self.opened_by is None else f"token {self.token_hash.hex()}"


class RequestHeaders:
    """The headers of a request. Names do not care for case; a value that is not ASCII is read as Latin-1."""

    __slots__ = ("_headers",)

    def __init__(self, headers: Headers | dict[str, str] | None = None) -> None:
        if not isinstance(headers, Headers):
            headers = Headers({name: [value] for name, value in (headers or {}).items()})
        self._headers = headers

    def get(self, name: str, default: str | None = None) -> str | None:
        """The first value of the header, or the default."""
        values = self._headers.getRawHeaders(name.encode("ascii"))
        return values[0].decode("latin-1") if values else default

    def all(self, name: str) -> list[str]:
        """All values of the header, in order."""
        return [value.decode("latin-1") for value in self._headers.getRawHeaders(name.encode("ascii"), ())]


class Query:
    """The parameters after the `?`. Wrong ones are 400 `M_INVALID_PARAM`, missing ones 400 `M_MISSING_PARAM`."""

    __slots__ = ("_parsed", "_query_string")

    def __init__(self, query_string: bytes = b"") -> None:
        self._query_string = query_string
        self._parsed: dict[str, list[str]] | None = None if query_string else {}

    @property
    def _parameters(self) -> dict[str, list[str]]:
        if self._parsed is None:
            short = len(self._query_string) <= REMEMBERED_LENGTH and b"token" not in self._query_string
            self._parsed = _remembered(self._query_string) if short else self._parse(self._query_string)
        return self._parsed

    @staticmethod
    def _parse(query_string: bytes) -> dict[str, list[str]]:
        """What it gives may be shared by requests, and is never changed."""
        if _PLAIN_QUERY.fullmatch(query_string):
            return _split(query_string.decode("ascii"))
        parameters: dict[str, list[str]] = {}
        try:
            pairs = parse_qsl(
                query_string.decode("ascii"),
                keep_blank_values=True,
                errors="strict",
                max_num_fields=QUERY_PARAMETERS_LIMIT,
            )
        except ValueError as error:  # also UnicodeDecodeError: bytes that are neither ASCII nor percent-encoded UTF-8
            raise MatrixError(400, "M_INVALID_PARAM", "The query string cannot be read") from error
        for name, value in pairs:
            if "\0" in value:
                raise MatrixError(400, "M_INVALID_PARAM", f"{name} contains NUL")
            parameters.setdefault(name, []).append(value)
        return parameters

    def __contains__(self, name: str) -> bool:
        return name in self._parameters

    def items(self) -> list[tuple[str, str]]:
        """All parameters with their first values, for who hands them on."""
        return [(name, values[0]) for name, values in self._parameters.items()]

    @overload
    def string(self, name: str) -> str: ...
    @overload
    def string(self, name: str, default: str) -> str: ...
    @overload
    def string(self, name: str, default: None) -> str | None: ...
    def string(self, name: str, default: Any = ...) -> str | None:
        """The parameter's first value. Without a default it is required."""
        values = self._parameters.get(name)
        if values:
            return values[0]
        return _default(name, default)  # type: ignore[no-any-return]

    def strings(self, name: str) -> list[str]:
        """All values of a parameter that may be repeated; empty if there is none."""
        return list(self._parameters.get(name, ()))

    @overload
    def integer(self, name: str, *, minimum: int | None = None, maximum: int | None = None) -> int: ...
    @overload
    def integer(self, name: str, default: int, minimum: int | None = None, maximum: int | None = None) -> int: ...
    @overload
    def integer(
        self, name: str, default: None, minimum: int | None = None, maximum: int | None = None
    ) -> int | None: ...
    def integer(
        self, name: str, default: Any = ..., minimum: int | None = None, maximum: int | None = None
    ) -> int | None:
        """A whole number. Below `minimum` it is refused; above `maximum` it is lowered, as the specification lets a
        server return fewer than it was asked for."""
        values = self._parameters.get(name)
        if not values:
            return _default(name, default)  # type: ignore[no-any-return]
        text = values[0]
        digits = text[1:] if text[:1] == "-" else text
        if not (digits.isascii() and digits.isdigit()) or len(digits) > 16:
            raise MatrixError(400, "M_INVALID_PARAM", f"{name} must be a whole number")
        number = int(text)
        if minimum is not None and number < minimum:
            raise MatrixError(400, "M_INVALID_PARAM", f"{name} must be at least {minimum}")
        return number if maximum is None else min(number, maximum)

    @overload
    def boolean(self, name: str, default: bool) -> bool: ...
    @overload
    def boolean(self, name: str, default: None = None) -> bool | None: ...
    def boolean(self, name: str, default: bool | None = None) -> bool | None:
        """`true` or `false`, and nothing else."""
        values = self._parameters.get(name)
        if not values:
            return default
        if values[0] not in ("true", "false"):
            raise MatrixError(400, "M_INVALID_PARAM", f"{name} must be true or false")
        return values[0] == "true"


_remembered = lru_cache(REMEMBERED_LIMIT)(Query._parse)


def _split(query: str) -> dict[str, list[str]]:
    parameters: dict[str, list[str]] = {}
    for pair in query.split("&"):
        name, _, value = pair.partition("=")
        parameters.setdefault(name, []).append(value)
    return parameters


def _default(name: str, default: Any) -> Any:
    if default is ...:
        raise MatrixError(400, "M_MISSING_PARAM", f"The query parameter {name} is missing")
    return default


class Request:
    """One request to one endpoint. Everything that an endpoint may look at, and nothing of the connection.

    `path` holds the path's parameters, percent-decoded. `content` is the body as a file, for endpoints with large
    bodies; `raw` the body as bytes.
    """

    __slots__ = (
        "_json",
        "_may_contain_nul",
        "_origin",
        "_query",
        "_query_string",
        "_requester",
        "_stream",
        "client_ip",
        "content",
        "declaration",
        "headers",
        "method",
        "path",
        "request_id",
        "started_s",
        "uri_path",
    )

    def __init__(
        self,
        *,
        method: str = "GET",
        uri_path: str = "",
        path: dict[str, str] | None = None,
        query_string: bytes = b"",
        headers: RequestHeaders | None = None,
        content: BinaryIO | None = None,
        requester: Requester | None = None,
        request_id: str = "",
        client_ip: str = "",
        declaration: EndpointDeclaration | None = None,
        stream: BodyStream | None = None,
        origin: str | None = None,
        json: dict[str, Any] | None = None,
        started_s: float | None = None,
    ) -> None:
        """`json` is given where the body was parsed already. `started_s`: when the request's headers were there."""
        self.method = method
        self.uri_path = uri_path
        self.path = {} if path is None else path
        self.headers = RequestHeaders() if headers is None else headers
        self.content: BinaryIO = BytesIO() if content is None else content
        self.request_id = request_id
        self.client_ip = client_ip
        self.declaration = declaration
        self.started_s = started_s
        self._requester = requester
        self._stream = stream
        self._query_string = query_string
        self._query: Query | None = None
        self._json = json
        self._may_contain_nul: bool | None = None
        self._origin = origin

    @property
    def origin(self) -> str:
        """The server that calls, for endpoints of servers."""
        assert self._origin is not None, f"{self.uri_path} is not declared to be called by servers"
        return self._origin

    @property
    def requester(self) -> Requester:
        """Who calls. Asking where no token was needed and none was given is a mistake in the endpoint."""
        assert self._requester is not None, f"{self.uri_path} is declared to need no access token"
        return self._requester

    @property
    def optional_requester(self) -> Requester | None:
        """Who calls, or None where a token is optional and was not given."""
        return self._requester

    @property
    def user_agent(self) -> str:
        """The client's name for itself; empty if it has none."""
        return self.headers.get("User-Agent", "") or ""

    @property
    def query(self) -> Query:
        """The parameters after the `?`."""
        if self._query is None:
            self._query = Query(self._query_string)
        return self._query

    @property
    def stream(self) -> BodyStream:
        """The body while it comes, for endpoints that are declared to want it so."""
        assert self._stream is not None, f"{self.uri_path} is not declared to stream its body"
        return self._stream

    @property
    def raw(self) -> bytes:
        """The body's bytes."""
        self.content.seek(0)
        return self.content.read()

    def json(self, *, optional: bool = False) -> dict[str, Any]:
        """The body as a JSON object.

        400 `M_NOT_JSON` for what is not JSON, 400 `M_BAD_JSON` for JSON that is no object or too deep. With `optional`
        a missing body is the empty object, for endpoints that clients call with none.
        """
        if self._json is None:
            raw = self.raw
            self._json = {} if optional and not raw else parse_object(raw)
            self._may_contain_nul = b"\\u0000" in raw
        return self._json

    def wide_json(self) -> dict[str, Any]:
        """The same with nothing in it looked at, for endpoints that are sent very many parts and look at each: a part
        may be deeper than `json` lets pass. 400 `M_BAD_JSON` for NUL in any string."""
        raw = self.raw
        if b"\\u0000" not in raw:
            return _parsed(raw)
        value = self.json()
        if _contains_nul(value):
            raise MatrixError(400, "M_BAD_JSON", "The body contains NUL")
        return value

    def body(self, struct_type: type[_Struct], *, optional: bool = False) -> _Struct:
        """The body as a msgspec Struct (unknown keys are ignored).

        Beside the errors of `json`: 400 `M_MISSING_PARAM` for a required key that is missing, 400 `M_BAD_JSON` for a
        value of the wrong type or out of its bounds, and for NUL in any string (no column can hold it).
        """
        value = self.json(optional=optional)
        if self._may_contain_nul is None:
            self._may_contain_nul = b"\\u0000" in self.raw
        if self._may_contain_nul and _contains_nul(value):
            raise MatrixError(400, "M_BAD_JSON", "The body contains NUL")
        try:
            return msgspec.convert(value, type=struct_type)
        except msgspec.ValidationError as error:
            missing = "missing required field" in str(error)
            raise MatrixError(400, "M_MISSING_PARAM" if missing else "M_BAD_JSON", str(error)) from error


def parse_object(raw: bytes) -> dict[str, Any]:
    """A JSON object from bytes: UTF-8, of bounded depth. Errors as `Request.json`."""
    value = _parsed(raw)
    # Opening brackets bound the depth from above, and counting them costs next to nothing.
    if raw.count(b"{") + raw.count(b"[") > JSON_DEPTH_LIMIT and is_deeper(value, JSON_DEPTH_LIMIT):
        raise MatrixError(400, "M_BAD_JSON", f"The body is nested deeper than {JSON_DEPTH_LIMIT} levels")
    return value


def _parsed(raw: bytes) -> dict[str, Any]:
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise MatrixError(400, "M_NOT_JSON", "The body is not JSON") from error
    if not isinstance(value, dict):
        raise MatrixError(400, "M_BAD_JSON", "The body must be a JSON object")
    return value


def is_deeper(value: object, limit: int) -> bool:
    """Whether parsed JSON nests deeper than the limit; level by level, so that no stack is needed."""
    level = [value]
    for _ in range(limit):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if type(outer) is dict else outer)  # type: ignore[attr-defined]
            if type(inner) is dict or type(inner) is list
        ]
        if not level:
            return False
    return True


def _contains_nul(value: object) -> bool:
    """Whether any string in a value of bounded depth, keys included, contains NUL."""
    if isinstance(value, str):
        return "\0" in value
    if isinstance(value, dict):
        return any(_contains_nul(part) for part in (*value.keys(), *value.values()))
    return isinstance(value, list) and any(_contains_nul(part) for part in value)
