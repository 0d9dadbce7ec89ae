"""The extension that tells which threads went on."""

from typing import Any

import pytest

from hs_common.reading import thread_updates
from tests.workers.sync.conftest import Play
from tests.workers.sync.live import Live
from tests.workers.sync.sliding.client import ask, ask_unstable
from tests.workers.sync.world import ALICE, BOB, Body, World

NAME = "io.element.msc4360.threads"


def asked(limit: int = 10, name: str = "threads", end: int = 0, **extension: Any) -> Body:
    """A window of the newest room, and the extension."""
    lists = {"main": {"range": [0, end], "timeline_limit": limit, "required_state": {}}}
    return {"lists": lists, "extensions": {name: {"enabled": True, **extension}}}


def updates(answer: Body, name: str = "threads") -> Body:
    found: Body = answer["extensions"].get(name, {}).get("updates", {})
    return found


async def reply(w: World, room: str, root: str, sender: str = BOB, body: str = "reply") -> str:
    return await w.m.send(room, sender, body, **{"m.relates_to": {"rel_type": "m.thread", "event_id": root}})


async def two_rooms(w: World) -> tuple[str, str, Live]:
    rooms = [await w.m.create_room(ALICE) for _ in range(2)]
    for room in rooms:
        await w.m.member(room, BOB, "join")
    live = Live(w)
    live.start()
    return rooms[0], rooms[1], live


def test_threads_that_the_answer_does_not_tell_are_told(play: Play) -> None:
    async def scenario(w: World) -> None:
        out_of_sight, seen, live = await two_rooms(w)
        far, near = await w.m.send(out_of_sight, ALICE, "root"), await w.m.send(seen, ALICE, "root")
        first = await ask(live, ALICE, asked())
        assert first["extensions"] == {}
        await reply(w, out_of_sight, far)
        await reply(w, seen, near)
        second = await ask(live, ALICE, {**asked(), "pos": first["pos"]})
        assert list(second["rooms"]) == [seen]
        assert updates(second) == {out_of_sight: {far: {}}}
        quiet = await ask(live, ALICE, {**asked(), "pos": second["pos"]})
        assert quiet["extensions"] == {}
        for _ in range(3):
            newest = await reply(w, seen, near)
        cut = await ask(live, ALICE, {**asked(limit=1), "pos": quiet["pos"]})
        assert [event["event_id"] for event in cut["rooms"][seen]["timeline"]] == [newest]
        assert list(updates(cut)) == [seen]
        assert updates(cut)[seen][near].keys() == {"prev_batch"}
        await reply(w, seen, near)
        with_roots = await ask(live, ALICE, {**asked(include_roots=True), "pos": cut["pos"]})
        thread = updates(with_roots)[seen][near]["thread_root"]
        assert (thread["event_id"], thread["unsigned"]["m.relations"]["m.thread"]["count"]) == (near, 5)

    play(scenario)


def test_each_thread_once_the_latest_first_as_far_as_there_is_room(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(w: World) -> None:
        room, other, live = await two_rooms(w)
        roots = [await w.m.send(room, ALICE, "root") for _ in range(3)]
        for root in (roots[0], roots[1], roots[0], roots[2]):
            await reply(w, room, root)
        await w.m.send(other, ALICE, "newest")
        first = await ask(live, ALICE, asked(limit=1))
        assert list(updates(first)[room]) == [roots[2], roots[0], roots[1]]
        assert "prev_batch" not in first["extensions"]["threads"]
        two = await ask(live, ALICE, asked(limit=2))
        assert list(updates(two)[room]) == [roots[2], roots[0], roots[1]]
        few = await ask(live, ALICE, {**asked(), "extensions": {"threads": {"enabled": True, "limit": 1}}})
        assert list(updates(few)[room]) == [roots[2]]
        assert few["extensions"]["threads"]["prev_batch"].startswith("t")
        monkeypatch.setattr(thread_updates, "REPLIES_LOOKED_AT", 2)
        looked = await ask(live, ALICE, asked())
        assert list(updates(looked)[room]) == [roots[2], roots[0]]
        assert "prev_batch" in looked["extensions"]["threads"]

    play(scenario)


def test_ignored_users_and_rooms_that_were_left_are_none(play: Play) -> None:
    async def scenario(w: World) -> None:
        room, left, live = await two_rooms(w)
        root, gone = await w.m.send(room, ALICE, "root"), await w.m.send(left, ALICE, "root")
        redacted = await reply(w, room, root)
        await reply(w, left, gone)
        await w.m.event(room, BOB, "m.room.redaction", {}, redacts=redacted)
        await w.m.member(left, ALICE, "leave")
        assert updates(await ask(live, ALICE, asked(limit=0))) == {}
        await reply(w, room, root)
        assert updates(await ask(live, ALICE, asked(limit=0))) == {room: {root: {}}}
        await w.set_data(ALICE, "m.ignored_user_list", {"ignored_users": {BOB: {}}})
        assert updates(await ask(live, ALICE, asked(limit=0))) == {}

    play(scenario)


def test_the_name_it_has_until_it_is_merged(play: Play) -> None:
    async def scenario(w: World) -> None:
        room, other, live = await two_rooms(w)
        root = await w.m.send(room, ALICE, "root")
        await reply(w, room, root)
        await w.m.send(other, ALICE, "newest")
        assert updates(await ask(live, ALICE, asked(name=NAME)), NAME) == {room: {root: {}}}
        lists = {"main": {"ranges": [[0, 0]], "timeline_limit": 1, "required_state": []}}
        body = {"lists": lists, "extensions": {NAME: {"enabled": True}}}
        first = await ask_unstable(live, ALICE, body)
        assert updates(first, NAME) == {room: {root: {}}}
        assert updates(await ask_unstable(live, ALICE, body, first["pos"]), NAME) == {}

    play(scenario)
