"""Two Viaducts share rooms over TLS, in both directions: what their users see."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from tests.federation.pair import A, B, Pair
from tests.federation.steps import becomes, gets, loses, membership, rooms, sees, until
from tests.scenarios.client import Json, User, http_session, register, unique


def play(pair: Pair, steps: Callable[[User, User], Awaitable[None]]) -> None:
    """Alice is a user of a.test, Bob of b.test."""

    async def prepared() -> None:
        async with http_session() as http:
            alice, bob = await register(http, [pair.a.url], "alice"), await register(http, [pair.b.url], "bob")
            await steps(alice, bob)

    asyncio.run(prepared())


@pytest.mark.parametrize("version", ["6", "10", "11", "12"])
def test_join_by_alias_and_messages_both_ways(pair: Pair, version: str) -> None:
    async def steps(alice: User, bob: User) -> None:
        name = unique("room")
        room_id = await alice.create_room(room_alias_name=name, preset="public_chat", room_version=version, topic="t")
        await alice.send(room_id, "before")
        assert await bob.join(f"#{name}:{A}") == room_id
        assert await membership(bob, room_id, alice.user_id) == "join"
        await becomes(alice, room_id, bob.user_id, "join")
        await alice.send(room_id, "from alice")
        await sees(bob, room_id, "from alice")
        await bob.send(room_id, "from bob")
        await sees(alice, room_id, "from bob")
        await bob.post(("rooms", room_id, "leave"))
        await becomes(alice, room_id, bob.user_id, "leave")
        assert await bob.join(room_id, query={"via": A}) == room_id
        await becomes(alice, room_id, bob.user_id, "join")

    play(pair, steps)


def test_invite_kick_ban_and_unban(pair: Pair) -> None:
    async def steps(alice: User, bob: User) -> None:
        room_id = await alice.create_room(preset="private_chat", name="Secret")
        await alice.invite(room_id, bob)
        shown = (await rooms(bob, "invite"))[room_id]["invite_state"]["events"]
        assert {"m.room.create", "m.room.name", "m.room.member"} <= {event["type"] for event in shown}
        await bob.join(room_id)
        await becomes(alice, room_id, bob.user_id, "join")
        await bob.send(room_id, "I am in")
        await sees(alice, room_id, "I am in")
        for action, after in (("kick", "leave"), ("ban", "ban")):
            await alice.post(("rooms", room_id, action), {"user_id": bob.user_id, "reason": "rude"})
            await becomes(bob, room_id, bob.user_id, "leave")
            assert await membership(alice, room_id, bob.user_id) == after
        await bob.join(room_id, status=403)
        await alice.post(("rooms", room_id, "unban"), {"user_id": bob.user_id})
        await alice.invite(room_id, bob)
        await gets(bob, "invite", room_id)
        await bob.join(room_id)
        await becomes(alice, room_id, bob.user_id, "join")

    play(pair, steps)


def test_history_of_before_the_join(pair: Pair) -> None:
    async def steps(alice: User, bob: User) -> None:
        room_id = await alice.create_room(preset="public_chat")
        sent = [await alice.send(room_id, f"message {number}") for number in range(140)]
        await bob.join(room_id, query={"via": A})
        seen = [event["event_id"] for event in await bob.history(room_id, page=50) if event["type"] == "m.room.message"]
        assert seen == sent
        around = await bob.get(("rooms", room_id, "context", sent[70]), query={"limit": 4})
        assert around["event"]["event_id"] == sent[70]
        other = await alice.create_room(preset="public_chat")
        long_ago = await alice.send(other, "long ago")
        await bob.join(other, query={"via": A})
        assert (await bob.get(("rooms", other, "event", long_ago)))["content"]["body"] == "long ago"

    play(pair, steps)


def test_invites_are_rejected_and_taken_back(pair: Pair) -> None:
    async def steps(alice: User, bob: User) -> None:
        room_id = await alice.create_room(invite=[bob.user_id], is_direct=True, preset="private_chat")
        await gets(bob, "invite", room_id)
        await bob.post(("rooms", room_id, "leave"))
        await becomes(alice, room_id, bob.user_id, "leave")
        await loses(bob, "invite", room_id)
        await alice.invite(room_id, bob)
        await gets(bob, "invite", room_id)
        await alice.post(("rooms", room_id, "kick"), {"user_id": bob.user_id})
        await loses(bob, "invite", room_id)

    play(pair, steps)


def test_knocking(pair: Pair) -> None:
    async def steps(alice: User, bob: User) -> None:
        rule = {"type": "m.room.join_rules", "state_key": "", "content": {"join_rule": "knock"}}
        room_id = await alice.create_room(initial_state=[rule], name="Knock")
        await bob.post(("knock", room_id), {"reason": "let me in"}, query={"via": A})
        await becomes(alice, room_id, bob.user_id, "knock")
        shown = (await rooms(bob, "knock"))[room_id]["knock_state"]["events"]
        assert "m.room.name" in {event["type"] for event in shown}
        await alice.invite(room_id, bob)
        await gets(bob, "invite", room_id)
        await bob.join(room_id)
        await becomes(alice, room_id, bob.user_id, "join")
        other = await alice.create_room(initial_state=[rule])
        await bob.post(("knock", other), {}, query={"via": A})
        await alice.post(("rooms", other, "kick"), {"user_id": bob.user_id})
        await loses(bob, "knock", other)

    play(pair, steps)


def test_restricted_rooms(pair: Pair) -> None:
    async def steps(alice: User, bob: User) -> None:
        space = await alice.create_room(preset="public_chat")
        allow = [{"type": "m.room_membership", "room_id": space}]
        rule = {"type": "m.room.join_rules", "state_key": "", "content": {"join_rule": "restricted", "allow": allow}}
        room_id = await alice.create_room(initial_state=[rule])
        refused = await bob.ask("POST", ("join", room_id), {}, query={"via": A})
        assert refused.body["errcode"] == "M_FORBIDDEN"
        await bob.join(space, query={"via": A})
        await bob.join(room_id, query={"via": A})
        await becomes(alice, room_id, bob.user_id, "join")
        member = await alice.get(("rooms", room_id, "state", "m.room.member", bob.user_id))
        assert member["join_authorised_via_users_server"] == alice.user_id

    play(pair, steps)


def test_what_passes_by(pair: Pair) -> None:
    """Typing, receipts and presence, also that of before they shared a room."""

    async def is_seen(reader: User, user: User, message: str) -> None:
        async def look() -> bool:
            shown = await reader.ask("GET", ("presence", user.user_id, "status"))
            return bool(shown.status == 200 and shown.body.get("status_msg") == message)

        await until(look)

    async def steps(alice: User, bob: User) -> None:
        for user in (alice, bob):
            await user.put(("presence", user.user_id, "status"), {"presence": "online", "status_msg": "from before"})
        room_id = await alice.create_room(preset="public_chat")
        await bob.join(room_id, query={"via": A})
        for reader, user in ((alice, bob), (bob, alice)):
            await is_seen(reader, user, "from before")
        await bob.put(("presence", bob.user_id, "status"), {"presence": "online", "status_msg": "and now"})
        await is_seen(alice, bob, "and now")
        event_id = await alice.send(room_id, "read this")
        await sees(bob, room_id, "read this")
        await alice.sync()
        await bob.put(("rooms", room_id, "typing", bob.user_id), {"typing": True, "timeout": 30000})
        await alice.sync_until(lambda answer: bob.user_id in str(_ephemeral(answer, room_id, "m.typing")))
        await bob.post(("rooms", room_id, "receipt", "m.read", event_id), {})
        await alice.sync_until(lambda answer: bob.user_id in str(_ephemeral(answer, room_id, "m.receipt")))
        await alice.send(room_id, f"to {B}")

    play(pair, steps)


def _ephemeral(answer: Json, room_id: str, kind: str) -> list[Json]:
    events = answer.get("rooms", {}).get("join", {}).get(room_id, {}).get("ephemeral", {}).get("events", [])
    return [event for event in events if event["type"] == kind]
