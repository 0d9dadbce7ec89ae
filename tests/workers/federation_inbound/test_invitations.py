"""Invitations of users of this server, and their ends."""

from typing import Any

import orjson
import pytest

from hs_common.matrix.event import Event
from hs_common.matrix.room_versions import ROOM_VERSIONS
from hs_common.matrix.signing import verify_event
from hs_common.replication.calls import SetAccountData
from tests.common.federation.far_server import FarRoom
from tests.master.harness import KEY, SERVER
from tests.workers.federation_inbound.writing_world import ALICE, FAR, WritingWorld, play, v1, v2

INVALID = (400, "M_INVALID_PARAM")
Json = dict[str, Any]


def _invite(room: FarRoom, target: str = ALICE, **changes: Any) -> Event:
    content = {"membership": "invite"}
    return room.compose("m.room.member", content, state_key=target, **changes)


def _body(room: FarRoom, invite: Event, **changes: Any) -> Json:
    shown = [dict(one.pdu) for one in room.state.values() if one.type != "m.room.power_levels"]
    body = {"room_version": room.version.identifier, "event": dict(invite.pdu), "invite_room_state": shown}
    return {**body, **changes}


async def _shown(world: WritingWorld, room_id: str) -> list[str]:
    row = await world.db.fetch_one("SELECT stripped_state FROM local_membership WHERE room_id = %s", (room_id,))
    assert row is not None
    return [entry["type"] for entry in orjson.loads(row[0])]


@pytest.mark.parametrize("version", ["1", "9", "12"])
def test_an_invite_is_signed_kept_and_ended(database_url: str, version: str) -> None:
    async def scenario(world: WritingWorld) -> None:
        room = world.far.room(version, join_rule="invite")
        invite = _invite(room)
        answer = await world.ask("PUT", v2("invite", room.room_id, invite.event_id), _body(room, invite))
        verify_event(answer["event"], ROOM_VERSIONS[version], SERVER, {KEY.key_id: KEY.verify_key})
        assert await world.membership(room.room_id) == "invite"
        shown = await _shown(world, room.room_id)
        assert shown[0] == "m.room.create"
        assert shown.count("m.room.member") == 2, "the inviter and the invite"
        room.put(invite)
        rescinded = room.member(ALICE, "leave", sender=room.creator)
        assert await world.send(rescinded) == {rescinded.event_id: {}}
        assert await world.membership(room.room_id) == "leave"

    play(database_url, scenario)


def test_the_first_version_of_the_interface(database_url: str) -> None:
    async def scenario(world: WritingWorld) -> None:
        room = world.far.room("2")
        invite = _invite(room)
        shown = [dict(room.state[("m.room.create", "")].pdu)]
        body = {**invite.pdu, "unsigned": {"invite_room_state": shown}}
        status, answer = await world.ask("PUT", v1("invite", room.room_id, invite.event_id), body)
        assert status == 200
        assert SERVER in answer["event"]["signatures"]
        assert await world.membership(room.room_id) == "invite"

    play(database_url, scenario)


def test_invites_that_are_refused(database_url: str) -> None:
    async def scenario(world: WritingWorld) -> None:
        room, other = world.far.room(), world.far.room()
        good = _invite(room)
        path = v2("invite", room.room_id, good.event_id)
        create = dict(room.state[("m.room.create", "")].pdu)
        wrong: list[tuple[Json, tuple[int, str]]] = [
            (_body(room, good, room_version="99"), (400, "M_INCOMPATIBLE_ROOM_VERSION")),
            (_body(room, good, invite_room_state=[]), INVALID),
            (_body(room, good, invite_room_state=None), INVALID),
            (_body(room, good, invite_room_state=[create, {"type": "m.room.name"}]), INVALID),
            (_body(room, good, invite_room_state=[create, {**create, "signatures": {}}]), INVALID),
            (_body(room, good, invite_room_state=[dict(other.state[("m.room.create", "")].pdu)]), INVALID),
            (_body(room, good, event={**good.pdu, "signatures": {}}), INVALID),
            (_body(room, good, event={**good.pdu, "depth": 99}), INVALID),
            (_body(room, good, event={}), INVALID),
            (_body(room, good, event=[]), (400, "M_BAD_JSON")),
            ({"event": dict(good.pdu)}, (400, "M_MISSING_PARAM")),
        ]
        for body, error in wrong:
            assert await world.refused("PUT", path, body) == error, body
        for event, error in (
            (_invite(room, f"@nobody:{SERVER}"), (404, "M_NOT_FOUND")),
            (_invite(room, f"@else:{FAR}"), INVALID),
            (_invite(room, sender="@x:other.example"), INVALID),
            (room.compose("m.room.member", {"membership": "join"}, state_key=ALICE), INVALID),
            (room.compose("m.room.topic", {"membership": "invite"}, state_key=ALICE), INVALID),
        ):
            where = v2("invite", room.room_id, event.event_id)
            assert await world.refused("PUT", where, _body(room, event)) == error, event.pdu
        assert await world.refused("PUT", path, _body(room, good), origin="evil.example") == INVALID
        blocked = SetAccountData(
            user_id=ALICE, type="m.invite_permission_config", content=orjson.dumps({"default_action": "block"})
        )
        await world.link.call(blocked)
        assert await world.refused("PUT", path, _body(room, good)) == (403, "M_INVITE_BLOCKED")
        assert await world.membership(room.room_id) is None

    play(database_url, scenario)


def test_who_may_end_an_invite(database_url: str) -> None:
    async def scenario(world: WritingWorld) -> None:
        room = world.far.room("11", join_rule="invite")
        invite = _invite(room)
        await world.ask("PUT", v2("invite", room.room_id, invite.event_id), _body(room, invite))
        room.put(invite)
        without = room.compose(
            "m.room.member", {"membership": "leave"}, state_key=ALICE, auth=[room.state[("m.room.create", "")].event_id]
        )
        assert "error" in (await world.send(without))[without.event_id]
        eve = "@eve:evil.example"
        by_eve = room.compose("m.room.member", {"membership": "ban"}, sender=eve, state_key=ALICE)
        assert "error" in (await world.send(by_eve))[by_eve.event_id]
        assert await world.membership(room.room_id) == "invite"
        ban = room.member(ALICE, "ban", sender=room.creator)
        await world.send(ban)
        assert await world.membership(room.room_id) == "ban"

    play(database_url, scenario)


@pytest.mark.parametrize("version", ["7", "12"])
def test_a_knock_is_taken_back_where_it_was_made_and_refused_from_there(database_url: str, version: str) -> None:
    """Also where the room's id does not name a server, and where nobody tells of the create event, which no event
    cites since version 12."""

    async def scenario(world: WritingWorld) -> None:
        room = world.far.room(version, join_rule="knock")
        rooms, content = world.outgoing.rooms, {"membership": "knock"}
        await rooms.knock(room.room_id, ALICE, content, [FAR])
        assert await rooms.leave(room.room_id, ALICE, {"membership": "leave"})
        assert room.state[("m.room.member", ALICE)].membership == "leave"
        await rooms.knock(room.room_id, ALICE, content, [FAR])
        by_eve = room.compose("m.room.member", {"membership": "leave"}, sender="@eve:evil.example", state_key=ALICE)
        refused = room.member(ALICE, "leave", sender=room.creator)
        cited = [dict(room.events[one].pdu) for one in refused.auth_event_ids]
        world.far.answers[v1("event_auth")] = lambda path, query: {"auth_chain": cited}
        assert "error" in (await world.send(by_eve))[by_eve.event_id]
        assert await world.send(refused) == {refused.event_id: {}}
        assert await world.membership(room.room_id) == "leave"

    play(database_url, scenario)


@pytest.mark.parametrize("version", ["1", "12"])
def test_nobody_is_invited_who_is_in_the_room(database_url: str, version: str) -> None:
    """As the invite itself says; one that cites a kick that has not come yet is signed."""

    async def scenario(world: WritingWorld) -> None:
        room = world.far.room(version)
        await world.enter(room)
        invite = _invite(room)
        path = v2("invite", room.room_id, invite.event_id)
        assert await world.refused("PUT", path, _body(room, invite)) == (403, "M_FORBIDDEN")
        room.member(ALICE, "leave", sender=room.creator)
        again = _invite(room)
        answer = await world.ask("PUT", v2("invite", room.room_id, again.event_id), _body(room, again))
        verify_event(answer["event"], ROOM_VERSIONS[version], SERVER, {KEY.key_id: KEY.verify_key})
        assert await world.membership(room.room_id) == "join", "the kick has not come yet"

    play(database_url, scenario)
