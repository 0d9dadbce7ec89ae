"""Keys of other servers, with our signature: this server as a notary.

Rules: what a server said last is given out also when it does not answer any more. Anybody may ask, so how many servers
one request makes us ask is bounded, and each of them is asked as seldom as for our own needs.

Spec: server-server API, #querying-keys-through-another-server.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import orjson
from twisted.internet.defer import Deferred, DeferredSemaphore

from hs_common.federation.domains import Domains
from hs_common.federation.key_ring import KeyRing
from hs_common.federation.own_keys import OwnKeys
from hs_common.http.endpoint import Auth, endpoint
from hs_common.http.reply import Reply
from hs_common.http.request import Request
from hs_common.matrix.errors import bad_json, invalid_param
from hs_common.matrix.identifiers import is_server_name
from hs_common.matrix.server_keys import wanted_keys
from hs_common.storage import server_keys
from hs_common.storage.queries import Queries

SERVERS_LIMIT: Final = 100
"""Servers in one request; a joining server asks for those of one room, and may ask again."""
BODY_LIMIT_BYTES: Final = 256 * 1024
REFRESHED_AT_ONCE: Final = 20
"""Servers that are asked for others' sake at the same time."""

Wanted = Mapping[str, Mapping[str, int | None]]


class KeysQuery:
    """`now_ms` is the time of day."""

    def __init__(
        self, db: Queries, keys: KeyRing, own_keys: OwnKeys, domains: Domains, now_ms: Callable[[], int]
    ) -> None:
        self._db = db
        self._keys = keys
        self._own_keys = own_keys
        self._domains = domains
        self._now_ms = now_ms
        self._turns = DeferredSemaphore(REFRESHED_AT_ONCE)

    @endpoint(
        "GET",
        "/_matrix/key/v2/query/{serverName}",
        auth=Auth.NONE,
        reads=False,
        aliases=("/_matrix/key/v2/query/{serverName}/{keyId}",),
        spec="server-server-api/#get_matrixkeyv2queryservername",
    )
    async def one(self, request: Request) -> Reply:
        """All keys of one server."""
        server = request.path["serverName"]
        if not is_server_name(server):
            raise invalid_param("serverName is not the name of a server")
        minimum = request.query.integer("minimum_valid_until_ts", None, minimum=0)
        key_id = request.path.get("keyId")
        return await self._answer({server: {} if key_id is None else {key_id: minimum}}, minimum)

    @endpoint(
        "POST",
        "/_matrix/key/v2/query",
        auth=Auth.NONE,
        body_limit_bytes=BODY_LIMIT_BYTES,
        spec="server-server-api/#post_matrixkeyv2query",
    )
    async def many(self, request: Request) -> Reply:
        """Keys of several servers."""
        body = request.json()
        if not _are_queries(body.get("server_keys")):
            raise bad_json("server_keys must be an object of servers, each an object of key ids with their criteria")
        if len(body["server_keys"]) > SERVERS_LIMIT:
            raise invalid_param(f"At most {SERVERS_LIMIT} servers can be asked about at once")
        return await self._answer(wanted_keys(body), None)

    async def _answer(self, wanted: Wanted, minimum: int | None) -> dict[str, Any]:
        others = [server for server in wanted if server != self._own_keys.server_name]
        asking = [
            Deferred.fromCoroutine(self._refresh(server, wanted[server], minimum))
            for server in others
            if self._domains.may_talk(server)
        ]
        for one in asking:
            await one
        rows = await server_keys.of_servers(self._db, others)
        told = list(dict.fromkeys(row.answer for row in rows if _is_wanted(row.key_id, wanted[row.server])))
        answers = [self._own_keys.vouch(orjson.loads(answer)) for answer in told]
        if self._own_keys.server_name in wanted:
            answers.append(self._own_keys.published())
        return {"server_keys": answers}

    async def _refresh(self, server: str, criteria: Mapping[str, int | None], minimum: int | None) -> None:
        times = [time for time in (minimum, *criteria.values()) if time is not None]
        await self._turns.acquire()
        try:
            await self._keys.refresh(server, list(criteria), max(times, default=self._now_ms()))
        finally:
            self._turns.release()


def _are_queries(asked: object) -> bool:
    """Whether it has the form of the specification."""
    return isinstance(asked, dict) and all(
        isinstance(keys, dict) and all(isinstance(criteria, dict) for criteria in keys.values())
        for keys in asked.values()
    )


def _is_wanted(key_id: str, criteria: Iterable[str]) -> bool:
    named = list(criteria)
    return not named or key_id in named
