"""What another server may read of this one: asked by c.test, over TLS, with signed requests."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

import pytest

from hs_common.matrix.event import Event
from hs_common.matrix.room_versions import ROOM_VERSIONS
from hs_common.matrix.server_keys import parse_server_keys
from hs_common.matrix.signing import verify_event
from tests.federation.pair import A, C, Pair
from tests.scenarios.client import User, http_session, register, unique

Json = dict[str, Any]


@dataclass
class Room:
    """Alice's room at a.test, with c.test in it, and the messages in it."""

    pair: Pair
    alice: User
    room_id: str
    messages: list[str]

    def ask(self, path: str, status: int = 200, body: Json | None = None, **query: Any) -> Any:
        """What c.test gets; `{room}` stands for the room's id."""
        uri = path.replace("{room}", quote(self.room_id, safe=""))
        if query:
            uri += "?" + urlencode(query, doseq=True)
        found, answer = self.pair.ask_a("GET" if body is None else "POST", f"/_matrix/federation/v1/{uri}", body)
        assert found == status, (uri, found, answer)
        return answer


def play(pair: Pair, steps: Callable[[Room], Awaitable[None]], *, inside: bool = True, **options: Any) -> None:
    """Makes the room with five messages, and plays."""

    async def prepared() -> None:
        async with http_session() as http:
            alice = await register(http, [pair.a.url], "alice")
            room_id = await alice.create_room(**{"preset": "public_chat", "room_version": "11", **options})
            if inside:
                pair.enter(room_id, C)
            messages = [await alice.send(room_id, f"message {number}") for number in range(5)]
            await steps(Room(pair, alice, room_id, messages))

    asyncio.run(prepared())


def event_of(pdu: Json, version: str = "11") -> Event:
    return Event.from_pdu(pdu, ROOM_VERSIONS[version])


def test_events_come_as_they_were_signed(pair: Pair) -> None:
    async def steps(room: Room) -> None:
        answer = room.ask(f"event/{quote(room.messages[2])}")
        (pdu,) = answer["pdus"]
        event = event_of(pdu)
        assert (event.event_id, event.content["body"]) == (room.messages[2], "message 2")
        assert "unsigned" not in pdu
        _, published = pair.ask_a("GET", "/_matrix/key/v2/server")
        keys = {key.key.key_id: key.key for key in parse_server_keys(published, A, 0)}
        verify_event(pdu, ROOM_VERSIONS["11"], A, keys)
        room.ask("event/$nothing", 404)

    play(pair, steps)


def test_history_backwards(pair: Pair) -> None:
    async def steps(room: Room) -> None:
        found = room.ask("backfill/{room}", v=room.messages[3], limit=3)["pdus"]
        assert [event_of(pdu).event_id for pdu in found] == room.messages[3:0:-1]
        everything = room.ask("backfill/{room}", v=[room.messages[4], "$unknown"], limit=100)["pdus"]
        assert everything[-1]["type"] == "m.room.create"
        assert event_of(everything[0]).event_id == room.messages[4]
        assert room.ask("backfill/{room}", v="$unknown", limit=5)["pdus"] == []
        room.ask("backfill/{room}", 400, limit=5)
        room.ask("backfill/{room}", 400, v="$a")

    play(pair, steps)


def test_missing_events(pair: Pair) -> None:
    async def steps(room: Room) -> None:
        body = {"earliest_events": [room.messages[0]], "latest_events": [room.messages[4]], "limit": 10}
        found = room.ask("get_missing_events/{room}", body=body)["events"]
        assert [event_of(pdu).event_id for pdu in found] == room.messages[1:4]
        found = room.ask("get_missing_events/{room}", body={**body, "limit": 2})["events"]
        assert [event_of(pdu).event_id for pdu in found] == room.messages[2:4]
        depth = event_of(found[1]).depth
        found = room.ask("get_missing_events/{room}", body={**body, "min_depth": depth})["events"]
        assert [event_of(pdu).event_id for pdu in found] == room.messages[3:4]
        assert room.ask("get_missing_events/{room}", body={**body, "latest_events": ["$x"]})["events"] == []
        room.ask("get_missing_events/{room}", 400, body={"latest_events": []})

    play(pair, steps)


def test_soft_failed_events_come_with_those_that_cite_them(pair: Pair) -> None:
    async def steps(room: Room) -> None:
        failed = room.messages[2]
        for statement in (
            "UPDATE events SET status = 1 WHERE event_id = %s",
            "INSERT INTO event_state SELECT event_id, room_id, state_pos, delta_id FROM timeline WHERE event_id = %s",
            "DELETE FROM timeline WHERE event_id = %s",
        ):
            pair.run_at_a(statement, failed)
        found = room.ask("backfill/{room}", v=room.messages[4], limit=4)["pdus"]
        assert [event_of(pdu).event_id for pdu in found] == room.messages[4:0:-1]
        body = {"earliest_events": [room.messages[0]], "latest_events": [room.messages[4]]}
        found = room.ask("get_missing_events/{room}", body=body)["events"]
        assert [event_of(pdu).event_id for pdu in found] == room.messages[1:4]
        assert room.ask("backfill/{room}", v=failed, limit=2)["pdus"][1]["content"]["body"] == "message 1"
        assert room.ask(f"event/{quote(failed)}")["pdus"][0]["content"]["body"] == "message 2"
        assert room.ask("state_ids/{room}", event_id=failed)["pdu_ids"]

    play(pair, steps)


@pytest.mark.parametrize("version", ["10", "12"])
def test_state_before_an_event(pair: Pair, version: str) -> None:
    async def steps(room: Room) -> None:
        topic = await room.alice.put(("rooms", room.room_id, "state", "m.room.topic"), {"topic": "new"})
        after = await room.alice.send(room.room_id, "after")
        before = room.ask("state/{room}", event_id=topic["event_id"])
        assert "m.room.topic" not in {pdu["type"] for pdu in before["pdus"]}
        now = room.ask("state/{room}", event_id=after)
        state = {(pdu["type"], pdu["state_key"]): event_of(pdu, version) for pdu in now["pdus"]}
        assert state["m.room.topic", ""].event_id == topic["event_id"]
        assert ("m.room.member", room.alice.user_id) in state
        ids = room.ask("state_ids/{room}", event_id=after)
        assert set(ids["pdu_ids"]) == {event.event_id for event in state.values()}
        chain = {event_of(pdu, version).event_id for pdu in now["auth_chain"]}
        assert set(ids["auth_chain_ids"]) == chain
        assert chain == {event_id for event in state.values() for event_id in event.auth_event_ids}
        auth = room.ask(f"event_auth/{{room}}/{quote(after)}")["auth_chain"]
        assert "m.room.power_levels" in {pdu["type"] for pdu in auth}
        room.ask("state/{room}", 404, event_id="$nothing")
        room.ask("event_auth/{room}/$nothing", 404)

    play(pair, steps, room_version=version)


def test_an_event_by_its_time(pair: Pair) -> None:
    async def steps(room: Room) -> None:
        found = room.ask("timestamp_to_event/{room}", ts=0, dir="f")
        assert event_of(room.ask(f"event/{quote(found['event_id'])}")["pdus"][0]).type == "m.room.create"
        assert room.ask("timestamp_to_event/{room}", ts=2**50, dir="b")["event_id"] == room.messages[4]
        room.ask("timestamp_to_event/{room}", 404, ts=2**50, dir="f")
        room.ask("timestamp_to_event/{room}", 400, ts=0, dir="x")

    play(pair, steps)


def test_who_is_not_in_the_room_gets_nothing(pair: Pair) -> None:
    async def steps(room: Room) -> None:
        event_id = quote(room.messages[0])
        room.ask(f"event/{event_id}", 404)
        room.ask("backfill/{room}", 403, v=room.messages[0], limit=5)
        room.ask("state/{room}", 403, event_id=room.messages[0])
        room.ask("state_ids/{room}", 403, event_id=room.messages[0])
        room.ask(f"event_auth/{{room}}/{event_id}", 403)
        room.ask("get_missing_events/{room}", 403, body={"earliest_events": [], "latest_events": [room.messages[0]]})
        room.ask("timestamp_to_event/{room}", 403, ts=0, dir="f")
        room.ask("state/!nowhere:a.test", 404, event_id=room.messages[0])

    play(pair, steps, inside=False)


def test_whom_the_room_denies_gets_nothing(pair: Pair) -> None:
    async def steps(room: Room) -> None:
        acl = {"allow": ["*"], "deny": [C]}
        await room.alice.put(("rooms", room.room_id, "state", "m.room.server_acl"), acl)
        room.ask(f"event/{quote(room.messages[0])}", 403)
        room.ask("backfill/{room}", 403, v=room.messages[0], limit=5)
        room.ask("state_ids/{room}", 403, event_id=room.messages[0])

    play(pair, steps)


def test_what_was_before_the_server_came_is_redacted(pair: Pair) -> None:
    async def steps(room: Room) -> None:
        await room.alice.put(
            ("rooms", room.room_id, "state", "m.room.history_visibility"), {"history_visibility": "joined"}
        )
        secret = await room.alice.send(room.room_id, "secret")
        replaced = await room.alice.set_state(room.room_id, "m.room.name", {"name": "replaced before"})
        name = await room.alice.set_state(room.room_id, "m.room.name", {"name": "it still is when c.test comes"})
        lists = {"allow": ["*"], "deny": ["nobody"]}
        acl = await room.alice.set_state(room.room_id, "m.room.server_acl", lists)
        pair.run_at_a(
            "INSERT INTO room_servers (room_id, server, from_pos) SELECT %s, %s, max(pos) FROM outbox", room.room_id, C
        )
        await room.alice.set_state(room.room_id, "m.room.topic", {"topic": "c.test came with a change of the state"})
        told = await room.alice.send(room.room_id, "told")
        found = room.ask("backfill/{room}", v=told, limit=11)["pdus"]
        by_id = {event_of(pdu).event_id: pdu for pdu in found}
        assert by_id[told]["content"]["body"] == "told"
        assert by_id[secret]["content"] == {}
        assert by_id[room.messages[4]]["content"]["body"] == "message 4"  # history was shared then
        assert room.ask(f"event/{quote(secret)}")["pdus"][0]["content"] == {}
        assert by_id[replaced]["content"] == {}
        # With the state of later events it is told whole, so it must be the same when it is asked for alone.
        assert by_id[name]["content"]["name"] == "it still is when c.test comes"
        assert room.ask(f"event/{quote(acl)}")["pdus"][0]["content"] == lists

    play(pair, steps, inside=False)


def test_directory_and_profiles(pair: Pair) -> None:
    async def steps(room: Room) -> None:
        name = unique("public")
        await room.alice.put(("directory", "room", f"#{name}:{A}"), {"room_id": room.room_id})
        await room.alice.put(("directory", "list", "room", room.room_id), {"visibility": "public"})
        await room.alice.put(("rooms", room.room_id, "state", "m.room.name"), {"name": name})
        await room.alice.put(("profile", room.alice.user_id, "displayname"), {"displayname": "Alice"})
        found = room.ask("query/directory", room_alias=f"#{name}:{A}")
        assert found == {"room_id": room.room_id, "servers": [A, C]}
        room.ask("query/directory", 404, room_alias=f"#nothing:{A}")
        room.ask("query/directory", 404, room_alias="#nothing:b.test")
        room.ask("query/directory", 400)
        assert room.ask("query/profile", user_id=room.alice.user_id)["displayname"] == "Alice"
        assert room.ask("query/profile", user_id=room.alice.user_id, field="displayname") == {"displayname": "Alice"}
        assert room.ask("query/profile", user_id=room.alice.user_id, field="avatar_url") == {}
        room.ask("query/profile", 404, user_id=f"@nobody:{A}")
        room.ask("query/profile", 400, user_id="@bob:b.test")
        room.ask("query/something", 404)
        listed = room.ask("publicRooms", body={"filter": {"generic_search_term": name}})
        assert [one["room_id"] for one in listed["chunk"]] == [room.room_id]
        assert room.room_id in [one["room_id"] for one in room.ask("publicRooms", limit=0)["chunk"]]

    play(pair, steps)


def test_spaces(pair: Pair) -> None:
    async def steps(room: Room) -> None:
        space = await room.alice.create_room(preset="public_chat", creation_content={"type": "m.space"})
        secret = await room.alice.create_room(preset="private_chat")
        for child in (room.room_id, secret, "!elsewhere:b.test"):
            await room.alice.put(("rooms", space, "state", "m.space.child", child), {"via": [A]})
        found = room.ask(f"hierarchy/{quote(space)}")
        assert found["room"]["room_type"] == "m.space"
        assert {child["state_key"] for child in found["room"]["children_state"]} == {
            room.room_id,
            secret,
            "!elsewhere:b.test",
        }
        assert [child["room_id"] for child in found["children"]] == [room.room_id]
        assert found["inaccessible_children"] == [secret]
        assert room.ask(f"hierarchy/{quote(space)}", suggested_only="true")["children"] == []
        room.ask(f"hierarchy/{quote(secret)}", 404)
        room.ask("hierarchy/!nothing:a.test", 404)

    play(pair, steps)


def test_openid(pair: Pair) -> None:
    async def steps(room: Room) -> None:
        token = (await room.alice.post(("user", room.alice.user_id, "openid", "request_token")))["access_token"]
        assert room.ask("openid/userinfo", access_token=token) == {"sub": room.alice.user_id}
        assert room.ask("openid/userinfo", 401, access_token="nonsense")["errcode"] == "M_UNKNOWN_TOKEN"
        assert room.ask("openid/userinfo", 400)["errcode"] == "M_MISSING_PARAM"

    play(pair, steps)


def test_requests_without_a_good_signature(pair: Pair) -> None:
    uri = f"/_matrix/federation/v1/query/profile?user_id=@x:{A}"
    url = pair.a.federation_url
    assert pair.c.ask(url, A, "GET", uri)[0] == 404
    assert pair.c.ask(url, "b.test", "GET", uri)[0] == 401
    assert pair.c.ask(url, A, "GET", uri, headers=[])[0] == 401
    forged = [("Authorization", f'X-Matrix origin="b.test",destination="{A}",key="ed25519:x",sig="AAAA"')]
    status, answer = pair.c.ask(url, A, "GET", uri, headers=forged)
    assert (status, answer["errcode"]) == (401, "M_UNAUTHORIZED")
    stranger = [("Authorization", f'X-Matrix origin="d.test",destination="{A}",key="ed25519:x",sig="AAAA"')]
    assert pair.c.ask(url, A, "GET", uri, headers=stranger)[0] == 403


def test_keys_of_others(pair: Pair) -> None:
    _, answer = pair.ask_a("GET", "/_matrix/key/v2/query/b.test")
    (keys,) = answer["server_keys"]
    assert set(keys["signatures"]) == {A, "b.test"}
    parse_server_keys(keys, "b.test", 0)
    wanted: Json = {"server_keys": {"b.test": {}, "c.test": {}, A: {}, "nowhere.test": {}}}
    _, answer = pair.ask_a("POST", "/_matrix/key/v2/query", wanted)
    assert {one["server_name"] for one in answer["server_keys"]} == {A, "b.test", "c.test"}
    refused: list[Any] = [[], {"b.test": "ed25519:1"}, {"b.test": {"ed25519:1": 7}}]
    for malformed in refused:
        assert pair.ask_a("POST", "/_matrix/key/v2/query", {"server_keys": malformed})[0] == 400
