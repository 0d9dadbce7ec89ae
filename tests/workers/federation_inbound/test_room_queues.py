"""Rooms that are worked for at once: no server's rooms hold up another's."""

from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs

from hs_common.matrix.errors import not_found
from hs_workers.federation_inbound import in_vain, room_queues
from tests.common.federation.far_server import FarServer
from tests.reactor import sleep, until
from tests.workers.federation_inbound.writing_world import FAR, WritingWorld, play

NEAR = "near.example"


def test_a_server_that_is_slow_in_many_rooms_leaves_the_others_to_others(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room_queues, "ROOMS_OF_ORIGIN", 2)
    monkeypatch.setattr(room_queues, "ROOMS_AT_ONCE", 3)

    async def scenario(world: WritingWorld) -> None:
        near = FarServer(NEAR)
        world.servers.servers[NEAR] = near
        slow = [world.far.room() for _ in range(4)]
        quick = near.room()
        for room in (*slow, quick):
            await world.enter(room)
        answering: Deferred[None] = Deferred()
        honestly = world.servers.post

        async def post(server: str, path: str, body: Any) -> Any:
            if server == FAR:
                waits: Deferred[None] = Deferred()
                answering.addBoth(waits.callback)
                await waits
            return await honestly(server, path, body)

        monkeypatch.setattr(world.servers, "post", post)
        lost = [room.say("nobody was told of this") for room in slow]
        tips = [room.say("and then") for room in slow]
        await world.send(*tips)
        await until(lambda: len(world.parts.queues) == 2)
        event = quick.say("hello")
        await world.send(event, origin=NEAR)
        await until(lambda: len(world.parts.queues) == 2)
        assert await world.status(event) == 0
        assert [await world.status(tip) for tip in tips] == [None] * 4
        answering.callback(None)

        async def all_is_here() -> bool:
            return [await world.status(one) for one in (*lost, *tips)] == [0] * 8

        for _ in range(200):
            if await all_is_here():
                return
            await sleep(0.05)
        raise AssertionError("what waited is not taken in")

    play(database_url, scenario)


def test_who_made_us_look_in_vain_waits_and_others_of_the_room_do_not(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(in_vain, "WAIT_FACTOR", 1e6)

    async def scenario(world: WritingWorld) -> None:
        near = FarServer(NEAR)
        world.servers.servers[NEAR] = near
        room = world.far.room("11")
        near.rooms[room.room_id] = room
        await world.enter(room)
        bob = f"@bob:{NEAR}"
        await world.send(room.join(bob))
        await world.settled()

        def refuse(path: str, asked: Any) -> Any:
            raise not_found("no such event")

        world.far.answers = near.answers = {"/_matrix/federation/v1/state_ids": refuse}
        nowhere = [room.compose("m.room.message", {}, prev=["$" + f"{number:043}"]) for number in range(3)]
        await world.send(nowhere[0])
        await world.settled()
        asked = len(world.servers.asked)
        await world.send(*nowhere[1:])
        await world.settled()
        assert world.servers.asked[asked:] == [], "nothing is fetched for them"
        plain = room.say("what is plain is taken in all the same")
        await world.send(plain)
        await world.settled()
        assert await world.status(plain) == 0
        lost = room.say("nobody was told", bob)
        last = room.say("and now", bob)
        await world.send(last, origin=NEAR)
        await world.settled()
        assert [await world.status(event) for event in (lost, last)] == [0, 0]
        assert await world.staged() == 3

    play(database_url, scenario)


def test_a_fault_of_ours_is_said_and_counted_and_the_events_wait(
    database_url: str,
) -> None:
    async def scenario(world: WritingWorld) -> None:
        room = world.far.room()
        await world.enter(room)
        event = room.say("hello")
        world.link.failures = [ValueError("a bug")]
        with capturedLogs() as logs:
            await world.send(event)
            await world.settled()
        assert "a bug" in [log["log_failure"].getErrorMessage() for log in logs if "log_failure" in log]
        assert await world.db.fetch("SELECT event_id, attempts FROM inbound_pdu") == [(event.event_id, 1)]
        after = room.say("and then")
        await world.send(after)
        await world.settled()
        assert [await world.status(one) for one in (event, after)] == [0, 0]

    play(database_url, scenario)
