"""Locked and suspended users at the master: what they may still change, whoever let their requests through."""

import itertools

import msgspec
import pytest

from hs_common.matrix.errors import MatrixError
from hs_common.replication import calls
from hs_common.replication.calls import AppendEvents, Call, CloseSessions, Intent, SetProfile, SetUserState
from hs_common.replication.keys import call_key
from hs_common.replication.link_server import CallInfo
from tests.master.harness import TestMaster, master
from tests.reactor import run

ALICE = "@alice:test"
_keys = itertools.count()


async def by(m: TestMaster, origin: str, call: Call) -> str:
    """What becomes of a call that a request of this user has led to: the error's code, or nothing."""
    info = CallInfo(call_key(next(_keys).to_bytes(16, "big")), 8_000, "interactive", origin, 1, "request", "client")
    try:
        await m.desk.work(type(call).__name__, msgspec.Raw(calls.encode(call)), info)
    except MatrixError as error:
        return error.errcode
    return ""


def event(room_id: str, kind: str, content: dict[str, str], key: str | None = None) -> AppendEvents:
    return AppendEvents(intents=[Intent(room_id=room_id, sender=ALICE, type=kind, content=content, state_key=key)])


@pytest.mark.parametrize("is_new_term", [False, True])
def test_a_locked_user_can_log_out_and_nothing_else(database_url: str, is_new_term: bool) -> None:
    async def play() -> None:
        async with master(database_url) as m:
            await m.call(calls.RegisterUser(user_id=ALICE, password_hash=None))
            room_id = await m.create_room(ALICE)
            message = event(room_id, "m.room.message", {"body": "x"})
            assert await by(m, ALICE, message) == ""
            await m.call(SetUserState(user_id=ALICE, locked=True))
            if not is_new_term:
                await locked(m, room_id)
                await m.call(SetUserState(user_id=ALICE, locked=False))
                assert await by(m, ALICE, message) == ""
        if is_new_term:
            async with master(database_url) as m:
                await locked(m, room_id)

    async def locked(m: TestMaster, room_id: str) -> None:
        message = event(room_id, "m.room.message", {"body": "x"})
        assert await by(m, ALICE, message) == "M_USER_LOCKED"
        assert await by(m, "@root:test", SetProfile(user_id=ALICE, field="displayname", value=b'"A"')) == ""
        assert await by(m, "service", message) == ""
        assert await by(m, ALICE, CloseSessions(user_id=ALICE, device_ids=None)) == ""

    run(play())


def test_a_suspended_user_can_leave_and_redact(database_url: str) -> None:
    async def play() -> None:
        async with master(database_url) as m:
            await m.call(calls.RegisterUser(user_id=ALICE, password_hash=None))
            room_id = await m.create_room(ALICE)
            sent = await m.send(room_id, ALICE, "x")
            await m.call(SetUserState(user_id=ALICE, suspended=True))
            refused = [
                event(room_id, "m.room.message", {"body": "x"}),
                event(room_id, "m.room.topic", {"topic": "x"}, ""),
                event(room_id, "m.room.member", {"membership": "leave"}, "@bob:test"),
                event(room_id, "m.room.member", {"membership": "join", "displayname": "x"}, ALICE),
                calls.ComposeEvent(intent=event(room_id, "m.room.message", {"body": "x"}).intents[0]),
                SetProfile(user_id=ALICE, field="displayname", value=b'"A"'),
            ]
            assert [await by(m, ALICE, call) for call in refused] == ["M_USER_SUSPENDED"] * len(refused)
            redaction = Intent(
                room_id=room_id, sender=ALICE, type="m.room.redaction", content={"redacts": sent}, redacts=sent
            )
            assert await by(m, ALICE, AppendEvents(intents=[redaction])) == ""
            assert await by(m, ALICE, event(room_id, "m.room.member", {"membership": "leave"}, ALICE)) == ""

    run(play())
