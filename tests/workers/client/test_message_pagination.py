"""Pages of history: whatever the page size, direction, reader and filter, the pages together are the whole."""

from itertools import count
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hs_common.replication.calls import AppendEvents, Intent
from tests.reactor import run
from tests.workers.client.room_world import RoomWorld, User, play, room_path, room_world

names = count()

OPERATIONS = st.lists(st.sampled_from(["say", "say", "topic", "visibility", "join", "leave", "invite"]), max_size=25)
VISIBILITIES = ("joined", "shared", "invited", "world_readable")


async def _pages(user: User, room_id: str, direction: str, limit: int, **query: Any) -> list[str]:
    """The ids of all events, page by page."""
    found: list[str] = []
    token: str | None = None
    for _ in range(200):
        more = query if token is None else {**query, "from": token}
        answer = await user.ask("GET", room_path(room_id, "messages"), None, dir=direction, limit=limit, **more)
        if answer.status == 403:
            return []
        page = answer.json
        assert token is None or page["start"] == token
        assert len(page["chunk"]) <= limit
        found += [event["event_id"] for event in page["chunk"]]
        token = page.get("end")
        if token is None:
            return found
    raise AssertionError("there is no end to the pages")


async def _live(alice: User, bob: User, room_id: str, operations: list[str]) -> None:
    for number, operation in enumerate(operations):
        if operation == "say":
            await alice.send(room_id, str(number))
        elif operation == "topic":
            await alice.set_state(room_id, "m.room.topic", {"topic": str(number)})
        elif operation == "visibility":
            visibility = VISIBILITIES[number % len(VISIBILITIES)]
            await alice.set_state(room_id, "m.room.history_visibility", {"history_visibility": visibility})
        elif operation == "invite":
            await alice.ask("POST", room_path(room_id, "invite"), {"user_id": bob.user_id})
        else:
            await bob.ask("POST", room_path(room_id, operation), {})


@given(operations=OPERATIONS, limit=st.integers(1, 7))
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_pages_together_are_the_whole_history_in_both_directions(
    database_url: str, operations: list[str], limit: int
) -> None:
    async def example() -> None:
        async with room_world(database_url) as world:
            number = next(names)
            alice, bob = await world.user(f"alice{number}"), await world.user(f"bob{number}")
            room_id = await alice.create(preset="public_chat")
            await _live(alice, bob, room_id, operations)
            rows = await world.db.fetch(
                "SELECT event_id FROM timeline WHERE room_id = %s ORDER BY order_pos, order_sub", (room_id,)
            )
            everything = [event_id for (event_id,) in rows]
            assert await _pages(alice, room_id, "f", limit) == everything
            assert await _pages(alice, room_id, "b", limit) == everything[::-1]
            bobs = await _pages(bob, room_id, "f", limit)
            assert await _pages(bob, room_id, "b", limit) == bobs[::-1]
            assert bobs == await _visible_one_by_one(bob, room_id, everything, bobs)
            types = '{"types":["m.room.message"]}'
            said = await _pages(alice, room_id, "b", limit, filter=types)
            assert len(said) == operations.count("say")

    run(example(), timeout=60)


async def _visible_one_by_one(bob: User, room_id: str, everything: list[str], bobs: list[str]) -> list[str]:
    """The events that /event shows, which must be those of the pages."""
    shown = []
    for event_id in everything:
        answer = await bob.ask("GET", room_path(room_id, f"event/{event_id.replace('/', '%2F')}"))
        if answer.status == 200:
            shown.append(event_id)
    return shown


def test_a_page_ends_at_to_and_takes_sync_tokens(database_url: str) -> None:
    async def scenario(world: RoomWorld) -> None:
        alice = await world.user("alice")
        room_id = await alice.create()
        sent = [await alice.send(room_id, str(number)) for number in range(6)]
        row = await world.db.fetch_one("SELECT order_pos FROM timeline WHERE event_id = %s", (sent[3],))
        assert row is not None
        token = f"s{row[0]}_0_0-0"
        back = await alice.messages(room_id, from_=token, limit=2)
        assert [event["event_id"] for event in back["chunk"]] == [sent[3], sent[2]]
        forth = await alice.messages(room_id, from_=token, dir="f")
        assert [event["event_id"] for event in forth["chunk"]] == sent[4:]
        assert "end" not in forth
        between = await alice.messages(room_id, to=back["end"], limit=50)
        assert [event["event_id"] for event in between["chunk"]] == sent[:1:-1]
        assert between["end"] == back["end"]
        until = await alice.messages(room_id, from_=back["end"], to=token, dir="f")
        assert [event["event_id"] for event in until["chunk"]] == sent[2:4]

    play(database_url, scenario)


def test_parameters_are_checked(database_url: str) -> None:
    async def scenario(world: RoomWorld) -> None:
        alice = await world.user("alice")
        room_id = await alice.create()
        path = room_path(room_id, "messages")
        invalid, bad = (400, "M_INVALID_PARAM"), (400, "M_BAD_JSON")
        assert await alice.refused("GET", path) == (400, "M_MISSING_PARAM")
        cases: list[tuple[dict[str, Any], tuple[int, str]]] = [
            ({"dir": "x"}, invalid),
            ({"dir": "b", "limit": 0}, invalid),
            ({"dir": "b", "limit": "many"}, invalid),
            ({"dir": "b", "from": "here"}, invalid),
            ({"dir": "b", "to": "there"}, invalid),
            ({"dir": "b", "filter": "{"}, bad),
            ({"dir": "b", "filter": "[]"}, bad),
            ({"dir": "b", "filter": '{"types":5}'}, bad),
            ({"dir": "b", "filter": '{"senders":["bob"]}'}, invalid),
        ]
        for query, error in cases:
            assert await alice.refused("GET", path, **query) == error, query
        assert await alice.refused("GET", room_path("!none:test", "messages"), dir="b") == (403, "M_FORBIDDEN")
        answer = await world.ask("GET", f"{path}", None, None, dir="b")
        assert (answer.status, answer.errcode) == (401, "M_MISSING_TOKEN")

    play(database_url, scenario)


def test_filters_and_lazy_loading(database_url: str) -> None:
    async def scenario(world: RoomWorld) -> None:
        alice, bob, carol = [await world.user(name) for name in ("alice", "bob", "carol")]
        room_id = await alice.create(preset="public_chat")
        for user in (bob, carol):
            await user.join(room_id)
        await alice.send(room_id, "a", url="mxc://x/y")
        await bob.send(room_id, "b")
        urls = await alice.messages(room_id, filter='{"contains_url":true}')
        assert [event["content"]["body"] for event in urls["chunk"]] == ["a"]
        bobs = await alice.messages(room_id, filter=f'{{"senders":["{bob.user_id}"],"types":["m.room.*"],"limit":1}}')
        assert [event["content"].get("body") for event in bobs["chunk"]] == ["b"]
        nothing = await alice.messages(room_id, filter=f'{{"not_rooms":["{room_id}"]}}')
        assert nothing["chunk"] == []
        lazy = await alice.messages(room_id, limit=1, filter='{"lazy_load_members":true}')
        assert [event["state_key"] for event in lazy["state"]] == [bob.user_id]

    play(database_url, scenario)


def test_a_rare_type_is_not_searched_without_end(database_url: str) -> None:
    async def scenario(world: RoomWorld) -> None:
        alice = await world.user("alice")
        room_id = await alice.create()
        rare = await alice.send(room_id, event_type="org.rare")
        for _ in range(12):
            intents = [
                {"room_id": room_id, "sender": alice.user_id, "type": "m.room.message", "content": {"body": "x"}}
            ] * 100
            await world.link.call(_append(intents))
        page = await alice.messages(room_id, filter='{"types":["org.rare"]}')
        assert page["chunk"] == []
        page = await alice.messages(room_id, filter='{"types":["org.rare"]}', **{"from": page["end"]})
        assert [event["event_id"] for event in page["chunk"]] == [rare]
        whole = await alice.messages(room_id, limit=5000)
        assert len(whole["chunk"]) == 1000

    play(database_url, scenario)


def test_history_found_later_stands_before_the_event_it_was_found_at(database_url: str) -> None:
    """(order_pos, order_sub) is the order: sub is negative for what was found before a live event."""

    async def scenario(world: RoomWorld) -> None:
        alice = await world.user("alice")
        room_id = await alice.create()
        sent = [await alice.send(room_id, str(number)) for number in range(6)]
        pos = "(SELECT order_pos FROM timeline WHERE event_id = %s)"
        for sub, moved in ((-1, sent[2]), (-2, sent[1]), (-3, sent[0])):
            update = f"UPDATE timeline SET order_pos = {pos}, order_sub = %s WHERE event_id = %s"
            await world.db.execute(update, (sent[3], sub, moved))
        for limit in (1, 2, 3, 100):
            assert (await _pages(alice, room_id, "f", limit))[-6:] == sent
            assert (await _pages(alice, room_id, "b", limit))[:6] == sent[::-1]

    play(database_url, scenario)


def _append(intents: list[dict[str, Any]]) -> Any:
    return AppendEvents(intents=[Intent(**intent) for intent in intents])
