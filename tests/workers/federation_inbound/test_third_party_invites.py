"""Invites of addresses become invites of users, ours and others'."""

from typing import Any, cast

import pytest

from hs_common.http.egress.client import EgressClient, Fetched
from hs_common.http.egress.failures import TimedOut
from hs_common.matrix.errors import MatrixError
from hs_common.matrix.room_versions import ROOM_VERSIONS
from hs_common.matrix.signing import SigningKey, sign, sign_event
from hs_workers.federation_inbound.key_validity import KeyValidity
from tests.common.federation.far_server import key_of
from tests.master.harness import SERVER
from tests.reactor import run
from tests.workers.federation_inbound.writing_world import ALICE, FAR, WritingWorld, play, v1

BOB = f"@bob:{FAR}"
IDENTITY = SigningKey("0", b"\x05" * 32)
PUBLIC = IDENTITY.verify_key.to_base64()
ONBIND = "/_matrix/federation/v1/3pid/onbind"
INVALID = (400, "M_INVALID_PARAM")
FORBIDDEN = (403, "M_FORBIDDEN")
Json = dict[str, Any]


def _signed(user_id: str, token: str = "token", key: SigningKey = IDENTITY) -> Json:
    return sign({"mxid": user_id, "token": token}, "identity.example", key)


async def _room(world: WritingWorld, **changes: Any) -> str:
    room_id = await world.master.create_room(ALICE)
    content = {"display_name": "b…@example", "public_key": PUBLIC, "key_validity_url": "x", **changes}
    await world.master.event(room_id, ALICE, "m.room.third_party_invite", content, state_key="token")
    return room_id


def _event(room_id: str, **changes: Any) -> Json:
    content = {"membership": "invite", "third_party_invite": {"display_name": "b", "signed": _signed(BOB)}}
    event = {"type": "m.room.member", "room_id": room_id, "sender": ALICE, "state_key": BOB, "content": content}
    return {**event, **changes}


async def _membership(world: WritingWorld, room_id: str, user_id: str) -> str | None:
    row = await world.db.fetch_one(
        "SELECT membership FROM state WHERE room_id = %s AND state_key = %s AND to_pos = 9223372036854775807",
        (room_id, user_id),
    )
    return None if row is None else str(row[0])


def test_another_server_exchanges_an_invite(database_url: str) -> None:
    async def scenario(world: WritingWorld) -> None:
        room_id = await _room(world)
        path = v1("exchange_third_party_invite", room_id)
        of_another = {"display_name": "b", "signed": _signed(f"@other:{FAR}")}
        forged = {"display_name": "b", "signed": _signed(BOB, key=SigningKey("0", b"\x06" * 32))}
        wrong: list[tuple[Json, tuple[int, str]]] = [
            (_event(room_id, type="m.room.topic"), INVALID),
            (_event("!other:test"), INVALID),
            (_event(room_id, content={"membership": "invite"}), INVALID),
            (_event(room_id, sender=BOB), INVALID),
            (_event(room_id, state_key=ALICE), FORBIDDEN),
            (_event(room_id, content={"membership": "invite", "third_party_invite": forged}), FORBIDDEN),
            (_event(room_id, content={"membership": "invite", "third_party_invite": of_another}), FORBIDDEN),
        ]
        for body, error in wrong:
            assert await world.refused("PUT", path, body) == error, body
        world.far.answers["/_matrix/federation/v2/invite"] = _sign_invite
        assert world.keys_asked == [], "nobody is asked about a key that did not sign"
        world.withdrawn.add(PUBLIC)
        assert await world.refused("PUT", path, _event(room_id)) == FORBIDDEN
        assert await _membership(world, room_id, BOB) is None
        world.withdrawn.clear()
        assert await world.ask("PUT", path, _event(room_id)) == {}
        assert world.keys_asked == [("x", PUBLIC)] * 2
        assert await _membership(world, room_id, BOB) == "invite"

    play(database_url, scenario)


def test_of_several_keys_one_that_signed_must_be_valid(database_url: str) -> None:
    async def scenario(world: WritingWorld) -> None:
        world.far.answers["/_matrix/federation/v2/invite"] = _sign_invite
        world.withdrawn.add(PUBLIC)
        other = SigningKey("0", b"\x06" * 32).verify_key.to_base64()
        listed = [{"public_key": PUBLIC, "key_validity_url": "y"}, {"public_key": other}, 5]
        refused = await _room(world, public_keys=listed)
        path = v1("exchange_third_party_invite", refused)
        assert await world.refused("PUT", path, _event(refused)) == FORBIDDEN
        assert world.keys_asked == [("x", PUBLIC), ("y", PUBLIC)]
        room_id = await _room(world, public_keys=[*listed, {"public_key": PUBLIC}])
        await world.ask("PUT", v1("exchange_third_party_invite", room_id), _event(room_id))
        row = await world.db.fetch_one("SELECT json FROM events WHERE room_id = %s ORDER BY pos DESC", (room_id,))
        assert row is not None
        assert "b…@example" in row[0], "it is called as the room calls it"

    play(database_url, scenario)


def test_who_asks_about_a_key() -> None:
    """What is not an answer of yes or no says nothing."""
    asked: list[str] = []

    class Egress:
        async def fetch(self, purpose: Any, method: str, url: str, limits: Any) -> Fetched:
            asked.append(url)
            if not answers[0]:
                raise TimedOut("no answer")
            status, body = answers[0]
            return Fetched(status, [], body, url)

    async def scenario() -> None:
        is_valid = KeyValidity(cast(EgressClient, Egress()))
        for answer, expected in (
            ((200, b'{"valid": true}'), True),
            ((200, b'{"valid": false}'), False),
            ((200, b'{"valid": "yes"}'), False),
            ((200, b"[]"), None),
            ((200, b"<html>"), None),
            ((500, b'{"valid": true}'), None),
            ((), None),
        ):
            answers[0] = answer
            if expected is None:
                with pytest.raises(MatrixError) as refused:
                    await is_valid("https://id.example/isvalid?a=b", "k+/=")
                assert refused.value.status == 502
            else:
                assert await is_valid("https://id.example/isvalid?a=b", "k+/=") is expected, answer
        answers[0] = (200, b"{}")
        await is_valid("https://id.example/isvalid", "k")

    answers: list[Any] = [()]
    run(scenario())
    assert asked[0] == "https://id.example/isvalid?a=b&public_key=k%2B%2F%3D"
    assert asked[-1] == "https://id.example/isvalid?public_key=k"


def _sign_invite(path: str, body: Any) -> Any:
    return {"event": sign_event(body["event"], ROOM_VERSIONS[body["room_version"]], FAR, key_of(FAR))}


def test_an_address_is_bound_to_a_user_of_ours(database_url: str) -> None:
    async def scenario(world: WritingWorld) -> None:
        asked: list[Json] = []
        world.far.answers["/_matrix/federation/v1/exchange_third_party_invite"] = lambda path, body: asked.append(body)
        invite = {"room_id": "!far:far.example", "sender": BOB, "signed": _signed(ALICE)}
        await world.ask("PUT", ONBIND, {"mxid": ALICE, "invites": [invite, {"room_id": 5}, "nonsense"]})
        assert [(event["sender"], event["state_key"]) for event in asked] == [(BOB, ALICE)]
        for mxid, error in ((BOB, INVALID), (f"@no:{SERVER}", (404, "M_NOT_FOUND")), (None, INVALID)):
            assert await world.refused("PUT", ONBIND, {"mxid": mxid, "invites": []}) == error
        assert await world.refused("PUT", ONBIND, {"mxid": ALICE, "invites": [invite] * 21}) == INVALID
        assert await world.refused("PUT", ONBIND, {"mxid": ALICE, "invites": {}}) == (400, "M_BAD_JSON")

    play(database_url, scenario)
