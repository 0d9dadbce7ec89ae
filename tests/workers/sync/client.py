"""A Matrix client's memory: what it holds after applying answers of /sync in turn, as the specification tells it to."""

from dataclasses import dataclass, field
from typing import Any

Body = dict[str, Any]


@dataclass
class ClientRoom:
    """A joined room. `events`: ids in the order in which they were told, each once."""

    state: dict[tuple[str, str], str] = field(default_factory=dict)
    events: list[str] = field(default_factory=list)
    account_data: dict[str, Any] = field(default_factory=dict)
    receipts: dict[tuple[str, str, str | None], str] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    unread: Any = None
    threads: Any = None


@dataclass
class Client:
    """`lazy` clients do not compare members, which they have only in part."""

    token: str | None = None
    rooms: dict[str, ClientRoom] = field(default_factory=dict)
    left: set[str] = field(default_factory=set)
    invites: dict[str, Any] = field(default_factory=dict)
    knocks: set[str] = field(default_factory=set)
    account_data: dict[str, Any] = field(default_factory=dict)
    seen: dict[str, list[str]] = field(default_factory=dict)  # of all rooms that were told of

    def apply(self, body: Body) -> None:
        """Takes an answer."""
        self.token = body["next_batch"]
        rooms = body.get("rooms", {})
        for event in body.get("account_data", {}).get("events", ()):
            self.account_data[event["type"]] = event["content"]
        for room_id, told in rooms.get("invite", {}).items():
            self.invites[room_id] = told["invite_state"]["events"]
        for room_id in rooms.get("knock", {}):
            self.knocks.add(room_id)
        for room_id, told in rooms.get("join", {}).items():
            self._forget_asked(room_id)
            self.left.discard(room_id)
            self._apply_room(self.rooms.setdefault(room_id, ClientRoom()), room_id, told)
        for room_id, told in rooms.get("leave", {}).items():
            self._forget_asked(room_id)
            self._apply_room(self.rooms.pop(room_id, ClientRoom()), room_id, told)
            self.left.add(room_id)

    def _forget_asked(self, room_id: str) -> None:
        self.invites.pop(room_id, None)
        self.knocks.discard(room_id)

    def _apply_room(self, room: ClientRoom, room_id: str, told: Body) -> None:
        for event in (told.get("state") or told["state_after"])["events"]:
            room.state[event["type"], event["state_key"]] = event["event_id"]
        seen = self.seen.setdefault(room_id, [])
        for event in told["timeline"]["events"]:
            if event["event_id"] not in seen:
                seen.append(event["event_id"])
            if "state_key" in event and "state" in told:
                room.state[event["type"], event["state_key"]] = event["event_id"]
        for event in told["account_data"]["events"]:
            room.account_data[event["type"]] = event["content"]
        for event in told.get("ephemeral", {}).get("events", ()):
            if event["type"] == "m.receipt":
                self._apply_receipts(room, event["content"])
        room.summary.update(told.get("summary", {}))
        if "unread_notifications" in told:
            room.unread = told["unread_notifications"]
            room.threads = told.get("unread_thread_notifications")

    def _apply_receipts(self, room: ClientRoom, content: Body) -> None:
        for event_id, kinds in content.items():
            for kind, users in kinds.items():
                for user_id, data in users.items():
                    room.receipts[user_id, kind, data.get("thread_id")] = event_id


def differences(whole: Client, parts: Client) -> list[str]:
    """In what a client that was told at once differs from one that was told in parts: in nothing, it should be."""
    found = []
    for name in ("invites", "knocks", "account_data"):
        if getattr(whole, name) != getattr(parts, name):
            found.append(f"{name}: {getattr(whole, name)} != {getattr(parts, name)}")
    if set(whole.rooms) != set(parts.rooms):
        found.append(f"rooms: {set(whole.rooms)} != {set(parts.rooms)}")
    for room_id in set(whole.rooms) & set(parts.rooms):
        one, other = whole.rooms[room_id], parts.rooms[room_id]
        found += [
            f"{room_id} {name}: {getattr(one, name)} != {getattr(other, name)}"
            for name in ("state", "account_data", "unread", "threads")
            if getattr(one, name) != getattr(other, name)
        ]
        found += [f"{room_id} {key}: {one.summary[key]} != {other.summary.get(key)}"
                  for key in one.summary if one.summary[key] != other.summary.get(key)]  # fmt: skip
        if sorted(whole.seen[room_id]) != sorted(parts.seen[room_id]):
            found.append(f"{room_id} events: {whole.seen[room_id]} != {parts.seen[room_id]}")
        if not one.receipts.items() <= other.receipts.items():
            found.append(f"{room_id} receipts: {one.receipts} not within {other.receipts}")
    return found
