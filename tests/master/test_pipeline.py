"""The master's pipeline on a real PostgreSQL: what calls leave in the log, in the tables and in the answers."""

from typing import Any

import orjson
import pytest
from twisted.internet.defer import Deferred, gatherResults

from hs_common.matrix.errors import MatrixError
from hs_common.replication import items
from hs_common.replication.calls import (
    AppendedEvents,
    AppendEvents,
    CloseSessions,
    ComposeEvent,
    DeactivateUser,
    ForgetRoom,
    Intent,
    NewSession,
    OpenSession,
    ReceiptMark,
    RefreshSession,
    RegisterUser,
    SetAccountData,
    SetAlias,
    SetProfile,
    SetReceipts,
)
from hs_common.replication.entry import decode_body
from hs_common.replication.keys import client_key
from hs_common.replication.remote_calls import RemoteReceipt, SetRemoteReceipts
from tests.master.harness import TestMaster, master
from tests.reactor import run, until

ALICE, BOB = "@alice:test", "@bob:test"


def logged(m: TestMaster) -> list[items.Item]:
    """Every item published, in order."""
    return [items.decode(item.kind, item.body) for entry in m.entries for item in decode_body(entry).items]


def test_a_room_of_every_version_takes_messages(database_url: str) -> None:
    async def play() -> None:
        async with master(database_url) as m:
            for number in range(1, 13):
                room = await m.create_room(ALICE, version=str(number))
                await m.member(room, BOB, "join")
                first = await m.send(room, BOB, "hello")
                second = await m.send(room, ALICE, "hello yourself")
                rows = await m.db.fetch("SELECT json FROM events WHERE event_id = %s", [second])
                pdu = orjson.loads(rows[0][0])
                previous = pdu["prev_events"][0]
                assert (previous if isinstance(previous, str) else previous[0]) == first

    run(play())


def test_positions_and_entries_form_one_chain(database_url: str) -> None:
    async def play() -> None:
        async with master(database_url) as m:
            room = await m.create_room(ALICE)
            intents = [Intent(room_id=room, sender=ALICE, type="m.room.message", content={"n": n}) for n in range(40)]
            calls = [Deferred.fromCoroutine(m.call(AppendEvents(intents=[intent]))) for intent in intents]
            await gatherResults(calls)
            assert all(later.prev == earlier.pos for earlier, later in zip(m.entries, m.entries[1:], strict=False))
            events = [item for item in logged(m) if isinstance(item, items.EventItem)]
            assert [orjson.loads(event.json)["content"].get("n") for event in events][-40:] == list(range(40))
            depths = [orjson.loads(event.json)["depth"] for event in events]
            assert depths == list(range(1, len(events) + 1))
            assert len(m.entries) < len(events)  # what arrived together was committed together

    run(play())


def test_a_repeated_transaction_is_answered_and_not_done_again(database_url: str) -> None:
    async def play() -> None:
        async with master(database_url) as m:
            room = await m.create_room(ALICE)
            intent = Intent(room_id=room, sender=ALICE, type="m.room.message", content={"body": "once"})
            key = client_key(ALICE, "D", "PUT", "/send", "txn1")
            call = AppendEvents(intents=[intent])
            together = await gatherResults([Deferred.fromCoroutine(m.call(call, key)) for _ in range(3)])
            again = await m.call(call, key)
            assert together == [again] * 3
            rows = await m.db.fetch("SELECT count(*) FROM timeline WHERE type = 'm.room.message'")
            assert rows[0][0] == 1

    run(play())


def test_a_refused_call_fails_alone_and_gets_its_error_again(database_url: str) -> None:
    async def play() -> None:
        async with master(database_url) as m:
            room = await m.create_room(ALICE)
            good = Deferred.fromCoroutine(m.send(room, ALICE, "good"))
            bad = AppendEvents(intents=[Intent(room_id=room, sender=BOB, type="m.room.message", content={})])
            key = client_key(BOB, "D", "PUT", "/send", "txn1")
            with pytest.raises(MatrixError) as first:
                await m.call(bad, key)
            assert first.value.errcode == "M_FORBIDDEN"
            await good
            await m.member(room, BOB, "join")
            with pytest.raises(MatrixError) as second:
                await m.call(bad, key)
            assert second.value.body() == first.value.body()

    run(play())


def test_unchanged_state_answers_the_current_event(database_url: str) -> None:
    async def play() -> None:
        async with master(database_url) as m:
            room = await m.create_room(ALICE)
            first = await m.event(room, ALICE, "m.room.topic", {"topic": "a"}, state_key="")
            assert await m.event(room, ALICE, "m.room.topic", {"topic": "a"}, state_key="") == first
            changed = await m.event(room, ALICE, "m.room.topic", {"topic": "b"}, state_key="")
            assert changed != first
            rows = await m.db.fetch(
                "SELECT event_id, from_pos, to_pos FROM state WHERE type = 'm.room.topic' ORDER BY from_pos"
            )
            assert [row[0] for row in rows] == [first, changed]
            assert rows[0][2] == rows[1][1]
            assert rows[1][2] == 2**63 - 1

    run(play())


def test_two_changes_of_one_state_key_in_one_batch(database_url: str) -> None:
    async def play() -> None:
        async with master(database_url) as m:
            room = await m.create_room(ALICE)
            intents = [
                Intent(room_id=room, sender=ALICE, type="m.room.topic", state_key="", content={"topic": str(n)})
                for n in range(3)
            ]
            answer = await m.call(AppendEvents(intents=intents))
            rows = await m.db.fetch(
                "SELECT event_id, from_pos, to_pos FROM state WHERE type = 'm.room.topic' ORDER BY from_pos"
            )
            assert isinstance(answer, AppendedEvents)
            assert [row[0] for row in rows] == answer.event_ids
            assert [row[2] for row in rows] == [rows[1][1], rows[2][1], 2**63 - 1]

    run(play())


def test_memberships_are_rows_with_intervals(database_url: str) -> None:
    async def play() -> None:
        async with master(database_url) as m:
            room = await m.create_room(ALICE)
            await m.member(room, ALICE, "invite", BOB)
            await m.member(room, BOB, "join")
            await m.member(room, BOB, "join", displayname="Bob")
            await m.member(room, BOB, "leave")
            rows = await m.db.fetch(
                "SELECT membership, stripped_state, from_pos, to_pos FROM local_membership WHERE user_id = %s "
                "ORDER BY from_pos",
                [BOB],
            )
            assert [row[0] for row in rows] == ["invite", "join", "leave"]
            assert [row[3] for row in rows[:-1]] == [row[2] for row in rows[1:]]
            types = {event["type"] for event in orjson.loads(rows[0][1])}
            assert {"m.room.create", "m.room.join_rules", "m.room.member"} <= types
            await m.call(ForgetRoom(user_id=BOB, room_id=room))
            with pytest.raises(MatrixError):
                await m.call(ForgetRoom(user_id=ALICE, room_id=room))

    run(play())


def test_the_server_leaves_a_room_with_its_last_member(database_url: str) -> None:
    async def play() -> None:
        async with master(database_url) as m:
            room = await m.create_room(ALICE)
            await m.member(room, BOB, "join")
            await m.member(room, BOB, "leave")
            await m.member(room, ALICE, "leave")
            rows = await m.db.fetch("SELECT from_pos, to_pos FROM room_servers WHERE room_id = %s", [room])
            assert len(rows) == 1
            assert rows[0][1] < 2**63 - 1

    run(play())


def test_a_redaction_strips_the_event_everywhere(database_url: str) -> None:
    async def play() -> None:
        async with master(database_url) as m:
            room = await m.create_room(ALICE)
            parent = await m.send(room, ALICE, "parent")
            relates = {"m.relates_to": {"rel_type": "m.annotation", "event_id": parent, "key": "👍"}}
            annotation = await m.event(room, ALICE, "m.reaction", relates)
            with pytest.raises(MatrixError) as twice:
                await m.event(room, ALICE, "m.reaction", relates)
            assert twice.value.errcode == "M_DUPLICATE_ANNOTATION"
            await m.event(room, ALICE, "m.room.redaction", {}, redacts=annotation)
            assert await m.db.fetch("SELECT 1 FROM relations") == []
            row = await m.db.fetch_one("SELECT json, redacted_by FROM events WHERE event_id = %s", [annotation])
            assert row is not None
            assert orjson.loads(row[0])["content"] == {}
            assert row[1] is not None
            await m.event(room, ALICE, "m.reaction", relates)
            await m.member(room, BOB, "join")
            with pytest.raises(MatrixError) as forbidden:
                await m.event(room, BOB, "m.room.redaction", {}, redacts=parent)
            assert forbidden.value.errcode == "M_FORBIDDEN"

    run(play())


@pytest.mark.parametrize("version", ["10", "11", "12"])
def test_no_kind_of_event_redacts_without_the_right_to(database_url: str, version: str) -> None:
    async def play() -> None:
        async with master(database_url) as m:
            room = await m.create_room(ALICE, version=version)
            # Everybody may send state of this type; that is no right to redact.
            levels = {"users": {} if version == "12" else {ALICE: 100}, "events": {"m.room.redaction": 0}}
            await m.event(room, ALICE, "m.room.power_levels", levels, state_key="")
            await m.member(room, BOB, "join")
            target = await m.send(room, ALICE, "stays")
            attempts = [
                Intent(room_id=room, sender=BOB, type="m.room.redaction", content={"redacts": target}, state_key="x"),
                Intent(room_id=room, sender=BOB, type="m.room.redaction", content={}, redacts=target),
            ]
            for intent in attempts:
                for call in (AppendEvents(intents=[intent]), ComposeEvent(intent=intent)):
                    with pytest.raises(MatrixError) as refused:
                        await m.call(call)
                    assert refused.value.errcode == "M_FORBIDDEN"
            # Also not past the checks, with an event that carries the target where nobody looked.
            await m.event(room, BOB, "m.room.redaction", {"redacts": target})
            row = await m.db.fetch_one("SELECT redacted_by FROM events WHERE event_id = %s", [target])
            assert row == (None,)

    run(play())


def test_who_is_out_of_a_room_learns_nothing_by_trying(database_url: str) -> None:
    async def play() -> None:
        async with master(database_url) as m:
            room = await m.create_room(ALICE)
            await m.event(room, ALICE, "m.room.power_levels", {"users": {}, "state_default": 0}, state_key="")
            await m.member(room, BOB, "join")
            known = await m.send(room, ALICE, "hello")
            await m.event(room, BOB, "org.test", {"is": "mine"}, state_key="")
            await m.member(room, ALICE, "ban", BOB)
            tried = [
                ("org.test", {"is": "mine"}, {"state_key": ""}),
                ("m.room.redaction", {}, {"redacts": known}),
                ("m.room.redaction", {}, {"redacts": "$unknown"}),
            ]
            for event_type, content, more in tried:
                with pytest.raises(MatrixError) as refused:
                    await m.event(room, BOB, event_type, content, **more)
                assert refused.value.errcode == "M_FORBIDDEN"
                assert "You may not do this" in refused.value.error

    run(play())


def test_no_session_outlives_a_logout_by_being_refreshed_meanwhile(database_url: str) -> None:
    async def play() -> None:
        async with master(database_url) as m:
            for number in range(8):
                user_id, old = f"@u{number}:test", b"old%d" % number
                session = NewSession(device_id="D", token_hash=b"first%d" % number, refresh_hash=old)
                await m.call(RegisterUser(user_id=user_id, password_hash=None, session=session))
                refresh = RefreshSession(
                    user_id=user_id,
                    refresh_hash=old,
                    token_hash=b"second%d" % number,
                    expires_at_ms=None,
                    new_refresh_hash=b"new%d" % number,
                )
                close = CloseSessions(user_id=user_id, device_ids=None)
                both = (close, refresh) if number % 2 else (refresh, close)
                await gatherResults([Deferred.fromCoroutine(answered(m, call)) for call in both])
            assert await m.db.fetch("SELECT user_id FROM access_tokens") == []
            assert await m.db.fetch("SELECT user_id FROM refresh_tokens") == []

    async def answered(m: TestMaster, call: CloseSessions | RefreshSession) -> None:
        try:
            await m.call(call)
        except MatrixError as error:
            if error.errcode != "M_UNKNOWN_TOKEN":
                raise

    run(play())


def test_mentions_of_joined_local_users_become_rows(database_url: str) -> None:
    async def play() -> None:
        async with master(database_url) as m:
            room = await m.create_room(ALICE)
            await m.member(room, BOB, "join")
            mentions = {"user_ids": [BOB, "@carol:test", "@dan:elsewhere"]}
            event_id = await m.send(room, ALICE, "you", **{"m.mentions": mentions})
            rows = await m.db.fetch("SELECT user_id, event_id FROM mentions")
            assert rows == [(BOB, event_id)]

    run(play())


def test_accounts_sessions_and_refresh(database_url: str) -> None:
    async def play() -> None:
        async with master(database_url) as m:
            session = NewSession(device_id="D", token_hash=b"a1", refresh_hash=b"r1")
            await m.call(RegisterUser(user_id=ALICE, password_hash="x", session=session))
            with pytest.raises(MatrixError) as taken:
                await m.call(RegisterUser(user_id=ALICE, password_hash="x"))
            assert taken.value.errcode == "M_USER_IN_USE"

            async def tokens() -> set[bytes]:
                return {bytes(row[0]) for row in await m.db.fetch("SELECT token_hash FROM access_tokens")}

            async def refresh(old: bytes, access: bytes, new: bytes) -> None:
                call = RefreshSession(
                    user_id=ALICE, refresh_hash=old, token_hash=access, expires_at_ms=None, new_refresh_hash=new
                )
                await m.call(call)

            await refresh(b"r1", b"a2", b"r2")
            assert await tokens() == {b"a1", b"a2"}  # the old ones live until the new ones are used
            await refresh(b"r1", b"a3", b"r3")  # the first answer was lost
            assert await tokens() == {b"a1", b"a3"}
            await refresh(b"r3", b"a4", b"r4")
            assert await tokens() == {b"a3", b"a4"}
            with pytest.raises(MatrixError) as dead:
                await refresh(b"r1", b"a5", b"r5")
            assert dead.value.errcode == "M_UNKNOWN_TOKEN"
            await m.call(OpenSession(user_id=ALICE, session=NewSession(device_id="D", token_hash=b"b1")))
            assert await tokens() == {b"b1"}
            await m.call(CloseSessions(user_id=ALICE, device_ids=None))
            assert await tokens() == set()
            assert await m.db.fetch("SELECT 1 FROM devices") == []

    run(play())


def test_profile_changes_reach_all_rooms_by_a_job(database_url: str) -> None:
    async def play() -> None:
        async with master(database_url) as m:
            await m.call(RegisterUser(user_id=ALICE, password_hash=None))
            rooms = [await m.create_room(ALICE) for _ in range(3)]
            await m.call(SetProfile(user_id=ALICE, field="displayname", value=b'"Alice"'))

            async def names() -> list[str]:
                rows = await m.db.fetch(
                    "SELECT e.json FROM state AS s JOIN events AS e ON e.event_id = s.event_id "
                    "WHERE s.state_key = %s AND s.to_pos = 9223372036854775807",
                    [ALICE],
                )
                return [orjson.loads(row[0])["content"].get("displayname", "") for row in rows]

            await until(lambda: sum(isinstance(item, items.EventItem) for item in logged(m)) == 3 * 6)
            assert await names() == ["Alice"] * len(rooms)
            await m.call(DeactivateUser(user_id=ALICE))
            await until(lambda: sum(isinstance(item, items.EventItem) for item in logged(m)) == 3 * 7)
            assert (
                await m.db.fetch("SELECT 1 FROM local_membership WHERE membership = 'join' AND to_pos = 2^63-1") == []
            )
            assert await m.db.fetch("SELECT 1 FROM jobs") == []

    run(play())


def test_the_newest_receipt_of_who_is_elsewhere_counts(database_url: str) -> None:
    """Whatever the order in which events came here."""

    async def play() -> None:
        async with master(database_url) as m:
            room = await m.create_room(ALICE)
            first, second = await m.send(room, ALICE, "first"), await m.send(room, ALICE, "second")

            async def told(*receipts: tuple[str, int]) -> list[Any]:
                marks = [RemoteReceipt(user_id="@b:there", event_id=one, timestamp_ms=ts) for one, ts in receipts]
                await m.call(SetRemoteReceipts(room_id=room, receipts=marks))
                return await m.db.fetch("SELECT event_id, ts FROM receipts")

            assert await told((second, 5)) == [(second, 5)]
            assert await told((first, 7), (second, 6)) == [(first, 7)]
            assert await told((second, 6)) == [(first, 7)]
            assert await told((second, 7)) == [(second, 7)]
            assert await told((first, 7)) == [(second, 7)]

    run(play())


def test_receipts_move_forward_only(database_url: str) -> None:
    async def play() -> None:
        async with master(database_url) as m:
            room = await m.create_room(ALICE)
            first, second = await m.send(room, ALICE, "1"), await m.send(room, ALICE, "2")
            for event_id in (second, first):
                mark = ReceiptMark(receipt_type="m.read", event_id=event_id)
                await m.call(SetReceipts(room_id=room, user_id=ALICE, receipts=[mark], fully_read=event_id))
            assert await m.db.fetch("SELECT event_id FROM receipts") == [(second,)]
            rows = await m.db.fetch("SELECT content FROM account_data WHERE type = 'm.fully_read'")
            assert orjson.loads(rows[0][0]) == {"event_id": first}
            mark = ReceiptMark(receipt_type="m.read", event_id="$unknown")
            with pytest.raises(MatrixError):
                await m.call(SetReceipts(room_id=room, user_id=ALICE, receipts=[mark]))

    run(play())


def test_aliases_and_account_data_are_compared_and_set(database_url: str) -> None:
    async def play() -> None:
        async with master(database_url) as m:
            room = await m.create_room(ALICE, alias="#a:test", is_public=True)
            with pytest.raises(MatrixError) as taken:
                await m.call(SetAlias(alias="#a:test", room_id=room, creator=ALICE))
            assert taken.value.status == 409
            with pytest.raises(MatrixError) as in_use:
                await m.create_room(ALICE, alias="#a:test")
            assert in_use.value.errcode == "M_ROOM_IN_USE"
            answer = await m.call(SetAccountData(user_id=ALICE, type="t", content=b"{}", expected_pos=0))
            with pytest.raises(MatrixError):
                await m.call(SetAccountData(user_id=ALICE, type="t", content=b"{}", expected_pos=0))
            await m.call(SetAccountData(user_id=ALICE, type="t", content=b"{}", expected_pos=answer.pos))

    run(play())


def test_what_the_database_refuses_fails_alone(database_url: str) -> None:
    async def play() -> None:
        async with master(database_url) as m:
            room = await m.create_room(ALICE)
            # The door of a worker refuses such a type; a worker with a bug must not cost others their events.
            bad = SetAccountData(user_id=ALICE, type="nul\x00", content=b"{}")
            calls = [Deferred.fromCoroutine(m.send(room, ALICE, str(n))) for n in range(5)]
            with pytest.raises(MatrixError) as refused:
                await m.call(bad)
            assert refused.value.status == 500
            assert len(set(await gatherResults(calls))) == 5
            assert len(await m.db.fetch("SELECT 1 FROM refused_items")) == 1

    run(play())
