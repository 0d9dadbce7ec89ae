"""Endpoints that the tests of HTTP serve, and what they need to be watched."""

from typing import Any

import msgspec
from twisted.internet.defer import Deferred

from hs_common.http.endpoint import Auth, Rate, endpoint, r0
from hs_common.http.reply import Encoded, Reply, Response
from hs_common.http.request import Request
from hs_common.matrix.errors import MatrixError
from hs_common.storage.queries import DatabaseUnavailable, StatementRefused

V3 = "/_matrix/client/v3"


class Name(msgspec.Struct):
    name: str


class Sample:
    """An endpoint of each kind."""

    def __init__(self) -> None:
        self.waiting: Deferred[Any] | None = None
        self.cancelled = 0

    @endpoint("GET", f"{V3}/hello/{{name}}", auth=Auth.NONE, spec="#hello", aliases=(r0,))
    async def hello(self, request: Request) -> Reply:
        return {"hello": request.path["name"], "ip": request.client_ip, "request": request.request_id}

    @endpoint("PUT", f"{V3}/name", auth=Auth.USER, spec="#name", rate=Rate.MESSAGE)
    async def put_name(self, request: Request) -> Reply:
        return {"user": request.requester.user_id, "name": request.body(Name).name}

    @endpoint("POST", f"{V3}/upload", auth=Auth.USER_OPTIONAL, spec="#upload", body_limit_bytes=3_000_000)
    async def upload(self, request: Request) -> Reply:
        return {"size": len(request.raw)}

    @endpoint("POST", f"{V3}/users_only", auth=Auth.USER, spec="#users", body_limit_bytes=3_000_000)
    async def users_only(self, request: Request) -> Reply:
        return {"size": len(request.raw)}

    @endpoint("POST", f"{V3}/services_too", auth=Auth.SERVICE_OPTIONAL, spec="#services")
    async def services_too(self, request: Request) -> Reply:
        return {"size": len(request.raw)}

    @endpoint("GET", f"{V3}/whoami", auth=Auth.USER_OPTIONAL, spec="#whoami")
    async def whoami(self, request: Request) -> Reply:
        requester = request.optional_requester
        return {"user_id": None if requester is None else requester.user_id}

    @endpoint("GET", f"{V3}/wait", auth=Auth.NONE, spec="#wait", waits=True)
    async def wait(self, request: Request) -> Reply:
        self.waiting = Deferred(self._count)
        return {"waited": await self.waiting}

    def _count(self, _: Deferred[Any]) -> None:
        self.cancelled += 1

    @endpoint("GET", f"{V3}/raise/{{what}}", auth=Auth.NONE, spec="#raise")
    async def raises(self, request: Request) -> Reply:
        raise {
            "matrix": MatrixError(403, "M_FORBIDDEN", "No", {"extra": [1]}),
            "limited": MatrixError(429, "M_LIMIT_EXCEEDED", "Slow", {"retry_after_ms": 1500}),
            "away": DatabaseUnavailable("08006", "password=hunter2"),
            "nul": StatementRefused("22021", "invalid byte sequence"),
            "unique": StatementRefused("23505", "duplicate key"),
            "bug": AssertionError("this cannot be"),
        }[request.path["what"]]

    @endpoint("GET", f"{V3}/reply/{{kind}}", auth=Auth.NONE, spec="#reply")
    async def reply(self, request: Request) -> Reply:
        replies: dict[str, Reply] = {
            "struct": Name("a"),
            "mixed": {"struct": Name("a"), "encoded": Encoded(b'{"b":1}'), "list": [Name("c")]},
            "encoded": Encoded(b'[{"a":1}]'),
            "status": Response(401, {"flows": []}, {"X-Extra": "1"}),
            "bytes": Response(200, b"\x00\xff", {"Content-Type": "image/png"}),
            "redirect": Response(302, b"", {"Location": "https://example.org/"}),
            "split": Response(200, {}, {"X-Extra": "1\r\nSet-Cookie: a=b"}),
        }
        return replies[request.path["kind"]]
