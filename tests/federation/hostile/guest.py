"""Rooms of our server which a user of the attacker has joined, as any server may.

Spec: server-server API, #joining-rooms.
"""

import time
from typing import Any, Final

from hs_common.matrix import hashes
from hs_common.matrix.event import Event
from hs_common.matrix.room_versions import ROOM_VERSIONS, RoomVersion
from tests.common.federation.far_server import FarRoom, FarServer
from tests.federation.hostile.evil import V1, V2, EvilServer, json_of
from tests.federation.hostile.stage import EVIL, Stage

MALLORY: Final = f"@mallory:{EVIL}"
_LEVELS: Final = "m.room.power_levels"


class VisitedRoom(FarRoom):
    """A room of another server as far as one who joined it knows it. Events are Mallory's unless told otherwise."""

    def __init__(self, server: FarServer, version: RoomVersion, room_id: str) -> None:
        self.server = server
        self.version = version
        self.creator = MALLORY
        self.room_id = room_id
        self.events = {}
        self.state = {}
        self.before = {}
        self.heads = []

    def learn(self, told: dict[str, Any]) -> None:
        """The answer to a join."""
        for pdu in (*told["auth_chain"], *told["state"]):
            event = Event.from_pdu(pdu, self.version)
            self.events[event.event_id] = event
        for pdu in told["state"]:
            event = Event.from_pdu(pdu, self.version)
            self.state[event.key] = event

    def rejoin(self, template: dict[str, Any]) -> Event:
        """A membership composed as a template says."""
        return self.compose(
            template["type"],
            template["content"],
            sender=template["sender"],
            state_key=template["state_key"],
            prev=template["prev_events"],
            auth=template["auth_events"],
            depth=template["depth"],
            origin_server_ts=time.time_ns() // 1_000_000,
        )


def enter(server: EvilServer, user_id: str, room_id: str, version: str) -> VisitedRoom:
    """A user of that server joins a room of ours."""
    status, made = server.call("GET", f"{V1}/make_join/{room_id}/{user_id}?ver={version}")
    assert status == 200, made
    room = VisitedRoom(server.paper, ROOM_VERSIONS[version], room_id)
    join = room.rejoin(made["event"])
    status, told = server.call("PUT", f"{V2}/send_join/{room_id}/{join.event_id}", json_of(dict(join.pdu)))
    assert status == 200, told
    room.learn(told)
    room.put(join)
    room.heads = [join.event_id]
    server.paper.rooms[room_id] = room
    return room


def ours(stage: Stage, power: int = 0, version: str = "11", **options: Any) -> VisitedRoom:
    """A room of Alice's that Mallory has joined, with some power."""
    room = enter(stage.evil, MALLORY, stage.alice.create_room(room_version=version, **options), version)
    if power:
        levels = stage.alice.state(room.room_id, _LEVELS) or {}
        levels.setdefault("users", {})[MALLORY] = power
        follow(stage, room, stage.alice.set_state(room.room_id, _LEVELS, levels))
    return room


def follow(stage: Stage, room: VisitedRoom, event_id: str) -> Event:
    """Put an event of Alice's on the attacker's paper: it asks for it, as it may."""
    status, answer = stage.evil.call("GET", f"{V1}/event/{event_id}")
    assert status == 200, answer
    return room.put(Event.from_pdu(answer["pdus"][0], room.version))


def has_heard(server: EvilServer, room: VisitedRoom, event_id: str) -> bool:
    """Whether a server was sent an event of the room."""
    sent = (pdu for asked in server.asked_for("/send/") for pdu in asked.body.get("pdus", []))
    return any(event_id == hashes.event_id(pdu, room.version) for pdu in sent if pdu["room_id"] == room.room_id)
