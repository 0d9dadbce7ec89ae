"""Events and rooms on paper, for tests of the pure core: event ids are names, and nothing is hashed or signed."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hs_common.matrix.auth_rules import CREATE_KEY, AuthError, auth_state_keys, authorise
from hs_common.matrix.event import Event, StateKey, StateMap
from hs_common.matrix.room_versions import ROOM_VERSIONS, RoomVersion
from hs_common.matrix.state_resolution import Missing, resolve

ALICE = "@alice:a.example"
BOB = "@bob:b.example"
CAROL = "@carol:c.example"
DAVE = "@dave:d.example"

ALL_VERSIONS = tuple(ROOM_VERSIONS.values())


def versions(*ranges: str) -> tuple[RoomVersion, ...]:
    """Room versions by ranges of their numbers: versions("1-3", "7")."""
    numbers = {
        number
        for first, _, last in (text.partition("-") for text in ranges)
        for number in range(int(first), int(last or first) + 1)
    }
    return tuple(ROOM_VERSIONS[str(number)] for number in sorted(numbers))


def event_id_of(name: str, version: RoomVersion) -> str:
    """The id of the event with this name; where ids have a domain, that of Alice's server."""
    return f"${name}" if version.event_id_is_hash else f"${name}:a.example"


def room_id_of(version: RoomVersion) -> str:
    """The id of the one room of a test."""
    return "!create" if version.room_id_is_create_hash else "!room:a.example"


def make_event(
    version: RoomVersion,
    name: str,
    sender: str,
    event_type: str,
    state_key: str | None = None,
    content: Mapping[str, Any] | None = None,
    *,
    after: Iterable[str] = ("somewhere",),
    auth: Iterable[str] = (),
    at: int = 0,
    depth: int = 1,
    **pdu_keys: Any,
) -> Event:
    """An event; `after` and `auth` are names of events, `pdu_keys` are put into the PDU, or taken out of it if None."""

    def references(names: Iterable[str]) -> list[Any]:
        ids = [event_id_of(referenced, version) for referenced in names]
        return ids if version.event_id_is_hash else [[event_id, {"sha256": ""}] for event_id in ids]

    pdu = {
        "type": event_type,
        "sender": sender,
        "room_id": room_id_of(version),
        "state_key": state_key,
        "content": dict(content or {}),
        "depth": depth,
        "origin_server_ts": at,
        "prev_events": references(after),
        "auth_events": references(auth),
        **pdu_keys,
    }
    if event_type == "m.room.create" and version.room_id_is_create_hash and "room_id" not in pdu_keys:
        del pdu["room_id"]
    bare = {key: value for key, value in pdu.items() if value is not None}
    return Event.from_pdu(bare, version, event_id_of(name, version))


def create_event(version: RoomVersion, **content: Any) -> Event:
    """Alice's create event. Content may be added to it."""
    creator = {"creator": ALICE} if version.creator_in_content else {}
    return make_event(
        version,
        "create",
        ALICE,
        "m.room.create",
        "",
        {"room_version": version.identifier, **creator, **content},
        after=(),
        depth=0,
    )


@dataclass(frozen=True)
class Row:
    """An event of a room on paper. `after` names its prev events; without it, it follows the row above."""

    name: str
    sender: str
    type: str
    state_key: str | None = ""
    content: Mapping[str, Any] = field(default_factory=dict)
    after: Sequence[str] | None = None
    at: int | None = None
    # Instead of the auth events that the state before the event gives.
    auth: Sequence[str] | None = None


def member(name: str, user_id: str, membership: str, sender: str | None = None, **rest: Any) -> Row:
    """A change of membership, by the user or by `sender`."""
    return Row(name, sender or user_id, "m.room.member", user_id, {"membership": membership}, **rest)


def power_levels(name: str, sender: str, users: Mapping[str, int], **rest: Any) -> Row:
    """A power levels event. Creators of version 12 are left out of `users` when the room is built."""
    return Row(name, sender, "m.room.power_levels", "", {"users": users}, **rest)


def join_rules(name: str, sender: str, join_rule: str, **rest: Any) -> Row:
    """A join rules event."""
    return Row(name, sender, "m.room.join_rules", "", {"join_rule": join_rule}, **rest)


def topic(name: str, sender: str, **rest: Any) -> Row:
    """A topic."""
    return Row(name, sender, "m.room.topic", "", {"topic": name}, **rest)


class PaperRoom:
    """A room built row by row, as an honest server would: state before, auth events and depth follow from the rows.

    Rows stand at ever later times, one second apart, unless they say otherwise.
    """

    def __init__(self, version: RoomVersion, rows: Iterable[Row] = ()) -> None:
        self.version = version
        self.events: dict[str, Event] = {}
        self.states_after: dict[str, StateMap] = {}
        self._last = "create"
        create = create_event(version)
        self.events[create.event_id] = create
        self.states_after["create"] = {CREATE_KEY: create.event_id}
        for row in rows:
            self.add(row)

    def id(self, name: str) -> str:
        """The id of the event with this name."""
        return event_id_of(name, self.version)

    def add(self, row: Row) -> None:
        """Add an event, allowed or not."""
        self._put(row, *self._compose(row))

    def add_if_allowed(self, row: Row) -> bool:
        """Add an event if an honest server would take it."""
        event, state = self._compose(row)
        try:
            authorise(event, self.state(state))
        except AuthError:
            return False
        self._put(row, event, state)
        return True

    def _put(self, row: Row, event: Event, state: StateMap) -> None:
        self.events[event.event_id] = event
        self.states_after[row.name] = state | {event.key: event.event_id} if event.is_state else state
        self._last = row.name

    def _compose(self, row: Row) -> tuple[Event, StateMap]:
        after = [self._last] if row.after is None else list(row.after)
        state = self.resolved(*after)
        names = row.auth
        if names is None:
            keys = auth_state_keys(self.version, row.type, row.sender, row.state_key, row.content)
            names = [self.name(state[key]) for key in keys if key in state]
        event = make_event(
            self.version,
            row.name,
            row.sender,
            row.type,
            row.state_key,
            self._content(row),
            after=after,
            auth=names,
            at=1000 * len(self.events) if row.at is None else row.at,
            depth=1 + max(self.events[self.id(name)].depth for name in after),
        )
        return event, state

    def name(self, event_id: str) -> str:
        """The name of the event with this id."""
        return event_id[1:].partition(":")[0]

    def state(self, state_map: StateMap) -> dict[StateKey, Event]:
        """The events of a state."""
        return {key: self.events[event_id] for key, event_id in state_map.items()}

    def resolved(self, *names: str) -> StateMap:
        """The resolution of the states after some events."""
        state = resolve(self.version, [self.states_after[name] for name in names], self.events)
        assert not isinstance(state, Missing)
        return state

    def _content(self, row: Row) -> Mapping[str, Any]:
        if row.type == "m.room.power_levels" and self.version.privileged_creators:
            users = {user_id: level for user_id, level in row.content["users"].items() if user_id != ALICE}
            return {**row.content, "users": users}
        return row.content
