"""Gaps in timelines are filled with what other servers have, as far as it can be believed."""

from typing import Any

import pytest

from hs_common.federation import backfilling
from hs_common.matrix.errors import not_found
from hs_common.storage import room_forks, room_state
from tests.common.federation.far_server import FarRoom
from tests.workers.federation_inbound.writing_world import FAR, WritingWorld, play

NEWEST = (2**62, 0)
OLDEST = (0, -(2**31))


async def _fill(world: WritingWorld, room: FarRoom, wanted: int = 1000) -> None:
    await world.outgoing.backfilling.fill(room.room_id, NEWEST, OLDEST, wanted)


async def _gaps(world: WritingWorld) -> int:
    return len(await world.db.fetch("SELECT 1 FROM room_gap"))


@pytest.mark.parametrize("version", ["1", "6", "12"])
def test_all_history_comes_in_order(database_url: str, version: str) -> None:
    async def scenario(world: WritingWorld) -> None:
        room = world.far.room(version)
        bob = f"@bob:{FAR}"
        room.join(bob)
        for number in range(120):
            room.say(str(number), bob)
        room.member(bob, "leave")
        everything = list(room.events)
        await world.enter(room)
        await _fill(world, room, 10)
        some = await world.timeline(room.room_id)
        assert 10 < len(some) < len(everything)
        await _fill(world, room)
        assert await world.timeline(room.room_id) == list(room.events)
        assert await _gaps(world) == 0

    play(database_url, scenario)


def test_what_does_not_belong_is_left_out(database_url: str) -> None:
    async def scenario(world: WritingWorld) -> None:
        room = world.far.room()
        for number in range(5):
            room.say(str(number))
        forged = room.put(room.compose("m.room.message", {"body": "forged"}, sender="@victim:other.example"))
        not_allowed = room.say("never joined", f"@eve:{FAR}")
        await world.enter(room)
        stray = room.compose("m.room.message", {"body": "nobody cites it"}, prev=[not_allowed.event_id])
        honest = world.far.ask("GET", f"/_matrix/federation/v1/backfill/{room.room_id}", _before(room), None)["pdus"]
        forged_pdu = {**forged.pdu, "signatures": {"other.example": {"ed25519:k1": "A" * 86}}}
        told = [pdu if pdu["content"].get("body") != "forged" else forged_pdu for pdu in honest]
        path = "/_matrix/federation/v1/backfill"
        world.far.answers[path] = lambda path, query: {"pdus": [dict(stray.pdu), *told, {"no": "event"}]}
        await _fill(world, room)
        here = await world.timeline(room.room_id)
        assert stray.event_id not in here
        assert forged.event_id not in here
        assert not_allowed.event_id not in here
        assert await _gaps(world) <= 1

    play(database_url, scenario)


def _before(room: FarRoom) -> dict[str, object]:
    join = room.events[room.heads[0]]
    return {"v": list(join.prev_event_ids), "limit": 100}


def test_a_gap_stays_while_nobody_can_be_asked_and_ends_when_nobody_has_more(database_url: str) -> None:
    async def scenario(world: WritingWorld) -> None:
        room = world.far.room()
        room.say("old")
        await world.enter(room)
        world.servers.down.add(FAR)
        await _fill(world, room)
        assert await _gaps(world) == 1
        world.servers.down.clear()
        world.far.answers["/_matrix/federation/v1/backfill"] = _refuse
        await _fill(world, room)
        assert await _gaps(world) == 1
        world.far.answers["/_matrix/federation/v1/backfill"] = lambda path, query: {"pdus": []}
        await _fill(world, room)
        assert await _gaps(world) == 0
        count = len(world.servers.asked)
        await _fill(world, room)
        assert len(world.servers.asked) == count

    play(database_url, scenario)


def test_a_gap_stays_while_somebody_who_may_have_more_does_not_tell(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who answers that there is no more may have a gap there too."""

    async def scenario(world: WritingWorld) -> None:
        room = world.far.room()
        room.say("old")
        await world.enter(room)
        servers = await room_state.servers(world.db, room.room_id, 10)

        async def with_another(*asked: object) -> list[str]:
            return [*servers, "another.example"]

        world.far.answers["/_matrix/federation/v1/backfill"] = lambda path, query: {"pdus": []}
        monkeypatch.setattr(room_state, "servers", with_another)
        world.servers.down.add("another.example")
        await _fill(world, room)
        assert await _gaps(world) == 1
        assert "another.example" in str(world.servers.asked)

    play(database_url, scenario)


def test_a_gap_ends_when_what_it_wants_has_come_otherwise(database_url: str) -> None:
    async def scenario(world: WritingWorld) -> None:
        room = world.far.room()
        room.say("old")
        await world.enter(room)
        (join,) = await world.timeline(room.room_id)
        await world.db.execute("UPDATE room_gap SET wanted = %s", [[join]])
        world.servers.down.add(FAR)
        await _fill(world, room)
        assert await _gaps(world) == 0

    play(database_url, scenario)


def test_a_gap_that_does_not_move_hides_no_older_one(database_url: str) -> None:
    async def scenario(world: WritingWorld) -> None:
        room = world.far.room()
        room.say("old")
        await world.enter(room)
        path, answers = "/_matrix/federation/v1/backfill", world.far.answers

        def answer(asked: str, query: Any) -> object:
            if "$newer" in query["v"]:
                return _refuse(asked, query)
            del answers[path]
            return world.far.ask("GET", asked, query, None)

        answers[path] = answer
        await world.db.execute(
            "INSERT INTO room_gap (room_id, before_pos, next_sub, wanted)"
            " SELECT room_id, before_pos + 1, 0, ARRAY['$newer'] FROM room_gap"
        )
        await _fill(world, room)
        assert await world.timeline(room.room_id) == list(room.events)
        assert await world.db.fetch("SELECT wanted FROM room_gap") == [(["$newer"],)]

    play(database_url, scenario)


def _refuse(path: str, query: object) -> object:
    raise not_found("no")


@pytest.mark.parametrize("page", [100, 2])
def test_history_goes_on_behind_what_was_soft_failed(
    database_url: str, monkeypatch: pytest.MonkeyPatch, page: int
) -> None:
    """What is shown to nobody stands in no timeline: what is missing before it is missing before those who cite it."""
    monkeypatch.setattr(backfilling, "PAGE", page)
    monkeypatch.setattr(backfilling, "PAGES", 20)

    async def scenario(world: WritingWorld) -> None:
        room = world.far.room("11")
        bob = f"@bob:{FAR}"
        room.join(bob)
        room.say("before it", bob)
        state = dict(room.state)
        late = room.say("comes late", bob)
        room.before[late.event_id] = state
        room.say("after it")
        room.member(bob, "ban", room.creator)
        await world.enter(room)
        world.far.answers["/_matrix/federation/v1/get_missing_events"] = lambda path, body: {"events": []}
        await world.send(late)
        await world.settled()
        assert await world.status(late) == room_forks.SOFT_FAILED
        await _fill(world, room)
        assert await world.timeline(room.room_id) == [one for one in room.events if one != late.event_id]
        assert await _gaps(world) == 0

    play(database_url, scenario)
