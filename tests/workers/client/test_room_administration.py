"""Rooms as operators look after them: lists, details, blocks, deletion down to the last row."""

import time
from typing import Any
from urllib.parse import quote

import pytest

from hs_common.http.operator_proof import HEADER
from hs_common.matrix.appservice import Namespace, Registration, encode_registration
from hs_common.replication.calls import SetAppService
from hs_master import purge_tables
from hs_master.decisions import delete_room
from hs_master.jobs import runner
from hs_workers.client.room.closed_rooms import KEPT_S
from tests.master.harness import START_MS
from tests.reactor import sleep
from tests.workers.client.room_world import RoomWorld, User, play, room_path

V1 = "/_synapse/admin/v1/rooms"
V2 = "/_synapse/admin/v2/rooms"
FORBIDDEN = (403, "M_FORBIDDEN")
NOT_FOUND = (404, "M_NOT_FOUND")


def path(room_id: str, rest: str = "", version: str = V1) -> str:
    return f"{version}/{quote(room_id)}{rest}"


async def leftovers(world: RoomWorld, room_id: str) -> dict[str, int]:
    """Rows of the room by table, of every table that knows rooms; what is kept on purpose is left out."""
    kept = ("room_deletions", "blocked_rooms", "reports")
    tables = await world.db.fetch(
        "SELECT table_name FROM information_schema.columns WHERE column_name = 'room_id' AND table_schema = 'public'"
    )
    counts = {}
    for (table,) in tables:
        if table not in kept:
            row = await world.db.fetch_one(f"SELECT count(*) FROM {table} WHERE room_id = %s", [room_id])
            assert row is not None
            counts[table] = row[0]
    return {table: count for table, count in counts.items() if count}


async def waiting(world: RoomWorld) -> int:
    """Events that services are to be told of."""
    row = await world.db.fetch_one("SELECT count(*) FROM service_events")
    assert row is not None
    return int(row[0])


async def deleted(world: RoomWorld, admin: User, room_id: str) -> None:
    """Waits until a room is deleted."""
    status = ""
    for _ in range(2_000):
        results = (await admin.ok("GET", path(room_id, "/delete_status", V2)))["results"]
        status = results[-1]["status"]
        if status == "complete":
            return
        await sleep(0.01)
    raise AssertionError(f"the room is never deleted: {status}")


def test_rooms_are_listed_and_shown(database_url: str) -> None:
    async def scenario(world: RoomWorld) -> None:
        admin, bob = await world.user("admin", admin=True), await world.user("bob")
        encrypted = [{"type": "m.room.encryption", "content": {"algorithm": "m.megolm.v1.aes-sha2"}}]
        one = await admin.create(
            name="Beta", topic="all", preset="public_chat", room_alias_name="beta", visibility="public"
        )
        two = await admin.create(name="alpha", initial_state=encrypted, creation_content={"m.federate": False})
        await bob.join(one)
        page = await admin.ok("GET", V1)
        assert (page["total_rooms"], page["offset"], "next_batch" in page) == (2, 0, False)
        by_id = {room["room_id"]: room for room in page["rooms"]}
        assert by_id[one] | {"state_events": 0} == {
            "room_id": one,
            "name": "Beta",
            "canonical_alias": "#beta:test",
            "joined_members": 2,
            "joined_local_members": 2,
            "version": "12",
            "creator": admin.user_id,
            "encryption": None,
            "federatable": True,
            "public": True,
            "join_rules": "public",
            "guest_access": "forbidden",
            "history_visibility": "shared",
            "state_events": 0,
            "room_type": None,
        }
        assert (by_id[two]["federatable"], by_id[two]["encryption"]) == (False, "m.megolm.v1.aes-sha2")

        async def order(**query: Any) -> list[str]:
            return [room["room_id"] for room in (await admin.ok("GET", V1, **query))["rooms"]]

        assert await order(order_by="joined_members") == [one, two]
        assert await order(order_by="joined_members", dir="b") == [two, one]
        assert await order(order_by="name") == [one, two]
        assert await order(search_term="BET") == await order(search_term=one) == [one]
        assert await order(public_rooms="false") == [two]
        assert await order(empty_rooms="true") == []
        first = await admin.ok("GET", V1, limit=1)
        second = await admin.ok("GET", V1, limit=1, from_=first["next_batch"])
        assert (second["prev_batch"], "next_batch" in second) == (0, False)
        details = await admin.ok("GET", path(one))
        assert (details["topic"], details["avatar"]) == ("all", None)
        assert await admin.ok("GET", path(one, "/members")) == {"members": [admin.user_id, bob.user_id], "total": 2}
        state = (await admin.ok("GET", path(one, "/state")))["state"]
        assert "m.room.create" in {event["type"] for event in state}
        for rest in ("", "/members", "/state"):
            assert await admin.refused("GET", path("!nowhere:test", rest)) == NOT_FOUND
            assert await bob.refused("GET", path(one, rest)) == FORBIDDEN
        assert (await admin.refused("GET", V1, order_by="x"))[0] == 400
        assert await bob.refused("DELETE", path(one)) == FORBIDDEN

    play(database_url, scenario)


def test_blocked_room_lets_nobody_in(database_url: str) -> None:
    async def scenario(world: RoomWorld) -> None:
        admin, bob = await world.user("admin", admin=True), await world.user("bob")
        room_id = await admin.create(preset="public_chat")
        assert await admin.ok("GET", path(room_id, "/block")) == {"block": False}
        assert await admin.ok("PUT", path(room_id, "/block"), {"block": True}) == {"block": True}
        assert await admin.ok("GET", path(room_id, "/block")) == {"block": True, "user_id": admin.user_id}
        member = room_path(room_id, f"state/m.room.member/{quote(bob.user_id)}")
        for method, where, body in (
            ("POST", room_path(room_id, "join"), {}),
            ("POST", f"/knock/{quote(room_id)}", {}),
            ("PUT", member, {"membership": "join"}),
        ):
            assert await bob.refused(method, where, body) == FORBIDDEN
        assert await admin.refused("POST", room_path(room_id, "invite"), {"user_id": bob.user_id}) == FORBIDDEN
        await admin.ok("PUT", path(room_id, "/block"), {"block": False})
        world.seconds += KEPT_S
        await bob.join(room_id)

    play(database_url, scenario)


def test_deleted_room_is_gone_to_the_last_row(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "ROOMS_OF_A_SLICE", 2)

    async def scenario(world: RoomWorld) -> None:
        admin = await world.user("admin", admin=True)
        users = [await world.user(name) for name in ("u1", "u2", "u3", "u4")]
        room_id = await admin.create(preset="public_chat", room_alias_name="gone", visibility="public", name="Gone")
        other = await admin.create(name="Stays")
        for user in users[:3]:
            await user.join(room_id)
        await admin.ok("POST", room_path(room_id, "invite"), {"user_id": users[3].user_id})
        mentions: Any = {"m.mentions": {"user_ids": [users[0].user_id]}}
        root = await admin.send(room_id, "words of it", **mentions)
        await users[0].relate(room_id, "m.thread", root)
        await users[0].ok("POST", room_path(room_id, f"receipt/m.read/{quote(root, safe='')}"), {})
        await world.set_room_data(users[0], room_id, "m.tag", {"tags": {}})
        before = await leftovers(world, other)
        assert {"timeline", "mentions", "relations", "search", "receipts", "account_data"} <= set(
            await leftovers(world, room_id)
        )
        answer = await admin.ok("DELETE", path(room_id, version=V2), {"message": "spam", "block": True})
        await deleted(world, admin, room_id)
        status = await admin.ok("GET", f"{V2}/delete_status/{answer['delete_id']}")
        assert status["status"] == "complete"
        assert status["shutdown_room"]["kicked_users"] == sorted([admin.user_id, *(user.user_id for user in users)])
        assert status["shutdown_room"]["local_aliases"] == ["#gone:test"]
        # That they left stays, so that who was away hears of it.
        assert await leftovers(world, room_id) == {"local_membership": 5}
        left = await world.db.fetch("SELECT membership, forgotten FROM local_membership WHERE room_id = %s", [room_id])
        assert left == [("leave", True)] * 5
        assert await world.db.fetch("SELECT 1 FROM jobs") == []
        assert await leftovers(world, other) == before
        assert await admin.refused("GET", path(room_id)) == NOT_FOUND
        assert await users[0].refused("GET", room_path(room_id, "state")) == FORBIDDEN
        assert (await admin.refused("GET", "/directory/room/%23gone:test")) == NOT_FOUND
        assert room_id not in (await users[0].ok("GET", "/joined_rooms"))["joined_rooms"]
        assert '"reason":"spam"' in "".join(world.logged(room_id))
        world.seconds += KEPT_S
        assert await users[0].refused("POST", room_path(room_id, "join"), {}) == FORBIDDEN
        assert await admin.refused("DELETE", path(room_id), {}) == NOT_FOUND

    play(database_url, scenario)


def test_rows_stay_until_services_were_told(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The master's clock of the tests stands in the past, the database's does not."""
    behind_ms = time.time_ns() // 1_000_000 - START_MS
    monkeypatch.setattr(delete_room, "TOLD_WITHIN_MS", behind_ms + 2_000)
    kept = Registration(id="bridge", url="http://bridge", sender_localpart="bot", users=(Namespace("@.*", False),))
    service = SetAppService(
        registration=encode_registration(kept), as_token_hash=b"x" * 32, hs_token="hs", source="command"
    )

    async def scenario(world: RoomWorld) -> None:
        await world.link.call(service)
        admin = await world.user("admin", admin=True)
        room_id = await admin.create()
        await admin.ok("DELETE", path(room_id, version=V2))

        async def status() -> str:
            results = (await admin.ok("GET", path(room_id, "/delete_status", V2)))["results"]
            return str(results[0]["status"])

        while await status() == "shutting_down":
            pass
        assert await status() == "purging"
        assert (await leftovers(world, room_id))["timeline"] > 0
        assert await waiting(world) > 0
        await deleted(world, admin, room_id)
        assert await waiting(world) == 0
        assert set(await leftovers(world, room_id)) == {"local_membership"}

    play(database_url, scenario)


def test_room_may_be_emptied_and_kept(database_url: str) -> None:
    async def scenario(world: RoomWorld) -> None:
        admin, bob = await world.user("admin", admin=True), await world.user("bob")
        room_id = await admin.create(preset="public_chat")
        await bob.join(room_id)
        told = await admin.ok("DELETE", path(room_id), {"purge": False})
        assert told["kicked_users"] == [admin.user_id, bob.user_id]
        await deleted(world, admin, room_id)
        assert (await admin.ok("GET", path(room_id, "/members")))["members"] == []
        assert (await admin.refused("DELETE", path(room_id), {"new_room_user_id": admin.user_id}))[0] == 400
        assert await admin.refused("DELETE", path("!nowhere:test"), {}) == NOT_FOUND
        assert await admin.ok("DELETE", path("!nowhere:test"), {"block": True})
        assert await admin.refused("GET", f"{V2}/delete_status/nothing") == NOT_FOUND

    play(database_url, scenario)


def test_commands_prove_the_shared_secret(database_url: str) -> None:
    async def scenario(world: RoomWorld) -> None:
        room_id = await (await world.user("alice")).create()
        base = "/_viaduct/admin/v1/rooms"
        for method, where, body in (
            ("GET", base, None),
            ("POST", f"{base}/{quote(room_id)}/delete", {}),
            ("GET", f"{base}/{quote(room_id)}/deletions", None),
            ("PUT", f"{base}/{quote(room_id)}/block", {"block": True}),
        ):
            assert (await world.ask(method, where, body)).status == 403
        assert HEADER

    play(database_url, scenario, registration={"shared_secret": "x" * 32})


def test_every_statement_of_a_purge_has_its_own_name() -> None:
    names = [write.name for write in purge_tables.WRITES]
    assert len(names) == len(set(names))
