"""Guests leave a room in which they may not be any more."""

from collections.abc import Awaitable, Callable

import pytest

from hs_common.replication import items
from hs_common.replication.calls import RegisterUser
from hs_common.replication.entry import decode_body
from hs_master.jobs import runner
from tests.master.harness import TestMaster, master
from tests.reactor import run, until

ALICE, BOB = "@alice:test", "@bob:test"
GUESTS = ["@1:test", "@2:test", "@3:test"]
End = Callable[[TestMaster, str, str], Awaitable[object]]


async def room_with_guests(m: TestMaster) -> tuple[str, str]:
    """Accounts, three of them guests, all in a room, and the event by which guests may join."""
    for user_id in (ALICE, BOB, *GUESTS):
        await m.call(RegisterUser(user_id=user_id, password_hash=None, is_guest=user_id in GUESTS))
    return await open_room(m)


async def open_room(m: TestMaster) -> tuple[str, str]:
    room_id = await m.create_room(ALICE)
    access = await m.event(room_id, ALICE, "m.room.guest_access", {"guest_access": "can_join"}, state_key="")
    for user_id in (BOB, *GUESTS):
        await m.member(room_id, user_id, "join")
    return room_id, access


async def joined(m: TestMaster, room_id: str) -> set[str]:
    rows = await m.db.fetch(
        "SELECT state_key FROM state WHERE room_id = %s AND membership = 'join' AND to_pos = 2^63-1", [room_id]
    )
    return {user_id for (user_id,) in rows}


def left(m: TestMaster) -> list[str]:
    """Who has left, as the log tells it."""
    logged = [items.decode(item.kind, item.body) for entry in m.entries for item in decode_body(entry).items]
    events = [item for item in logged if isinstance(item, items.EventItem)]
    return [event.sender for event in events if b'"membership":"leave"' in event.json]


async def forbid(m: TestMaster, room_id: str, access: str) -> object:
    return await m.event(room_id, ALICE, "m.room.guest_access", {"guest_access": "forbidden"}, state_key="")


async def redact(m: TestMaster, room_id: str, access: str) -> object:
    return await m.event(room_id, ALICE, "m.room.redaction", {"redacts": access}, redacts=access)


@pytest.mark.parametrize("end", [forbid, redact])
def test_guests_leave_when_they_may_not_be_there_any_more(
    database_url: str, end: End, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "ROOMS_OF_A_SLICE", 2)

    async def play() -> None:
        async with master(database_url) as m:
            room_id, access = await room_with_guests(m)
            other, _ = await open_room(m)
            await end(m, room_id, access)
            await until(lambda: len(left(m)) == len(GUESTS))
            await m.send(other, ALICE, "after")  # written after what was published before it
            assert left(m) == GUESTS
            assert await joined(m, room_id) == {ALICE, BOB}
            assert await joined(m, other) == {ALICE, BOB, *GUESTS}

    run(play())


def test_guests_stay_while_they_may(database_url: str) -> None:
    async def play() -> None:
        async with master(database_url) as m:
            room_id, access = await room_with_guests(m)
            again = {"guest_access": "can_join", "org.test": 1}
            await m.event(room_id, ALICE, "m.room.guest_access", again, state_key="")
            await redact(m, room_id, access)  # not the current one any more
            await m.event(room_id, ALICE, "m.room.guest_access", {}, state_key="elsewhere")
            assert await m.db.fetch("SELECT 1 FROM jobs") == []
            assert await joined(m, room_id) == {ALICE, BOB, *GUESTS}

    run(play())
