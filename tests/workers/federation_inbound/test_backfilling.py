"""Gaps in timelines are filled with what other servers have, as far as it can be believed."""

from typing import Any

import orjson
import pytest

from hs_common.federation import backfilling
from hs_common.matrix.errors import not_found
from hs_common.storage import room_forks, room_state
from tests.common.federation.far_server import FarRoom
from tests.workers.federation_inbound.writing_world import FAR, WritingWorld, play

NEWEST = (2**62, 0)
OLDEST = (0, -(2**31))
BACKFILL = "/_matrix/federation/v1/backfill"


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
        world.far.answers[BACKFILL] = lambda path, query: {"pdus": [dict(stray.pdu), *told, {"no": "event"}]}
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


def test_a_gap_stays_while_nobody_can_be_asked_and_ends_when_nobody_has_more_time_and_again(database_url: str) -> None:
    async def scenario(world: WritingWorld) -> None:
        room = world.far.room()
        room.say("old")
        await world.enter(room)
        world.servers.down.add(FAR)
        await _fill(world, room)
        assert await _gaps(world) == 1
        world.servers.down.clear()
        world.far.answers[BACKFILL] = _refuse
        await _fill(world, room)
        assert await _gaps(world) == 1
        world.far.answers[BACKFILL] = _nothing
        for _ in backfilling.AGAIN_S:
            assert await _asked(world, room) > 0
            assert await _gaps(world) == 1
            assert await _asked(world, room) == 0, "as nobody knew just now"
            await _wait_long(world)
        assert await _asked(world, room) > 0
        assert await _gaps(world) == 0
        assert await _asked(world, room) == 0

    play(database_url, scenario)


async def _asked(world: WritingWorld, room: FarRoom) -> int:
    """How many requests it takes to read back."""
    before = len(world.servers.asked)
    await _fill(world, room)
    return len(world.servers.asked) - before


async def _wait_long(world: WritingWorld) -> None:
    await world.db.execute("UPDATE room_gap SET again_ms = 0")


def _nothing(path: str, query: object) -> object:
    return {"pdus": []}


def test_who_had_the_same_gap_is_asked_again_when_he_may_have_filled_it(database_url: str) -> None:
    async def scenario(world: WritingWorld) -> None:
        room = world.far.room()
        room.say("old")
        await world.enter(room)
        world.far.answers[BACKFILL] = _nothing
        await _fill(world, room)
        del world.far.answers[BACKFILL]
        await _wait_long(world)
        await _fill(world, room)
        assert await world.timeline(room.room_id) == list(room.events)
        assert await _gaps(world) == 0

    play(database_url, scenario)


def test_others_are_asked_when_some_know_no_more(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(world: WritingWorld) -> None:
        room = world.far.room()
        room.say("old")
        await world.enter(room)
        names = [FAR, *(f"server{number}.example" for number in range(2 * backfilling.SERVERS))]

        async def servers(*asked: object) -> list[str]:
            return names

        monkeypatch.setattr(room_state, "servers", servers)
        for name in names[1:]:
            world.servers.servers[name] = world.far
        world.far.answers[BACKFILL] = _nothing
        for _ in range(3):
            await _fill(world, room)
            await _wait_long(world)
        asked = [server for server, what in world.servers.asked if what == "backfill"]
        assert asked == [*names, *names[: 3 * backfilling.SERVERS - len(names)]]

    play(database_url, scenario)


def test_what_is_here_as_mere_state_takes_its_place_where_nobody_gives_it(database_url: str) -> None:
    """Who sent it may have left: then nobody in the room knows where it belongs, but by what cites it."""

    async def scenario(world: WritingWorld) -> None:
        room = world.far.room()
        old = room.say("old")
        for number in range(3):
            room.send("m.room.topic", {"topic": str(number)}, state_key=str(number))
        await world.enter(room)

        def answer(path: str, query: Any) -> object:
            if old.event_id not in query["v"]:
                return _nothing(path, query)
            del world.far.answers[BACKFILL]
            return world.far.ask("GET", path, query, None)

        world.far.answers[BACKFILL] = answer
        await _fill(world, room)
        assert await world.timeline(room.room_id) == list(room.events)
        assert await _gaps(world) == 0

    play(database_url, scenario)


def test_what_is_here_without_state_and_is_not_allowed_is_not_shown(database_url: str) -> None:
    async def scenario(world: WritingWorld) -> None:
        room, other = world.far.room(), world.far.room()
        room.say("old")
        await world.enter(room)
        await world.enter(other)
        stray = room.send("m.room.topic", {"topic": "not allowed"}, sender=f"@eve:{FAR}", state_key="")
        topic = other.send("m.room.topic", {"topic": "of another room"}, state_key="")
        for one, of in ((stray, room), (topic, other)):
            await world.db.execute(
                "INSERT INTO events (event_id, room_id, pos, status, json) VALUES (%s, %s, 1, 3, %s)",
                (one.event_id, of.room_id, orjson.dumps(one.pdu).decode()),
            )
        before = await world.timeline(room.room_id)
        wanted = [stray.event_id, topic.event_id]
        await world.db.execute("UPDATE room_gap SET wanted = %s WHERE room_id = %s", [wanted, room.room_id])
        world.far.answers[BACKFILL] = _nothing
        await _fill(world, room)
        assert await world.timeline(room.room_id) == before

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

        world.far.answers[BACKFILL] = _nothing
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
        path, answers = BACKFILL, world.far.answers

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
