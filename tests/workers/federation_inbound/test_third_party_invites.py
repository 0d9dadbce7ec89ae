"""Invites of addresses become invites of users, ours and others'."""

from typing import Any

from hs_common.matrix.room_versions import ROOM_VERSIONS
from hs_common.matrix.signing import SigningKey, sign, sign_event
from tests.common.federation.far_server import key_of
from tests.master.harness import SERVER
from tests.workers.federation_inbound.writing_world import ALICE, FAR, WritingWorld, play, v1

BOB = f"@bob:{FAR}"
IDENTITY = SigningKey("0", b"\x05" * 32)
ONBIND = "/_matrix/federation/v1/3pid/onbind"
INVALID = (400, "M_INVALID_PARAM")
FORBIDDEN = (403, "M_FORBIDDEN")
Json = dict[str, Any]


def _signed(user_id: str, token: str = "token", key: SigningKey = IDENTITY) -> Json:
    return sign({"mxid": user_id, "token": token}, "identity.example", key)


async def _room(world: WritingWorld) -> str:
    room_id = await world.master.create_room(ALICE)
    content = {"display_name": "b…@example", "public_key": IDENTITY.verify_key.to_base64(), "key_validity_url": "x"}
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
        forged = {"display_name": "b", "signed": _signed(BOB, key=SigningKey("0", b"\x06" * 32))}
        wrong: list[tuple[Json, tuple[int, str]]] = [
            (_event(room_id, type="m.room.topic"), INVALID),
            (_event("!other:test"), INVALID),
            (_event(room_id, content={"membership": "invite"}), INVALID),
            (_event(room_id, sender=BOB), INVALID),
            (_event(room_id, state_key=ALICE), FORBIDDEN),
            (_event(room_id, content={"membership": "invite", "third_party_invite": forged}), FORBIDDEN),
        ]
        for body, error in wrong:
            assert await world.refused("PUT", path, body) == error, body
        world.far.answers["/_matrix/federation/v2/invite"] = _sign_invite
        assert await world.ask("PUT", path, _event(room_id)) == {}
        assert await _membership(world, room_id, BOB) == "invite"

    play(database_url, scenario)


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
