"""Joins through other servers: what is believed of their answers, and what a failure leaves."""

from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import capturedLogs

from hs_common.federation.join_leases import HELD_S, LONGEST_S, RENEW_S, JoinLease
from hs_common.federation.sweeping import AbandonedJoins, sweep
from hs_common.matrix.canonical_json import encode
from hs_common.matrix.errors import MatrixError, forbidden
from hs_common.replication.federation_calls import AdoptRoom, Pdu, StoreEvents, SweepStoredEvents
from hs_common.storage import federated_rooms
from tests.common.federation.far_server import FarRoom, FarServer
from tests.reactor import reactor, until
from tests.workers.federation_inbound.writing_world import ALICE, FAR, WritingWorld, play

OTHER = "other.example"
SEND_JOIN = "/_matrix/federation/v2/send_join"
MAKE_JOIN = "/_matrix/federation/v1/make_join"
Json = dict[str, Any]


async def _fails(world: WritingWorld, room: FarRoom, *via: str) -> tuple[int, str]:
    with pytest.raises(MatrixError) as failure:
        await world.outgoing.rooms.join(room.room_id, ALICE, {"membership": "join"}, via or [FAR])
    return failure.value.status, failure.value.errcode


async def _nothing_is_left(world: WritingWorld, room: FarRoom) -> None:
    for table in ("rooms", "timeline", "state", "local_membership", "room_servers", "joining_rooms", "events"):
        rows = await world.db.fetch(f"SELECT 1 FROM {table} WHERE room_id = %s", (room.room_id,))
        assert rows == [], table


def _answering(world: WritingWorld, room: FarRoom, change: Any) -> None:
    def answer(path: str, body: Any) -> Any:
        del world.far.answers[SEND_JOIN]
        told: Json = world.far.ask("PUT", path, {}, body)
        return change(told) or told

    world.far.answers[SEND_JOIN] = answer


def test_answers_that_are_not_believed(database_url: str) -> None:
    async def scenario(world: WritingWorld) -> None:
        room, other = world.far.room(), world.far.room()
        changes = [
            lambda told: told["state"].clear() or told["auth_chain"].clear(),
            lambda told: told.update(state=[pdu for pdu in told["state"] if pdu["type"] != "m.room.create"]),
            lambda told: told.update(event=dict(other.say("another event").pdu)),
            lambda told: told.update(event={"no": "event"}),
            lambda told: [pdu.update(signatures={}) for pdu in told["state"] + told["auth_chain"]] and None,
            lambda told: [told],
            lambda told: told.pop("state") and None,
        ]
        for change in changes:
            _answering(world, room, change)
            status, _ = await _fails(world, room)
            assert status >= 400
            await _nothing_is_left(world, room)
        await world.enter(room)
        assert await world.membership(room.room_id) == "join"

    play(database_url, scenario)


@pytest.mark.parametrize("version", ["11", "12"])
def test_state_is_believed_in_whatever_order_it_is_told(database_url: str, version: str) -> None:
    """Since version 12 no event cites the create event by which all are judged."""

    def backwards(told: Json) -> None:
        for name in ("state", "auth_chain"):
            told[name].sort(key=lambda pdu: pdu["depth"], reverse=True)

    async def scenario(world: WritingWorld) -> None:
        room = world.far.room(version)
        room.say("something")
        _answering(world, room, backwards)
        await world.enter(room)
        rows = await world.db.fetch("SELECT 1 FROM events WHERE room_id = %s AND status = 2", (room.room_id,))
        assert rows == []
        assert len(await world.db.fetch("SELECT 1 FROM state WHERE room_id = %s", (room.room_id,))) == len(room.state)

    play(database_url, scenario)


def _without_rules(told: Json) -> None:
    told["state"] = [pdu for pdu in told["state"] if pdu["type"] != "m.room.join_rules"]


def test_what_a_failed_join_has_stored_is_swept_away(database_url: str) -> None:
    """The master finds at last that the state does not allow the join; by then all of it is stored."""

    async def scenario(world: WritingWorld) -> None:
        room = world.far.room("11")
        for number in range(600):
            room.join(f"@user{number}:{FAR}")
        _answering(world, room, _without_rules)
        assert await _fails(world, room) == (403, "M_FORBIDDEN")
        assert sum(isinstance(call, SweepStoredEvents) for call in world.link.calls) == 2
        await _nothing_is_left(world, room)

    play(database_url, scenario)


def test_what_was_left_behind_is_found_later(database_url: str) -> None:
    async def scenario(world: WritingWorld) -> None:
        room = world.far.room("11")
        stored = [Pdu(event_id=one.event_id, pdu=encode(one.pdu)) for one in room.state.values()]
        call = StoreEvents(room_id=room.room_id, room_version="11", events=stored)
        abandoned = AbandonedJoins(world.db, world.link, reactor)
        attempts = ["00000000-0000-0000-0000-000000000001", "00000000-0000-0000-0000-000000000002"]
        assert await federated_rooms.begin_joining(world.db, room.room_id, "11", attempts[0], 1_000.0)
        await world.link.call(call)
        await sweep(world.db, world.link, room.room_id, attempts[1])
        await abandoned.look()
        assert await _count(world, room) == len(stored), "another attempt goes on"
        await federated_rooms.give_up_joining(world.db, room.room_id, attempts[0])
        await abandoned.look()
        await _nothing_is_left(world, room)

    play(database_url, scenario)


def test_a_join_stands_as_long_as_it_says_so(database_url: str) -> None:
    """Time goes by in the database, and on the clock of whoever joins."""

    async def scenario(world: WritingWorld) -> None:
        room_id, attempt, clock = "!r:x", "00000000-0000-0000-0000-000000000001", Clock()

        async def begun() -> JoinLease:
            assert await federated_rooms.begin_joining(world.db, room_id, "11", attempt, HELD_S)
            lease = JoinLease(world.db, clock, room_id, attempt)
            lease.start()
            return lease

        async def pass_by(lease: JoinLease, seconds: float) -> None:
            await world.db.execute("UPDATE joining_rooms SET until = until - make_interval(secs => %s)", (seconds,))
            clock.advance(seconds)
            await until(lambda: clock.getDelayedCalls() or lease._is_lost)

        lease = await begun()
        for _ in range(8):
            await pass_by(lease, RENEW_S)
            assert await federated_rooms.is_being_joined(world.db, room_id)
        lease.check()
        lease.stop()
        await world.db.execute("UPDATE joining_rooms SET until = until - make_interval(secs => %s)", (HELD_S,))
        assert not await federated_rooms.is_being_joined(world.db, room_id), "its process has died"
        lease = await begun()
        await pass_by(lease, HELD_S)  # the database was away
        with pytest.raises(MatrixError):
            lease.check()
        lease = await begun()
        await pass_by(lease, RENEW_S)
        lease.check()
        clock.advance(LONGEST_S)
        await until(lambda: lease._is_lost)

    play(database_url, scenario)


async def _count(world: WritingWorld, room: FarRoom) -> int:
    return len(await world.db.fetch("SELECT 1 FROM events WHERE room_id = %s", (room.room_id,)))


def test_templates_that_are_not_believed(database_url: str) -> None:
    async def scenario(world: WritingWorld) -> None:
        room, other = world.far.room(), world.far.room()
        good = world.far.ask("GET", f"{MAKE_JOIN}/{room.room_id}/{ALICE}", {}, None)
        wrong: list[Any] = [
            {},
            [],
            {**good, "room_version": "99"},
            {**good, "room_version": "1"},
            *({**good, "event": {**good["event"], **change}} for change in (
                {"type": "m.room.topic"}, {"state_key": "@x:y"}, {"sender": "@x:y"}, {"room_id": other.room_id},
                {"content": {"membership": "leave"}}, {"content": 5}, {"prev_events": "x"}, {"depth": "deep"},
            )),
        ]  # fmt: skip
        for template in wrong:
            world.far.answers[MAKE_JOIN] = _always(template)
            status, _ = await _fails(world, room)
            assert status >= 400, template
        assert not any(what == "send_join" for _, what in world.servers.asked)
        await _nothing_is_left(world, room)

    play(database_url, scenario)


def _always(answer: Any) -> Callable[[str, Any], Any]:
    return lambda path, query: answer


def test_the_next_server_is_tried(database_url: str) -> None:
    async def scenario(world: WritingWorld) -> None:
        room = world.far.room()
        other = FarServer(OTHER)
        world.servers.servers[OTHER] = other
        assert await _fails(world, room, "down.example", OTHER) == (404, "M_NOT_FOUND")
        assert await world.outgoing.rooms.join(
            room.room_id, ALICE, {"membership": "join"}, ["down.example", OTHER, FAR]
        )
        assert await world.membership(room.room_id) == "join"
        closed = world.far.room()
        world.far.answers[MAKE_JOIN] = _refuse
        count = len(world.servers.asked)
        assert await _fails(world, closed, FAR, OTHER) == (403, "M_FORBIDDEN")
        assert len(world.servers.asked) == count + 1, "a refusal is final"

    play(database_url, scenario)


def _refuse(path: str, query: Any) -> Any:
    raise forbidden("You are not invited")


def test_joins_of_one_room_at_the_same_time(database_url: str) -> None:
    async def scenario(world: WritingWorld) -> None:
        room = world.far.room()
        joins = [
            Deferred.fromCoroutine(
                world.outgoing.rooms.join(room.room_id, f"@u{number}:test", {"membership": "join"}, [FAR])
            )
            for number in range(3)
        ]
        assert sorted([await one for one in joins]) == [False, False, True]
        assert sum(isinstance(call, AdoptRoom) for call in world.link.calls) == 1

    play(database_url, scenario)


def test_a_large_room(database_url: str) -> None:
    async def scenario(world: WritingWorld) -> None:
        room = world.far.room("11")
        for number in range(700):
            room.join(f"@user{number}:{FAR}")
        await world.enter(room)
        rows = await world.db.fetch(
            "SELECT 1 FROM state WHERE room_id = %s AND membership = 'join' AND to_pos = 9223372036854775807",
            (room.room_id,),
        )
        assert len(rows) == 702

    play(database_url, scenario)


def test_a_join_without_all_of_the_state_is_told_of(database_url: str) -> None:
    """Who could not join a room with an old event of a server that is gone could join no old room."""

    async def scenario(world: WritingWorld) -> None:
        room = world.far.room()
        room.join(f"@dora:{OTHER}")
        world.keys.unknown.add(OTHER)
        await world.enter(room)
        assert await world.membership(room.room_id) == "join"
        assert [one["count"] for one in logs if "is joined without" in str(one.get("log_format"))] == [1]

    with capturedLogs() as logs:
        play(database_url, scenario)
