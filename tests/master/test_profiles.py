"""The profile that the master adds to memberships is that of their moment of the log, whoever changes it meanwhile."""

from random import Random
from typing import Any

import orjson
import pytest
from twisted.internet.defer import Deferred, gatherResults

from hs_common.matrix.errors import MatrixError
from hs_common.replication import items
from hs_common.replication.calls import (
    AppendEvents,
    Call,
    ComposedEvent,
    ComposeEvent,
    DeactivateUser,
    Intent,
    RegisterUser,
    SetProfile,
)
from hs_common.replication.entry import decode_body
from hs_master import step
from tests.master.harness import TestMaster, master
from tests.reactor import run

ALICE = "@alice:test"
GHOSTS = [f"@ghost{number}:test" for number in range(5)]


def join(room: str, user_id: str, **content: Any) -> AppendEvents:
    return AppendEvents(intents=[intent(room, user_id, **content)])


def intent(room: str, user_id: str, **content: Any) -> Intent:
    return Intent(
        room_id=room,
        sender=user_id,
        type="m.room.member",
        state_key=user_id,
        content={"membership": "join", **content},
        joins_here=True,
        with_profile=True,
    )


def rename(user_id: str, name: str | None, field: str = "displayname") -> SetProfile:
    return SetProfile(user_id=user_id, field=field, value=None if name is None else orjson.dumps(name))


async def together(m: TestMaster, calls: list[Call]) -> None:
    """All at once; what the rules refuse is refused."""
    asked = [Deferred.fromCoroutine(m.desk.call(call, None)) for call in calls]
    for one in asked:
        one.addErrback(lambda failure: failure.trap(MatrixError))
    await gatherResults(asked)


def check(m: TestMaster) -> int:
    """Every join has the profile as the log had it before; answers how many there are."""
    profiles: dict[str, dict[str, Any]] = {}
    joined: set[tuple[str, str]] = set()
    seen = 0
    for entry in m.entries:
        for one in decode_body(entry).items:
            item = items.decode(one.kind, one.body)
            if isinstance(item, items.ProfileItem):
                profile = profiles.setdefault(item.user_id, {})
                if item.value is None:
                    profile.pop(item.field)
                else:
                    profile[item.field] = orjson.loads(item.value)
            elif isinstance(item, items.EventItem) and item.state_key in GHOSTS:
                content = orjson.loads(item.json)["content"]
                place = (item.room_id, item.state_key)
                if content["membership"] == "join" and place not in joined:  # later ones are the job's
                    shown = {name: value for name, value in content.items() if name in ("displayname", "avatar_url")}
                    known = profiles.get(item.state_key, {})
                    assert shown == {name: known[name] for name in ("displayname", "avatar_url") if name in known}
                    joined.add(place)
                    seen += 1
    return seen


@pytest.mark.parametrize(("seed", "kept"), [(1, 20_000), (2, 20_000), (3, 1)])
def test_joins_have_the_profile_of_their_moment(
    database_url: str, monkeypatch: pytest.MonkeyPatch, seed: int, kept: int
) -> None:
    monkeypatch.setattr(step, "MAXIMUM_PROFILES", kept)

    async def play() -> None:
        random = Random(seed)
        async with master(database_url) as m:
            rooms = [await m.create_room(ALICE) for _ in range(4)]
            first = {"displayname": b'"First"', "m.colour": b'"red"'}
            for ghost in GHOSTS:
                profile = first if random.random() < 0.5 else {}
                await m.call(RegisterUser(user_id=ghost, password_hash=None, profile=profile))
            calls: list[Call] = [join(room, ghost) for room in rooms for ghost in GHOSTS]
            for number in range(30):
                name = random.choice((f"name {number}", None))
                calls.append(rename(random.choice(GHOSTS), name, random.choice(("displayname", "avatar_url"))))
            random.shuffle(calls)
            while calls:
                size = random.randint(1, 12)
                await together(m, calls[:size])
                del calls[:size]
            assert check(m) == len(rooms) * len(GHOSTS)

    run(play(), timeout=60)


def test_what_the_caller_says_goes_before_and_a_composed_event_has_it_too(database_url: str) -> None:
    async def play() -> None:
        async with master(database_url) as m:
            room, ghost = await m.create_room(ALICE), GHOSTS[0]
            await m.call(RegisterUser(user_id=ghost, password_hash=None, profile={"displayname": b'"Boo"'}))
            composed = await m.call(ComposeEvent(intent=intent(room, ghost)))
            assert isinstance(composed, ComposedEvent)
            assert orjson.loads(composed.pdu)["content"] == {"membership": "join", "displayname": "Boo"}
            await m.call(join(room, ghost, displayname="Other", reason="so"))
            row = await m.db.fetch_one("SELECT json FROM events ORDER BY pos DESC LIMIT 1")
            assert row is not None
            wanted = {"membership": "join", "displayname": "Other", "reason": "so"}
            assert orjson.loads(row[0])["content"] == wanted

    run(play())


def test_who_was_erased_has_no_name(database_url: str) -> None:
    async def play() -> None:
        async with master(database_url) as m:
            room, ghost = await m.create_room(ALICE), GHOSTS[0]
            await m.call(RegisterUser(user_id=ghost, password_hash=None, profile={"displayname": b'"Boo"'}))
            await m.call(DeactivateUser(user_id=ghost, erase=True))
            await m.call(join(room, ghost))
            assert check(m) == 1

    run(play())


def test_a_room_that_is_not_here_is_said_to_be_unknown(database_url: str) -> None:
    async def play() -> None:
        async with master(database_url) as m:
            with pytest.raises(MatrixError) as refused:
                await m.call(join("!nowhere:test", GHOSTS[0]))
            assert refused.value.status == 404

    run(play())
