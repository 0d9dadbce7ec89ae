"""The requests of the client-server API that the benchmark makes, as a user with connections of its own."""

import itertools
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

import orjson

from tests.bench.http_client import Address, Connection

_V3 = "/_matrix/client/v3"


class RefusedError(Exception):
    """The server answered with another status than 200."""

    def __init__(self, method: str, path: str, status: int, body: bytes) -> None:
        super().__init__(f"{method} {_pattern(path)} {status} {_error_code(body)}")
        self.status = status


class Client:
    """One user with one request at a time, on one connection; syncs on another where they have a door of their own."""

    def __init__(
        self, address: Address, user_id: str = "", token: str = "", connection: Connection | None = None
    ) -> None:
        self.user_id = user_id
        self._address = address
        self._token = token
        for_syncs, for_the_rest = address.doors.next_pair() if address.doors else (address, address)
        self._connection = connection or Connection(for_the_rest)
        self._sync_connection = self._connection if for_syncs is for_the_rest else Connection(for_syncs)
        self._transactions = itertools.count()
        self._prefix = f"{id(self):x}"  # transaction ids are per device, and a user may have several clients

    def another(self) -> "Client":
        """The same user and device on a connection of its own."""
        return Client(self._address, self.user_id, self._token)

    def through(self, connection: Connection) -> "Client":
        """The same user and device on a connection that others use too, at other times."""
        return Client(self._address, self.user_id, self._token, connection)

    async def call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """The decoded answer. Raises RefusedError, or what the connection raises."""
        encoded = None if body is None else orjson.dumps(body)
        answer = await self._connection.request(method, path, token=self._token, body=encoded)
        if answer.status != 200:
            raise RefusedError(method, path, answer.status, answer.body)
        return orjson.loads(answer.body)

    async def fetch_sync(self, path: str) -> bytes:
        """A /sync whose answer is not decoded, so that the benchmark costs little."""
        answer = await self._sync_connection.request("GET", path, token=self._token)
        if answer.status != 200:
            raise RefusedError("GET", path, answer.status, answer.body)
        return answer.body

    async def register(self, name: str, password: str) -> None:
        """Make the account by `m.login.dummy`, and be it from now on."""
        body = {"username": name, "password": password, "auth": {"type": "m.login.dummy"}}
        answer = await self.call("POST", f"{_V3}/register", body)
        self.user_id, self._token = answer["user_id"], answer["access_token"]

    async def create_room(self) -> str:
        """A public room in the server's default version; answers its id."""
        answer = await self.call("POST", f"{_V3}/createRoom", {"preset": "public_chat"})
        return str(answer["room_id"])

    async def join(self, room_id: str) -> None:
        """Join a public room."""
        await self.call("POST", f"{_V3}/join/{quote(room_id, safe='')}", {})

    async def send(self, room_id: str, text: str) -> str:
        """Send a text message; answers the event's id."""
        transaction = f"{self._prefix}.{next(self._transactions)}"
        path = f"{_V3}/rooms/{quote(room_id, safe='')}/send/m.room.message/{transaction}"
        answer = await self.call("PUT", path, {"msgtype": "m.text", "body": text})
        return str(answer["event_id"])

    async def messages(self, room_id: str, since: str | None, limit: int) -> Any:
        """One page of a room's history, backwards."""
        query = {"dir": "b", "limit": limit, **({"from": since} if since else {})}
        return await self.call("GET", f"{_V3}/rooms/{quote(room_id, safe='')}/messages?{urlencode(query)}")

    async def sync(self, since: str | None = None, timeout_ms: int = 0) -> Any:
        """One /sync, decoded."""
        return orjson.loads(await self.fetch_sync(sync_path(since, timeout_ms)))

    def close(self) -> None:
        """End the connections."""
        self._connection.close()
        self._sync_connection.close()


def sync_path(since: str | None = None, timeout_ms: int = 0, filter_json: str | None = None) -> str:
    """The path of a /sync."""
    query: dict[str, str | int] = {"timeout": timeout_ms}
    if since is not None:
        query["since"] = since
    if filter_json is not None:
        query["filter"] = filter_json
    return f"{_V3}/sync?{urlencode(query)}"


def _pattern(path: str) -> str:
    """A path without what differs between two requests of a kind, so that errors can be counted."""
    return "/".join(
        "…" if part.startswith(("!", "%21")) or "." in part else part for part in path.split("?")[0].split("/")
    )


def _error_code(body: bytes) -> str:
    try:
        answer = orjson.loads(body)
        return f"{answer['errcode']} {answer.get('error', '')}"
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return repr(body[:60])
