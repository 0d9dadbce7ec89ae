"""A user of another server with devices, whom this server knows from rooms, or not: on a real PostgreSQL, without
network and without a master. What the tables of rooms have is written here."""

from collections.abc import Callable, Coroutine
from typing import Any

import orjson

from hs_common.replication.calls import Answer, Call
from hs_common.replication.link_interface import DEFAULT_OPTIONS, CallOptions
from hs_common.replication.remote_calls import RemoteDevicesChanged
from hs_common.storage.database import Database
from tests.reactor import reactor, run

US = "here.test"
FAR = "far.test"
BOB = f"@bob:{FAR}"
ROOM = "!room:here.test"
Json = dict[str, Any]
TABLES = (*("outbox", "state", "room_servers", "remote_device_lists", "remote_devices", "remote_cross_signing_keys"),)


def keys_of(user_id: str, device_id: str, generation: int = 0) -> Json:
    """A device's keys; nobody here looks at its signature."""
    return {
        "user_id": user_id,
        "device_id": device_id,
        "algorithms": ["m.megolm.v1.aes-sha2"],
        "keys": {f"ed25519:{device_id}": f"{generation}"},
        "signatures": {user_id: {f"ed25519:{device_id}": "s"}},
    }


class FarUser:
    """The devices as the user's server has them: names by device id, and the number of their last change. `sent` are
    the updates that are on their way."""

    def __init__(self, user_id: str = BOB) -> None:
        self.user_id = user_id
        self.stream_id = 1
        self.devices: dict[str, int] = {"D0": 1}
        self.past: dict[int, dict[str, int]] = {1: dict(self.devices)}
        self.sent: list[Json] = []

    def change(self, device_id: str, is_gone: bool, is_told: bool) -> None:
        """A device comes, changes or goes."""
        before, self.stream_id = self.stream_id, self.stream_id + 1
        content: Json = {"user_id": self.user_id, "device_id": device_id, "stream_id": self.stream_id}
        content["prev_id"] = [before]
        if is_gone:
            self.devices.pop(device_id, None)
            content["deleted"] = True
        else:
            self.devices[device_id] = self.stream_id
            content["keys"] = keys_of(self.user_id, device_id, self.stream_id)
        self.past[self.stream_id] = dict(self.devices)
        if is_told:
            self.sent.append(content)

    def answer(self) -> Json:
        """Of /user/devices."""
        devices = [{"device_id": one, "keys": keys_of(self.user_id, one, at)} for one, at in self.devices.items()]
        return {"user_id": self.user_id, "stream_id": self.stream_id, "devices": devices}


def generations(keys: dict[str, str | None]) -> dict[str, int]:
    """When each device changed last, by its keys (JSON)."""
    found = {}
    for device_id, encoded in keys.items():
        assert encoded is not None
        found[device_id] = int(orjson.loads(encoded)["keys"][f"ed25519:{device_id}"])
    return found


class Master:
    """The master as a link; `told` is of whom it was told that devices changed."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.failures: list[Exception] = []

    async def call(self, call: Call, key: bytes | None = None, options: CallOptions = DEFAULT_OPTIONS) -> Answer:
        if self.failures:
            raise self.failures.pop(0)
        assert isinstance(call, RemoteDevicesChanged)
        self.told += [user.user_id for user in call.users]
        return Answer(pos=1)


class Rooms:
    """Who is in which room, as the log has it."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self.pos = 0

    async def begin(self) -> None:
        """Nothing is here but ourselves in a room."""
        for table in TABLES:
            await self._db.execute(f"DELETE FROM {table}")
        self.pos = 0
        await self.come_or_go(US, True)

    async def step(self) -> int:
        """Something happens; its position."""
        self.pos += 1
        await self._db.execute(
            "INSERT INTO outbox (pos, prev, epoch, batch, format, body)"
            " VALUES (%s, %s, 1, '00000000-0000-4000-8000-000000000001', 1, '')",
            (self.pos, self.pos - 1),
        )
        return self.pos

    async def come_or_go(self, server: str, is_in: bool, room_id: str = ROOM) -> None:
        """A server's first user comes to a room, or its last one goes."""
        pos = await self.step()
        await self._db.execute(
            "UPDATE room_servers SET to_pos = %s WHERE room_id = %s AND server = %s AND to_pos = 9223372036854775807",
            (pos, room_id, server),
        )
        if is_in:
            await self._db.execute(
                "INSERT INTO room_servers (room_id, server, from_pos) VALUES (%s, %s, %s)", (room_id, server, pos)
            )

    async def member(self, user_id: str, membership: str | None, room_id: str = ROOM) -> None:
        """A user's membership; None: there is none any more, as after a resolution."""
        pos = await self.step()
        await self._db.execute(
            "UPDATE state SET to_pos = %s WHERE room_id = %s AND type = 'm.room.member' AND state_key = %s"
            " AND to_pos = 9223372036854775807",
            (pos, room_id, user_id),
        )
        if membership is not None:
            await self._db.execute(
                "INSERT INTO state (room_id, type, state_key, event_id, membership, from_pos)"
                " VALUES (%s, 'm.room.member', %s, %s, %s, %s)",
                (room_id, user_id, f"${pos}", membership, pos),
            )


def play(database_url: str, scenario: Callable[[Database, Rooms], Coroutine[Any, Any, None]]) -> None:
    """Runs a scenario in a database of which nothing is left but that this server is in a room."""

    async def played() -> None:
        db = Database(database_url, reactor, lambda: 0.5, size=8)
        try:
            rooms = Rooms(db)
            await rooms.begin()
            await scenario(db, rooms)
        finally:
            await db.close()

    run(played(), timeout=120)
