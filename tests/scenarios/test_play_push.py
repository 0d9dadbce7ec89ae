"""Push notifications against real processes: a phone is told what its user was sent, once, in order, whoever dies."""

import asyncio
import signal
from functools import partial

from tests.scenarios.client import http_session, register
from tests.scenarios.push_gateway import Gateway, push_gateway, set_pusher
from tests.scenarios.server import Server

HEAL_LIMIT_S = 30.0
MESSAGES = 60


def test_a_phone_is_told_and_its_badge_goes_when_its_user_reads(server: Server) -> None:
    async def play() -> None:
        async with http_session() as http, push_gateway() as gateway:
            urls = [server.url, *server.worker_urls()]
            alice, bob = await register(http, urls, "alice"), await register(http, urls, "bob")
            key, other = f"{bob.user_id} phone", f"{bob.user_id} tablet"
            await set_pusher(bob, gateway, key)
            await set_pusher(bob, gateway, other, format="event_id_only")
            room = await alice.create_room(preset="private_chat", invite=[bob.user_id], name="Push")
            await gateway.until(lambda seen: len(seen.events(key)) == len(seen.events(other)) == 1)
            invite = next(one for one in gateway.received if "type" in one)
            assert (invite["type"], invite["user_is_target"], invite["room_name"]) == ("m.room.member", True, "Push")
            await bob.join(room)
            sent = [await alice.send(room, f"message {number}") for number in range(5)]
            await gateway.until(lambda seen: seen.events(key)[1:] == seen.events(other)[1:] == sent)
            bare = [one for one in gateway.received if one["devices"][0]["pushkey"] == other]
            assert all(one.keys() == {"event_id", "room_id", "prio", "counts", "devices"} for one in bare)
            notifications = await bob.get(("notifications",))
            assert [one["event"]["event_id"] for one in notifications["notifications"]] == sent[::-1]
            await bob.post(("rooms", room, "receipt", "m.read", sent[-1]), {})
            await gateway.until(lambda seen: sum("event_id" not in one for one in seen.received) == 2)
            assert gateway.received[-1]["counts"] == {"unread": 0}
            gateway.rejected = [other]
            sent.append(await alice.send(room, "the last one for the tablet"))
            await gateway.until(lambda seen: seen.events(key)[1:] == seen.events(other)[1:] == sent)
            for _ in range(100):
                if len((await bob.get(("pushers",)))["pushers"]) == 1:
                    break
                await asyncio.sleep(0.1)
            sent.append(await alice.send(room, "for the phone alone"))
            await gateway.until(lambda seen: seen.events(key)[1:] == sent)
            await bob.post(("logout",))
            bob.access_token = None
            await alice.send(room, "for nobody")
            assert gateway.events(other)[1:] == sent[:-1]
            assert gateway.events(key)[1:] == sent

    asyncio.run(play())


def test_no_notification_is_lost_when_the_push_worker_is_killed(split: Server) -> None:
    async def play() -> None:
        async with http_session() as http, push_gateway() as gateway:
            urls = [split.url, *split.worker_urls()]
            alice = await register(http, urls, "alice")
            readers = [await register(http, urls, f"reader{number}") for number in range(4)]
            room = await alice.create_room(preset="public_chat")
            for reader in readers:
                await set_pusher(reader, gateway, reader.user_id)
                await reader.join(room)
            sent: list[str] = []
            for number in range(MESSAGES):
                sent.append(await alice.send(room, f"message {number}"))
                if number == MESSAGES // 2:
                    old = split.signal("push-1", signal.SIGKILL)
                    await asyncio.to_thread(split.wait_for_restart, "push-1", old, HEAL_LIMIT_S)
            for reader in readers:
                key = reader.user_id
                await gateway.until(partial(_has, key, sent))
                told = gateway.events(key)
                assert list(dict.fromkeys(told)) == sent
                # What had left when a worker died, and was not noted, is told again.
                assert len(told) <= len(sent) + 1

    split.wait_until(split.is_whole, "the server is whole", HEAL_LIMIT_S)
    asyncio.run(play())


def _has(pushkey: str, events: list[str], gateway: Gateway) -> bool:
    return set(gateway.events(pushkey)) == set(events)
