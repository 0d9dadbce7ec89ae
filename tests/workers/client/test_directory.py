"""Aliases and the published room directory."""

from typing import Any
from urllib.parse import quote

from hs_common.reading.directory_memory import KEPT_S, SEARCHED_LENGTH, DirectoryMemory
from hs_common.reading.published_rooms import PublishedRooms, Search
from hs_common.storage.queries import Arguments, Queries, Row
from tests.workers.client.room_world import RoomWorld, play, room_path

FORBIDDEN = (403, "M_FORBIDDEN")
NOT_FOUND = (404, "M_NOT_FOUND")
INVALID = (400, "M_INVALID_PARAM")


class CountingReads:
    """Reads of a database, with the rooms whose members were counted."""

    def __init__(self, db: Queries) -> None:
        self._db = db
        self.counted: list[list[str]] = []

    async def fetch(self, sql: str, args: Arguments = ()) -> list[Row]:
        if "count(*)" in sql:
            assert isinstance(args, tuple)
            self.counted.append(args[0])
        return await self._db.fetch(sql, args)

    async def fetch_one(self, sql: str, args: Arguments = ()) -> Row | None:
        return await self._db.fetch_one(sql, args)

    async def execute(self, sql: str, args: Arguments = ()) -> int:
        return await self._db.execute(sql, args)


def alias_path(alias: str) -> str:
    return f"/directory/room/{quote(alias)}"


def test_aliases_are_set_read_and_removed(database_url: str) -> None:
    async def scenario(world: RoomWorld) -> None:
        alice, bob = await world.user("alice"), await world.user("bob")
        room_id = await alice.create(preset="public_chat")
        body = {"room_id": room_id}
        await alice.ok("PUT", alias_path("#one:test"), body)
        assert await alice.refused("PUT", alias_path("#one:test"), body) == (409, "M_UNKNOWN")
        assert await bob.refused("PUT", alias_path("#two:test"), body) == FORBIDDEN
        for alias in ("one:test", "#one", "#one:elsewhere.org"):
            assert await alice.refused("PUT", alias_path(alias), body) == INVALID
        assert await alice.refused("PUT", alias_path("#two:test"), {"room_id": "x"}) == INVALID
        assert await alice.refused("PUT", alias_path("#two:test"), {}) == (400, "M_MISSING_PARAM")
        assert await alice.refused("PUT", alias_path("#two:test"), {"room_id": "!no:test"}) == NOT_FOUND
        found = await world.ask("GET", alias_path("#one:test"))
        assert found.json == {"room_id": room_id, "servers": ["test"]}
        for alias, error in (("#no:test", NOT_FOUND), ("#no:elsewhere.org", (502, "M_UNKNOWN")), ("nonsense", INVALID)):
            assert await alice.refused("GET", alias_path(alias)) == error
        assert await bob.refused("GET", room_path(room_id, "aliases")) == FORBIDDEN
        await bob.join(room_id)
        assert await bob.ok("GET", room_path(room_id, "aliases")) == {"aliases": ["#one:test"]}
        await bob.ok("PUT", alias_path("#bobs:test"), body)
        assert await bob.refused("DELETE", alias_path("#one:test")) == FORBIDDEN
        await alice.ok("DELETE", alias_path("#bobs:test"))
        await bob.ok("PUT", alias_path("#bobs:test"), body)
        await bob.ok("DELETE", alias_path("#bobs:test"))
        assert await alice.refused("DELETE", alias_path("#bobs:test")) == NOT_FOUND
        admin = await world.user("admin", admin=True)
        await admin.ok("DELETE", alias_path("#one:test"))

    play(database_url, scenario)


def test_rooms_are_published_and_found(database_url: str) -> None:
    async def scenario(world: RoomWorld) -> None:
        alice, bob = await world.user("alice"), await world.user("bob")
        pub = await alice.create(visibility="public", name="The Pub", topic="Beer", room_alias_name="pub")
        space = await alice.create(visibility="public", name="Space", creation_content={"type": "m.space"})
        await alice.create(name="Private")
        await bob.join(pub)
        page = (await world.ask("GET", "/publicRooms")).json
        assert page == {
            "chunk": [
                {
                    "room_id": pub,
                    "name": "The Pub",
                    "topic": "Beer",
                    "canonical_alias": "#pub:test",
                    "num_joined_members": 2,
                    "world_readable": False,
                    "guest_can_join": False,
                    "join_rule": "public",
                },
                {
                    "room_id": space,
                    "name": "Space",
                    "num_joined_members": 1,
                    "world_readable": False,
                    "guest_can_join": False,
                    "join_rule": "public",
                    "room_type": "m.space",
                },
            ],
            "total_room_count_estimate": 2,
        }

        async def found(**body: Any) -> list[str]:
            return [room["room_id"] for room in (await bob.ok("POST", "/publicRooms", body))["chunk"]]

        assert await found(filter={"generic_search_term": "bEEr"}) == [pub]
        assert await found(filter={"generic_search_term": "#pub"}) == [pub]
        assert await found(filter={"generic_search_term": "private"}) == []
        assert await found(filter={"room_types": ["m.space"]}) == [space]
        assert await found(filter={"room_types": [None]}) == [pub]
        assert await found(filter={"room_types": [None, "m.space"]}) == [pub, space]
        assert await found(third_party_instance_id="irc") == []
        assert await found(include_all_networks=True) == [pub, space]
        path = f"/directory/list/room/{quote(space)}"
        assert (await world.ask("GET", path)).json == {"visibility": "public"}
        assert await bob.refused("PUT", path, {"visibility": "private"}) == FORBIDDEN
        assert await alice.refused("PUT", path, {"visibility": "hidden"}) == (400, "M_BAD_JSON")
        await alice.ok("PUT", path, {"visibility": "private"})
        assert await found() == [pub]
        await alice.ok("PUT", path, {})
        assert await found() == [pub, space]
        missing = "/directory/list/room/!none:test"
        assert await alice.refused("GET", missing) == NOT_FOUND
        assert await alice.refused("PUT", missing, {}) == NOT_FOUND

    play(database_url, scenario)


def test_the_directory_is_turned_over_both_ways(database_url: str) -> None:
    async def scenario(world: RoomWorld) -> None:
        alice, bob = await world.user("alice"), await world.user("bob")
        rooms = [await alice.create(visibility="public") for _ in range(5)]
        await bob.join(rooms[3])
        order = [rooms[3], *sorted(room_id for room_id in rooms if room_id != rooms[3])]
        pages, token = [], None
        for _ in range(3):
            page = await bob.ok("GET", "/publicRooms", limit=2, **({} if token is None else {"since": token}))
            pages.append([room["room_id"] for room in page["chunk"]])
            token = page.get("next_batch")
        assert (pages, token) == ([order[:2], order[2:4], order[4:]], None)
        back = await bob.ok("POST", "/publicRooms", {"limit": 2, "since": page["prev_batch"]})
        assert [room["room_id"] for room in back["chunk"]] == order[2:4]
        first = await bob.ok("POST", "/publicRooms", {"limit": 2, "since": back["prev_batch"]})
        assert [room["room_id"] for room in first["chunk"]] == order[:2]
        assert "prev_batch" not in first
        for query in ({"limit": 0}, {"since": "x"}, {"server": "not a name"}):
            assert await bob.refused("GET", "/publicRooms", **query) == INVALID
        assert await bob.refused("POST", "/publicRooms", {"limit": 0}) == INVALID
        networks = {"include_all_networks": True, "third_party_instance_id": "irc"}
        assert await bob.refused("POST", "/publicRooms", networks) == INVALID
        assert await bob.refused("POST", "/publicRooms", {"filter": 5}) == (400, "M_BAD_JSON")
        assert await bob.refused("GET", "/publicRooms", server="elsewhere.org") == NOT_FOUND
        assert len((await bob.ok("GET", "/publicRooms", server="test"))["chunk"]) == 5
        assert (await world.ask("POST", "/publicRooms", {})).errcode == "M_MISSING_TOKEN"

    play(database_url, scenario)


def test_sizes_are_counted_once_in_some_seconds_and_rooms_come_and_go_at_once(database_url: str) -> None:
    async def scenario(world: RoomWorld) -> None:
        alice, bob = await world.user("alice"), await world.user("bob")
        first = await alice.create(visibility="public", name="First")
        now, reading = [5.0], CountingReads(world.db)
        rooms = PublishedRooms(reading, DirectoryMemory(reading, lambda: now[0]))

        async def sizes(term: str = "") -> dict[str, int]:
            return {
                room["name"]: room["num_joined_members"] for room in (await rooms.find(Search(9, term=term)))["chunk"]
            }

        for _ in range(3):
            assert await sizes() == await sizes("FIR") == {"First": 1}
        assert reading.counted == [[first]]
        await bob.join(first)
        second = await alice.create(visibility="public", name="Second")
        assert await sizes() == {"First": 1, "Second": 1}
        assert await sizes("x" * SEARCHED_LENGTH) == await sizes("x" * 100_000) == {}
        now[0] += KEPT_S
        assert await sizes() == {"First": 2, "Second": 1}
        assert reading.counted == [[first], [second], sorted([first, second])]
        await alice.ok("PUT", f"/directory/list/room/{quote(first)}", {"visibility": "private"})
        assert await sizes() == await sizes("second") == {"Second": 1}

    play(database_url, scenario)
