"""Which events are for which application service, as the master writes it down: from the first ghost to the last."""

from typing import Any

import pytest

from hs_common.matrix.appservice import parse_registration
from hs_common.matrix.errors import MatrixError
from hs_common.replication import items
from hs_common.replication.calls import (
    AppendEvents,
    DeleteAlias,
    Intent,
    PauseAppService,
    RegisterUser,
    RemoveAppService,
    SetAlias,
    WakeAppService,
)
from hs_common.replication.entry import decode_body
from hs_common.storage import appservices
from hs_master.appservice_files import differences, register_listed
from tests.master.harness import TestMaster, master
from tests.master.services import registration, set_service
from tests.reactor import reactor, run, sleep

ALICE, BOB = "@alice:test", "@bob:test"
FOREVER = 2**63 - 1


async def sent(m: TestMaster, service_id: str = "irc") -> list[str]:
    """The events for the service, in their order."""
    rows = await m.db.fetch("SELECT event_id FROM service_events WHERE service_id = %s ORDER BY pos", [service_id])
    return [event_id for (event_id,) in rows]


async def causes(m: TestMaster, room: str, service_id: str = "irc") -> list[tuple[str, bool]]:
    """The intervals of the service's interest in the room: the cause, and whether it still holds."""
    rows = await m.db.fetch(
        "SELECT cause, to_pos FROM as_room WHERE service_id = %s AND room_id = %s ORDER BY from_pos, cause",
        [service_id, room],
    )
    return [(cause, to_pos == FOREVER) for cause, to_pos in rows]


def test_a_service_hears_of_a_room_from_the_first_invite_to_the_last_leave(database_url: str) -> None:
    async def play() -> None:
        async with master(database_url) as m:
            await m.call(set_service())
            room = await m.create_room(ALICE)
            await m.send(room, ALICE, "before")
            heard = [await m.member(room, ALICE, "invite", "@irc_a:test")]
            await m.send(room, ALICE, "still before")
            heard.append(await m.member(room, "@irc_a:test", "join"))
            heard.append(await m.send(room, ALICE, "during"))
            heard.append(await m.member(room, "@irc_b:test", "join"))
            heard.append(await m.member(room, "@irc_a:test", "leave"))
            heard.append(await m.send(room, ALICE, "still during"))
            heard.append(await m.member(room, "@irc_b:test", "leave"))
            await m.send(room, ALICE, "after")
            assert await sent(m) == heard
            assert await causes(m, room) == [("", False)]
            heard.append(await m.member(room, "@irc_a:test", "join"))
            assert await sent(m) == heard
            assert await causes(m, room) == [("", False), ("", True)]

    run(play())


def test_followers_are_told_whom_an_event_is_for(database_url: str) -> None:
    async def play() -> None:
        async with master(database_url) as m:
            await m.call(set_service())
            room = await m.create_room(ALICE)
            await m.member(room, "@irc_a:test", "join")
            decoded = [items.decode(item.kind, item.body) for entry in m.entries for item in decode_body(entry).items]
            events = [item for item in decoded if isinstance(item, items.EventItem)]
            assert [event.services for event in events][-2:] == [[], ["irc"]]
            assert any(isinstance(item, items.AppServiceItem) for item in decoded)

    run(play())


def test_many_ghosts_in_one_batch_begin_one_interval(database_url: str) -> None:
    async def play() -> None:
        async with master(database_url) as m:
            await m.call(set_service())
            room = await m.create_room(ALICE)
            ghosts = [f"@irc_{number}:test" for number in range(50)]
            joins = [_member(room, ghost, "join") for ghost in ghosts]
            await m.call(AppendEvents(intents=joins))
            await m.call(AppendEvents(intents=[_member(room, ghost, "leave") for ghost in ghosts]))
            assert len(await sent(m)) == 100
            assert await causes(m, room) == [("", False)]

    run(play())


def _member(room: str, user_id: str, membership: str) -> Intent:
    return Intent(
        room_id=room, sender=user_id, type="m.room.member", state_key=user_id, content={"membership": membership}
    )


def test_aliases_and_room_ids_are_causes_too(database_url: str) -> None:
    async def play() -> None:
        async with master(database_url) as m:
            await m.call(set_service())
            rooms: dict[str, Any] = {"rooms": [{"regex": "!r.*"}]}
            await m.call(set_service("watcher", namespaces=rooms))
            room = await m.create_room(ALICE, version="10", alias="#irc_channel:test")
            heard = [await m.send(room, ALICE, "in an aliased room")]
            await m.call(SetAlias(alias="#irc_other:test", room_id=room, creator=ALICE))
            await m.call(DeleteAlias(alias="#irc_channel:test"))
            heard.append(await m.send(room, ALICE, "under the other alias"))
            await m.call(DeleteAlias(alias="#irc_other:test"))
            await m.send(room, ALICE, "not any more")
            assert await sent(m) == heard
            assert await causes(m, room) == [("#irc_channel:test", False), ("#irc_other:test", False)]
            assert len(await sent(m, "watcher")) == 8  # from the create event on
            assert await causes(m, room, "watcher") == [("!", True)]

    run(play())


def test_a_registration_begins_with_what_comes_then(database_url: str) -> None:
    async def play() -> None:
        async with master(database_url) as m:
            room = await m.create_room(ALICE)
            await m.member(room, "@irc_a:test", "join")
            await m.member(room, "@other_a:test", "join")
            await m.call(set_service())
            heard = [await m.send(room, ALICE, "first")]
            assert await causes(m, room) == [("", True)]
            await m.call(set_service(namespaces={"users": [{"regex": "@elsewhere_.*"}]}))
            await m.send(room, ALICE, "not in the namespace any more")
            assert await causes(m, room) == [("", False)]
            await m.call(set_service(namespaces={"users": [{"regex": "@other_.*"}]}))
            heard.append(await m.send(room, ALICE, "in another one"))
            await m.call(RemoveAppService(service_id="irc"))
            await m.send(room, ALICE, "nobody listens")
            assert await sent(m) == heard
            assert await causes(m, room) == [("", False), ("", False)]

    run(play())


def test_interest_is_the_same_for_a_master_that_starts_later(database_url: str) -> None:
    async def play() -> None:
        async with master(database_url) as m:
            await m.call(set_service())
            room = await m.create_room(ALICE)
            heard = [await m.member(room, f"@irc_{name}:test", "join") for name in "ab"]
        async with master(database_url) as m:
            heard.append(await m.member(room, "@irc_a:test", "leave"))
            heard.append(await m.member(room, "@irc_b:test", "leave"))
            await m.send(room, ALICE, "after")
            assert await sent(m) == heard
            assert await causes(m, room) == [("", False)]

    run(play())


def test_a_service_without_url_is_sent_nothing(database_url: str) -> None:
    async def play() -> None:
        async with master(database_url) as m:
            await m.call(set_service(url=None))
            room = await m.create_room(ALICE)
            await m.member(room, "@irc_a:test", "join")
            assert await sent(m) == []

    run(play())


def test_a_registration_makes_the_services_own_user(database_url: str) -> None:
    async def play() -> None:
        async with master(database_url) as m:
            await m.call(set_service())
            await m.call(set_service(rate_limited=True))
            rows = await m.db.fetch("SELECT user_id, appservice_id FROM users")
            assert rows == [("@ircbot:test", "irc")]
            with pytest.raises(MatrixError):
                await m.call(set_service("second", as_token="as_irc"))
            with pytest.raises(MatrixError):
                await m.call(set_service("second", sender_localpart="ircbot"))
            with pytest.raises(MatrixError):
                await m.call(WakeAppService(service_id="second"))
            await m.call(PauseAppService(service_id="irc", paused=True))
            assert await m.db.fetch("SELECT service_id, paused FROM appservices") == [("irc", True)]

    run(play())


def test_files_that_are_listed_are_registered_and_what_is_not_listed_any_more_is_removed(database_url: str) -> None:
    async def play() -> None:
        async with master(database_url) as m:
            await m.call(set_service("command"))
            for listed in (["irc", "xmpp"], ["xmpp"]):
                parsed = [parse_registration(registration(name)) for name in listed]
                await register_listed(m.db, reactor, lambda call: m.call(call), parsed)
                assert differences(parsed, await appservices.registered(m.db)) == []
                rows = await m.db.fetch("SELECT service_id, source FROM appservices ORDER BY service_id")
                assert rows == [("command", "command"), *((name, "file") for name in listed)]

    run(play())


def test_a_service_may_take_its_ghosts_along(database_url: str) -> None:
    async def play() -> None:
        async with master(database_url) as m:
            await m.call(set_service())
            room = await m.create_room(ALICE)
            ghosts = [f"@irc_{number}:test" for number in range(120)]
            for ghost in ghosts:
                await m.call(RegisterUser(user_id=ghost, password_hash=None, appservice_id="irc"))
            await m.call(RegisterUser(user_id=ALICE, password_hash=None))
            for ghost in ghosts[:3]:
                await m.member(room, ghost, "join")
            await m.call(RemoveAppService(service_id="irc", deactivate_users=True))

            async def is_over() -> bool:
                left = await m.db.fetch(
                    "SELECT 1 FROM jobs UNION ALL SELECT 1 FROM local_membership WHERE user_id <> %s"
                    " AND membership = 'join' AND to_pos = 9223372036854775807",
                    [ALICE],
                )
                return not left

            for _ in range(500):
                if await is_over():
                    break
                await sleep(0.02)
            assert await is_over()
            rows = await m.db.fetch("SELECT user_id FROM users WHERE NOT deactivated")
            assert rows == [(ALICE,)]

    run(play())
