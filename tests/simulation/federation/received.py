"""What one server answered that it has received: whatever dies then, it keeps that, and takes it in.

It must take in what is of a room that it was in then and is in still, together with who sent it: one that counts it out
tells it nothing of what is missing.
"""

from typing import Final, NamedTuple

import orjson

from hs_common.matrix import hashes
from hs_common.matrix.room_versions import ROOM_VERSIONS
from hs_common.storage.room_forks import WITHOUT_STATE
from tests.simulation.federation.tables import FederationTables, Span
from tests.simulation.federation.wire import Question, SimulatedAnswer

SEND: Final = "/_matrix/federation/v1/send/"
KNOWN_AFTER_S: Final = 30.0
"""A worker keeps what it knows of a room for a second, and may have lost the way to its log for some."""


class Arrival(NamedTuple):
    """How the server stood in the rooms of a transaction when this came: since when it is in them; and of which it has
    long known that they keep its origin out."""

    stays: dict[str, Span]
    denied: set[str]


class ReceivedEvents:
    """By one server; `name` is its own."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._stays: dict[tuple[str, str, str], Span] = {}  # by room, event and who sent it
        self._denied: dict[tuple[str, str], float] = {}  # (room, origin) that is kept out, seen since when
        self._first_came: dict[tuple[str, str], Arrival] = {}  # by origin and transaction
        self.let_in: list[str] = []  # what came of servers that are kept out of its room

    def asked(self, question: Question, tables: FederationTables, now: float) -> Arrival:
        """A question has come."""
        if not question.uri.startswith(SEND):
            return Arrival({}, set())
        rooms = {pdu["room_id"] for pdu in orjson.loads(question.body or b"")["pdus"]}
        spans = {room_id: tables.servers.get(room_id, {}).get(self._name, []) for room_id in rooms}
        stays = {room_id: found[-1] for room_id, found in spans.items() if found and found[-1].is_open}
        denied = {room_id for room_id in rooms if tables.denies(question.origin, room_id)}
        for room_id in rooms - denied:
            self._denied.pop((room_id, question.origin), None)
        known = {one for one in denied if now - self._denied.setdefault((one, question.origin), now) > KNOWN_AFTER_S}
        # A transaction that comes again is answered as it was, whatever has become of the room meanwhile.
        first = self._first_came.setdefault((question.origin, question.uri), Arrival(stays, known))
        return Arrival(first.stays, known & first.denied)

    def note(self, question: Question, answer: SimulatedAnswer, tables: FederationTables, arrival: Arrival) -> None:
        """A question was answered. `arrival`: what `asked` said. What came while the server was only about to join is
        history if it has joined anew meanwhile."""
        if not question.uri.startswith(SEND) or answer.status != 200:
            return
        results = orjson.loads(answer.body)["pdus"]
        for pdu in orjson.loads(question.body or b"")["pdus"]:
            room_id = pdu["room_id"]
            stay = arrival.stays.get(room_id)
            if stay is not None and stay.is_open:
                event_id = hashes.event_id(pdu, ROOM_VERSIONS[tables.rooms[room_id]])
                if results.get(event_id) == {}:
                    if room_id in arrival.denied and tables.denies(question.origin, room_id):
                        self.let_in.append(f"{event_id} of {question.origin}, which is kept out of {room_id}")
                    self._stays[room_id, event_id, question.origin] = stay

    def lost(self, tables: FederationTables) -> list[tuple[str, str, str]]:
        """What has not been taken in: (room, event, who sent it)."""
        waited = [place for place, stay in self._stays.items() if stay.is_open]
        return [place for place in waited if tables.status.get(place[1], WITHOUT_STATE) >= WITHOUT_STATE]
