"""Users of other servers join, knock on and leave rooms of this one: what is granted, and what is refused."""

from typing import Any

import pytest

from hs_common.matrix.event import Event
from hs_common.matrix.received_pdu import read_pdu
from hs_common.matrix.room_versions import ROOM_VERSIONS
from hs_common.matrix.seal import seal
from hs_common.matrix.signing import verify_event
from hs_common.replication.calls import NewRoomEvent
from hs_workers.federation_inbound import room_answers
from tests.common.federation.far_server import key_of
from tests.master.harness import KEY, SERVER
from tests.workers.federation_inbound.writing_world import ALICE, FAR, WritingWorld, play, v1, v2

BOB = f"@bob:{FAR}"
ALL = sorted(ROOM_VERSIONS)
INVALID = (400, "M_INVALID_PARAM")
FORBIDDEN = (403, "M_FORBIDDEN")
NOT_FOUND = (404, "M_NOT_FOUND")
Json = dict[str, Any]


async def _template(world: WritingWorld, room_id: str, kind: str = "join", user_id: str = BOB) -> Json:
    versions = [] if kind == "leave" else ALL
    answer: Json = await world.ask("GET", v1(f"make_{kind}", room_id, user_id), ver=versions)
    return answer


def _signed(template: Json, **changes: Any) -> Event:
    version = ROOM_VERSIONS[template["room_version"]]
    pdu = {**template["event"], "origin": FAR, "origin_server_ts": 1_700_000_000_500, **changes}
    if not version.event_id_is_hash:
        pdu["event_id"] = f"$join{changes.get('depth', '')}:{FAR}"
    sealed = seal(pdu, version, FAR, key_of(FAR))
    return Event.from_pdu(sealed.pdu, version, sealed.event_id)


def test_a_large_state_is_read_in_pages(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(world: WritingWorld) -> None:
        room_id = await world.master.create_room(ALICE, version="10")
        answers = []
        for pages in (2, 1_000):
            monkeypatch.setattr(room_answers, "PAGE_EVENTS", pages)
            join = _signed(await _template(world, room_id), depth=40 + pages)
            answers.append(await world.ask("PUT", v2("send_join", room_id, join.event_id), dict(join.pdu)))
            leave = _signed(await _template(world, room_id, "leave"))
            await world.ask("PUT", v2("send_leave", room_id, leave.event_id), dict(leave.pdu))
        small, large = ({_id(pdu) for pdu in answer["state"]} for answer in answers)
        assert len(small) > 4
        assert small <= large
        assert {_id(pdu) for pdu in answers[0]["auth_chain"]} <= {_id(pdu) for pdu in answers[1]["auth_chain"]}

    play(database_url, scenario)


def _id(pdu: Json) -> str:
    return read_pdu(pdu, ROOM_VERSIONS["10"]).event_id


@pytest.mark.parametrize("version", ["1", "6", "10", "12"])
def test_join_knock_and_leave(database_url: str, version: str) -> None:
    async def scenario(world: WritingWorld) -> None:
        room_id = await world.master.create_room(ALICE, version=version)
        template = await _template(world, room_id)
        assert template["room_version"] == version
        join = _signed(template)
        answer = await world.ask("PUT", v2("send_join", room_id, join.event_id), dict(join.pdu))
        state = {(pdu["type"], pdu["state_key"]): pdu for pdu in answer["state"]}
        assert ("m.room.member", ALICE) in state
        assert ("m.room.member", BOB) not in state
        chain = {read_pdu(pdu, ROOM_VERSIONS[version]).event_id for pdu in answer["auth_chain"]}
        for pdu in [*answer["state"], *answer["auth_chain"], answer["event"]]:
            assert set(read_pdu(pdu, ROOM_VERSIONS[version]).event.auth_event_ids) <= chain
        verify_event(answer["event"], ROOM_VERSIONS[version], SERVER, {KEY.key_id: KEY.verify_key})
        assert await world.status(join) == 0
        again = await world.ask("PUT", v1("send_join", room_id, join.event_id), dict(join.pdu))
        assert again[0] == 200
        assert len(again[1]["state"]) == len(answer["state"])
        leave = _signed(await _template(world, room_id, "leave"), depth=50)
        assert await world.ask("PUT", v2("send_leave", room_id, leave.event_id), dict(leave.pdu)) == {}
        assert await world.ask("PUT", v1("send_leave", room_id, leave.event_id), dict(leave.pdu)) == [200, {}]
        assert await world.status(leave) == 0

    play(database_url, scenario)


def test_knocks(database_url: str) -> None:
    async def scenario(world: WritingWorld) -> None:
        rule = NewRoomEvent(type="m.room.join_rules", state_key="", content={"join_rule": "knock"})
        room_id = await world.master.create_room(ALICE, events=[rule])
        knock = _signed(await _template(world, room_id, "knock"))
        answer = await world.ask("PUT", v1("send_knock", room_id, knock.event_id), dict(knock.pdu))
        shown = {pdu["type"] for pdu in answer["knock_room_state"]}
        assert {"m.room.create", "m.room.join_rules"} <= shown
        assert all("signatures" in pdu for pdu in answer["knock_room_state"])
        assert await world.refused("GET", v1("make_join", room_id, BOB), ver=ALL) == FORBIDDEN
        closed = await world.master.create_room(ALICE, version="6")
        assert await world.refused("GET", v1("make_knock", closed, BOB), ver=ALL) == FORBIDDEN

    play(database_url, scenario)


def test_templates_that_are_refused(database_url: str) -> None:
    async def scenario(world: WritingWorld) -> None:
        room_id = await world.master.create_room(ALICE)
        assert await world.refused("GET", v1("make_join", room_id, BOB)) == (400, "M_INCOMPATIBLE_ROOM_VERSION")
        assert await world.refused("GET", v1("make_join", room_id, "@x:other.example"), ver=ALL) == FORBIDDEN
        assert await world.refused("GET", v1("make_join", "!nowhere:test", BOB), ver=ALL) == NOT_FOUND
        assert await world.refused("GET", v1("make_leave", room_id, BOB)) == FORBIDDEN
        await world.master.member(room_id, ALICE, "ban", BOB)
        assert await world.refused("GET", v1("make_join", room_id, BOB), ver=ALL) == FORBIDDEN
        acl = {"allow": ["*"], "deny": [FAR]}
        await world.master.event(room_id, ALICE, "m.room.server_acl", acl, state_key="")
        assert await world.refused("GET", v1("make_join", room_id, "@new:far.example"), ver=ALL) == FORBIDDEN

    play(database_url, scenario)


def test_joins_that_are_refused(database_url: str) -> None:
    async def scenario(world: WritingWorld) -> None:
        room_id = await world.master.create_room(ALICE)
        other = await world.master.create_room(ALICE)
        template = await _template(world, room_id)
        good = _signed(template)
        changed: list[Json] = [
            {"type": "m.room.message"},
            {"content": {"membership": "leave"}},
            {"content": {"membership": "ban"}},
            {"state_key": ALICE},
            {"sender": ALICE},
            {"room_id": other},
            {"prev_events": ["$nowhere"]},
            {"auth_events": ["$nowhere"]},
        ]
        for changes in changed:
            event = _signed(template, **changes)
            path = v2("send_join", room_id, event.event_id)
            assert await world.refused("PUT", path, dict(event.pdu)) == INVALID, changes
        path = v2("send_join", room_id, good.event_id)
        bad: list[Json] = [
            {**good.pdu, "signatures": {}},
            {**good.pdu, "signatures": {FAR: {"ed25519:k1": "A" * 86}}},
            {**good.pdu, "content": {"membership": "join", "displayname": "forged"}},
            {**good.pdu, "depth": 77},
            {},
        ]
        for body in bad:
            assert await world.refused("PUT", path, body) == INVALID, body
        assert await world.refused("PUT", v2("send_join", other, good.event_id), dict(good.pdu)) == INVALID
        assert await world.refused("PUT", path, dict(good.pdu), origin="evil.example") == INVALID
        await world.master.member(room_id, ALICE, "ban", BOB)
        assert await world.refused("PUT", path, dict(good.pdu)) == FORBIDDEN
        assert await world.status(good) in (None, 1, 2)

    play(database_url, scenario)


def test_restricted_rooms(database_url: str) -> None:
    async def scenario(world: WritingWorld) -> None:
        space = await world.master.create_room(ALICE)
        room_id = await world.master.create_room(ALICE, events=[_restricted(space)])
        make = v1("make_join", room_id, BOB)
        assert await world.refused("GET", make, ver=ALL) == FORBIDDEN
        join = _signed(await _template(world, space))
        await world.ask("PUT", v2("send_join", space, join.event_id), dict(join.pdu))
        template = await _template(world, room_id)
        assert template["event"]["content"]["join_authorised_via_users_server"] == ALICE
        inside = _signed(template, depth=30)
        answer = await world.ask("PUT", v2("send_join", room_id, inside.event_id), dict(inside.pdu))
        verify_event(answer["event"], ROOM_VERSIONS["12"], SERVER, {KEY.key_id: KEY.verify_key})
        unknown = await world.master.create_room(ALICE, events=[_restricted("!elsewhere:other.example")])
        unable = (400, "M_UNABLE_TO_AUTHORISE_JOIN")
        assert await world.refused("GET", v1("make_join", unknown, BOB), ver=ALL) == unable
        # Somebody else's word is not ours.
        content = {"membership": "join", "join_authorised_via_users_server": "@carol:far.example"}
        other = _signed(template, depth=31, content=content)
        assert await world.refused("PUT", v2("send_join", room_id, other.event_id), dict(other.pdu)) == INVALID

    play(database_url, scenario)


def test_nobody_who_may_invite(database_url: str) -> None:
    async def scenario(world: WritingWorld) -> None:
        space = await world.master.create_room(ALICE)
        room_id = await world.master.create_room(ALICE, version="11", events=[_restricted(space)])
        levels = {"users": {"@carol:far.example": 100}, "invite": 50}
        await world.master.event(room_id, ALICE, "m.room.power_levels", levels, state_key="")
        join = _signed(await _template(world, space))
        await world.ask("PUT", v2("send_join", space, join.event_id), dict(join.pdu))
        assert await world.refused("GET", v1("make_join", room_id, BOB), ver=ALL) == (400, "M_UNABLE_TO_GRANT_JOIN")

    play(database_url, scenario)


def _restricted(space: str) -> NewRoomEvent:
    allow = [{"type": "m.room_membership", "room_id": space}]
    return NewRoomEvent(type="m.room.join_rules", state_key="", content={"join_rule": "restricted", "allow": allow})
