"""Transactions: what is checked before the answer, what is staged, and what becomes of it."""

from typing import Any

import pytest
from twisted.internet.defer import Deferred

from hs_common.matrix.errors import MatrixError
from hs_workers.federation_inbound import in_vain, room_queues
from tests.reactor import sleep
from tests.workers.federation_inbound.writing_world import FAR, WritingWorld, play

BOB = f"@bob:{FAR}"


@pytest.mark.parametrize("version", ["1", "6", "11", "12"])
def test_events_arrive_in_their_room(database_url: str, version: str) -> None:
    async def scenario(world: WritingWorld) -> None:
        room = world.far.room(version)
        await world.enter(room)
        events = [room.say("one"), room.join(BOB), room.say("two", BOB)]
        results = await world.send(*events)
        assert results == {event.event_id: {} for event in events}
        await world.settled()
        assert (await world.timeline(room.room_id))[-3:] == [event.event_id for event in events]
        assert await world.staged() == 0
        count = len(world.link.calls)
        assert await world.send(*events) == results, "a repeat has the same answer"
        await world.settled()
        assert len(await world.timeline(room.room_id)) == 4
        assert len(world.link.calls) == count + 1

    play(database_url, scenario)


def test_missing_events_are_fetched(database_url: str) -> None:
    async def scenario(world: WritingWorld) -> None:
        room = world.far.room()
        await world.enter(room)
        events = [room.say(str(number)) for number in range(30)]
        await world.send(events[-1])
        await world.settled()
        assert (await world.timeline(room.room_id))[1:] == [event.event_id for event in events]
        assert set(world.fetched) == {"missing events"}

    play(database_url, scenario)


def test_where_the_way_back_is_too_long_the_state_is_asked_for(database_url: str) -> None:
    async def scenario(world: WritingWorld) -> None:
        room = world.far.room()
        await world.enter(room)
        for number in range(200):
            room.say(str(number))
        room.join(BOB)
        for number in range(200):
            room.say(str(number), BOB)
        last = room.say("last", BOB)
        await world.send(last)
        await world.settled()
        timeline = await world.timeline(room.room_id)
        assert timeline[-1] == last.event_id
        assert 50 < len(timeline) < 300
        assert "state" in world.fetched
        gaps = await world.db.fetch("SELECT wanted FROM room_gap WHERE room_id = %s", (room.room_id,))
        assert len(gaps) == 2, "one from the join, one behind what was fetched"

    play(database_url, scenario)


def test_what_is_wrong_is_named_and_dropped(database_url: str) -> None:
    async def scenario(world: WritingWorld) -> None:
        room, other = world.far.room(), world.far.room()
        await world.enter(room)
        good = room.say("good")
        forged = room.compose("m.room.message", {}, sender="@victim:other.example")
        forged_pdu = {**forged.pdu, "signatures": {FAR: dict(good.pdu["signatures"][FAR])}}
        large = {**good.pdu, "content": {"body": "x" * 70_000}}
        elsewhere = other.say("nobody of us is here")
        results = await world.send(good, forged_pdu, large, elsewhere, {"no": "room"}, {"room_id": 5})
        assert results[good.event_id] == {}
        assert "no signature" in results[forged.event_id]["error"]
        assert await world.staged() <= 1
        await world.settled()
        assert await world.status(good) == 0
        assert await world.status(forged) is None
        assert await world.status(elsewhere) is None

    play(database_url, scenario)


def test_many_branches_in_one_transaction(database_url: str) -> None:
    async def scenario(world: WritingWorld) -> None:
        room = world.far.room()
        await world.enter(room)
        fork = list(room.heads)
        branches = [room.compose("m.room.message", {"body": str(number)}, prev=fork) for number in range(40)]
        assert len(await world.send(*branches)) == 40
        await world.settled()
        assert await world.staged() == 0
        assert {event.event_id for event in branches} <= set(await world.timeline(room.room_id))

    play(database_url, scenario)


def test_limits(database_url: str) -> None:
    async def scenario(world: WritingWorld) -> None:
        large: list[dict[str, Any]] = [{"pdus": [{}] * 51}, {"pdus": [], "edus": [{}] * 101}]
        bad: list[dict[str, Any]] = [{"pdus": {}}, {"pdus": [], "edus": "x"}]
        for body in large:
            assert await world.refused("PUT", "/_matrix/federation/v1/send/t", body) == (413, "M_TOO_LARGE")
        for wrong in bad:
            assert await world.refused("PUT", "/_matrix/federation/v1/send/t", wrong) == (400, "M_BAD_JSON")
        of_another = {"origin": "other.example", "pdus": []}
        assert await world.refused("PUT", "/_matrix/federation/v1/send/t", of_another) == (403, "M_FORBIDDEN")
        assert await world.send() == {}

    play(database_url, scenario)


def test_servers_that_a_room_denies_send_nothing(database_url: str) -> None:
    async def scenario(world: WritingWorld) -> None:
        room = world.far.room()
        await world.enter(room)
        acl = room.send("m.room.server_acl", {"allow": ["*"], "deny": ["evil.example"]}, state_key="")
        await world.send(acl)
        await world.settled()
        event = room.say("relayed")
        results = await world.send(event, origin="evil.example")
        assert "denies" in results[event.event_id]["error"]
        assert await world.send(event) == {event.event_id: {}}

    play(database_url, scenario)


def test_what_comes_while_the_room_is_being_joined_is_held(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room_queues, "JOINING_RETRY_S", 0.1)

    async def scenario(world: WritingWorld) -> None:
        room, is_asked, goes_on = world.far.room(), Deferred[None](), Deferred[None]()

        async def slowly(server: str, path: str, body: Any, receive: Any) -> None:
            answer = world.servers._ask(server, "PUT", path, {}, body)
            is_asked.callback(None)
            await goes_on
            await world.servers._stream(answer, receive)

        monkeypatch.setattr(world.servers, "put_streaming", slowly)
        joining = Deferred.fromCoroutine(world.enter(room))
        await is_asked
        event = room.say("to whom has come, and does not know it yet")
        assert await world.send(event) == {event.event_id: {}}
        await sleep(0.3)
        assert (await world.status(event), await world.staged()) == (None, 1)
        goes_on.callback(None)
        await joining
        await _until_nothing_is_staged(world)
        assert await world.status(event) == 0
        assert (await world.timeline(room.room_id))[-1] == event.event_id

    play(database_url, scenario)


def test_a_restart_loses_nothing_that_was_answered(database_url: str) -> None:
    async def scenario(world: WritingWorld) -> None:
        room = world.far.room()
        await world.enter(room)
        await world.parts.stop()
        events = [room.say(str(number)) for number in range(3)]
        assert await world.send(*events) == {event.event_id: {} for event in events}
        assert await world.staged() == 3
        assert await world.status(events[0]) is None
        await world.parts.start()
        await _until_nothing_is_staged(world)
        assert (await world.timeline(room.room_id))[1:] == [event.event_id for event in events]

    play(database_url, scenario)


def test_events_that_cannot_be_completed_wait_without_holding_up_others(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(in_vain, "WAIT_FACTOR", 0.0)  # who has sent it again is asked again at once

    async def scenario(world: WritingWorld) -> None:
        room, other = world.far.room(), world.far.room()
        await world.enter(room)
        await world.enter(other)
        room.say("never sent")
        last = room.say("cites it")
        world.servers.down.add(FAR)
        await world.send(last, other.say("another room"))
        await world.settled()
        assert len(await world.timeline(other.room_id)) == 2
        assert await world.status(last) is None
        assert await world.staged() == 1
        world.servers.down.clear()
        await world.send(last)  # again from its server, which says that it is there
        await _until_nothing_is_staged(world)
        assert (await world.timeline(room.room_id))[-1] == last.event_id

    play(database_url, scenario)


async def _until_nothing_is_staged(world: WritingWorld) -> None:
    for _ in range(100):
        await world.parts.queues.look()
        await world.settled()
        if await world.staged() == 0:
            return
        await sleep(0.05)  # the shares have to be taken anew
    raise AssertionError("events are still staged")


def test_what_is_in_vain_is_charged_and_what_is_good_pays(database_url: str) -> None:
    async def scenario(world: WritingWorld) -> None:
        room = world.far.room()
        await world.enter(room)
        good = room.say("good")
        unsigned = [{**room.compose("m.room.message", {"n": n}).pdu, "signatures": {}} for n in range(50)]
        for _ in range(2):
            await world.send(good, edus=[{"edu_type": "m.typing", "content": {"user_id": "@x:other.example"}}] * 100)
            await world.settled()
        world.accounts.admit(FAR)
        assert len(world.accounts) == 1
        before = len(world.link.calls)
        for _ in range(80):
            await world.send(*unsigned)
        assert len(world.link.calls) == before
        with pytest.raises(MatrixError) as asked:
            world.accounts.admit(FAR)
        assert asked.value.status == 429
        world.accounts.admit("near.example")

    play(database_url, scenario)


def test_a_transaction_that_comes_again_is_not_seen_to_again(database_url: str) -> None:
    async def scenario(world: WritingWorld) -> None:
        room = world.far.room()
        await world.enter(room)
        body = {"pdus": [dict(room.say("once").pdu)], "edus": []}
        path = "/_matrix/federation/v1/send/again"
        first = await world.ask("PUT", path, body)
        await world.settled()
        calls = len(world.link.calls)
        assert await world.ask("PUT", path, body) == first
        await world.settled()
        assert len(world.link.calls) == calls

    play(database_url, scenario)
