"""What is told of a joined room: its state, timeline, summary, receipts, counts, and each event's `unsigned`."""

import pytest

from hs_common.replication.calls import DeactivateUser, NewRoomEvent, RegisterUser
from hs_common.replication.ephemeral import Presence, Typing, encode_message
from tests.workers.sync.conftest import Play
from tests.workers.sync.world import ALICE, BOB, CAROL, DAVE, NOW_MS, Body, World, bodies, joined, types

LAZY = {"room": {"state": {"lazy_load_members": True}}}
REDUNDANT = {"room": {"state": {"lazy_load_members": True, "include_redundant_members": True}}}


def limit(number: int) -> Body:
    return {"room": {"timeline": {"limit": number}}}


def event_of(room: Body, event_id: str) -> Body:
    """An event of the timeline."""
    (found,) = [event for event in room["timeline"]["events"] if event["event_id"] == event_id]
    event: Body = found
    return event


def test_who_joins_after_an_erasure_is_told_nothing_of_what_was_said(play: Play) -> None:
    async def scenario(w: World) -> None:
        room = await w.m.create_room(ALICE)
        await w.m.member(room, BOB, "join")
        await w.m.call(RegisterUser(user_id=BOB, password_hash=None))
        said = await w.m.send(room, BOB, "secret")
        edit = {"m.relates_to": {"rel_type": "m.replace", "event_id": said}, "m.new_content": {"body": "secret too"}}
        await w.m.send(room, BOB, "* secret too", **edit)
        await w.m.member(room, CAROL, "join")
        await w.m.call(DeactivateUser(user_id=BOB, erase=True))
        since = (await w.sync(DAVE))["next_batch"]
        await w.m.member(room, DAVE, "join")
        for user_id in (ALICE, CAROL):
            told = event_of(joined(await w.sync(user_id), room), said)
            assert told["content"]["body"] == "secret"
            assert "m.replace" in told["unsigned"]["m.relations"]
        for at in (None, since):
            told = event_of(joined(await w.sync(DAVE, at), room), said)
            assert told["content"] == {}
            assert "m.relations" not in told["unsigned"]

    play(scenario)


# --- state --------------------------------------------------------------------------------------------------------


def test_state_is_that_before_the_timeline_and_state_after_that_behind_it(play: Play) -> None:
    async def scenario(w: World) -> None:
        room = await w.m.create_room(ALICE)
        old = await w.m.event(room, ALICE, "m.room.topic", {"topic": "old"}, state_key="")
        since = (await w.sync(ALICE))["next_batch"]
        await w.m.send(room, ALICE, "1")
        new = await w.m.event(room, ALICE, "m.room.topic", {"topic": "new"}, state_key="")
        first = joined(await w.sync(ALICE, filter=limit(2)), room)
        assert old in [event["event_id"] for event in first["state"]["events"]]
        told = joined(await w.sync(ALICE, since), room)
        assert told["state"]["events"] == []
        after = joined(await w.sync(ALICE, since, use_state_after=True), room)
        assert [event["event_id"] for event in after["state_after"]["events"]] == [new]
        assert "state" not in after

    play(scenario)


def test_state_changes_in_a_gap_or_out_of_the_filter_are_told_as_state(play: Play) -> None:
    async def scenario(w: World) -> None:
        room = await w.m.create_room(ALICE)
        since = (await w.sync(ALICE))["next_batch"]
        topic = await w.m.event(room, ALICE, "m.room.topic", {"topic": "new"}, state_key="")
        await w.m.member(room, BOB, "join")
        await w.m.send(room, BOB, "1")
        for filter in (limit(1), {"room": {"timeline": {"types": ["m.room.message"]}}}):
            told = joined(await w.sync(ALICE, since, filter=filter), room)
            assert bodies(told) == ["1"]
            assert topic in [event["event_id"] for event in told["state"]["events"]]
            assert ("m.room.member", BOB) in types(told["state"]["events"])

    play(scenario)


def test_the_state_filter_chooses_types(play: Play) -> None:
    async def scenario(w: World) -> None:
        room = await w.m.create_room(ALICE)
        filter = {"room": {"timeline": {"limit": 1}, "state": {"types": ["m.room.create"]}}}
        assert types(joined(await w.sync(ALICE, filter=filter), room)["state"]["events"]) == [("m.room.create", "")]
        filter = {"room": {"timeline": {"limit": 1}, "state": {"not_senders": [ALICE]}}}
        assert joined(await w.sync(ALICE, filter=filter), room)["state"]["events"] == []

    play(scenario)


def test_full_state_tells_all_state_and_only_new_events(play: Play) -> None:
    async def scenario(w: World) -> None:
        room = await w.m.create_room(ALICE)
        since = (await w.sync(ALICE))["next_batch"]
        told = joined(await w.sync(ALICE, since, full_state=True), room)
        assert ("m.room.create", "") in types(told["state"]["events"])
        assert told["timeline"]["events"] == []

    play(scenario)


def test_lazy_loading_tells_the_members_who_speak(play: Play) -> None:
    async def scenario(w: World) -> None:
        naming = NewRoomEvent(type="m.room.name", state_key="", content={"name": "n"})
        room = await w.m.create_room(ALICE, events=[naming])
        for user in (BOB, CAROL, DAVE):
            await w.m.member(room, user, "join")
        for number in range(10):
            await w.m.send(room, BOB, str(number))

        def members(body: Body) -> set[str | None]:
            return {key for kind, key in types(joined(body, room)["state"]["events"]) if kind == "m.room.member"}

        first = await w.sync(ALICE, filter=LAZY)
        assert members(first) == {ALICE, BOB}
        await w.m.send(room, BOB, "again")
        await w.m.send(room, CAROL, "first")
        second = await w.sync(ALICE, first["next_batch"], filter=LAZY)
        assert members(second) == {CAROL}
        assert await w.sync(ALICE, first["next_batch"], filter=LAZY) == second  # a repeat has the same
        assert members(await w.sync(ALICE, first["next_batch"], filter=REDUNDANT)) == {BOB, CAROL}
        assert members(await w.sync(ALICE, first["next_batch"], filter=LAZY, device_id="OTHER")) == {BOB, CAROL}
        await w.m.member(room, DAVE, "join", displayname="Dave")
        for number in range(11):
            await w.m.send(room, BOB, str(number))
        third = await w.sync(ALICE, second["next_batch"], filter=LAZY)
        assert members(third) == {DAVE}  # changed in the gap

    play(scenario)


def test_heroes_of_a_nameless_room_come_with_their_members(play: Play) -> None:
    async def scenario(w: World) -> None:
        room = await w.m.create_room(ALICE)
        await w.m.member(room, BOB, "join")
        await w.m.member(room, ALICE, "invite", CAROL)
        for number in range(10):
            await w.m.send(room, ALICE, str(number))
        body = await w.sync(ALICE, filter=LAZY)
        told = joined(body, room)
        expected = {"m.heroes": [BOB, CAROL], "m.joined_member_count": 2, "m.invited_member_count": 1}
        assert told["summary"] == expected
        assert ("m.room.member", CAROL) in types(told["state"]["events"])
        await w.m.send(room, ALICE, "nothing changed")
        assert "summary" not in joined(await w.sync(ALICE, body["next_batch"]), room)
        await w.m.member(room, BOB, "leave")
        await w.m.member(room, ALICE, "leave", CAROL)
        assert joined(await w.sync(ALICE, body["next_batch"]), room)["summary"]["m.heroes"] == [BOB, CAROL]
        await w.m.event(room, ALICE, "m.room.name", {"name": "named"}, state_key="")
        assert "m.heroes" not in joined(await w.sync(ALICE), room)["summary"]

    play(scenario)


# --- timelines ----------------------------------------------------------------------------------------------------


def test_a_timeline_does_not_cross_a_gap_or_history(play: Play) -> None:
    async def scenario(w: World) -> None:
        room = await w.m.create_room(ALICE)
        since = (await w.sync(ALICE))["next_batch"]
        await w.m.send(room, ALICE, "1")
        await w.m.send(room, ALICE, "2")
        behind = await w.head()
        await w.m.send(room, ALICE, "3")
        await w.m.db.execute("INSERT INTO room_gap VALUES (%s, %s, -1, '{}')", (room, behind))
        for token in (None, since):
            told = joined(await w.sync(ALICE, token), room)
            assert bodies(told) == ["2", "3"]
            assert told["timeline"]["limited"] is True
            assert told["timeline"]["prev_batch"] == f"t{behind}_-1"
        await w.m.db.execute("DELETE FROM room_gap")
        await w.m.db.execute(
            "UPDATE timeline SET order_pos = %s, order_sub = -1 WHERE order_pos = %s", (behind, behind - 1)
        )
        told = joined(await w.sync(ALICE, since), room)
        assert (bodies(told), told["timeline"]["limited"]) == (["2", "3"], True)

    play(scenario)


@pytest.mark.parametrize("number", [3, 120])
def test_a_filter_reads_on_until_it_has_enough(play: Play, number: int) -> None:
    async def scenario(w: World) -> None:
        room = await w.m.create_room(ALICE)
        for _ in range(2):
            await w.m.event(room, ALICE, "org.example", {"url": "mxc://a/b"})
        for one in range(number):
            await w.m.send(room, ALICE, str(one))
        for chosen in ({"types": ["org.*"]}, {"contains_url": True}):
            told = joined(await w.sync(ALICE, filter={"room": {"timeline": {"limit": 2, **chosen}}}), room)
            assert types(told["timeline"]["events"]) == [("org.example", None)] * 2

    play(scenario)


def test_messages_of_ignored_users_are_left_out_and_their_state_is_not(play: Play) -> None:
    async def scenario(w: World) -> None:
        room = await w.m.create_room(ALICE)
        since = (await w.sync(ALICE))["next_batch"]
        await w.set_data(ALICE, "m.ignored_user_list", {"ignored_users": {BOB: {}}})
        await w.m.member(room, BOB, "join")
        await w.m.send(room, BOB, "unheard")
        told = joined(await w.sync(ALICE, since), room)
        assert types(told["timeline"]["events"]) == [("m.room.member", BOB)]
        assert told["unread_notifications"]["notification_count"] == 0

    play(scenario)


def test_what_ignored_users_read_and_that_they_type_or_are_there_is_not_told(play: Play) -> None:
    async def scenario(w: World) -> None:
        room = await w.m.create_room(ALICE)
        for user_id in (BOB, CAROL):
            await w.m.member(room, user_id, "join")
        since = (await w.sync(ALICE))["next_batch"]
        said = await w.m.send(room, ALICE, "hello")
        await w.read(BOB, room, said)
        await w.read(CAROL, room, said)
        w.view.apply(1, encode_message(Typing(room, (BOB, CAROL))), NOW_MS)
        for number, user_id in enumerate((BOB, CAROL)):
            w.view.apply(2 + number, encode_message(Presence(user_id, "online", NOW_MS, True, None)), NOW_MS)
        await w.set_data(ALICE, "m.ignored_user_list", {"ignored_users": {BOB: {}, ALICE: {}}})
        for at in (None, since):
            body = await w.sync(ALICE, at)
            told = {event["type"]: event["content"] for event in joined(body, room)["ephemeral"]["events"]}
            assert told["m.typing"] == {"user_ids": [CAROL]}
            assert list(told["m.receipt"][said]["m.read"]) == [CAROL]
            assert [event["sender"] for event in body["presence"]["events"]] == [CAROL]

    play(scenario)


@pytest.mark.parametrize(("visibility", "seen"), [("joined", []), ("invited", ["2"]), ("shared", ["1", "2"])])
def test_history_is_told_as_the_room_allows(play: Play, visibility: str, seen: list[str]) -> None:
    async def scenario(w: World) -> None:
        content = {"history_visibility": visibility}
        rule = NewRoomEvent(type="m.room.history_visibility", state_key="", content=content)
        room = await w.m.create_room(ALICE, events=[rule])
        await w.m.send(room, ALICE, "1")
        await w.m.member(room, ALICE, "invite", BOB)
        await w.m.send(room, ALICE, "2")
        await w.m.member(room, BOB, "join")
        await w.m.send(room, ALICE, "3")
        assert bodies(joined(await w.sync(BOB), room)) == [*seen, "3"]

    play(scenario)


# --- unsigned -----------------------------------------------------------------------------------------------------


def test_unsigned_is_the_readers(play: Play) -> None:
    async def scenario(w: World) -> None:
        room = await w.m.create_room(ALICE)
        await w.m.member(room, BOB, "join")
        message = {"msgtype": "m.text", "body": "x"}
        sent = await w.m.event(room, ALICE, "m.room.message", message, device_id="DEVICE", txn_id="t1")
        old = await w.m.event(room, ALICE, "m.room.topic", {"topic": "old"}, state_key="")
        new = await w.m.event(room, ALICE, "m.room.topic", {"topic": "new"}, state_key="")
        own = joined(await w.sync(ALICE), room)
        unsigned = event_of(own, sent)["unsigned"]
        assert (unsigned["transaction_id"], unsigned["membership"]) == ("t1", "join")
        assert unsigned["age"] == NOW_MS - event_of(own, sent)["origin_server_ts"]
        assert "transaction_id" not in event_of(joined(await w.sync(ALICE, device_id="B"), room), sent)["unsigned"]
        assert "transaction_id" not in event_of(joined(await w.sync(BOB), room), sent)["unsigned"]
        unsigned = event_of(own, new)["unsigned"]
        assert (unsigned["prev_content"], unsigned["replaces_state"]) == ({"topic": "old"}, old)
        create = joined(await w.sync(BOB), room)["timeline"]["events"][0]
        assert create["unsigned"]["membership"] == "leave"

    play(scenario)


def test_a_redacted_event_says_why(play: Play) -> None:
    async def scenario(w: World) -> None:
        room = await w.m.create_room(ALICE)
        sent = await w.m.send(room, ALICE, "secret")
        topic = await w.m.event(room, ALICE, "m.room.topic", {"topic": "secret"}, state_key="")
        for event_id in (sent, topic):
            content = {"redacts": event_id, "reason": "r"}
            await w.m.event(room, ALICE, "m.room.redaction", content, redacts=event_id)
        told = joined(await w.sync(ALICE), room)
        event = event_of(told, sent)
        assert event["content"] == {}
        assert event["unsigned"]["redacted_because"]["content"] == {"redacts": sent, "reason": "r"}
        (state,) = [
            event for event in joined(await w.sync(ALICE, filter=limit(1)), room)["state"]["events"]
            if event["event_id"] == topic
        ]  # fmt: skip
        assert state["unsigned"]["redacted_because"]["sender"] == ALICE

    play(scenario)


def test_aggregations_are_bundled_where_the_timeline_has_a_hole_before_it(play: Play) -> None:
    async def scenario(w: World) -> None:
        room = await w.m.create_room(ALICE)
        await w.m.member(room, BOB, "join")
        since = (await w.sync(ALICE))["next_batch"]
        root = await w.m.send(room, ALICE, "root")
        reply = await w.m.send(room, BOB, "in it", **{"m.relates_to": {"rel_type": "m.thread", "event_id": root}})
        new = {"msgtype": "m.text", "body": "edited"}
        relates = {"m.new_content": new, "m.relates_to": {"rel_type": "m.replace", "event_id": reply}}
        edit = await w.m.send(room, BOB, "* edited", **relates)
        reference = await w.m.send(room, ALICE, "r", **{"m.relates_to": {"rel_type": "m.reference", "event_id": root}})
        assert "m.relations" not in event_of(joined(await w.sync(ALICE, since), room), root)["unsigned"]
        bundled = event_of(joined(await w.sync(ALICE), room), root)["unsigned"]["m.relations"]
        assert bundled["m.reference"] == {"chunk": [{"event_id": reference}]}
        thread = bundled["m.thread"]
        assert (thread["count"], thread["current_user_participated"]) == (1, True)
        assert thread["latest_event"]["event_id"] == reply
        assert thread["latest_event"]["unsigned"]["m.relations"]["m.replace"]["event_id"] == edit
        await w.set_data(ALICE, "m.ignored_user_list", {"ignored_users": {BOB: {}}})
        bundled = event_of(joined(await w.sync(ALICE), room), root)["unsigned"]["m.relations"]
        assert set(bundled) == {"m.reference"}

    play(scenario)


def test_formats_and_fields_of_events_are_the_filters(play: Play) -> None:
    async def scenario(w: World) -> None:
        room = await w.m.create_room(ALICE)
        await w.m.send(room, ALICE, "x")
        (event,) = joined(await w.sync(ALICE, filter={"event_format": "federation", **limit(1)}), room)["timeline"][
            "events"
        ]
        assert {"prev_events", "hashes", "signatures"} <= set(event)
        filter = {"event_fields": ["content.body"], **limit(1)}
        (event,) = joined(await w.sync(ALICE, filter=filter), room)["timeline"]["events"]
        assert set(event) == {"type", "event_id", "sender", "origin_server_ts", "content"}  # what an event must have
        assert event["content"] == {"body": "x"}

    play(scenario)


# --- receipts, account data, what is ephemeral --------------------------------------------------------------------


def receipts(room: Body) -> list[Body]:
    return [event["content"] for event in room["ephemeral"]["events"] if event["type"] == "m.receipt"]


def test_receipts_are_told_by_thread_and_private_ones_to_their_user(play: Play) -> None:
    async def scenario(w: World) -> None:
        room = await w.m.create_room(ALICE)
        await w.m.member(room, BOB, "join")
        sent = await w.m.send(room, ALICE, "x")
        since = (await w.sync(ALICE))["next_batch"]
        await w.read(BOB, room, sent)
        await w.read(BOB, room, sent, thread="main")
        await w.read(BOB, room, sent, "m.read.private")
        told = receipts(joined(await w.sync(ALICE, since), room))
        assert [list(one[sent]) for one in told] == [["m.read"], ["m.read"]]
        assert [one[sent]["m.read"][BOB].get("thread_id") for one in told] == [None, "main"]
        own = receipts(joined(await w.sync(BOB, since), room))
        assert set(own[0][sent]) == {"m.read", "m.read.private"}
        for number in range(12):
            await w.m.send(room, ALICE, str(number))
        assert receipts(joined(await w.sync(ALICE), room)) == []  # of no event that is told
        assert len(receipts(joined(await w.sync(BOB), room))) == 2  # his own
        filter = {"room": {"ephemeral": {"not_types": ["m.receipt"]}}}
        assert receipts(joined(await w.sync(BOB, filter=filter), room)) == []

    play(scenario)


def test_account_data_is_told_as_it_changes_and_push_rules_always_are_whole(play: Play) -> None:
    async def scenario(w: World) -> None:
        room = await w.m.create_room(ALICE)
        first = await w.sync(ALICE)
        (rules,) = first["account_data"]["events"]
        assert rules["type"] == "m.push_rules"
        assert rules["content"]["global"]["override"][0]["rule_id"] == ".m.rule.master"
        await w.set_data(ALICE, "org.example", {"a": 1})
        await w.set_data(ALICE, "m.tag", {"tags": {}}, room)
        body = await w.sync(ALICE, first["next_batch"])
        assert body["account_data"]["events"] == [{"type": "org.example", "content": {"a": 1}}]
        assert joined(body, room)["account_data"]["events"] == [{"type": "m.tag", "content": {"tags": {}}}]
        filter = {"account_data": {"types": []}, "room": {"account_data": {"types": []}}}
        none = await w.sync(ALICE, first["next_batch"], filter=filter)
        assert not {"account_data", "rooms"} & set(none)

    play(scenario)


def test_typing_and_presence_come_from_the_view(play: Play) -> None:
    async def scenario(w: World) -> None:
        room = await w.m.create_room(ALICE)
        await w.m.member(room, BOB, "join")
        since = (await w.sync(ALICE))["next_batch"]
        w.view.apply(10, encode_message(Typing(room, (BOB,))), NOW_MS)
        w.view.apply(11, encode_message(Presence(BOB, "online", NOW_MS - 5, True, "hi")), NOW_MS)
        w.view.apply(12, encode_message(Presence(CAROL, "online", NOW_MS, True, None)), NOW_MS)
        body = await w.sync(ALICE, since)
        typing = {"type": "m.typing", "content": {"user_ids": [BOB]}}
        assert typing in joined(body, room)["ephemeral"]["events"]
        (presence,) = body["presence"]["events"]
        assert presence["sender"] == BOB
        expected = {"presence": "online", "currently_active": True, "last_active_ago": 5, "status_msg": "hi"}
        assert presence["content"] == expected
        assert "rooms" not in await w.sync(ALICE, body["next_batch"])
        w.view.apply(13, encode_message(Typing(room, ())), NOW_MS)
        stopped = joined(await w.sync(ALICE, body["next_batch"]), room)["ephemeral"]["events"]
        assert stopped == [{"type": "m.typing", "content": {"user_ids": []}}]
        assert "presence" not in await w.sync(ALICE, since, filter={"presence": {"types": []}})

    play(scenario)


def test_who_comes_to_share_a_room_is_shown_as_he_is(play: Play) -> None:
    """However long ago that changed, and whoever of them came."""

    async def scenario(w: World) -> None:
        room, other = await w.m.create_room(ALICE), await w.m.create_room(CAROL)
        for counter, user in ((10, BOB), (11, ALICE), (12, CAROL)):
            w.view.apply(counter, encode_message(Presence(user, "online", NOW_MS, True, None)), NOW_MS)
        w.view.apply(13, encode_message(Presence(CAROL, "offline", NOW_MS, False, None)), NOW_MS)
        alice, bob = [(await w.sync(user))["next_batch"] for user in (ALICE, BOB)]
        await w.m.member(room, BOB, "join")
        await w.m.member(other, BOB, "join")
        for user, since, sees in ((ALICE, alice, BOB), (BOB, bob, ALICE)):
            body = await w.sync(user, since)
            assert [event["sender"] for event in body["presence"]["events"]] == [sees]
            assert "presence" not in await w.sync(user, body["next_batch"])
            assert "presence" not in await w.sync(user, since, filter={"presence": {"not_senders": [sees]}})

    play(scenario)


def test_what_encryption_will_fill_is_there_in_its_empty_form(play: Play) -> None:
    async def scenario(w: World) -> None:
        first = await w.sync(ALICE)
        assert (first["device_one_time_keys_count"], first["device_unused_fallback_key_types"]) == ({}, [])
        assert "device_lists" not in first
        second = await w.sync(ALICE, first["next_batch"].replace("_0_", "_7_"))
        assert second["device_lists"] == {"changed": [], "left": []}
        assert second["next_batch"].split("_")[1] == "7"

    play(scenario)
