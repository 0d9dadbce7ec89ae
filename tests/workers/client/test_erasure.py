"""What is shown of users who asked for their content to be erased: all of it to who knew it, to others nothing."""

from urllib.parse import quote

from hs_common.replication.calls import DeactivateUser
from tests.workers.client.room_world import RoomWorld, User, play, relations_path, room_path


async def erase(world: RoomWorld, user: User) -> None:
    await world.link.call(DeactivateUser(user_id=user.user_id, erase=True))


async def shown(user: User, room_id: str, event_id: str) -> object:
    """What a user sees of a message, which is the same wherever he comes upon it."""
    content = (await user.event(room_id, event_id))["content"]
    listed = [one for one in (await user.messages(room_id, dir="b", limit=50))["chunk"] if one["event_id"] == event_id]
    assert [one["content"] for one in listed] == [content]
    around = await user.ok("GET", room_path(room_id, f"context/{quote(event_id, safe='')}"))
    assert around["event"]["content"] == content
    return content.get("body")


async def found(user: User, term: str) -> int:
    body = {"search_categories": {"room_events": {"search_term": term}}}
    answer = (await user.ok("POST", "/search", body))["search_categories"]["room_events"]
    assert len(answer["results"]) == answer["count"]
    return len(answer["results"])


def test_who_joins_after_an_erasure_sees_nothing_of_what_was_said(database_url: str) -> None:
    async def scenario(world: RoomWorld) -> None:
        alice, bob = await world.user("alice"), await world.user("bob", profile={"displayname": "Bob"})
        early, late = await world.user("early"), await world.user("late")
        room_id = await alice.create(preset="public_chat")
        await bob.join(room_id)
        said = await bob.send(room_id, "secret")
        root = await alice.send(room_id, "secret of alice")
        await bob.relate(room_id, "m.thread", root, body="secret")
        topic = await alice.send(room_id, "open")
        await early.join(room_id)
        await bob.set_account_data("org.example", {"x": 1})
        await erase(world, bob)
        await late.join(room_id)
        for user in (alice, early):
            assert await shown(user, room_id, said) == "secret"
            assert await found(user, "secret") == 3
        assert await shown(late, room_id, said) is None
        assert await shown(late, room_id, topic) == "open"
        assert await found(late, "secret") == 1
        (child,) = (await late.ok("GET", relations_path(room_id, root)))["chunk"]
        assert child["content"] == {}
        history = (await late.messages(room_id, dir="f", limit=50))["chunk"]
        own = [one["content"] for one in history if one.get("state_key") == bob.user_id]
        assert own[0] == {"membership": "join"}
        assert await world.db.fetch("SELECT 1 FROM account_data WHERE user_id = %s", [bob.user_id]) == []

    play(database_url, scenario)
