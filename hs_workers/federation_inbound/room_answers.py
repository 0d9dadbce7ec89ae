"""What a joining or knocking server is told of a room: the state before its event with the auth chain, or what
identifies the room.

Spec: server-server API, #put_matrixfederationv2send_joinroomideventid, #put_matrixfederationv1send_knockroomideventid.
"""

from collections.abc import Iterable
from typing import Any, Final

import orjson

from hs_common.federation.fetching import Room
from hs_common.matrix.errors import unknown
from hs_common.matrix.stripped_state import stripped_state_keys
from hs_common.storage import federated_rooms, room_state
from hs_common.storage.queries import Queries

CHAIN_LIMIT: Final = 200_000
"""Events of an auth chain; the largest known rooms have some ten thousand."""


class RoomAnswers:
    """Reads rooms."""

    def __init__(self, db: Queries, server_name: str) -> None:
        self._db = db
        self._server_name = server_name

    async def state_and_chain(self, room: Room, event_id: str) -> tuple[list[str], list[str]]:
        """The PDUs (JSON) of the state before an event, and of the auth chain of both."""
        state = await federated_rooms.state_before(self._db, room.room_id, event_id)
        if state is None:
            raise unknown("The state before the event is not known")
        event = await federated_rooms.pdus(self._db, [event_id])
        chain: dict[str, str] = {}
        wanted = set(_cited([*state.values(), *event.values()], room))
        while wanted and len(chain) < CHAIN_LIMIT:
            # What is in the state is here already; its auth events are wanted all the same.
            found = {one: state[one] for one in wanted if one in state}
            found.update(await federated_rooms.pdus(self._db, [one for one in wanted if one not in state]))
            chain.update(found)
            wanted = set(_cited(found.values(), room)).difference(chain)
        return list(state.values()), list(chain.values())

    async def servers(self, room_id: str) -> list[str]:
        """The servers in the room."""
        return await room_state.servers(self._db, room_id, CHAIN_LIMIT)

    async def identifying(self, room_id: str, sender: str) -> list[str]:
        """The PDUs (JSON) that tell somebody outside of the room what it is."""
        rows = await room_state.entries(self._db, room_id, stripped_state_keys(sender), room_state.NOW)
        return [json for _, _, _, json in rows]


def _cited(pdus: Iterable[str], room: Room) -> Iterable[str]:
    for pdu in pdus:
        references: list[Any] = orjson.loads(pdu)["auth_events"]
        yield from references if room.version.event_id_is_hash else (reference[0] for reference in references)
