"""What one server answered that it has received: whatever dies then, it keeps that, and takes it in.

It must take in what is of a room that it was in then and is in still, together with who sent it: one that counts it out
tells it nothing of what is missing.
"""

from typing import Final

import orjson

from hs_common.matrix import hashes
from hs_common.matrix.room_versions import ROOM_VERSIONS
from hs_common.storage.room_forks import WITHOUT_STATE
from tests.simulation.federation.tables import FederationTables, Span
from tests.simulation.federation.wire import Question, SimulatedAnswer

SEND: Final = "/_matrix/federation/v1/send/"


class ReceivedEvents:
    """By one server; `name` is its own."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._stays: dict[tuple[str, str, str], Span] = {}  # by room, event and who sent it

    def note(self, question: Question, answer: SimulatedAnswer, tables: FederationTables) -> None:
        """A question was answered."""
        if not question.uri.startswith(SEND) or answer.status != 200:
            return
        results = orjson.loads(answer.body)["pdus"]
        for pdu in orjson.loads(question.body or b"")["pdus"]:
            room_id = pdu["room_id"]
            stays = tables.servers.get(room_id, {}).get(self._name)
            if stays and stays[-1].is_open:
                event_id = hashes.event_id(pdu, ROOM_VERSIONS[tables.rooms[room_id]])
                if results.get(event_id) == {}:
                    self._stays[room_id, event_id, question.origin] = stays[-1]

    def lost(self, tables: FederationTables) -> list[tuple[str, str, str]]:
        """What has not been taken in: (room, event, who sent it)."""
        waited = [place for place, stay in self._stays.items() if stay.is_open]
        return [place for place in waited if tables.status.get(place[1], WITHOUT_STATE) >= WITHOUT_STATE]
