"""What users want, chosen by chance: calls of each kind that the pipeline decides, with a mark in what they write."""

from dataclasses import dataclass, field
from random import Random
from typing import Any

import orjson

from hs_common.replication.calls import AppendEvents, Call, CreateRoom, Intent, NewRoomEvent, SetAccountData
from hs_common.replication.keys import client_key
from tests.simulation.requests import Asked

ROOM_VERSION = "12"
FATAL = "test.fatal"
"""Events of this type end the process that composes them."""
_TOPICS = ("tea", "coffee")


@dataclass
class Room:
    """A room that users know of, and events in it that they can refer to."""

    room_id: str
    event_ids: list[str]
    entered: list[str] = field(default_factory=list)  # users who have once asked to join


class Wishes:
    """One user's wishes. `rooms` is shared by all users of a world."""

    def __init__(self, random: Random, user_id: str, user_ids: list[str], rooms: list[Room]) -> None:
        self._random = random
        self._user_id = user_id
        self._user_ids = user_ids
        self._rooms = rooms
        self._count = 0
        self.fatal_after: int | None = None  # so many wishes; then comes one that no master survives

    def next(self) -> Asked:
        """The next wish."""
        if self.fatal_after is not None and self._rooms and self._count >= self.fatal_after:
            self.fatal_after = None
            return self._fatal()
        drawn = self._random.random()
        if not self._rooms or drawn < 0.02:
            return self.new_room()
        if drawn < 0.12:
            return self._account_data()
        if drawn < 0.17 and len(self._rooms) > 1:
            return self._in_several_rooms()
        return self._event(drawn)

    def message(self) -> Asked:
        """A message, whatever the user would like."""
        return self._asked_events(lambda mark: [self._message(mark, self._random.choice(self._rooms))])

    def _fatal(self) -> Asked:
        mark, room = self._mark(), self._random.choice(self._rooms)
        call = AppendEvents(intents=[self._intent(room, FATAL, {"mark": mark})])
        key = client_key(self._user_id, "DEVICE", "PUT", "/send", mark)
        return Asked(mark, call, key, parts=1, is_fatal=True)

    def new_room(self) -> Asked:
        creator = self._user_id
        mark = self._mark()
        events = [
            NewRoomEvent(type="m.room.member", state_key=creator, content={"membership": "join"}),
            NewRoomEvent(type="m.room.power_levels", state_key="", content={"users": {}, "state_default": 0}),
            NewRoomEvent(type="m.room.join_rules", state_key="", content={"join_rule": "public"}),
        ]
        content = {"room_version": ROOM_VERSION, "mark": mark}
        call = CreateRoom(
            sender=creator, room_version=ROOM_VERSION, room_id=None, create_content=content, events=events
        )
        return Asked(mark, call, self._key("/createRoom", mark), parts=1)

    # --- kinds ---

    def _event(self, drawn: float) -> Asked:
        room = self._random.choice(self._rooms)
        event_id = self._random.choice(room.event_ids)
        if self._user_id not in room.entered:
            room.entered.append(self._user_id)
            return self._asked_events(lambda mark: [self._membership(mark, room, "join")])
        kind = (drawn * 1000) % 1.0
        if kind < 0.55:
            return self._asked_events(lambda mark: [self._message(mark, room)])
        if kind < 0.67:
            return self._asked_events(lambda mark: [self._topic(mark, room)])
        if kind < 0.77:
            return self._asked_events(lambda mark: [self._membership(mark, room)])
        if kind < 0.87:
            return self._asked_events(lambda mark: [self._reaction(mark, room, event_id)])
        return self._asked_events(lambda mark: [self._redaction(mark, room, event_id)])

    def _in_several_rooms(self) -> Asked:
        rooms = self._random.sample(self._rooms, 2)
        return self._asked_events(lambda mark: [self._message(mark, room) for room in rooms])

    def _account_data(self) -> Asked:
        mark = self._mark()
        call = SetAccountData(
            user_id=self._user_id,
            type=self._random.choice(("m.one", "m.two")),
            content=orjson.dumps({"mark": mark}),
            expected_pos=0 if self._random.random() < 0.2 else None,
        )
        return Asked(mark, call, self._key("/account_data", mark), parts=0)

    def _message(self, mark: str, room: Room) -> Intent:
        content: dict[str, Any] = {"body": "hello", "mark": mark}
        if self._random.random() < 0.2:
            content["m.mentions"] = {"user_ids": [self._random.choice(self._user_ids)]}
        return self._intent(room, "m.room.message", content)

    def _topic(self, mark: str, room: Room) -> Intent:
        content = {"topic": self._random.choice(_TOPICS)}  # often what it is already; then nothing changes
        if self._random.random() < 0.5:
            content["mark"] = mark
        return self._intent(room, "m.room.topic", content, state_key="")

    def _membership(self, mark: str, room: Room, membership: str | None = None) -> Intent:
        drawn, user_id = self._random.random(), self._user_id
        content: dict[str, Any] = {"mark": mark, "membership": membership or ("join" if drawn < 0.8 else "leave")}
        if membership is None and drawn > 0.9:
            user_id, content["membership"] = self._random.choice(self._user_ids), "invite"
        return self._intent(room, "m.room.member", content, state_key=user_id)

    def _reaction(self, mark: str, room: Room, event_id: str) -> Intent:
        relates_to = {"rel_type": "m.annotation", "event_id": event_id, "key": self._random.choice("ab")}
        return self._intent(room, "m.reaction", {"mark": mark, "m.relates_to": relates_to})

    def _redaction(self, mark: str, room: Room, event_id: str) -> Intent:
        return self._intent(room, "m.room.redaction", {"mark": mark}, redacts=event_id)

    # --- forms ---

    def _intent(self, room: Room, event_type: str, content: dict[str, Any], **more: Any) -> Intent:
        return Intent(room_id=room.room_id, sender=self._user_id, type=event_type, content=content, **more)

    def _asked_events(self, intents: Any) -> Asked:
        mark = self._mark()
        made: list[Intent] = intents(mark)
        call: Call = AppendEvents(intents=made)
        return Asked(mark, call, self._key("/send", mark), parts=len(made))

    def _mark(self) -> str:
        self._count += 1
        return f"{self._user_id} {self._count}"

    def _key(self, path: str, mark: str) -> bytes | None:
        """A client's own key, or none: then what becomes of a lost answer stays unknown, and nothing is repeated."""
        if self._random.random() < 0.1:
            return None
        return client_key(self._user_id, "DEVICE", "PUT", path, mark)
