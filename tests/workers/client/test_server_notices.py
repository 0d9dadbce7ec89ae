"""The server writes to its users: each in one room of his own, which he knows by its tag and cannot answer in."""

from typing import Any

from hs_common.replication.calls import DeactivateUser, SetUserState
from tests.workers.client.room_world import RoomWorld, User, play

SEND = "/_synapse/admin/v1/send_server_notice"
NOTICES: dict[str, Any] = {"localpart": "notices", "room_topic": "News", "avatar_url": "mxc://test/a"}
SENDER = "@notices:test"


async def people(world: RoomWorld) -> tuple[User, User]:
    admin, bob = await world.user("admin"), await world.user("bob")
    await world.link.call(SetUserState(user_id=admin.user_id, admin=True))
    return admin, bob


def notice(user: User, body: str = "Hear, hear") -> dict[str, Any]:
    return {"user_id": user.user_id, "content": {"msgtype": "m.text", "body": body}}


async def room_of(world: RoomWorld, user: User) -> str:
    [[room]] = await world.db.fetch("SELECT room_id FROM server_notice_rooms WHERE user_id = %s", (user.user_id,))
    return str(room)


def test_a_user_has_one_room_of_notices(database_url: str) -> None:
    async def scenario(world: RoomWorld) -> None:
        admin, bob = await people(world)
        first = (await admin.ok("POST", SEND, notice(bob)))["event_id"]
        room = await room_of(world, bob)
        assert await bob.refused("POST", f"/rooms/{room}/leave", {}) == (403, "M_CANNOT_LEAVE_SERVER_NOTICE_ROOM")
        leaving = await bob.ask("PUT", f"/rooms/{room}/state/m.room.member/{bob.user_id}", {"membership": "leave"})
        assert (leaving.status, leaving.errcode) == (403, "M_CANNOT_LEAVE_SERVER_NOTICE_ROOM")
        await bob.join(room)
        second = (await admin.ok("PUT", f"{SEND}/t1", notice(bob, "once")))["event_id"]
        assert (await admin.ok("PUT", f"{SEND}/t1", notice(bob, "once")))["event_id"] == second
        assert await room_of(world, bob) == room
        assert {first, second} <= {event["event_id"] for event in (await bob.messages(room, limit=100))["chunk"]}
        event = await bob.event(room, second)
        assert (event["sender"], event["content"]["body"]) == (SENDER, "once")
        assert await bob.state(room, "m.room.name") == {"name": "Server notices"}
        assert (await bob.state(room, "m.room.avatar"))["url"] == "mxc://test/a"
        assert (await bob.state(room, "m.room.create"))["m.federate"] is False
        member = await bob.state(room, "m.room.member", SENDER)
        assert member["displayname"] == "Server notices"
        assert await world.data(bob, "m.tag", room) == {"tags": {"m.server_notice": {}}}
        refused = await bob.ask("PUT", f"/rooms/{room}/send/m.room.message/t", {"msgtype": "m.text", "body": "re"})
        assert refused.status == 403

    play(database_url, scenario, server_notices=NOTICES)


def test_who_has_left_is_invited_again_and_keeps_his_tags(database_url: str) -> None:
    async def scenario(world: RoomWorld) -> None:
        admin, bob = await people(world)
        await admin.ok("POST", SEND, notice(bob))
        room = await room_of(world, bob)
        await bob.join(room)
        await bob.ok("POST", f"/rooms/{room}/leave", {})
        await world.set_room_data(bob, room, "m.tag", {"tags": {"u.x": {"order": 0.5}}})
        await admin.ok("POST", SEND, notice(bob))
        assert await room_of(world, bob) == room
        assert (await world.data(bob, "m.tag", room))["tags"] == {"u.x": {"order": 0.5}, "m.server_notice": {}}
        await bob.join(room)

    play(database_url, scenario, server_notices=NOTICES)


def test_who_blocks_invites_is_in_the_room_at_once(database_url: str) -> None:
    async def scenario(world: RoomWorld) -> None:
        admin, bob = await people(world)
        await bob.set_account_data("m.invite_permission_config", {"default_action": "block"})
        sent = (await admin.ok("POST", SEND, notice(bob)))["event_id"]
        room = await room_of(world, bob)
        assert (await bob.event(room, sent))["content"]["body"] == "Hear, hear"
        assert await world.data(bob, "m.tag", room) == {"tags": {"m.server_notice": {}}}
        await bob.ok("POST", f"/rooms/{room}/leave", {})
        again = (await admin.ok("POST", SEND, notice(bob, "once more")))["event_id"]
        assert (await bob.event(room, again))["content"]["body"] == "once more"

    play(database_url, scenario, server_notices=NOTICES)


def test_who_was_invited_before_he_blocked_invites_is_brought_in(database_url: str) -> None:
    async def scenario(world: RoomWorld) -> None:
        admin, bob = await people(world)
        await admin.ok("POST", SEND, notice(bob))
        await bob.set_account_data("m.invite_permission_config", {"default_action": "block"})
        sent = (await admin.ok("POST", SEND, notice(bob)))["event_id"]
        assert (await bob.state(await room_of(world, bob), "m.room.member", bob.user_id))["membership"] == "join"
        assert await bob.event(await room_of(world, bob), sent)

    play(database_url, scenario, server_notices=NOTICES)


def test_notices_are_for_administrators_and_for_users_of_this_server(database_url: str) -> None:
    async def scenario(world: RoomWorld) -> None:
        admin, bob = await people(world)
        assert await bob.refused("POST", SEND, notice(bob)) == (403, "M_FORBIDDEN")
        for user_id, refusal in (
            ("@nobody:test", (404, "M_NOT_FOUND")),
            ("@bob:elsewhere", (404, "M_NOT_FOUND")),
            (SENDER, (404, "M_NOT_FOUND")),
            ("bob", (400, "M_INVALID_PARAM")),
        ):
            assert await admin.refused("POST", SEND, {**notice(bob), "user_id": user_id}) == refusal
        assert await admin.refused("POST", SEND, {"user_id": bob.user_id}) == (400, "M_MISSING_PARAM")
        await world.link.call(DeactivateUser(user_id=bob.user_id))
        assert await admin.refused("POST", SEND, notice(bob)) == (404, "M_NOT_FOUND")

    play(database_url, scenario, server_notices=NOTICES)


def test_without_an_account_to_write_there_are_none(database_url: str) -> None:
    async def scenario(world: RoomWorld) -> None:
        admin, bob = await people(world)
        assert await admin.refused("POST", SEND, notice(bob)) == (400, "M_UNKNOWN")

    play(database_url, scenario)
