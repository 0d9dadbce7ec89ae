"""The master's tables as its writes leave them: what PostgreSQL would hold, folded from the rows of each batch.

Only what the simulated calls read back, and what the checkers compare. Versioned rows stay, so that any position can be
looked at afterwards. What a constraint of the schema would refuse raises `Broken`.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from hs_master.intervals import ALWAYS
from hs_master.log_store.types import Cell, Write

Row = tuple[Cell, ...]


class Broken(Exception):
    """A row that the schema of the database forbids."""


class StateRow:
    """What stood at a place of a room's state from one position to another."""

    __slots__ = ("event_id", "from_pos", "membership", "to_pos")

    def __init__(self, event_id: str, membership: str | None, from_pos: int, to_pos: int) -> None:
        self.event_id = event_id
        self.membership = membership
        self.from_pos = from_pos
        self.to_pos = to_pos


class TimelineRow:
    """An event's place in its room."""

    __slots__ = ("event_id", "order_pos", "row", "state_pos", "thread_root")

    def __init__(self, row: Row) -> None:
        self.row = row
        self.order_pos: Any = row[1]
        self.event_id: Any = row[3]
        self.thread_root: Any = row[8]
        self.state_pos: Any = row[10]


class Tables:
    """The rows at the head."""

    def __init__(self) -> None:
        self.rooms: dict[str, str] = {}  # version
        self.events: dict[str, list[Any]] = {}  # [room id, json, redacted by]
        self.timeline: dict[str, list[TimelineRow]] = defaultdict(list)
        self.places: dict[str, TimelineRow] = {}
        self.state: dict[str, dict[tuple[str, str], list[StateRow]]] = defaultdict(dict)
        self.relations: dict[str, tuple[str, str, str, str]] = {}  # by event: (parent, sender, type, key)
        self.account_data: dict[tuple[str, str, str], list[tuple[int, str]]] = defaultdict(list)  # all versions
        self._folds: dict[str, Callable[[Row], None]] = {
            "room": self._room,
            "event": self._event,
            "timeline": self._timeline,
            "state_close": self._state_close,
            "state_begin": self._state_begin,
            "relation": self._relation,
            "redact": self._redact,
            "redact_relation": self._redact_relation,
            "account_data": self._account_data,
        }

    def write(self, rows: Mapping[Write, Sequence[Sequence[Cell]]]) -> None:
        """One batch."""
        for write, written in rows.items():
            fold = self._folds.get(write.name)
            if fold is not None:
                for row in written:
                    fold(tuple(row))

    # --- what is looked at ---

    def state_at(self, room_id: str, pos: int) -> dict[tuple[str, str], str]:
        """The resolved state as of a position: place → event id."""
        return {
            key: row.event_id
            for key, rows in self.state.get(room_id, {}).items()
            for row in rows
            if row.from_pos <= pos < row.to_pos
        }

    def current(self, room_id: str, event_type: str, state_key: str) -> StateRow | None:
        rows = self.state.get(room_id, {}).get((event_type, state_key))
        return rows[-1] if rows and rows[-1].to_pos == ALWAYS else None

    def current_rows(self, room_id: str) -> Iterator[tuple[tuple[str, str], StateRow]]:
        for key, rows in self.state.get(room_id, {}).items():
            if rows[-1].to_pos == ALWAYS:
                yield key, rows[-1]

    # --- the writes ---

    def _room(self, row: Row) -> None:
        room_id, version = str(row[0]), str(row[1])
        if room_id in self.rooms:
            raise Broken(f"the room {room_id} is there already")
        self.rooms[room_id] = version

    def _event(self, row: Row) -> None:
        event_id = str(row[0])
        if event_id in self.events:
            raise Broken(f"the event {event_id} is there already")
        self.events[event_id] = [row[1], row[6], row[5]]

    def _timeline(self, row: Row) -> None:
        place = TimelineRow(row)
        if place.event_id in self.places:
            raise Broken(f"the event {place.event_id} is in a timeline already")
        self.timeline[str(row[0])].append(place)
        self.places[place.event_id] = place

    def _state_close(self, row: Row) -> None:
        room_id, event_type, state_key, to_pos = row
        rows = self.state[str(room_id)].get((str(event_type), str(state_key)))
        if rows and rows[-1].to_pos == ALWAYS:
            rows[-1].to_pos = int(to_pos)  # type: ignore[arg-type]

    def _state_begin(self, row: Row) -> None:
        room_id, event_type, state_key, event_id, membership, from_pos, to_pos = row
        rows = self.state[str(room_id)].setdefault((str(event_type), str(state_key)), [])
        if rows and rows[-1].to_pos == ALWAYS:
            raise Broken(f"two rows of the state of {room_id!r} are open for {event_type!r} {state_key!r}")
        rows.append(StateRow(str(event_id), membership, int(from_pos), int(to_pos)))  # type: ignore[arg-type]

    def _relation(self, row: Row) -> None:
        event_id, _, parent_id, _, sender, event_type, key = row[:7]
        self.relations[str(event_id)] = (str(parent_id), str(sender), str(event_type), str(key))

    def _redact(self, row: Row) -> None:
        event_id, json, redacted_by = row
        if event_id not in self.events:
            raise Broken(f"{redacted_by!r} redacts {event_id!r}, which is not there")
        self.events[str(event_id)][1:] = [json, redacted_by]

    def _redact_relation(self, row: Row) -> None:
        self.relations.pop(str(row[0]), None)

    def _account_data(self, row: Row) -> None:
        user_id, room_id, data_type, content, pos = row
        self.account_data[str(user_id), str(room_id), str(data_type)].append((int(pos), str(content)))  # type: ignore[arg-type]
