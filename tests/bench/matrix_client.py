"""The requests of the client-server API that the benchmark makes, as a user with connections of its own."""

import itertools
import secrets
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

import orjson

from tests.bench.http_client import Address, Answer, Connection

_V3 = "/_matrix/client/v3"
_MEDIA = "/_matrix/client/v1/media"


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
        self.device_id = ""  # known to who registered
        self.timeout_s: float | None = None  # of a request, where it is another than usual
        self._address = address
        self._token = token
        # Who is given a connection takes no turn at the doors: else all turns would fall to every other worker.
        doors = address.doors if connection is None else None
        for_syncs, for_the_rest = doors.next_pair() if doors else (address, address)
        self._connection = connection or Connection(for_the_rest)
        self._sync_connection = self._connection if for_syncs is for_the_rest else Connection(for_syncs)
        self._media_connection = Connection(doors.next_for_media()) if doors else self._connection
        self._transactions = itertools.count()
        # Transaction ids are per device, and a user may have several clients, one after the other too.
        self._prefix = secrets.token_hex(6)

    @property
    def token(self) -> str:
        """By which it is known to the server."""
        return self._token

    def another(self) -> "Client":
        """The same user and device on a connection of its own."""
        return self._as(Client(self._address, self.user_id, self._token))

    def through(self, connection: Connection) -> "Client":
        """The same user and device on a connection that others use too, at other times."""
        return self._as(Client(self._address, self.user_id, self._token, connection))

    def _as(self, client: "Client") -> "Client":
        client.device_id = self.device_id
        return client

    async def call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """The decoded answer. Raises RefusedError, or what the connection raises."""
        encoded = None if body is None else orjson.dumps(body)
        return orjson.loads(await self._fetch(self._connection, method, path, encoded))

    async def attempt(self, method: str, path: str, body: Mapping[str, Any]) -> Answer:
        """The answer, whatever its status. Raises what the connection raises."""
        return await self._connection.request(method, path, token=self._token, body=orjson.dumps(body))

    async def fetch_sync(self, path: str) -> bytes:
        """A /sync whose answer is not decoded, so that the benchmark costs little."""
        return await self._fetch(self._sync_connection, "GET", path)

    async def fetch_sliding_sync(self, body: Mapping[str, Any]) -> bytes:
        """A sliding sync by the path that released clients use, not decoded either."""
        path = "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync?timeout=0"
        return await self._fetch(self._sync_connection, "POST", path, orjson.dumps(body))

    async def _fetch(
        self,
        connection: Connection,
        method: str,
        path: str,
        body: bytes | None = None,
        content_type: str = "application/json",
    ) -> bytes:
        answer = await connection.request(
            method, path, token=self._token, body=body, content_type=content_type, timeout_s=self.timeout_s
        )
        if answer.status != 200:
            raise RefusedError(method, path, answer.status, answer.body)
        return answer.body

    async def register(self, name: str, password: str) -> None:
        """Make the account by `m.login.dummy`, and be it from now on."""
        body = {"username": name, "password": password, "auth": {"type": "m.login.dummy"}}
        answer = await self.call("POST", f"{_V3}/register", body)
        self.user_id, self._token = answer["user_id"], answer["access_token"]
        self.device_id = answer["device_id"]

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

    async def send_to_devices(self, event_type: str, messages: Mapping[str, Any]) -> None:
        """Send to-device messages: by user and device."""
        transaction = f"{self._prefix}.{next(self._transactions)}"
        await self.call("PUT", f"{_V3}/sendToDevice/{event_type}/{transaction}", {"messages": messages})

    async def upload(self, content_type: str, data: bytes) -> str:
        """Upload a file; answers its server's name and media id, as paths have them."""
        answer = await self._fetch(self._media_connection, "POST", "/_matrix/media/v3/upload", data, content_type)
        return str(orjson.loads(answer)["content_uri"]).removeprefix("mxc://")

    async def download(self, name: str) -> bytes:
        """A file."""
        return await self._fetch(self._media_connection, "GET", f"{_MEDIA}/download/{name}")

    async def thumbnail(self, name: str, width: int, height: int, method: str) -> bytes:
        """A smaller picture of a picture."""
        query = urlencode({"width": width, "height": height, "method": method})
        return await self._fetch(self._media_connection, "GET", f"{_MEDIA}/thumbnail/{name}?{query}")

    @property
    def first_byte_moment(self) -> float:
        """When the answer to the last request for a file began."""
        return self._media_connection.first_byte_moment

    def close(self) -> None:
        """End the connections."""
        for connection in (self._connection, self._sync_connection, self._media_connection):
            connection.close()


def sync_path(
    since: str | None = None, timeout_ms: int = 0, filter_json: str | None = None, set_presence: str | None = None
) -> str:
    """The path of a /sync."""
    query: dict[str, str | int] = {"timeout": timeout_ms}
    if set_presence is not None:
        query["set_presence"] = set_presence
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
