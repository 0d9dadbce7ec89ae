"""Room aliases of this server: who may set and remove them, and which of them a room may call its own.

Spec: client-server API, #room-aliases, #mroomcanonical_alias.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, NamedTuple

import orjson

from hs_common.appservices.registry import ServiceRegistry
from hs_common.appservices.service_queries import ServiceQueries
from hs_common.federation.interfaces import Remote
from hs_common.federation.remote import NO_REMOTE
from hs_common.federation.sending import Sending
from hs_common.http.request import Requester
from hs_common.matrix.errors import MatrixError, forbidden, invalid_param, not_found
from hs_common.matrix.identifiers import check_room_id, is_room_alias, is_room_id, is_server_name, parse_room_alias
from hs_common.reading.room_power import may_send_state
from hs_common.replication.calls import DeleteAlias, Intent, SetAlias
from hs_common.replication.link_interface import Link
from hs_common.storage import room_directory, room_members, room_state
from hs_common.storage.queries import Queries
from hs_workers.client.remote.kept_answers import KeptAnswers

KEPT_S: Final = 60.0
"""How long an alias of another server is believed to lead where it did."""
CANONICAL_ALIAS: Final = "m.room.canonical_alias"
MAXIMUM_SERVERS: Final = 20
"""Servers told with an alias; a client tries a few of them."""
MAXIMUM_ALIASES: Final = 100
"""Aliases of one m.room.canonical_alias that are checked; more fit into an event than any room has."""


class NamedRoom(NamedTuple):
    """A room that an alias leads to, and `servers` through which it can be joined if it is another server's alias."""

    room_id: str
    servers: list[str]


class Aliases:
    """Aliases under this server's name."""

    def __init__(
        self,
        db: Queries,
        master: Link,
        sending: Sending,
        server_name: str,
        services: ServiceRegistry | None = None,
        queries: ServiceQueries | None = None,
        remote: Remote = NO_REMOTE,
        seconds: Callable[[], float] = lambda: 0.0,
    ) -> None:
        """`services` have reserved aliases; `queries` asks them for those that do not exist yet. `seconds` is a clock
        that never goes back."""
        self._db = db
        self._services = services
        self._queries = queries
        self._remote = remote
        self._master = master
        self._sending = sending
        self._server_name = server_name
        self._kept: KeptAnswers[NamedRoom] = KeptAnswers(seconds, KEPT_S)

    async def find(self, room_alias: str) -> NamedRoom:
        """The room that an alias leads to, here or elsewhere. 400 `M_INVALID_PARAM`, 404 `M_NOT_FOUND`, or the other
        server's error."""
        _, server = parse_room_alias(room_alias)
        if server == self._server_name:
            return NamedRoom(await self._own_room_id(room_alias), [])
        return await self._kept.get(room_alias, lambda: self._elsewhere(server, room_alias))

    async def _elsewhere(self, server: str, room_alias: str) -> NamedRoom:
        path = "/_matrix/federation/v1/query/directory"
        answer = await self._remote.get(server, path, {"room_alias": room_alias})
        room_id = answer.get("room_id") if isinstance(answer, dict) else None
        if not is_room_id(room_id):
            raise not_found(f"There is no alias {room_alias}")
        named = answer.get("servers")
        servers = [one for one in named if is_server_name(one)] if isinstance(named, list) else []
        return NamedRoom(room_id, [*dict.fromkeys([server, *servers])][:MAXIMUM_SERVERS])

    async def room_id(self, room_alias: str) -> str:
        """The room that an alias leads to. As `find`."""
        return (await self.find(room_alias)).room_id

    async def _own_room_id(self, room_alias: str) -> str:
        found = await room_directory.alias(self._db, room_alias)
        if found is None and self._queries is not None and await self._queries.alias_was_made(room_alias):
            found = await room_directory.alias(self._db, room_alias)
        if found is None:
            raise not_found(f"There is no alias {room_alias}")
        return str(found[0])

    async def servers(self, room_id: str) -> list[str]:
        """Servers by which the room can be joined, this one first."""
        servers = await room_state.servers(self._db, room_id, MAXIMUM_SERVERS)
        return [self._server_name, *(server for server in servers if server != self._server_name)]

    async def set(self, requester: Requester, room_alias: str, room_id: str) -> None:
        """400 `M_INVALID_PARAM`, 403 `M_FORBIDDEN` for who is not in the room, 404 `M_NOT_FOUND`, 409 `M_UNKNOWN`."""
        self._check_ours(room_alias)
        await self._check_not_reserved(requester, room_alias)
        check_room_id(room_id)
        if not await room_state.is_known(self._db, room_id):
            raise not_found(f"The room {room_id} is not known here")
        may_set = requester.admin or await self._is_of_service(requester, room_alias)
        if not (may_set or await self._is_joined(requester, room_id)):
            raise forbidden("Only members of a room can give it an alias")
        await self._master.call(SetAlias(alias=room_alias, room_id=room_id, creator=requester.user_id))

    async def remove(self, requester: Requester, room_alias: str) -> None:
        """By who made it, by who may set the room's canonical alias, and by administrators. 403 `M_FORBIDDEN`, 404
        `M_NOT_FOUND`. The room stops calling the alias its own, if the user may say so."""
        self._check_ours(room_alias)
        await self._check_not_reserved(requester, room_alias)
        found = await room_directory.alias(self._db, room_alias)
        if found is None:
            raise not_found(f"There is no alias {room_alias}")
        room_id, creator = found
        user_id = requester.user_id
        may_change_room = await may_send_state(self._db, room_id, user_id, CANONICAL_ALIAS)
        is_of_service = await self._is_of_service(requester, room_alias)
        if not (creator == user_id or requester.admin or may_change_room or is_of_service):
            raise forbidden("You may not remove this alias")
        await self._master.call(DeleteAlias(alias=room_alias))
        if may_change_room:
            await self._disown(room_id, user_id, room_alias)

    async def check_canonical(self, room_id: str, content: dict[str, Any]) -> None:
        """Whether a room may call the aliases of a new m.room.canonical_alias its own; those that it has already are
        not looked at. 400 `M_INVALID_PARAM` for what is no alias, `M_BAD_ALIAS` for aliases of other rooms."""
        new = _aliases_of(content)
        if new is None:
            raise invalid_param("`alias` must be a room alias, and `alt_aliases` a list of room aliases")
        added = [alias for alias in new if alias not in (_aliases_of(await self._canonical(room_id)) or ())]
        if len(added) > MAXIMUM_ALIASES:
            raise invalid_param(f"At most {MAXIMUM_ALIASES} aliases can be added at once")
        for alias in added:
            if not is_room_alias(alias):
                raise invalid_param(f"Not a valid room alias: {alias[:64]!r}")
        known = await room_directory.aliases_among(self._db, added) if added else {}
        for alias in added:
            if known.get(alias) != room_id:
                raise MatrixError(400, "M_BAD_ALIAS", f"{alias} does not lead to this room")

    async def _disown(self, room_id: str, user_id: str, room_alias: str) -> None:
        content = await self._canonical(room_id)
        if room_alias not in (_aliases_of(content) or ()):
            return
        without = {**content, "alt_aliases": [alias for alias in content.get("alt_aliases", []) if alias != room_alias]}
        if without.get("alias") == room_alias:
            del without["alias"]
        intent = Intent(room_id=room_id, sender=user_id, type=CANONICAL_ALIAS, state_key="", content=without)
        # The alias is gone whether or not the room says so.
        with suppress(MatrixError):
            await self._sending.send(intent)

    async def _canonical(self, room_id: str) -> dict[str, Any]:
        rows = await room_state.entries(self._db, room_id, [(CANONICAL_ALIAS, "")], room_state.NOW)
        content: dict[str, Any] = orjson.loads(rows[0][3])["content"] if rows else {}
        return content

    async def _is_joined(self, requester: Requester, room_id: str) -> bool:
        return await room_members.membership(self._db, requester.user_id, room_id) == "join"

    async def _is_of_service(self, requester: Requester, room_alias: str) -> bool:
        """Whether a service asks, about an alias in its namespace."""
        if self._services is None or requester.app_service_id is None:
            return False
        service = (await self._services.services()).get(requester.app_service_id)
        return service is not None and service.has_alias(room_alias)

    async def check_not_reserved(self, requester: Requester, localpart: str) -> None:
        """400 `M_EXCLUSIVE` for the alias of a new room that the requester may not make."""
        await self._check_not_reserved(requester, f"#{localpart}:{self._server_name}")

    async def _check_not_reserved(self, requester: Requester, room_alias: str) -> None:
        """400 `M_EXCLUSIVE` for an alias that is another's, or of a service for one outside of its namespace.

        https://spec.matrix.org/v1.19/application-service-api/#server-admin-style-permissions
        """
        if self._services is None:
            return
        owners = (await self._services.services()).owners_of_alias(room_alias)
        is_outside = requester.app_service_id is not None and not await self._is_of_service(requester, room_alias)
        if is_outside or (owners and requester.app_service_id not in [service.id for service in owners]):
            raise MatrixError(400, "M_EXCLUSIVE", f"{room_alias} is reserved by an application service")

    def _check_ours(self, room_alias: str) -> None:
        _, server = parse_room_alias(room_alias)
        if server != self._server_name:
            raise invalid_param(f"Aliases of this server end in :{self._server_name}")


def _aliases_of(content: dict[str, Any]) -> list[str] | None:
    """The aliases that the content of an m.room.canonical_alias names; None if they are not of the right types."""
    alias, others = content.get("alias"), content.get("alt_aliases")
    named = [*([] if alias in (None, "") else [alias]), *(others if isinstance(others, list) else ())]
    if not isinstance(others, list | None) or not all(isinstance(name, str) for name in named):
        return None
    return named
