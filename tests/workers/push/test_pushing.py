"""Who is pushed what: by rules, receipts, ignoring, invites; in both formats; with the counts as they are now."""

import time

import orjson
import pytest

from hs_common.process.metrics import Metrics
from hs_common.replication.calls import AppendedEvents, AppendEvents, Intent, NewRoomEvent, RemovePusher, SetUserState
from hs_common.replication.federation_calls import Pdu, SetOutOfBandMembership
from hs_common.replication.room_calls import DeleteRoom
from hs_master.decisions import delete_room
from hs_workers.push import judge, missed
from hs_workers.push.lag import Lag
from tests.master.harness import START_MS
from tests.reactor import reactor, until
from tests.workers.fake_site import HANG
from tests.workers.push.conftest import Play
from tests.workers.push.world import ALICE, BOB, CAROL, World


async def people(w: World) -> str:
    """Alice and Bob in a room; Bob has a pusher; a worker runs."""
    await w.user(ALICE)
    await w.user(BOB)
    w.start_worker()
    name = NewRoomEvent(type="m.room.name", state_key="", content={"name": "The room"})
    room = await w.room(BOB, events=[name])
    await w.pusher(BOB)
    return room


def test_a_message_is_pushed_with_all_that_a_gateway_may_know(play: Play) -> None:
    async def scenario(w: World) -> None:
        room = await people(w)
        await w.m.member(room, ALICE, "join", displayname="Alice A.")
        event_id = await w.m.send(room, ALICE, "hello")
        await until(lambda: w.gateway.received)
        [told] = w.gateway.received
        [device] = told.pop("devices")
        assert told == {
            "event_id": event_id,
            "room_id": room,
            "type": "m.room.message",
            "sender": ALICE,
            "sender_display_name": "Alice A.",
            "room_name": "The room",
            "content": {"msgtype": "m.text", "body": "hello"},
            "prio": "high",
            "counts": {"unread": 1},
        }
        assert device.pop("pushkey_ts") == 1_700_000_000
        assert device == {"app_id": "org.app", "pushkey": "key", "data": {}, "tweaks": {"sound": "default"}}
        await w.settled()

    play(scenario)


def test_event_ids_alone_are_told_to_who_wants_no_more(play: Play) -> None:
    async def scenario(w: World) -> None:
        room = await people(w)
        await w.pusher(BOB, data={"format": "event_id_only", "custom": {"a": 1}})
        event_id = await w.m.send(room, ALICE, "hello")
        await until(lambda: w.gateway.received)
        [told] = w.gateway.received
        [device] = told.pop("devices")
        assert told == {"event_id": event_id, "room_id": room, "prio": "high", "counts": {"unread": 1}}
        assert device["data"] == {"format": "event_id_only", "custom": {"a": 1}}

    play(scenario)


def test_nobody_is_told_what_he_sent_ignores_muted_or_is_not_in(play: Play) -> None:
    async def scenario(w: World) -> None:
        room = await people(w)
        await w.user(CAROL)
        await w.pusher(CAROL, "carol")
        await w.m.send(room, BOB, "own")
        await w.m.event(room, ALICE, "m.room.message", {"msgtype": "m.notice", "body": "a notice"})
        muted = await w.room(BOB)
        rule = {"rule_id": muted, "default": False, "enabled": True, "actions": []}
        await w.set_data(BOB, "m.push_rules", {"global": {"room": [rule]}})
        await w.m.send(muted, ALICE, "in a muted room")
        await w.set_data(BOB, "m.ignored_user_list", {"ignored_users": {ALICE: {}}})
        await w.m.send(room, ALICE, "ignored")
        await w.settled()
        await w.set_data(BOB, "m.ignored_user_list", {"ignored_users": {}})
        left = await w.room(BOB)
        await w.m.member(left, BOB, "leave")
        await w.m.send(left, ALICE, "after he left")
        heard = await w.m.send(room, ALICE, "heard")
        await w.settled()
        assert w.gateway.events() == [heard]

    play(scenario)


def test_nothing_is_pushed_to_who_is_locked_until_he_is_not(play: Play) -> None:
    async def scenario(w: World) -> None:
        room = await people(w)
        first = await w.m.send(room, ALICE, "before")
        await w.settled()
        await w.m.call(SetUserState(user_id=BOB, locked=True))
        await w.m.send(room, ALICE, "while he is locked")
        await w.settled()
        await w.m.call(SetUserState(user_id=BOB, locked=False))
        last = await w.m.send(room, ALICE, "after")
        await w.settled()
        assert w.gateway.events() == [first, last]

    play(scenario)


def test_rules_that_look_into_events_are_looked_into(play: Play) -> None:
    async def scenario(w: World) -> None:
        room = await people(w)
        await w.m.member(room, CAROL, "join")
        keyword = {
            "rule_id": "cake",
            "default": False,
            "enabled": True,
            "pattern": "cake*lie",
            "actions": ["notify", {"set_tweak": "sound", "value": "cake.wav"}, {"set_tweak": "highlight"}],
        }
        off = {"rule_id": ".m.rule.message", "enabled": False, "actions": [], "default": True}
        await w.set_data(BOB, "m.push_rules", {"global": {"content": [keyword], "underride": [off]}})
        await w.m.send(room, ALICE, "nothing of interest")
        event_id = await w.m.send(room, ALICE, "the Cake is a lie!")
        await w.settled()
        assert w.gateway.events() == [event_id]
        told = w.gateway.received[0]
        assert told["devices"][0]["tweaks"] == {"sound": "cake.wav", "highlight": True}
        mentioned = await w.m.send(room, ALICE, "you", **{"m.mentions": {"user_ids": [BOB]}})
        await w.settled()
        assert w.gateway.events() == [event_id, mentioned]

    play(scenario)


def test_an_invite_is_pushed_unless_it_is_hidden_or_withdrawn(play: Play) -> None:
    async def scenario(w: World) -> None:
        await people(w)
        name = NewRoomEvent(type="m.room.name", state_key="", content={"name": "New room"})
        room = await w.m.create_room(ALICE, events=[name])
        event_id = await w.m.member(room, ALICE, "invite", BOB)
        await until(lambda: w.gateway.received)
        [told] = w.gateway.received
        assert {**told, "devices": None} == {
            "event_id": event_id,
            "room_id": room,
            "type": "m.room.member",
            "sender": ALICE,
            "room_name": "New room",
            "content": {"membership": "invite"},
            "user_is_target": True,
            "prio": "high",
            "counts": {},
            "devices": None,
        }
        await w.set_data(BOB, "m.invite_permission_config", {"default_action": "block"})
        await w.m.member(await w.m.create_room(ALICE), ALICE, "invite", BOB)
        await w.settled()
        assert len(w.gateway.received) == 1

    play(scenario)


def test_what_is_read_is_told_and_what_was_read_is_not_pushed(play: Play) -> None:
    async def scenario(w: World) -> None:
        room = await people(w)
        events = [await w.m.send(room, ALICE, text) for text in "abc"]
        await w.settled()
        assert [one["counts"]["unread"] for one in w.gateway.received] == [1, 2, 3] or len(w.gateway.events()) == 3
        await w.read(BOB, room, events[1])
        await w.settled()
        assert w.gateway.badges == [1]
        await w.m.send(room, BOB, "an answer reads all")
        await w.settled()
        assert w.gateway.badges == [1, 0]
        await w.read(BOB, room, events[2])
        await w.m.send(room, BOB, "nothing more to read")
        await w.settled()
        assert w.gateway.badges == [1, 0]

    play(scenario)


def test_a_gateway_that_was_away_is_not_told_of_what_was_read_or_redacted(play: Play) -> None:
    async def scenario(w: World) -> None:
        room = await people(w)
        w.gateway.behave = lambda notification: 503
        first = await w.m.send(room, ALICE, "read")
        await until(lambda: w.gateway.asked)
        second = await w.m.send(room, ALICE, "redacted")
        third = await w.m.send(room, ALICE, "unread")
        await w.read(BOB, room, first)
        await w.m.event(room, ALICE, "m.room.redaction", {"redacts": second})
        w.gateway.behave = lambda notification: 200
        await w.settled()
        assert w.gateway.events() == [third]
        assert w.gateway.received[-1]["counts"] == {"unread": 1}
        [[failures, error]] = await w.m.db.fetch("SELECT failures, last_error FROM push_states")
        assert (failures, error) == (0, None)

    play(scenario)


def test_threads_are_read_apart(play: Play) -> None:
    async def scenario(w: World) -> None:
        room = await people(w)
        root = await w.m.send(room, ALICE, "root")
        relation = {"m.relates_to": {"rel_type": "m.thread", "event_id": root}}
        reply = await w.m.send(room, ALICE, "in the thread", **relation)
        await w.settled()
        await w.read(BOB, room, root, thread="main")
        await w.settled()
        assert w.gateway.badges == [1]
        await w.read(BOB, room, reply, thread=root, kind="m.read.private")
        await w.settled()
        assert w.gateway.badges == [1, 0]

    play(scenario)


def test_calls_are_counted_until_somebody_answers(play: Play) -> None:
    async def scenario(w: World) -> None:
        room = await people(w)
        await w.m.event(room, ALICE, "m.call.invite", {"call_id": "1", "version": "1"})
        await w.settled()
        assert w.gateway.received[-1]["counts"] == {"unread": 1, "missed_calls": 1}
        assert w.gateway.received[-1]["devices"][0]["tweaks"] == {"sound": "ring"}
        await w.m.event(room, BOB, "m.call.answer", {"call_id": "1", "version": "1"})
        await w.settled()
        assert w.gateway.received[-1]["counts"] == {"unread": 0}

    play(scenario)


def test_each_pusher_is_told_and_a_new_one_of_nothing_old(play: Play) -> None:
    async def scenario(w: World) -> None:
        room = await people(w)
        first = await w.m.send(room, ALICE, "first")
        await w.settled()
        await w.pusher(BOB, "tablet")
        second = await w.m.send(room, ALICE, "second")
        await w.settled()
        assert w.gateway.events("key") == [first, second]
        assert w.gateway.events("tablet") == [second]
        await w.m.call(RemovePusher(user_id=BOB, app_id="org.app", pushkey="key"))
        third = await w.m.send(room, ALICE, "third")
        await w.settled()
        assert w.gateway.events("key") == [first, second]
        assert w.gateway.events("tablet") == [second, third]
        await w.user(CAROL)
        await w.m.member(room, CAROL, "join")
        await w.pusher(CAROL, "tablet")  # takes it from Bob
        fourth = await w.m.send(room, ALICE, "fourth")
        await w.settled()
        assert w.gateway.events("tablet") == [second, third, fourth]

    play(scenario)


def test_a_pusher_that_its_gateway_rejects_is_removed(play: Play) -> None:
    async def scenario(w: World) -> None:
        room = await people(w)
        w.gateway.rejected = ["key", "of somebody else"]
        await w.m.send(room, ALICE, "hello")
        await until(lambda: w.gateway.received)
        await w.settled()
        for _ in range(100):
            rows = await w.m.db.fetch("SELECT 1 FROM pushers")
            if not rows:
                break
        assert rows == []
        await w.m.send(room, ALICE, "to nobody")
        await w.settled()
        assert len(w.gateway.received) == 1
        assert await w.m.db.fetch("SELECT 1 FROM push_states") == []

    play(scenario)


def test_contents_stay_here_if_the_operator_wants_it_so_and_badges_may_count_rooms(play: Play) -> None:
    async def scenario(w: World) -> None:
        w.settings = type(w.settings)(include_content=False, badge="rooms")
        room = await people(w)
        for text in "ab":
            await w.m.send(room, ALICE, text)
        await w.settled()
        told = w.gateway.received[-1]
        assert "content" not in told
        assert told["counts"] == {"unread": 1}

    play(scenario)


def test_an_invite_to_a_room_elsewhere_is_pushed_with_what_came_along(play: Play) -> None:
    async def scenario(w: World) -> None:
        await people(w)
        name = {"type": "m.room.name", "state_key": "", "sender": "@far:away", "content": {"name": "Far away"}}
        member = {"type": "m.room.member", "state_key": "@far:away", "sender": "@far:away"}
        invite = {**member, "state_key": BOB, "content": {"membership": "invite"}, "room_id": "!elsewhere:away"}
        shown = [name, {**member, "content": {"displayname": "Far"}}, {"type": 1}, "?"]
        await w.m.call(
            SetOutOfBandMembership(
                room_id="!elsewhere:away",
                room_version="10",
                user_id=BOB,
                membership="invite",
                sender="@far:away",
                event=Pdu(event_id="$invite", pdu=orjson.dumps(invite)),
                stripped_state=orjson.dumps(shown),
            )
        )
        await until(lambda: w.gateway.received)
        told = w.gateway.received[0]
        assert (told["event_id"], told["room_id"]) == ("$invite", "!elsewhere:away")
        assert (told["room_name"], told["sender_display_name"], told["user_is_target"]) == ("Far away", "Far", True)

    play(scenario)


def test_more_than_can_be_judged_at_once_is_read_later(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(w: World) -> None:
        room = await people(w)
        sent = [await w.m.send(room, ALICE, "first")]
        await w.settled()
        texts = [Intent(room_id=room, sender=ALICE, type="m.room.message", content={"msgtype": "m.text", "body": "x"})]
        answer = await w.m.call(AppendEvents(intents=texts * 30))
        assert isinstance(answer, AppendedEvents)
        sent += answer.event_ids
        await w.settled()
        assert w.gateway.events() == sent

    monkeypatch.setattr(judge, "WAITING_LIMIT", 10)
    monkeypatch.setattr(missed, "PAGE_EVENTS", 7)
    play(scenario)


def test_nothing_of_a_deleted_room_waits_to_be_pushed(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(w: World) -> None:
        room = await people(w)
        w.gateway.behave = lambda notification: HANG
        await w.m.send(room, ALICE, "hello")
        await until(lambda: w.gateway.asked)
        other = await w.room(BOB)
        await w.m.send(other, ALICE, "hello")
        behind_ms = START_MS - round(time.time() * 1000)  # the database's clock is the real one
        monkeypatch.setattr(delete_room, "CLIENTS_TOLD_WITHIN_MS", behind_ms)
        await w.m.call(DeleteRoom(room_id=room, delete_id="d", purge=True, reason=None, aliases=[], told=b"{}"))
        await w.settled_but_for(1)
        [[waits]] = await w.m.db.fetch("SELECT room_id FROM push_queue")
        assert waits == other
        w.gateway.answer_the_hung()

    play(scenario)


def test_how_much_waits_is_told_to_who_watches(play: Play) -> None:
    async def scenario(w: World) -> None:
        room = await people(w)
        w.gateway.behave = lambda notification: HANG
        await w.m.send(room, ALICE, "hello")
        await until(lambda: w.gateway.asked)
        metrics = Metrics()
        shards = w.workers[0].parts.judge.shards
        lag = Lag(w.m.db, reactor, lambda: w.now_ms + 7_000, metrics, lambda: shards, lambda: 3, lambda: None)
        await lag.start()
        await until(lambda: lag.seconds() == 7)
        told = metrics.exposition().decode()
        assert 'viaduct_queue_length{queue="push"} 1.0' in told
        assert 'viaduct_queue_length{queue="push judging"} 3.0' in told
        assert 'viaduct_queue_length{queue="push to failing gateways"} 0.0' in told
        await lag.stop()
        w.gateway.answer_the_hung()

    play(scenario)
