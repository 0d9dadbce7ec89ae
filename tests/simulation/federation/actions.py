"""What users of all servers do, drawn from the seed: enter and leave rooms, talk, and change their state.

Whatever a server answers is fine, but no fault of its own (500). What is asked of a process that dies stays unanswered.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from traceback import format_exc
from typing import Any, Final

import orjson
from twisted.internet.defer import Deferred

from hs_common.federation.restricted_rooms import LOOKED_AT, RestrictedRooms, is_for_another_server
from hs_common.matrix.errors import MatrixError
from hs_common.reading.room_power import read_state
from hs_common.replication.calls import (
    CreateRoom,
    Intent,
    NewRoomEvent,
    ReceiptMark,
    RoomCreated,
    SetReceipts,
    SetTyping,
)
from hs_common.replication.encryption_calls import SendToDevice
from hs_common.storage.queries import DatabaseError
from tests.simulation.federation.homeserver import Homeserver
from tests.simulation.federation.processes import Inbound

VERSIONS: Final = ("6", "9", "10", "11", "12")
BEFORE_11: Final = ("6", "9", "10")
"""Where the create event names the creator, and a redaction takes `invite` from power levels: who gets such an event
redacted judges it otherwise than who had it whole, which is the specification's fault and mended in version 11."""
CALM: Final = ("message", "topic", "redact")
WILD: Final = ("invite", "levels", "kick", "ban", "unban", "rules", "leave", "visibility", "acl")
RESTRICTED: Final = ("9", "10", "11", "12")
"""Versions with restricted joins; with knocks too."""
TO_DEVICE: Final = 0.1
PASSING: Final = 0.25
"""Of what is done by who is in a room: reading and typing."""
TYPES_MS: Final = 30_000
Json = dict[str, Any]


@dataclass
class Room:
    room_id: str
    version: str
    creator: str


@dataclass(frozen=True, slots=True)
class Style:
    """What kind of world: how many rooms, what users do. In a calm one nobody loses a right."""

    kinds: tuple[str, ...]
    rooms: int
    users_default: int
    state_default: int
    is_calm: bool


def draw_style(random: Random) -> Style:
    is_calm = random.random() < 0.2
    kinds = CALM if is_calm else (*CALM, *(kind for kind in WILD if random.random() < 0.7))
    levels = (0, 0) if is_calm else random.choice(((0, 50), (50, 50), (0, 0), (100, 50)))
    return Style(kinds, random.choice((1, 1, 2, 2, 3)), *levels, is_calm)


class Actions:
    """`violation`: is told of faults."""

    def __init__(
        self,
        random: Random,
        homes: list[Homeserver],
        style: Style,
        counts: Counter[str],
        violation: Callable[[str], None],
    ) -> None:
        self.rooms: list[Room] = []
        self.told_devices: list[tuple[str, int]] = []  # (to whom, which mark): what a server answered that it will tell
        self.under_way: dict[Deferred[None], Inbound] = {}
        self._random = random
        self._homes = homes
        self._style = style
        self._counts = counts
        self._violation = violation
        self._marks = 0

    def busy(self) -> bool:
        """Whether anything is under way in a process that lives."""
        return any(inbound.process.is_alive for inbound in self.under_way.values())

    def next(self) -> None:
        """Somebody does something."""
        home = self._random.choice(self._homes)
        if home.inbound is None:
            return
        if len(self.rooms) < self._style.rooms and (not self.rooms or self._random.random() < 0.2):
            self._start("create", home.inbound, self._create(home.inbound, self._random.choice(home.users)))
            return
        if not self.rooms:
            return
        room, user_id = self._random.choice(self.rooms), self._random.choice(home.users)
        if self._random.random() < TO_DEVICE:
            self._start("to device", home.inbound, self._to_device(home.inbound, user_id))
            return
        membership = home.membership(room.room_id, user_id)
        if membership == "join":
            if self._random.random() < PASSING:
                self._pass(home, home.inbound, room, user_id)
                return
            kind = self._random.choice((*self._style.kinds, "message", "message", "topic"))
            self._start(kind, home.inbound, self._inside(home, home.inbound, room, user_id, kind))
        elif membership in ("invite", "knock") and not self._style.is_calm and self._random.random() < 0.2:
            self._start("reject", home.inbound, self._leave(home.inbound, room, user_id))
        elif self._random.random() < (0.7 if self._rule(room) == "knock" else 0.02):
            self._start("knock", home.inbound, self._knock(home.inbound, room, user_id))
        else:
            self._start("join", home.inbound, self._join(home.inbound, room, user_id))

    def say(self, home: Homeserver, room: Room) -> bool:
        """One of the server's users says something in a room, and has read it; false if none is there to."""
        users = [user_id for user_id in home.users if home.membership(room.room_id, user_id) == "join"]
        if home.inbound is None or not users:
            return False
        intent = self._intent(room, users[0], "m.room.message", {})
        self._start("last words", home.inbound, _say(home.inbound, room, intent))
        return True

    def read_on(self, home: Homeserver, room: Room) -> None:
        """All of the server's users in a room have read its newest event."""
        newest = home.tables.timeline[room.room_id][-1].event_id
        for user_id in home.users:
            if home.inbound is not None and home.membership(room.room_id, user_id) == "join":
                self._start("last read", home.inbound, _read(home.inbound, room, user_id, newest, ""))

    def _pass(self, home: Homeserver, inbound: Inbound, room: Room, user_id: str) -> None:
        random = self._random
        if random.random() < 0.5:
            timeout_ms = random.choice((TYPES_MS, TYPES_MS, 0))
            call = SetTyping(room_id=room.room_id, user_id=user_id, timeout_ms=timeout_ms)
            self._start("type" if timeout_ms else "stop typing", inbound, inbound.link.call(call))
        else:
            event_id = random.choice(home.tables.timeline[room.room_id][-10:]).event_id
            self._start("read", inbound, _read(inbound, room, user_id, event_id, random.choice(("", "main", "$t"))))

    def read_back(self, home: Homeserver, room: Room, wanted: int) -> None:
        """One of the server's users reads so many events backwards, which fills gaps."""
        if home.inbound is not None:
            filling = home.inbound.outgoing.backfilling.fill(room.room_id, (2**62, 0), (0, -(2**31)), wanted)
            self._start("read back", home.inbound, filling)

    def _start(self, kind: str, inbound: Inbound, doing: Any) -> None:
        self._counts[f"action: {kind}"] += 1
        work: Deferred[None] = Deferred.fromCoroutine(self._watched(kind, doing))
        self.under_way[work] = inbound
        work.addBoth(lambda _: self.under_way.pop(work))

    async def _watched(self, kind: str, doing: Any) -> None:
        try:
            await doing
            self._counts[f"done: {kind}"] += 1
        except MatrixError as error:
            self._counts[f"refused {error.status}: {kind}"] += 1
            if error.status == 500:
                self._violation(f"{kind} was answered 500: {error.error}")
        except DatabaseError:
            self._counts[f"refused 503: {kind}"] += 1
        except Exception:
            self._violation(f"{kind} failed: {format_exc()}")

    # --- what ---

    async def _create(self, inbound: Inbound, creator: str) -> None:
        random, version = self._random, self._random.choice(VERSIONS)
        self._marks += 1
        levels: Json = {"users_default": self._style.users_default, "state_default": self._style.state_default}
        levels |= {"users": {} if version == "12" else {creator: 100}, "invite": 0}
        content: Json = {"room_version": version, "mark": self._marks}
        rules = self._rules(version) if "rules" in self._style.kinds else {"join_rule": "public"}
        if version in BEFORE_11:
            content["creator"] = creator
        events = [
            NewRoomEvent(type="m.room.member", state_key=creator, content={"membership": "join"}),
            NewRoomEvent(type="m.room.power_levels", state_key="", content=levels),
            NewRoomEvent(type="m.room.join_rules", state_key="", content=rules),
            NewRoomEvent(
                type="m.room.history_visibility",
                state_key="",
                content={"history_visibility": random.choice(("shared", "joined", "invited"))},
            ),
        ]
        room_id = None if version == "12" else f"!r{self._marks}:{inbound.site.name}"
        call = CreateRoom(sender=creator, room_version=version, room_id=room_id, create_content=content, events=events)
        answer = await inbound.link.call(call)
        assert isinstance(answer, RoomCreated)
        self.rooms.append(Room(answer.room_id, version, creator))

    async def _to_device(self, inbound: Inbound, sender: str) -> None:
        self._marks += 1
        mark, target = self._marks, self._random.choice([one for other in self._homes for one in other.users])
        message = orjson.dumps({"type": "m.dummy", "sender": sender, "content": {"mark": mark}})
        await inbound.link.call(SendToDevice(sender=sender, messages={target: {"DEVICE": message}}))
        self.told_devices.append((target, mark))

    async def _join(self, inbound: Inbound, room: Room, user_id: str) -> None:
        content: Json = {"membership": "join"}
        if not await inbound.outgoing.rooms.is_here(room.room_id):
            await inbound.outgoing.rooms.join(room.room_id, user_id, content, self._via(room))
            return
        try:
            content |= await self._admitted(inbound, room, user_id)
        except MatrixError as error:
            if not is_for_another_server(error):
                raise
            await inbound.outgoing.rooms.join_through_others(room.room_id, user_id, content, error)
            self._counts["joins through others of a room that is here"] += 1
        else:
            await self._send(inbound, self._intent(room, user_id, "m.room.member", content, user_id))

    async def _admitted(self, inbound: Inbound, room: Room, user_id: str) -> Json:
        """What a join's content needs, as the client's part of a server finds it out."""
        member = ("m.room.member", user_id)
        state = await read_state(inbound.db, room.room_id, [*LOOKED_AT, member]) or {}
        if member in state and state[member].membership in ("join", "invite"):
            return {}
        via = await RestrictedRooms(inbound.db, inbound.site.name).authorising_user(room.room_id, user_id, state)
        return {} if via is None else {"join_authorised_via_users_server": via}

    async def _knock(self, inbound: Inbound, room: Room, user_id: str) -> None:
        content = {"membership": "knock"}
        if await inbound.outgoing.rooms.is_here(room.room_id):
            await self._send(inbound, self._intent(room, user_id, "m.room.member", content, user_id))
        else:
            await inbound.outgoing.rooms.knock(room.room_id, user_id, content, self._via(room))

    def _rule(self, room: Room) -> str:
        """The join rule, as somebody who is in the room has it."""
        tables = next((home.tables for home in self._homes if home.is_in(room.room_id)), None)
        row = None if tables is None else tables.current(room.room_id, "m.room.join_rules", "")
        return (
            ""
            if tables is None or row is None
            else orjson.loads(tables.events[row.event_id][1])["content"]["join_rule"]
        )

    def _via(self, room: Room) -> list[str]:
        via = [home.name for home in self._homes if home.is_in(room.room_id)]
        self._random.shuffle(via)
        return via

    async def _leave(self, inbound: Inbound, room: Room, user_id: str) -> None:
        if not await inbound.outgoing.rooms.leave(room.room_id, user_id, {"membership": "leave"}):
            await self._send(inbound, self._intent(room, user_id, "m.room.member", {"membership": "leave"}, user_id))

    async def _inside(self, home: Homeserver, inbound: Inbound, room: Room, user_id: str, kind: str) -> None:
        if kind == "leave":
            await self._leave(inbound, room, user_id)
            return
        intent = self._wish(home, room, user_id, kind)
        if intent is not None:
            await self._send(inbound, intent)

    def _wish(self, home: Homeserver, room: Room, user_id: str, kind: str) -> Intent | None:
        random = self._random
        if kind == "topic":
            return self._intent(room, user_id, "m.room.topic", {}, "")
        if kind == "levels":
            return self._intent(room, user_id, "m.room.power_levels", self._levels(home, room), "")
        if kind == "rules":
            return self._intent(room, user_id, "m.room.join_rules", self._rules(room.version), "")
        if kind == "acl":
            denied = random.choice([[], [random.choice(self._homes).name]])
            return self._intent(room, user_id, "m.room.server_acl", {"allow": ["*"], "deny": denied}, "")
        if kind == "visibility":
            content = {"history_visibility": random.choice(("shared", "joined", "invited", "world_readable"))}
            return self._intent(room, user_id, "m.room.history_visibility", content, "")
        if kind in ("invite", "kick", "ban", "unban"):
            return self._about_member(home, room, user_id, kind)
        if kind == "redact":
            target = random.choice(home.tables.timeline[room.room_id][-20:])
            if room.version in BEFORE_11 and target.row[5] == "m.room.power_levels":
                return None
            return self._intent(room, user_id, "m.room.redaction", {}, None, redacts=target.event_id)
        return self._intent(room, user_id, "m.room.message", {})

    def _about_member(self, home: Homeserver, room: Room, user_id: str, kind: str) -> Intent | None:
        everybody = [one for other in self._homes for one in other.users]
        inside = home.members(room.room_id)
        candidates = {
            # Who knocks is let in sooner.
            "invite": 3 * home.members(room.room_id, "knock") + [one for one in everybody if one not in inside],
            "kick": [*inside, *home.members(room.room_id, "invite"), *home.members(room.room_id, "knock")],
            "ban": everybody,
            "unban": home.members(room.room_id, "ban"),
        }[kind]
        candidates = [one for one in candidates if one != user_id]
        if not candidates:
            return None
        membership = {"invite": "invite", "ban": "ban"}.get(kind, "leave")
        target = self._random.choice(candidates)
        return self._intent(room, user_id, "m.room.member", {"membership": membership}, target)

    def _rules(self, version: str) -> Json:
        """In a room that is restricted, who is in any other."""
        rules = ["public", "public", "invite"]
        if version in RESTRICTED:
            rules += ["knock", *(["restricted"] * 3 if self.rooms else [])]
        rule = self._random.choice(rules)
        allowed = [{"type": "m.room_membership", "room_id": room.room_id} for room in self.rooms]
        return {"join_rule": rule, **({"allow": allowed} if rule == "restricted" else {})}

    def _levels(self, home: Homeserver, room: Room) -> Json:
        row = home.tables.current(room.room_id, "m.room.power_levels", "")
        content: Json = {} if row is None else dict(orjson.loads(home.tables.events[row.event_id][1])["content"])
        random = self._random
        everybody = [one for other in self._homes for one in other.users]
        if random.random() < 0.7:
            target = random.choice(everybody)
            if room.version != "12" or target != room.creator:
                content["users"] = {**content.get("users", {}), target: random.choice((0, 50, 50, 100))}
        else:
            content[random.choice(("state_default", "invite", "kick", "ban", "redact"))] = random.choice((0, 50))
        return content

    def _intent(
        self, room: Room, sender: str, event_type: str, content: Json, state_key: str | None = None, **more: Any
    ) -> Intent:
        self._marks += 1
        content = {**content, "mark": self._marks}
        return Intent(
            room_id=room.room_id, sender=sender, type=event_type, content=content, state_key=state_key, **more
        )

    async def _send(self, inbound: Inbound, intent: Intent) -> None:
        await inbound.sending.send(intent)


async def _read(inbound: Inbound, room: Room, user_id: str, event_id: str, thread_id: str) -> None:
    mark = ReceiptMark(receipt_type="m.read", event_id=event_id, thread_id=thread_id)
    await inbound.link.call(SetReceipts(room_id=room.room_id, user_id=user_id, receipts=[mark]))


async def _say(inbound: Inbound, room: Room, intent: Intent) -> None:
    """Who has read it goes with it, and so is often known before it elsewhere."""
    event_id = await inbound.sending.send(intent)
    await _read(inbound, room, intent.sender, event_id, "main")
