"""What an alias of this server leads to, and what its users say about themselves.

Spec: server-server API, #querying-for-information.
"""

from collections.abc import Awaitable, Callable
from typing import Any, Final

import orjson

from hs_common.http.endpoint import Auth, endpoint
from hs_common.http.reply import Encoded, Reply
from hs_common.http.request import Request
from hs_common.matrix.errors import invalid_param, not_found, unrecognized
from hs_common.matrix.identifiers import domain_of, is_user_id, parse_room_alias
from hs_common.storage import room_directory, room_state
from hs_common.storage.profiles import profile, profile_field
from hs_common.storage.queries import Queries
from hs_common.storage.users import account

MAXIMUM_SERVERS: Final = 50
"""Servers told with an alias; a joining server tries a few of them."""


class Query:
    """`alias_was_made` asks application services for an alias that does not exist yet."""

    def __init__(self, db: Queries, server_name: str, alias_was_made: Callable[[str], Awaitable[bool]]) -> None:
        self._db = db
        self._server_name = server_name
        self._alias_was_made = alias_was_made

    @endpoint(
        "GET",
        "/_matrix/federation/v1/query/directory",
        auth=Auth.SERVER,
        spec="server-server-api/#get_matrixfederationv1querydirectory",
    )
    async def directory(self, request: Request) -> Reply:
        """The room, and servers in it, this one first if it is."""
        alias = request.query.string("room_alias")
        _, server = parse_room_alias(alias)
        if server != self._server_name:
            raise not_found(f"{alias} is an alias of another server")
        room_id = await self._room_id(alias)
        servers = await room_state.servers(self._db, room_id, MAXIMUM_SERVERS)
        ours = [self._server_name] if self._server_name in servers else []
        return {"room_id": room_id, "servers": ours + [name for name in servers if name != self._server_name]}

    @endpoint(
        "GET",
        "/_matrix/federation/v1/query/profile",
        auth=Auth.SERVER,
        spec="server-server-api/#get_matrixfederationv1queryprofile",
    )
    async def profile(self, request: Request) -> Reply:
        """The whole profile, or one field of it."""
        user_id, field = request.query.string("user_id"), request.query.string("field", None)
        if not is_user_id(user_id) or domain_of(user_id) != self._server_name:
            raise invalid_param("user_id must be a user of this server")
        found = await account(self._db, user_id)
        if found is None or found.erased:
            raise not_found("User does not exist")
        if field is None:
            return _encoded(await profile(self._db, user_id))
        value = await profile_field(self._db, user_id, field)
        return {} if value is None else _encoded({field: value})

    @endpoint(
        "GET",
        "/_matrix/federation/v1/query/{queryType}",
        auth=Auth.SERVER,
        reads=False,
        spec="server-server-api/#get_matrixfederationv1queryquerytype",
    )
    async def other(self, request: Request) -> Reply:
        """No other kinds of queries are specified."""
        raise unrecognized(f"There is no query of type {request.path['queryType'][:64]!r}")

    async def _room_id(self, alias: str) -> str:
        found = await room_directory.alias(self._db, alias)
        if found is None and await self._alias_was_made(alias):
            found = await room_directory.alias(self._db, alias)
        if found is None:
            raise not_found("Room alias not found")
        return str(found[0])


def _encoded(fields: dict[str, str]) -> Encoded:
    told: dict[str, Any] = {field: orjson.Fragment(value) for field, value in fields.items()}
    return Encoded(orjson.dumps(told))
