"""Reports of rooms, events and users, and what operators read of them."""

from urllib.parse import quote

from tests.workers.client.room_world import RoomWorld, play, room_path

NOT_FOUND = (404, "M_NOT_FOUND")
FORBIDDEN = (403, "M_FORBIDDEN")
REPORTS = "/_synapse/admin/v1/event_reports"


def report_path(room_id: str, event_id: str) -> str:
    return room_path(room_id, f"report/{quote(event_id, safe='')}")


def test_reports_are_kept_for_operators(database_url: str) -> None:
    async def scenario(world: RoomWorld) -> None:
        alice, bob = await world.user("alice"), await world.user("bob")
        admin = await world.user("admin", admin=True)
        room_id = await alice.create(preset="public_chat", name="Lounge", room_alias_name="lounge")
        await bob.join(room_id)
        spam = await alice.send(room_id, "spam")
        await bob.ok("POST", report_path(room_id, spam), {"reason": "spam", "score": -(10**20) // 10**12})
        await bob.ok("POST", report_path(room_id, await alice.send(room_id)), {})
        await bob.ok("POST", room_path(room_id, "report"), {"reason": ""})
        await bob.ok("POST", f"/users/{quote(alice.user_id)}/report", {"reason": "rude"})
        await bob.ok("POST", "/users/@stranger:elsewhere/report", {"reason": "rude"})
        page = await admin.ok("GET", REPORTS)
        assert (page["total"], len(page["event_reports"]), "next_token" in page) == (2, 2, False)
        first = page["event_reports"][1]
        assert first == {
            "id": first["id"],
            "received_ts": world.now_ms,
            "user_id": bob.user_id,
            "reason": "spam",
            "room_id": room_id,
            "event_id": spam,
            "sender": alice.user_id,
            "score": -1_000_000,
            "name": "Lounge",
            "canonical_alias": "#lounge:test",
        }
        assert (await admin.ok("GET", REPORTS, limit=1))["next_token"] == 1
        assert (await admin.ok("GET", REPORTS, from_=1, dir="f"))["event_reports"][0]["reason"] == ""
        assert (await admin.ok("GET", REPORTS, user_id=alice.user_id))["total"] == 0
        assert (await admin.ok("GET", REPORTS, room_id=room_id))["total"] == 2
        one = f"{REPORTS}/{first['id']}"
        assert (await admin.ok("GET", one))["event_json"]["content"]["body"] == "spam"
        await admin.ok("DELETE", one)
        assert await admin.refused("GET", one) == NOT_FOUND
        assert await admin.refused("DELETE", one) == NOT_FOUND
        assert (await admin.refused("GET", f"{REPORTS}/x"))[0] == 400
        assert (await admin.refused("GET", REPORTS, dir="x"))[0] == 400
        assert await bob.refused("GET", REPORTS) == FORBIDDEN
        assert (await world.ask("GET", "/_viaduct/admin/v1/reports")).status in (400, 403)

    play(database_url, scenario)


def test_what_is_not_there_or_not_for_the_reporter_cannot_be_reported(database_url: str) -> None:
    async def scenario(world: RoomWorld) -> None:
        alice, bob = await world.user("alice"), await world.user("bob")
        readable = [{"type": "m.room.history_visibility", "content": {"history_visibility": "world_readable"}}]
        room_id = await alice.create(initial_state=readable)
        event_id = await alice.send(room_id)
        assert await bob.refused("POST", report_path(room_id, event_id), {"reason": "x"}) == NOT_FOUND
        assert await alice.refused("POST", report_path(room_id, "$nothing"), {"reason": "x"}) == NOT_FOUND
        assert await bob.refused("POST", room_path("!nowhere:test", "report"), {"reason": "x"}) == NOT_FOUND
        assert await bob.refused("POST", "/users/@nobody:test/report", {"reason": "x"}) == NOT_FOUND
        assert (await bob.refused("POST", "/users/nobody/report", {"reason": "x"}))[0] == 400
        for reason in ("x" * 4_001, "\0", None, 7):
            assert (await bob.refused("POST", room_path(room_id, "report"), {"reason": reason}))[0] == 400
        assert (await bob.refused("POST", room_path(room_id, "report"), {}))[0] == 400

    play(database_url, scenario)
