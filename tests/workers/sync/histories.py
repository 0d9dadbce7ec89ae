"""Random histories of a few users in a few rooms, written through the real master. Acts that the rules refuse are part
of it: they change nothing."""

from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from hs_common.matrix.errors import MatrixError
from hs_common.replication.calls import ForgetRoom
from tests.workers.sync.world import ALICE, BOB, CAROL, World

USERS = (ALICE, BOB, CAROL)
ROOMS = 2


@dataclass(frozen=True)
class Act:
    """Something that a user does in the room of a number."""

    kind: str
    user: str
    room: int
    target: str
    choice: int


_KINDS = (
    *("send",) * 4, *("thread",) * 2, *("read",) * 2, *("join",) * 3, "mention", "leave", "invite", "kick", "topic",
    "name", "profile", "tag", "data", "visibility", "knock", "forget", "react", "redact", "edit",
)  # fmt: skip

acts = st.builds(
    Act,
    kind=st.sampled_from(_KINDS),
    user=st.sampled_from(USERS),
    room=st.integers(0, ROOMS - 1),
    target=st.sampled_from(USERS),
    choice=st.integers(0, 9),
)
histories = st.lists(acts, min_size=4, max_size=22)


class History:
    """Plays acts. `positions`: the head after each of them."""

    def __init__(self, w: World) -> None:
        self.w = w
        self.rooms: list[str] = []
        self.sent: dict[str, list[str]] = {}
        self.positions: list[int] = [0]

    async def begin(self) -> None:
        """The rooms, all of Alice."""
        for _ in range(ROOMS):
            room = await self.w.m.create_room(ALICE)
            self.rooms.append(room)
            self.sent[room] = [await self.w.m.send(room, ALICE, "first")]
        self.positions.append(await self.w.head())

    async def play(self, act: Act) -> None:
        """One act; nothing happens if it is refused."""
        try:
            await self._play(act)
        except MatrixError as error:
            assert error.status < 500, error  # noqa: PT017 (a refusal is fine, a failure is not)
        self.positions.append(await self.w.head())

    async def _play(self, act: Act) -> None:
        m, room, user = self.w.m, self.rooms[act.room], act.user
        known = self.sent[room]
        chosen = known[-1 - act.choice % len(known)]
        match act.kind:
            case "send":
                known.append(await m.send(room, user, f"{len(known)}"))
            case "mention":
                known.append(await m.send(room, user, "you", **{"m.mentions": {"user_ids": [act.target]}}))
            case "thread" | "edit":
                rel_type = {"thread": "m.thread", "edit": "m.replace"}[act.kind]
                relates = {"m.relates_to": {"rel_type": rel_type, "event_id": known[0]}}
                known.append(await m.send(room, user, "related", **relates))
            case "react":
                relates_to = {"rel_type": "m.annotation", "event_id": chosen, "key": str(act.choice)}
                known.append(await m.event(room, user, "m.reaction", {"m.relates_to": relates_to}))
            case "redact":
                await m.event(room, user, "m.room.redaction", {"redacts": chosen}, redacts=chosen)
            case "read":
                kind = ("m.read", "m.read.private")[act.choice % 2]
                thread = ("", "main", known[0])[act.choice % 3]
                await self.w.read(user, room, chosen, kind, thread)
            case "join" | "leave" | "knock":
                await m.member(room, user, act.kind)
            case "profile":
                await m.member(room, user, "join", displayname=f"{user} {act.choice}")
            case "invite":
                await m.member(room, user, "invite", act.target)
            case "kick":
                await m.member(room, user, ("leave", "ban")[act.choice % 2], act.target)
            case _:
                await self._set(act, room, user)

    async def _set(self, act: Act, room: str, user: str) -> None:
        m = self.w.m
        match act.kind:
            case "topic" | "name":
                await m.event(room, user, f"m.room.{act.kind}", {act.kind: str(act.choice)}, state_key="")
            case "visibility":
                value = ("joined", "invited", "shared", "world_readable")[act.choice % 4]
                content = {"history_visibility": value}
                await m.event(room, user, "m.room.history_visibility", content, state_key="")
            case "tag":
                await self.w.set_data(user, "m.tag", {"tags": {"u.x": {"order": act.choice}}}, room)
            case "data":
                await self.w.set_data(user, "org.example", {"value": act.choice})
            case "forget":
                await m.call(ForgetRoom(user_id=user, room_id=room))
            case _:
                raise AssertionError(act.kind)


def filter_of(number: int) -> dict[str, Any]:
    """A filter that loses nothing: enough events for any of these histories."""
    timeline: dict[str, Any] = {"limit": 200}
    if number % 2:
        timeline["unread_thread_notifications"] = True
    return {"room": {"timeline": timeline}}
