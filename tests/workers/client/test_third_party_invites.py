"""Inviting mail addresses: by whom an identity server knows for them, or by a token that it keeps."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import pytest

from hs_common.matrix.errors import MatrixError, forbidden
from tests.workers.client.room_world import RoomWorld, play, room_path

FORBIDDEN = (403, "M_FORBIDDEN")
KEY = {"public_key": "aGVsbG8", "key_validity_url": "https://id.example.org/valid"}
ADDRESS = {"id_server": "id.example.org", "id_access_token": "secret", "medium": "email", "address": "bob@example.org"}


class IdentityServer:
    """Knows some addresses; keeps invitations."""

    def __init__(self, **known: str) -> None:
        self._known = known
        self.asked: list[str] = []
        self.stored: list[Mapping[str, Any]] = []
        self.answer: dict[str, Any] = {
            "token": "tok.en-1",
            "public_keys": [KEY, {"x": 1}, 7],
            "display_name": "b...@e...",
        }

    def check_trusted(self, id_server: str) -> None:
        if id_server != "id.example.org":
            raise MatrixError(400, "M_SERVER_NOT_TRUSTED", "not trusted")

    async def lookup(self, id_server: str, access_token: str, medium: str, address: str) -> str | None:
        self.asked.append(address)
        if access_token != "secret":
            raise forbidden("unknown token")
        return self._known.get(address.partition("@")[0])

    async def store_invite(self, id_server: str, access_token: str, invite: Mapping[str, Any]) -> dict[str, Any]:
        self.stored.append(invite)
        return self.answer


def test_known_addresses_are_invited_as_users_and_others_by_a_token(database_url: str) -> None:
    server = IdentityServer(carol="@carol:test")

    async def scenario(world: RoomWorld) -> None:
        alice = await world.user("alice", profile={"displayname": "Alice"})
        await world.user("carol")
        room_id = await alice.create(name="Lounge", preset="public_chat")
        await alice.ok("POST", room_path(room_id, "invite"), {**ADDRESS, "address": "carol@example.org"})
        member = await alice.state(room_id, "m.room.member", "@carol:test")
        assert member["membership"] == "invite"
        await alice.ok("POST", room_path(room_id, "invite"), ADDRESS)
        content = await alice.state(room_id, "m.room.third_party_invite", "tok.en-1")
        assert content == {
            "display_name": "b...@e...",
            "key_validity_url": KEY["key_validity_url"],
            "public_key": KEY["public_key"],
            "public_keys": [KEY],
        }
        assert server.stored == [
            {
                "medium": "email",
                "address": "bob@example.org",
                "room_id": room_id,
                "sender": alice.user_id,
                "sender_display_name": "Alice",
                "room_name": "Lounge",
                "room_join_rules": "public",
            }
        ]

    play(database_url, scenario, identity_servers=server)


def test_nobodys_address_is_told_for_who_may_not_invite(database_url: str) -> None:
    server = IdentityServer()

    async def scenario(world: RoomWorld) -> None:
        alice, bob = await world.user("alice"), await world.user("bob")
        room_id = await alice.create(preset="public_chat")
        path = room_path(room_id, "invite")
        assert await bob.refused("POST", path, ADDRESS) == FORBIDDEN
        await bob.join(room_id)
        assert await bob.refused("POST", path, ADDRESS) == FORBIDDEN
        assert await bob.refused("POST", room_path("!nowhere:test", "invite"), ADDRESS) == FORBIDDEN
        untrusted = {**ADDRESS, "id_server": "evil.example.org"}
        assert await alice.refused("POST", path, untrusted) == (400, "M_SERVER_NOT_TRUSTED")
        assert (await alice.refused("POST", "/createRoom", {"invite_3pid": [untrusted]}))[0] == 400
        assert server.asked == []
        assert await alice.refused("POST", path, {**ADDRESS, "id_access_token": "wrong"}) == FORBIDDEN
        for answer in ({"token": "no good!", "public_keys": [KEY]}, {"token": "t", "public_keys": [7]}):
            server.answer = answer
            assert (await alice.refused("POST", path, ADDRESS))[0] == 502

    play(database_url, scenario, identity_servers=server)


@pytest.mark.parametrize("token", ["secret", "wrong"])
def test_new_room_invites_addresses_if_it_can(database_url: str, token: str) -> None:
    server = IdentityServer()

    async def scenario(world: RoomWorld) -> None:
        alice = await world.user("alice")
        room_id = await alice.create(invite_3pid=[{**ADDRESS, "id_access_token": token}])
        answer = await alice.ask("GET", room_path(room_id, f"state/m.room.third_party_invite/{quote('tok.en-1')}"))
        assert answer.status == (200 if token == "secret" else 404)

    play(database_url, scenario, identity_servers=server)
