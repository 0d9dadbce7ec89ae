"""Receipts and the fully read marker."""

from typing import Any
from urllib.parse import quote

from tests.workers.client.room_world import RoomWorld, play, room_path

INVALID = (400, "M_INVALID_PARAM")


def receipt_path(room_id: str, receipt_type: str, event_id: str) -> str:
    return room_path(room_id, f"receipt/{receipt_type}/{quote(event_id, safe='')}")


async def _stored(world: RoomWorld, room_id: str) -> set[tuple[str, str, str]]:
    rows = await world.db.fetch("SELECT receipt_type, thread_id, event_id FROM receipts WHERE room_id = %s", (room_id,))
    return {(kind, thread_id, event_id) for kind, thread_id, event_id in rows}


async def _fully_read(world: RoomWorld, room_id: str) -> Any:
    query = "SELECT content FROM account_data WHERE type = 'm.fully_read' AND room_id = %s"
    row = await world.db.fetch_one(query, (room_id,))
    return None if row is None else row[0]


def test_receipts_of_rooms_and_threads(database_url: str) -> None:
    async def scenario(world: RoomWorld) -> None:
        alice, bob = await world.user("alice"), await world.user("bob")
        room_id = await alice.create()
        root = await alice.send(room_id)
        reply = await alice.relate(room_id, "m.thread", root)
        reaction = await alice.relate(room_id, "m.annotation", reply)
        good: list[tuple[str, str, Any]] = [
            ("m.read", root, None),
            ("m.read", root, {"thread_id": "main"}),
            ("m.read", reply, {"thread_id": root}),
            ("m.read", reaction, {"thread_id": root}),
            ("m.read.private", reply, {}),
            ("m.read.private", root, {"thread_id": root}),
            ("m.fully_read", root, {}),
        ]
        for kind, event_id, body in good:
            assert await alice.ok("POST", receipt_path(room_id, kind, event_id), body) == {}
        assert await _stored(world, room_id) == {
            ("m.read", "", root),
            ("m.read", "main", root),
            ("m.read", root, reaction),
            ("m.read.private", "", reply),
            ("m.read.private", root, root),
        }
        assert await _fully_read(world, room_id) == f'{{"event_id":"{root}"}}'
        bad: list[tuple[str, str, Any]] = [
            ("m.read", reply, {"thread_id": "main"}),
            ("m.read", reply, {"thread_id": reaction}),
            ("m.read", root, {"thread_id": ""}),
            ("m.read", root, {"thread_id": 5}),
            ("m.read", root, {"thread_id": None}),
            ("m.read", root, {"thread_id": "other"}),
            ("m.fully_read", root, {"thread_id": "main"}),
            ("m.seen", root, {}),
            ("m.read", "no event id", {}),
        ]
        for kind, event_id, body in bad:
            assert await alice.refused("POST", receipt_path(room_id, kind, event_id), body) == INVALID, (kind, body)
        for body in ({}, {"thread_id": "main"}):
            missing = await alice.refused("POST", receipt_path(room_id, "m.read", "$missing"), body)
            assert missing == (404, "M_NOT_FOUND")
        assert await bob.refused("POST", receipt_path(room_id, "m.read", root)) == (403, "M_FORBIDDEN")

    play(database_url, scenario)


def test_read_markers_set_everything_at_once(database_url: str) -> None:
    async def scenario(world: RoomWorld) -> None:
        alice, bob = await world.user("alice"), await world.user("bob")
        room_id = await alice.create()
        one, two = await alice.send(room_id), await alice.send(room_id)
        path = room_path(room_id, "read_markers")
        await alice.ok("POST", path, {"m.fully_read": one, "m.read": two, "m.read.private": one})
        assert await _stored(world, room_id) == {("m.read", "", two), ("m.read.private", "", one)}
        assert await _fully_read(world, room_id) == f'{{"event_id":"{one}"}}'
        await alice.ok("POST", path, {"m.read": one})
        assert ("m.read", "", two) in await _stored(world, room_id), "receipts do not go back"
        await alice.ok("POST", path, {})
        assert await alice.refused("POST", path, {"m.read": 5}) == (400, "M_BAD_JSON")
        assert await alice.refused("POST", path, {"m.fully_read": "x"}) == INVALID
        assert await alice.refused("POST", path, {"m.fully_read": "$missing"}) == (404, "M_NOT_FOUND")
        assert await bob.refused("POST", path, {"m.read": one}) == (403, "M_FORBIDDEN")

    play(database_url, scenario)
