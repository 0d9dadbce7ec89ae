"""Which receipts one server answered that it has received, and which of them it can have taken in."""

from typing import NamedTuple

import orjson

from hs_common.matrix.receipts_edu import Receipt, parse_receipt_edu
from tests.simulation.federation.received import SEND
from tests.simulation.federation.tables import FederationTables, ReceiptKey
from tests.simulation.federation.wire import Question, SimulatedAnswer


class Came(NamedTuple):
    """A receipt that came when its user was in the room, and his server not kept out of it."""

    ts: int
    event_id: str
    at: float


class ReceivedReceipts:
    """By one server; `name` is its own."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._came: dict[tuple[str, str], tuple[float, dict[tuple[str, str], str]]] = {}  # by origin and transaction
        self.told: set[tuple[ReceiptKey, int]] = set()  # (which, its time)
        self.came: dict[ReceiptKey, list[Came]] = {}

    def asked(self, question: Question, tables: FederationTables, now: float) -> None:
        """A question has come. One that comes again may be answered as it was, whatever has happened meanwhile."""
        place = (question.origin, question.uri)
        if question.uri.startswith(SEND) and place not in self._came:
            members = {(one.room_id, one.user_id) for one in _receipts(question)}
            self._came[place] = now, {one: row for one in members if (row := self._joined(one, question, tables))}

    def note(self, question: Question, answer: SimulatedAnswer, tables: FederationTables) -> None:
        """A question was answered."""
        if not question.uri.startswith(SEND) or answer.status != 200:
            return
        at, before = self._came[question.origin, question.uri]
        for one in _receipts(question):
            key = (one.room_id, one.user_id, one.receipt_type, one.thread_id or "")
            self.told.add((key, one.ts))
            row = self._joined((one.room_id, one.user_id), question, tables)
            if row is not None and before.get((one.room_id, one.user_id)) == row:
                self.came.setdefault(key, []).append(Came(one.ts, one.event_id, at))

    def _joined(self, member: tuple[str, str], question: Question, tables: FederationTables) -> str | None:
        """The event by which a user is in a room that this server is in too, and his may take part in."""
        room_id, user_id = member
        row = tables.current(room_id, "m.room.member", user_id)
        is_here = self._name in tables.servers_now(room_id) and not tables.denies(question.origin, room_id)
        return row.event_id if is_here and row is not None and row.membership == "join" else None


def _receipts(question: Question) -> list[Receipt]:
    edus = orjson.loads(question.body or b"")["edus"]
    contents = [edu["content"] for edu in edus if edu["edu_type"] == "m.receipt"]
    return [one for content in contents for one in parse_receipt_edu(content, question.origin)]
