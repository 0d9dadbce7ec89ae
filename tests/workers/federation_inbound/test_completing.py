"""What is fetched for events that cite what is not here, and what is not taken in."""

from typing import Any
from urllib.parse import quote

import pytest

from hs_common.matrix.errors import unknown
from hs_common.storage import room_forks
from hs_workers.federation_inbound import in_vain
from tests.workers.federation_inbound.writing_world import WritingWorld, play


def test_a_branch_beside_the_join_brings_no_history(database_url: str) -> None:
    async def scenario(world: WritingWorld) -> None:
        room = world.far.room("10")
        old = [room.say(f"old {number}") for number in range(5)]
        state = dict(room.state)
        await world.enter(room)
        (join,) = await world.timeline(room.room_id)
        beside = room.put(room.compose("m.room.message", {"body": "beside"}, prev=[old[-1].event_id], state=state))
        room.before[beside.event_id] = state
        both = room.say("both")
        assert set(both.prev_event_ids) == {join, beside.event_id}
        await world.send(both)
        await world.settled()
        assert await world.timeline(room.room_id) == [join, beside.event_id, both.event_id]
        create = next(iter(room.events))
        assert (await room_forks.standings(world.db, [create])) == {create: room_forks.WITHOUT_STATE}

    play(database_url, scenario)


def test_a_state_with_a_hole_is_not_taken(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(in_vain, "WAIT_FACTOR", 0.0)  # who has sent it again is asked again at once

    def refuse(path: str, asked: Any) -> Any:
        raise unknown("not now", 502)

    async def scenario(world: WritingWorld) -> None:
        room = world.far.room("10")
        await world.enter(room)
        topic = room.send("m.room.topic", {"topic": "x"}, state_key="")
        last = room.say("last")
        way_back, event = "/_matrix/federation/v1/get_missing_events", "/_matrix/federation/v1/event/"
        event += quote(topic.event_id, safe="")
        world.far.answers = {way_back: refuse, event: refuse}
        await world.send(last)
        await world.settled()
        assert "state" in world.fetched
        assert last.event_id not in await world.timeline(room.room_id)
        del world.far.answers[event]
        await world.send(last)
        await world.settled()
        assert last.event_id in await world.timeline(room.room_id)
        current = {(row[0], row[1]): row[2] for row in await room_forks.current_state(world.db, room.room_id)}
        assert current["m.room.topic", ""] == topic.event_id

    play(database_url, scenario)
