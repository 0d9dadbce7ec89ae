"""What is bundled with events keeps to what the reader may see: where he left, while he was away, in other rooms."""

import pytest

from hs_common.replication.calls import NewRoomEvent
from tests.workers.sync.conftest import Play
from tests.workers.sync.world import ALICE, BOB, CAROL, Body, World, joined

ARCHIVED = {"room": {"include_leave": True, "timeline": {"limit": 50}}}


def related(rel_type: str, event_id: str) -> Body:
    return {"m.relates_to": {"rel_type": rel_type, "event_id": event_id}}


def edit_of(event_id: str) -> Body:
    return {"m.new_content": {"msgtype": "m.text", "body": "edited"}, **related("m.replace", event_id)}


def bundles(room: Body) -> list[Body]:
    """The bundled aggregations in a timeline."""
    unsigned = [event["unsigned"] for event in room["timeline"]["events"]]
    return [one["m.relations"] for one in unsigned if "m.relations" in one]


async def _relate(w: World, room: str, root: str, edited: str) -> str:
    """An edit, a thread and a reference; the event in the thread."""
    await w.m.send(room, ALICE, "* edited", **edit_of(edited))
    await w.m.send(room, ALICE, "about it", **related("m.reference", root))
    return await w.m.send(room, ALICE, "in the thread", **related("m.thread", root))


@pytest.mark.parametrize("membership", ["leave", "ban"])
def test_who_is_out_hears_of_nothing_that_came_later(play: Play, membership: str) -> None:
    async def scenario(w: World) -> None:
        room = await w.m.create_room(ALICE)
        await w.m.member(room, BOB, "join")
        since = (await w.sync(BOB))["next_batch"]
        await w.m.send(room, ALICE, "left out by the limit")
        root, edited = await w.m.send(room, ALICE, "root"), await w.m.send(room, ALICE, "original")
        reply = await w.m.send(room, ALICE, "early", **related("m.thread", root))
        await w.m.member(room, BOB if membership == "leave" else ALICE, membership, BOB)
        await _relate(w, room, root, edited)
        limited = {"room": {"timeline": {"limit": 4}}}
        for answer in (await w.sync(BOB, filter=ARCHIVED), await w.sync(BOB, since, filter=limited)):
            (bundle,) = bundles(answer["rooms"]["leave"][room])
            assert list(bundle) == ["m.thread"]
            assert (bundle["m.thread"]["count"], bundle["m.thread"]["latest_event"]["event_id"]) == (1, reply)
        assert len(bundles(joined(await w.sync(ALICE, filter=ARCHIVED), room))) == 2

    play(scenario)


def test_what_was_said_while_the_reader_was_away_is_not_bundled_either(play: Play) -> None:
    async def scenario(w: World) -> None:
        joined_only = NewRoomEvent(
            type="m.room.history_visibility", state_key="", content={"history_visibility": "joined"}
        )
        room = await w.m.create_room(ALICE, events=[joined_only])
        await w.m.member(room, BOB, "join")
        root, edited = await w.m.send(room, ALICE, "root"), await w.m.send(room, ALICE, "original")
        await w.m.member(room, BOB, "leave")
        await _relate(w, room, root, edited)
        await w.m.member(room, BOB, "join")
        told = bundles(joined(await w.sync(BOB, filter=ARCHIVED), room))
        assert [list(bundle) for bundle in told] == [["m.reference"]]  # an id, of which nothing can be learnt
        newest = await w.m.send(room, ALICE, "now", **related("m.thread", root))
        (bundle,) = bundles(joined(await w.sync(BOB, filter=ARCHIVED), room))
        assert bundle["m.thread"]["latest_event"]["event_id"] == newest

    play(scenario)


def test_events_of_other_rooms_do_not_relate_to_anything_here(play: Play) -> None:
    async def scenario(w: World) -> None:
        room = await w.m.create_room(ALICE)
        root = await w.m.send(room, ALICE, "root")
        elsewhere = await w.m.create_room(CAROL)
        for rel_type in ("m.reference", "m.thread", "m.replace"):
            await w.m.send(elsewhere, CAROL, "intruding", **related(rel_type, root))
        assert bundles(joined(await w.sync(ALICE, filter=ARCHIVED), room)) == []

    play(scenario)
