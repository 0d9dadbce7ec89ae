"""The tables of a server that federates: the master's, more of them than elsewhere here, and those that workers write.

What a worker writes is there at once. What a constraint of the schema would refuse raises `Broken`.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import orjson

from hs_common.matrix.server_acl import ServerAcl
from hs_common.storage.room_forks import ACCEPTED, OUT_OF_BAND, WITHOUT_STATE
from hs_master.intervals import ALWAYS
from hs_master.log_store.types import Cell, Write
from tests.simulation.tables import Broken, Row, Tables, TimelineRow

SERVER_ACL_KEY: Final = ("m.room.server_acl", "")


@dataclass(slots=True)
class Span:
    """A row that holds from one position to another."""

    values: tuple[Any, ...]
    from_pos: int
    to_pos: int

    @property
    def is_open(self) -> bool:
        return self.to_pos == ALWAYS


Spans = dict[str, dict[str, list[Span]]]
ReceiptKey = tuple[str, str, str, str]  # room, user, type, thread


class ReceiptRow(NamedTuple):
    """A row of `receipts`."""

    event_id: str
    place: tuple[int, int]
    ts: int
    pos: int


class GapRow(NamedTuple):
    """A row of `room_gap`."""

    next_sub: int
    wanted: list[str]
    in_vain: int
    again_ms: int


class FederationTables(Tables):
    """The master's tables."""

    def __init__(self) -> None:
        super().__init__()
        self.status: dict[str, int] = {}
        self.replaces: dict[str, Any] = {}
        self.aside: dict[str, tuple[str, int, int | None]] = {}  # event → (room, state_pos, delta_id)
        self.deltas: dict[int, list[tuple[str, str, str | None]]] = defaultdict(list)
        self.forks: dict[str, tuple[list[str], int]] = {}
        self.partial: set[str] = set()  # of `aside`, those of which only a part of the state is known
        self.absent: dict[str, str] = {}  # by event of `aside`
        self.gaps: dict[tuple[str, int], GapRow] = {}
        self.history: dict[str, list[TimelineRow]] = defaultdict(list)  # by room, beside `timeline`
        self.held: dict[tuple[str, str], Row] = {}  # by target and redaction
        self.late: set[str] = set()  # redactions that waited for what they redact, and are shown
        self.too_early: list[str] = []  # those that were shown before it
        self.jobs: dict[int, bytes] = {}  # those of showing them
        self.outgoing: list[tuple[str, int, str, str | None]] = []  # (room, pos, event, target)
        self.outgoing_edus: dict[str, list[tuple[int, str]]] = defaultdict(list)  # by destination, until received
        self.edus_ever: list[tuple[str, str]] = []  # (destination, EDU), in the order of the log
        self.edu_positions: dict[tuple[str, str], int] = {}  # by destination and message
        self.inboxes: list[tuple[str, str]] = []  # (user, message), in the order of the log
        self.receipts: dict[ReceiptKey, ReceiptRow] = {}
        self.receipts_ever: dict[ReceiptKey, dict[int, str]] = defaultdict(dict)  # by time: the event
        self.servers: Spans = defaultdict(dict)  # by room and server
        self.memberships: Spans = defaultdict(dict)  # by room and user: (membership, event, sender, stripped, outside)
        self._folds |= {
            "event_received": self._event_received,
            "event_stored": self._event_stored,
            "event_state": self._event_state,
            "state_delta": self._state_delta,
            "outgoing_event": self._outgoing_event,
            "outgoing_edu": self._outgoing_edu,
            "inbox": lambda row: self.inboxes.append((str(row[0]), str(row[3]))),
            "receipt": self._receipt,
            "gap": self._gap,
            "timeline": self._place,
            "fork": self._fork,
            "held_redaction": self._held_redaction,
            "held_redaction_end": self._held_redaction_end,
            "reveal": self._reveal,
            "job": self._job,
            "job_delete": self._job_delete,
            "server_close": lambda row: _close(self.servers, row),
            "server_begin": lambda row: _begin(self.servers, str(row[0]), str(row[1]), row[2:]),
            "membership_close": lambda row: _close(self.memberships, (row[1], row[0], row[2])),
            "membership_begin": lambda row: _begin(self.memberships, str(row[1]), str(row[0]), row[2:]),
        }

    def write(self, rows: Mapping[Write, Sequence[Sequence[Cell]]]) -> None:
        super().write(rows)
        for write, written in rows.items():
            if write.name == "timeline":
                self.too_early += (str(row[3]) for row in written if self._is_too_early(tuple(row)))

    def _is_too_early(self, row: Row) -> bool:
        """Whether a redaction has got its place before what it redacts is here, if only kept aside: that
        was received, and nobody was shown it."""
        target = self.target_of(str(row[3])) if row[5] == "m.room.redaction" else None
        return target is not None and not self.has(target)

    def target_of(self, redaction_id: str) -> str | None:
        """What a redaction redacts, unless it was redacted itself."""
        pdu = orjson.loads(self.events[redaction_id][1])
        target = pdu.get("redacts") or pdu["content"].get("redacts")
        return None if target is None else str(target)

    def waits(self, redaction_id: str) -> bool:
        return any(redaction == redaction_id for _, redaction in self.held)

    def is_shown(self, event_id: str) -> bool:
        """Whether clients may see the event: in its place, or as state."""
        return event_id in self.places or self.status.get(event_id) == WITHOUT_STATE

    def state_before(self, event_id: str) -> dict[tuple[str, str], str] | None:
        """The state before an event, as the rows tell it."""
        place = self.places.get(event_id)
        if event_id in self.partial or (place is not None and place.row[2] != 0):
            return None  # of history only a part of the state is known
        if place is not None:
            room_id, state_pos, delta_id = str(place.row[0]), place.state_pos, place.row[11]
        elif event_id in self.aside:
            room_id, state_pos, delta_id = self.aside[event_id]
        else:
            return None
        state = self.state_at(room_id, state_pos)
        for event_type, state_key, entry in self.deltas[delta_id] if isinstance(delta_id, int) else ():
            if entry is None:
                state.pop((event_type, state_key), None)
            else:
                state[event_type, state_key] = entry
        return state

    def has(self, event_id: str) -> bool:
        """Whether the event is here, to its room."""
        return self.status.get(event_id, OUT_OF_BAND) != OUT_OF_BAND

    def extremities(self, room_id: str) -> list[str]:
        if room_id in self.forks:
            return self.forks[room_id][0]
        newest = self.newest(room_id)
        return [] if newest is None else [newest]

    def newest(self, room_id: str) -> str | None:
        """The newest event of a timeline, but for redactions that waited."""
        places = reversed(self.timeline.get(room_id, []))
        return next((place.event_id for place in places if place.event_id not in self.late), None)

    def servers_now(self, room_id: str) -> list[str]:
        return [server for server, spans in self.servers.get(room_id, {}).items() if spans[-1].is_open]

    def denies(self, server: str, room_id: str) -> bool:
        """Whether the room's access control list keeps a server out."""
        row = self.current(room_id, *SERVER_ACL_KEY)
        if row is None:
            return False
        return not ServerAcl(orjson.loads(self.events[row.event_id][1])["content"]).allows(server)

    def membership_now(self, room_id: str, user_id: str) -> Span | None:
        spans = self.memberships.get(room_id, {}).get(user_id)
        return spans[-1] if spans and spans[-1].is_open else None

    # --- the writes ---

    def _place(self, row: Row) -> None:
        """What is found later has a place of its own, so that the newest event stays the last of the timeline."""
        self._timeline(row)
        if row[2] != 0:
            self.history[str(row[0])].append(self.timeline[str(row[0])].pop())

    def _event(self, row: Row) -> None:
        super()._event(row)
        self._note(row)

    def _event_received(self, row: Row) -> None:
        if self.status.get(str(row[0]), WITHOUT_STATE) in (WITHOUT_STATE, OUT_OF_BAND):
            self.events[str(row[0])] = [row[1], row[6], row[5]]
            self._note(row)

    def _event_stored(self, row: Row) -> None:
        if self.status.get(str(row[0]), OUT_OF_BAND) == OUT_OF_BAND:
            self._event_received(row)

    def _note(self, row: Row) -> None:
        self.status[str(row[0])] = int(row[3])  # type: ignore[arg-type]
        self.replaces[str(row[0])] = row[4]

    def _event_state(self, row: Row) -> None:
        event_id, room_id, state_pos, delta_id, absent, is_partial = row
        if is_partial:
            self.partial.add(str(event_id))
        self.absent.setdefault(str(event_id), str(absent))
        self.aside.setdefault(str(event_id), (str(room_id), int(state_pos), delta_id))  # type: ignore[arg-type]

    def _state_delta(self, row: Row) -> None:
        delta_id, event_type, state_key, event_id = row
        entries = self.deltas[int(delta_id)]  # type: ignore[arg-type]
        if any(entry[:2] == (event_type, state_key) for entry in entries):
            raise Broken(f"the delta {delta_id!r} has {event_type!r} {state_key!r} twice")
        entries.append((str(event_type), str(state_key), None if event_id is None else str(event_id)))

    def _outgoing_event(self, row: Row) -> None:
        room_id, pos, event_id, target = row
        self.outgoing.append((str(room_id), int(pos), str(event_id), target))  # type: ignore[arg-type]

    def _outgoing_edu(self, row: Row) -> None:
        destination, pos, edu = row
        self.outgoing_edus[str(destination)].append((int(pos), str(edu)))  # type: ignore[arg-type]
        self.edus_ever.append((str(destination), str(edu)))
        self.edu_positions[str(destination), orjson.loads(str(edu))["content"]["message_id"]] = int(pos)  # type: ignore[arg-type]

    def _receipt(self, row: Row) -> None:
        event_id, order_pos, order_sub, ts, pos = row[4:]
        key = (str(row[0]), str(row[1]), str(row[2]), str(row[3]))
        place = (int(order_pos), int(order_sub))  # type: ignore[arg-type]
        self.receipts[key] = ReceiptRow(str(event_id), place, int(ts), int(pos))  # type: ignore[arg-type]
        self.receipts_ever[key][int(ts)] = str(event_id)  # type: ignore[arg-type]

    def _gap(self, row: Row) -> None:
        room_id, before_pos, next_sub, wanted, in_vain, again_ms = row
        place = (str(room_id), int(before_pos))  # type: ignore[arg-type]
        if wanted:
            self.gaps[place] = GapRow(int(next_sub), str(wanted).split(), int(in_vain), int(again_ms))  # type: ignore[arg-type]
        else:
            self.gaps.pop(place, None)

    def _held_redaction(self, row: Row) -> None:
        self.held.setdefault((str(row[0]), str(row[1])), row)

    def _held_redaction_end(self, row: Row) -> None:
        self.held.pop((str(row[0]), str(row[1])), None)

    def _reveal(self, row: Row) -> None:
        self.status[str(row[0])] = ACCEPTED
        self.late.add(str(row[0]))

    def _job_delete(self, row: Row) -> None:
        self.jobs.pop(int(row[0]), None)  # type: ignore[arg-type]

    def _job(self, row: Row) -> None:
        if row[1] == "reveal":
            self.jobs[int(row[0])] = bytes(row[3])  # type: ignore[arg-type]

    def _fork(self, row: Row) -> None:
        room_id, event_ids, depth = row
        if event_ids:
            self.forks[str(room_id)] = (str(event_ids).split(), int(depth))  # type: ignore[arg-type]
        else:
            self.forks.pop(str(room_id), None)


def _close(table: Spans, row: Row) -> None:
    first, second, to_pos = row
    spans = table[str(first)].get(str(second))
    if spans and spans[-1].is_open:
        spans[-1].to_pos = int(to_pos)  # type: ignore[arg-type]


def _begin(table: Spans, first: str, second: str, row: Row) -> None:
    *values, from_pos, to_pos = row
    spans = table[first].setdefault(second, [])
    if spans and spans[-1].is_open:
        raise Broken(f"two rows of {first} and {second} are open")
    spans.append(Span(tuple(values), int(from_pos), int(to_pos)))  # type: ignore[arg-type]


@dataclass(slots=True)
class StagedRow:
    """A row of `inbound_pdu`."""

    seq: int
    room_id: str
    event_id: str
    shard: int
    origin: str
    json: str
    attempts: int = 0
    retry_at: float = float("-inf")


@dataclass(slots=True)
class WaitingRow:
    """A row of `inbound_receipt`."""

    event_id: str
    ts: int
    origin: str
    retry_at: float
    attempts: int = 0


@dataclass(slots=True)
class DestinationRow:
    """A row of `destinations`. `under`: the columns of what is under way."""

    term: int
    events_to: int
    devices_to: int
    receipts_to: int
    is_behind: bool = True
    failures: int = 0
    retry_at_ms: int = 0
    under: tuple[Any, ...] = (None,) * 6


@dataclass(slots=True)
class ShareRow:
    """A row of `shares`."""

    holder: str | None = None
    term: int = 0
    beat: int = 0


@dataclass
class WorkerTables:
    """What workers write."""

    users: set[str] = field(default_factory=set)
    staged: dict[tuple[str, str], StagedRow] = field(default_factory=dict)
    sequence: int = 0
    waiting: dict[tuple[str, str, str], WaitingRow] = field(default_factory=dict)  # by room, user and thread
    joining: dict[str, tuple[str, str, float]] = field(default_factory=dict)  # room → (version, attempt, until)
    destinations: dict[str, DestinationRow] = field(default_factory=dict)
    clean_to: dict[int, tuple[int, int]] = field(default_factory=dict)  # shard → (position, term)
    shares: dict[str, dict[int, ShareRow]] = field(default_factory=dict)
