"""A bridge as the benchmark plays one: its bot, its ghosts, and the service that hears of their rooms."""

import itertools
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

import orjson

from tests.bench.http_client import Address, Answer, Connection
from tests.bench.matrix_client import Client, RefusedError
from tests.bench.service import Registration, Service
from tests.bench.together import each, persistently

_V3 = "/_matrix/client/v3"


class Ghost(Client):
    """A user of the service, who acts by the service's token on a connection that others may use at other times."""

    def __init__(self, address: Address, registration: Registration, user_id: str, connection: Connection) -> None:
        super().__init__(address, user_id, registration.as_token, connection)
        self._registration = registration

    async def call(self, method: str, path: str, body: Any = None) -> Any:
        """As this ghost."""
        return await super().call(method, self._signed(path), body)

    async def attempt(self, method: str, path: str, body: Any) -> Answer:
        """As this ghost, whatever the status."""
        return await super().attempt(method, self._signed(path), body)

    def on(self, connection: Connection) -> "Ghost":
        """The same on another connection."""
        return Ghost(self._address, self._registration, self.user_id, connection)

    def _signed(self, path: str) -> str:
        sign = "&" if "?" in path else "?"
        return f"{path}{sign}user_id={quote(self.user_id, safe='')}"


class Bridge:
    """One server's. `service` listens already; `registration` is known to the server."""

    def __init__(self, address: Address, registration: Registration, service: Service) -> None:
        self.address = address
        self.service = service
        self._registration = registration
        self._numbers = itertools.count()
        self._server_name = ""

    def connection(self) -> Connection:
        """A new one, to a worker that is not for syncs."""
        doors = self.address.doors
        return Connection(doors.next_pair()[1] if doors else self.address)

    async def register(self, connection: Connection) -> str:
        """One ghost more; answers its user id."""
        name = f"{self._registration.prefix}{next(self._numbers)}"
        body = {"type": "m.login.application_service", "username": name, "inhibit_login": True}
        answer = await self._ask(connection, "POST", f"{_V3}/register", body)
        return str(answer["user_id"])

    def ghost(self, user_id: str, connection: Connection) -> Ghost:
        """One that is registered."""
        return Ghost(self.address, self._registration, user_id, connection)

    async def ghosts(self, count: int) -> list[Ghost]:
        """Fresh ghosts, members of nothing, all on one connection: give them others to use them at once."""
        found: list[Ghost] = []
        shared = self.connection()

        async def make(number: int) -> None:
            connection = self.connection()
            found.append(Ghost(self.address, self._registration, await self.register(connection), shared))
            connection.close()

        await each(range(count), make)
        return found

    async def bot(self) -> Ghost:
        """The service's own user."""
        connection = self.connection()
        answer = await self._ask(connection, "GET", f"{_V3}/account/whoami")
        return Ghost(self.address, self._registration, answer["user_id"], connection)

    async def room(self, members: Sequence[Ghost]) -> str:
        """A room of the bot's with these ghosts in it."""
        room_id = await (await self.bot()).create_room()

        async def join(ghost: Ghost) -> None:
            connection = self.connection()
            await ghost.on(connection).join(room_id)
            connection.close()

        await each(members, join)
        return room_id

    async def ping(self) -> None:
        """Says that the service is there again."""
        first = self.address.doors.first if self.address.doors else None
        connection = Connection(first) if first else self.connection()
        path = f"/_matrix/client/v1/appservice/{quote(self._registration.id, safe='')}/ping"
        await persistently(lambda: self._ask(connection, "POST", path, {}))
        connection.close()

    async def _ask(self, connection: Connection, method: str, path: str, body: Any = None) -> Any:
        encoded = None if body is None else orjson.dumps(body)
        answer = await connection.request(method, path, token=self._registration.as_token, body=encoded)
        if answer.status != 200:
            raise RefusedError(method, path, answer.status, answer.body)
        return orjson.loads(answer.body)
