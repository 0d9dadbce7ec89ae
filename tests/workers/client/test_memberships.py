"""Joining, inviting, leaving, kicking, banning, knocking: what becomes of memberships, and what is refused."""

from typing import Any
from urllib.parse import quote

from hs_common.matrix.base64 import encode as base64_encode
from hs_common.matrix.canonical_json import encode
from hs_common.matrix.signing import SigningKey
from tests.workers.client.room_world import RoomWorld, User, play, room_path

FORBIDDEN = (403, "M_FORBIDDEN")


async def _member(reader: User, room_id: str, user: User) -> dict[str, Any]:
    content: dict[str, Any] = await reader.state(room_id, "m.room.member", user.user_id)
    return content


def test_joining_by_id_and_alias_carries_the_profile(database_url: str) -> None:
    async def scenario(world: RoomWorld) -> None:
        alice = await world.user("alice")
        bob = await world.user("bob", profile={"displayname": "Bob", "avatar_url": "mxc://test/bob", "m.tz": "x"})
        room_id = await alice.create(preset="public_chat", room_alias_name="pub")
        for path in (room_path(room_id, "join"), f"/join/{quote(room_id)}", "/join/%23pub:test"):
            assert await bob.ok("POST", path, {"reason": "beer"}) == {"room_id": room_id}
        expected = {"membership": "join", "displayname": "Bob", "avatar_url": "mxc://test/bob", "reason": "beer"}
        assert await _member(alice, room_id, bob) == expected
        members = [event for event in (await alice.messages(room_id))["chunk"] if event.get("state_key") == bob.user_id]
        assert len(members) == 1, "who is in the room does not join again"
        assert await bob.ok("GET", "/joined_rooms") == {"joined_rooms": [room_id]}

    play(database_url, scenario)


def test_joins_that_cannot_be(database_url: str) -> None:
    async def scenario(world: RoomWorld) -> None:
        alice, bob, guest = await world.user("alice"), await world.user("bob"), await world.user("g", is_guest=True)
        private, public = await alice.create(), await alice.create(preset="public_chat")
        await alice.ok("POST", room_path(public, "ban"), {"user_id": bob.user_id, "reason": "rude"})
        assert await bob.refused("POST", room_path(private, "join"), {}) == FORBIDDEN
        assert await bob.refused("POST", room_path(public, "join"), {}) == FORBIDDEN
        for unknown in ("!nowhere:test", "#nowhere:test"):
            assert await bob.refused("POST", f"/join/{quote(unknown)}", {}) == (404, "M_NOT_FOUND")
        for elsewhere in ("!nowhere:elsewhere.org", "#pub:elsewhere.org"):
            assert await bob.refused("POST", f"/join/{quote(elsewhere)}", {}) == (502, "M_UNKNOWN")
        for wrong in ("nonsense", "@bob:test"):
            assert await bob.refused("POST", f"/join/{quote(wrong)}", {}) == (400, "M_INVALID_PARAM")
        assert await bob.refused("POST", f"/rooms/{quote('#pub:test')}/join", {}) == (400, "M_INVALID_PARAM")
        assert await bob.refused("POST", room_path(public, "join"), {"reason": 5}) == (400, "M_BAD_JSON")
        assert await guest.refused("POST", room_path(public, "join")) == (403, "M_GUEST_ACCESS_FORBIDDEN")
        await alice.set_state(public, "m.room.guest_access", {"guest_access": "can_join"})
        await guest.ok("POST", room_path(public, "join"))

    play(database_url, scenario)


def test_an_invited_user_joins_rejects_or_forgets(database_url: str) -> None:
    async def scenario(world: RoomWorld) -> None:
        alice, bob = await world.user("alice"), await world.user("bob", profile={"displayname": "Bob"})
        room_id = await alice.create()
        invite = {"user_id": bob.user_id, "reason": "come"}
        await alice.ok("POST", room_path(room_id, "invite"), invite)
        await alice.ok("POST", room_path(room_id, "invite"), invite)
        invited = {"membership": "invite", "displayname": "Bob", "reason": "come"}
        assert await _member(alice, room_id, bob) == invited
        assert await bob.refused("POST", room_path(room_id, "forget")) == (400, "M_UNKNOWN")
        await bob.ok("POST", room_path(room_id, "leave"), {"reason": "no"})
        assert await _member(alice, room_id, bob) == {"membership": "leave", "reason": "no"}
        await bob.ok("POST", room_path(room_id, "forget"))
        assert await bob.refused("POST", room_path(room_id, "join")) == FORBIDDEN
        await alice.ok("POST", room_path(room_id, "invite"), invite)
        await bob.join(room_id)
        assert await alice.refused("POST", room_path(room_id, "invite"), invite) == FORBIDDEN
        assert await bob.refused("POST", room_path("!nowhere:test", "leave")) == (404, "M_NOT_FOUND")
        assert await bob.refused("POST", room_path("!nowhere:test", "forget")) == (404, "M_NOT_FOUND")

    play(database_url, scenario)


def test_invites_that_cannot_be(database_url: str) -> None:
    async def scenario(world: RoomWorld) -> None:
        alice, bob, carol = [await world.user(name) for name in ("alice", "bob", "carol")]
        room_id = await alice.create()
        await carol.set_account_data("m.invite_permission_config", {"default_action": "block"})
        path = room_path(room_id, "invite")
        refused = [
            ({"user_id": carol.user_id}, (403, "M_INVITE_BLOCKED")),
            ({"user_id": "@nobody:test"}, (404, "M_NOT_FOUND")),
            ({"user_id": "@bob:elsewhere.org"}, (502, "M_UNKNOWN")),
            ({"user_id": "bob"}, (400, "M_INVALID_PARAM")),
            ({"user_id": 5}, (400, "M_BAD_JSON")),
            ({}, (400, "M_MISSING_PARAM")),
            ({"medium": "email", "address": "a@b"}, (400, "M_MISSING_PARAM")),
            (
                {"medium": "email", "address": "a@b", "id_server": "i", "id_access_token": "t"},
                (400, "M_SERVER_NOT_TRUSTED"),
            ),
        ]
        for body, error in refused:
            assert await alice.refused("POST", path, body) == error, body
        assert await bob.refused("POST", path, {"user_id": alice.user_id}) == FORBIDDEN
        member = room_path(room_id, f"state/m.room.member/{quote(carol.user_id)}")
        assert await alice.refused("PUT", member, {"membership": "invite"}) == (403, "M_INVITE_BLOCKED")
        await carol.set_account_data("m.invite_permission_config", {"default_action": "whatever"})
        await alice.ok("POST", path, {"user_id": carol.user_id})
        await alice.ok("POST", room_path(room_id, "ban"), {"user_id": bob.user_id})
        assert await alice.refused("POST", path, {"user_id": bob.user_id}) == FORBIDDEN

    play(database_url, scenario)


def test_kicking_banning_and_unbanning(database_url: str) -> None:
    async def scenario(world: RoomWorld) -> None:
        alice, bob, carol = [await world.user(name) for name in ("alice", "bob", "carol")]
        room_id = await alice.create(preset="public_chat")
        bobs, why = {"user_id": bob.user_id}, {"user_id": bob.user_id, "reason": "rude"}
        for verb in ("kick", "ban", "unban"):
            assert await carol.refused("POST", room_path(room_id, verb), bobs) == FORBIDDEN
            assert await alice.refused("POST", room_path(room_id, verb), {}) == (400, "M_MISSING_PARAM")
            assert await alice.refused("POST", room_path(room_id, verb), {"user_id": "bob"}) == (400, "M_INVALID_PARAM")
        assert await alice.refused("POST", room_path(room_id, "kick"), bobs) == FORBIDDEN
        await bob.join(room_id)
        await carol.join(room_id)
        assert await carol.refused("POST", room_path(room_id, "kick"), bobs) == FORBIDDEN
        assert await carol.refused("POST", room_path(room_id, "ban"), {"user_id": alice.user_id}) == FORBIDDEN
        await alice.ok("POST", room_path(room_id, "kick"), why)
        assert await _member(alice, room_id, bob) == {"membership": "leave", "reason": "rude"}
        await bob.join(room_id)
        await alice.ok("POST", room_path(room_id, "ban"), why)
        assert await _member(alice, room_id, bob) == {"membership": "ban", "reason": "rude"}
        assert await alice.refused("POST", room_path(room_id, "kick"), bobs) == FORBIDDEN
        assert await carol.refused("POST", room_path(room_id, "unban"), bobs) == FORBIDDEN
        await alice.ok("POST", room_path(room_id, "unban"), bobs)
        assert await alice.refused("POST", room_path(room_id, "unban"), bobs) == (403, "M_BAD_STATE")
        await bob.join(room_id)

    play(database_url, scenario)


def test_knocking(database_url: str) -> None:
    async def scenario(world: RoomWorld) -> None:
        alice, bob = await world.user("alice"), await world.user("bob", profile={"displayname": "Bob"})
        knock = [{"type": "m.room.join_rules", "content": {"join_rule": "knock"}}]
        room_id, closed = await alice.create(initial_state=knock), await alice.create()
        assert await bob.ok("POST", f"/knock/{quote(room_id)}", {"reason": "please"}) == {"room_id": room_id}
        assert await _member(alice, room_id, bob) == {"membership": "knock", "displayname": "Bob", "reason": "please"}
        assert await bob.refused("POST", f"/knock/{quote(closed)}") == FORBIDDEN
        assert await bob.refused("POST", "/knock/%23none:test") == (404, "M_NOT_FOUND")
        assert await bob.refused("POST", "/knock/!none:test") == (404, "M_NOT_FOUND")
        await bob.ok("POST", room_path(room_id, "leave"))
        await alice.ok("POST", room_path(room_id, "ban"), {"user_id": bob.user_id})
        assert await bob.refused("POST", f"/knock/{quote(room_id)}") == FORBIDDEN
        old = await alice.create(room_version="6", initial_state=knock)
        assert await bob.refused("POST", f"/knock/{quote(old)}") == FORBIDDEN

    play(database_url, scenario)


def test_restricted_rooms_let_members_of_other_rooms_in(database_url: str) -> None:
    async def scenario(world: RoomWorld) -> None:
        alice, bob, carol = [await world.user(name) for name in ("alice", "bob", "carol")]
        space = await alice.create(preset="public_chat")
        await bob.join(space)
        allow = [{"type": "m.room_membership", "room_id": space}, "nonsense", {"type": "other"}]
        for version in ("8", "10", "12"):
            rule = "knock_restricted" if version == "10" else "restricted"
            rules = {"type": "m.room.join_rules", "content": {"join_rule": rule, "allow": allow}}
            levels = {"invite": 50}
            room_id = await alice.create(
                room_version=version, initial_state=[rules], power_level_content_override=levels
            )
            assert await carol.refused("POST", room_path(room_id, "join")) == FORBIDDEN
            await bob.join(room_id)
            joined = {"membership": "join", "join_authorised_via_users_server": alice.user_id}
            assert await _member(alice, room_id, bob) == joined
        await alice.ok("POST", room_path(room_id, "leave"))
        await carol.join(space)
        assert await carol.refused("POST", room_path(room_id, "join")) == FORBIDDEN

    play(database_url, scenario)


def test_nobody_says_himself_who_lets_him_in(database_url: str) -> None:
    async def scenario(world: RoomWorld) -> None:
        alice, bob = await world.user("alice"), await world.user("bob")
        rule = {"join_rule": "restricted", "allow": []}
        room_id = await alice.create(initial_state=[{"type": "m.room.join_rules", "content": rule}])
        path = room_path(room_id, f"state/m.room.member/{quote(bob.user_id)}")
        forged = {"membership": "join", "join_authorised_via_users_server": alice.user_id}
        assert await bob.refused("PUT", path, forged) == FORBIDDEN
        await alice.ok("POST", room_path(room_id, "invite"), {"user_id": bob.user_id})
        await bob.ok("PUT", path, forged)
        assert await _member(alice, room_id, bob) == {"membership": "join"}
        # A change of one's name is sent on while a kick is on its way: it must not be good for coming back.
        await bob.ok("PUT", path, {**forged, "displayname": "B"})
        assert await _member(alice, room_id, bob) == {"membership": "join", "displayname": "B"}

    play(database_url, scenario)


def test_anybody_lets_in_where_anybody_may_invite(database_url: str) -> None:
    async def scenario(world: RoomWorld) -> None:
        alice, bob, carol = [await world.user(name) for name in ("alice", "bob", "carol")]
        space = await alice.create(preset="public_chat")
        rule = {"join_rule": "restricted", "allow": [{"type": "m.room_membership", "room_id": space}]}
        room_id = await alice.create(initial_state=[{"type": "m.room.join_rules", "content": rule}])
        await bob.join(space)
        await carol.join(space)
        await bob.join(room_id)
        await alice.ok("POST", room_path(room_id, "leave"))
        path = room_path(room_id, f"state/m.room.member/{quote(carol.user_id)}")
        await carol.ok("PUT", path, {"membership": "join", "displayname": "C"})
        assert await _member(bob, room_id, carol) == {
            "membership": "join",
            "displayname": "C",
            "join_authorised_via_users_server": bob.user_id,
        }

    play(database_url, scenario)


def test_a_third_party_invitation_is_redeemed_by_its_signature(database_url: str) -> None:
    key = SigningKey("0", b"\x05" * 32)

    def signed(user: User, sender: User, *, left_out: str = "", **more: Any) -> dict[str, Any]:
        bare = {"mxid": user.user_id, "sender": sender.user_id, "token": "tok"}
        proof = {name: value for name, value in bare.items() if name != left_out}
        return {**bare, "signatures": {"id.test": {key.key_id: key.sign_bytes(encode(proof))}}, **more}

    async def scenario(world: RoomWorld) -> None:
        alice, bob = await world.user("alice"), await world.user("bob")
        room_id = await alice.create()
        public_key = base64_encode(key.verify_key.public_bytes)
        content = {"display_name": "b…@x", "public_key": public_key, "key_validity_url": "https://id.test"}
        await alice.set_state(room_id, "m.room.third_party_invite", content, "tok")
        path = room_path(room_id, "join")
        wrong = [signed(bob, bob), signed(alice, alice), signed(bob, alice, token="other")]
        wrong.append(signed(bob, alice, signatures={"id.test": {key.key_id: "AAAA"}}))
        for proof in wrong:
            assert await bob.refused("POST", path, {"third_party_signed": proof}) == FORBIDDEN
        for left_out in ("", "sender"):
            await bob.ok("POST", path, {"third_party_signed": signed(bob, alice, left_out=left_out)})
            assert (await _member(alice, room_id, bob))["membership"] == "join"
            await bob.ok("POST", room_path(room_id, "leave"), {})

    play(database_url, scenario)


def test_member_events_can_be_put_as_state(database_url: str) -> None:
    async def scenario(world: RoomWorld) -> None:
        alice, bob = await world.user("alice"), await world.user("bob", profile={"displayname": "Bob"})
        room_id = await alice.create()
        path = room_path(room_id, f"state/m.room.member/{quote(bob.user_id)}")
        await alice.ok("PUT", path, {"membership": "invite"})
        assert await _member(alice, room_id, bob) == {"membership": "invite", "displayname": "Bob"}
        await bob.ok("PUT", path, {"membership": "join"})
        await bob.ok("PUT", path, {"membership": "join", "displayname": "Bobby"})
        assert await _member(alice, room_id, bob) == {"membership": "join", "displayname": "Bobby"}
        assert await bob.refused("PUT", room_path(room_id, "state/m.room.member/bob"), {}) == (400, "M_BAD_JSON")
        assert await bob.refused("PUT", path, {"membership": "nap"}) == FORBIDDEN
        await alice.ok("PUT", path, {"membership": "ban"})
        assert await bob.refused("PUT", path, {"membership": "join"}) == FORBIDDEN

    play(database_url, scenario)


def test_a_suspended_user_may_leave_but_not_join(database_url: str) -> None:
    async def scenario(world: RoomWorld) -> None:
        alice, bob = await world.user("alice"), await world.user("bob")
        room_id, other = await alice.create(preset="public_chat"), await alice.create(preset="public_chat")
        await bob.join(room_id)
        await world.db.execute("UPDATE users SET suspended = true WHERE user_id = %s", (bob.user_id,))
        assert await bob.refused("POST", room_path(other, "join"), {}) == (403, "M_USER_SUSPENDED")
        assert await bob.refused("POST", f"/knock/{quote(other)}", {}) == (403, "M_USER_SUSPENDED")
        invite = await bob.refused("POST", room_path(room_id, "invite"), {"user_id": alice.user_id})
        assert invite == (403, "M_USER_SUSPENDED")
        await bob.ok("POST", room_path(room_id, "leave"))
        await bob.ok("POST", room_path(room_id, "forget"))

    play(database_url, scenario)
