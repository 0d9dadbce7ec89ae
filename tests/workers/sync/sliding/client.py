"""A sliding-sync client's memory: what it holds after applying answers in turn, as MSC4186 tells it to."""

from dataclasses import dataclass, field
from typing import Any

import orjson

from hs_workers.sync.parameters import Reader
from hs_workers.sync.sliding.parse import parse, parse_unstable
from tests.workers.sync.live import Live

Body = dict[str, Any]
DEVICE = "DEVICE"
ALL_STATE: Body = {"include": [{}]}


async def ask(live: Live, user_id: str, body: Body, device_id: str | None = DEVICE) -> Body:
    """The answer of the merged endpoint."""
    request = parse(body, 60_000)
    answer = await live.parts.sliding.answer(Reader(user_id, device_id), request, lambda: None)
    await live.background.drained()
    found: Body = orjson.loads(answer)
    return found


async def ask_unstable(live: Live, user_id: str, body: Body, pos: str | None = None) -> Body:
    """The answer of the older endpoint."""
    request = parse_unstable(body, pos, 0, None, user_id, 60_000)
    answer = await live.parts.sliding.answer(Reader(user_id, DEVICE), request, lambda: None)
    found: Body = orjson.loads(answer)
    return found


def everything(**more: Any) -> Body:
    """A request for all rooms with all of their state and history."""
    lists = {"all": {"timeline_limit": 100, "required_state": ALL_STATE, **more}}
    extensions = {name: {"enabled": True} for name in ("account_data", "receipts", "typing")}
    return {"lists": lists, "extensions": extensions}


@dataclass
class Room:
    """What the client holds of a room."""

    membership: str = ""
    state: dict[tuple[str, str], str] = field(default_factory=dict)
    events: list[str] = field(default_factory=list)
    stripped: Any = None
    fields: Body = field(default_factory=dict)
    account_data: Body = field(default_factory=dict)
    receipts: dict[tuple[str, str, str], Any] = field(default_factory=dict)


KEPT = ("name", "avatar", "heroes", "joined_count", "invited_count", "is_dm", "bump_stamp")


@dataclass
class SlidingClient:
    """All that it holds."""

    pos: str | None = None
    rooms: dict[str, Room] = field(default_factory=dict)
    account_data: Body = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    async def sync(self, live: Live, user_id: str, body: Body) -> Body:
        """Asks on from where it is, and takes the answer."""
        answer = await ask(live, user_id, body if self.pos is None else {**body, "pos": self.pos})
        self.apply(answer)
        return answer

    def apply(self, body: Body) -> None:
        """Takes an answer."""
        self.pos = body["pos"]
        self.counts = {name: one["count"] for name, one in body["lists"].items()}
        for room_id, told in body["rooms"].items():
            self._apply_room(room_id, told)
        extensions = body["extensions"]
        for event in extensions.get("account_data", {}).get("global", ()):
            self.account_data[event["type"]] = event["content"]
        for room_id, events in extensions.get("account_data", {}).get("rooms", {}).items():
            for event in events:
                self.rooms[room_id].account_data[event["type"]] = event["content"]
        for room_id, event in extensions.get("receipts", {}).get("rooms", {}).items():
            self._apply_receipts(self.rooms[room_id], event["content"])

    def _apply_room(self, room_id: str, told: Body) -> None:
        before = self.rooms.get(room_id)
        if before is None or told.get("initial"):
            room = self.rooms[room_id] = Room()
            if before is not None:
                room.account_data = before.account_data
        else:
            room = before
        room.membership = told["membership"]
        if "stripped_state" in told:
            room.stripped = told["stripped_state"]
        for event in told.get("required_state", ()):
            key = (event["type"], event["state_key"])
            if "content" in event:
                room.state[key] = event["event_id"]
            else:
                room.state.pop(key, None)
        if told.get("limited") or told.get("expanded_timeline"):
            room.events = []
        for event in told.get("timeline", ()):
            if event["event_id"] not in room.events:
                room.events.append(event["event_id"])
        if told.get("name"):
            room.fields.pop("heroes", None)
        room.fields.update({key: told[key] for key in KEPT if key in told})

    def _apply_receipts(self, room: Room, content: Body) -> None:
        for event_id, kinds in content.items():
            for kind, users in kinds.items():
                for user_id, data in users.items():
                    room.receipts[user_id, kind, data.get("thread_id", "")] = event_id


def differences(whole: SlidingClient, parts: SlidingClient) -> list[str]:
    """In what a client that began now differs from one that was told in parts: in nothing, it should be."""
    found = []
    if whole.account_data != parts.account_data:
        found.append(f"account data: {whole.account_data} != {parts.account_data}")
    present = {room_id for room_id, room in parts.rooms.items() if room.membership in ("join", "invite", "knock")}
    expected = {room_id for room_id, room in whole.rooms.items() if room.membership in ("join", "invite", "knock")}
    if present != expected:
        found.append(f"rooms: {expected} != {present}")
    for room_id in present & expected:
        one, other = whole.rooms[room_id], parts.rooms[room_id]
        found += [
            f"{room_id} {name}: {getattr(one, name)} != {getattr(other, name)}"
            for name in ("membership", "state", "stripped", "account_data")
            if getattr(one, name) != getattr(other, name)
        ]
        mine = {key: value for key, value in one.fields.items() if value not in (None, False)}
        others = {key: value for key, value in other.fields.items() if value not in (None, False)}
        if mine != others:
            found.append(f"{room_id} fields: {mine} != {others}")
        if one.events != [event for event in other.events if event in one.events]:
            found.append(f"{room_id} events: {one.events} != {other.events}")
        if set(other.events) - set(one.events):
            found.append(f"{room_id} more events: {set(other.events) - set(one.events)}")
    return found
