"""What a joining or knocking server is told of a room: the state before its event with the auth chain, or what
identifies the room. However large the state is, memory holds its ids and a page of its events.

Spec: server-server API, #put_matrixfederationv2send_joinroomideventid, #put_matrixfederationv1send_knockroomideventid.
"""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, Final

import orjson

from hs_common.federation.fetching import Room
from hs_common.matrix.errors import unknown
from hs_common.matrix.received_pdu import ReceivedPdu
from hs_common.matrix.stripped_state import stripped_state_keys
from hs_common.storage import federated_rooms, room_state
from hs_common.storage.queries import Queries

CHAIN_LIMIT: Final = 200_000
"""Events of an auth chain; the largest known rooms have some ten thousand."""
PAGE_EVENTS: Final = 200
"""Read at a time: some hundred KiB, 12 MiB at worst."""


class RoomAnswers:
    """Reads rooms."""

    def __init__(self, db: Queries, server_name: str) -> None:
        self._db = db
        self._server_name = server_name

    async def told(self, room: Room, event: ReceivedPdu, opening: bytes, closing: bytes) -> "ToldRoom":
        """`state` before an event and `auth_chain` of both, after other members of an object. Raises MatrixError."""
        state = await federated_rooms.state_before(self._db, room.room_id, event.event_id)
        if state is None:
            raise unknown("The state before the event is not known")
        told = ToldRoom(self._db, room, state, event, opening, closing)
        await told.begin()
        return told

    async def servers(self, room_id: str) -> list[str]:
        """The servers in the room."""
        return await room_state.servers(self._db, room_id, CHAIN_LIMIT)

    async def identifying(self, room_id: str, sender: str) -> list[str]:
        """The PDUs (JSON) that tell somebody outside of the room what it is."""
        rows = await room_state.entries(self._db, room_id, stripped_state_keys(sender), room_state.NOW)
        return [json for _, _, _, json in rows]


class ToldRoom:
    """A `ByteSource`. The pages are read as they are sent; the first is read by `begin`, so that what fails there is an
    ordinary error."""

    def __init__(
        self, db: Queries, room: Room, state: list[str], event: ReceivedPdu, opening: bytes, closing: bytes
    ) -> None:
        self._db = db
        self._room = room
        self._state = iter(state)
        self._in_state = True
        self._chain: dict[str, None] = dict.fromkeys(event.event.auth_event_ids)
        self._unread = list(self._chain)
        self._held = memoryview(opening + b',"state":[')
        self._closing = b"]" + closing
        self._is_first = True
        self._is_over = False

    async def begin(self) -> None:
        """Raises DatabaseError."""
        self._held = memoryview(bytes(self._held) + await self._next())

    async def read(self, size: int) -> bytes:
        """The next bytes, at most `size`; empty only at the end."""
        while not self._held and not self._is_over:
            self._held = memoryview(await self._next())
        data, self._held = self._held[:size], self._held[size:]
        return bytes(data)

    def close(self) -> None:
        """No more will be read."""
        self._held, self._is_over = memoryview(b""), True

    async def _next(self) -> bytes:
        """What follows; it may be nothing although more follows."""
        page = list(islice(self._state, PAGE_EVENTS)) if self._in_state else self._of_chain()
        if page:
            return self._spliced(await federated_rooms.pdus(self._db, page))
        if self._in_state:
            self._in_state, self._is_first = False, True
            return b'],"auth_chain":['
        self._is_over = True
        return self._closing

    def _of_chain(self) -> list[str]:
        page, self._unread = self._unread[:PAGE_EVENTS], self._unread[PAGE_EVENTS:]
        return page

    def _spliced(self, pdus: dict[str, str]) -> bytes:
        for cited in _cited(pdus.values(), self._room):
            if cited not in self._chain and len(self._chain) < CHAIN_LIMIT:
                self._chain[cited] = None
                self._unread.append(cited)
        joined = ",".join(pdus.values()).encode()
        if joined and not self._is_first:
            joined = b"," + joined
        self._is_first = self._is_first and not joined
        return joined


def _cited(pdus: Iterable[str], room: Room) -> Iterator[str]:
    for pdu in pdus:
        references: list[Any] = orjson.loads(pdu)["auth_events"]
        yield from references if room.version.event_id_is_hash else (reference[0] for reference in references)
