"""What passes between a real Synapse and Viaduct beside events: typing, receipts, presence, messages to devices."""

from typing import Any

import pytest

from tests.real_servers.neighbours import Neighbours, play
from tests.real_servers.steps import VERSIONS, meet, said, until
from tests.scenarios.client import PASSWORD, Json, User, unique


def ephemeral(answer: Json, room_id: str, kind: str) -> list[Json]:
    room = answer.get("rooms", {}).get("join", {}).get(room_id, {})
    return [event["content"] for event in room.get("ephemeral", {}).get("events", ()) if event["type"] == kind]


@pytest.mark.parametrize("version", VERSIONS)
def test_typing_receipts_and_presence_both_ways(neighbours: Neighbours, version: str) -> None:
    async def steps(alice: User, bob: User) -> None:
        host, guest = (alice, bob) if VERSIONS.index(version) % 2 else (bob, alice)
        room_id = await meet(host, guest, room_version=version)
        for user, other in ((alice, bob), (bob, alice)):
            await other.sync()
            await user.put(("rooms", room_id, "typing", user.user_id), {"typing": True, "timeout": 20_000})

            async def types(other: User = other, user: User = user) -> bool:
                told = ephemeral(await other.sync(), room_id, "m.typing")
                return any(user.user_id in one["user_ids"] for one in told)

            await until(types, f"{other.user_id} sees typing")
            event_id = await other.send(room_id, f"read by {user.user_id}")
            await said(user, room_id, f"read by {user.user_id}")
            await user.post(("rooms", room_id, "receipt", "m.read", event_id))

            async def reads(other: User = other, user: User = user, event_id: str = event_id) -> bool:
                told = ephemeral(await other.sync(), room_id, "m.receipt")
                return any(user.user_id in one.get(event_id, {}).get("m.read", {}) for one in told)

            await until(reads, f"{other.user_id} sees the receipt")
            status = {"presence": "online", "status_msg": f"here at {unique('s')}"}
            await user.put(("presence", user.user_id, "status"), status)

            async def is_seen(other: User = other, user: User = user, status: Json = status) -> bool:
                seen = await other.ask("GET", ("presence", user.user_id, "status"))
                return bool(seen.body.get("status_msg") == status["status_msg"])

            await until(is_seen, f"{other.user_id} sees presence")

    play(neighbours, steps)


def device_keys(user: User, device_id: str) -> Json:
    return {
        "user_id": user.user_id,
        "device_id": device_id,
        "algorithms": ["m.megolm.v1.aes-sha2"],
        "keys": {f"ed25519:{device_id}": "a" * 43, f"curve25519:{device_id}": "b" * 43},
        "signatures": {user.user_id: {f"ed25519:{device_id}": "c" * 86}},
    }


async def second_device(user: User) -> User:
    session = await user.post(
        ("login",),
        {
            "type": "m.login.password",
            "identifier": {"type": "m.id.user", "user": user.user_id},
            "password": PASSWORD,
        },
    )
    return User(user.http, user.urls, session)


def test_messages_to_devices_and_device_lists_both_ways(neighbours: Neighbours) -> None:
    async def steps(alice: User, bob: User) -> None:
        await meet(alice, bob)
        for user, other in ((alice, bob), (bob, alice)):
            await other.post(("keys", "upload"), {"device_keys": device_keys(other, other.device_id)})
            await user.post(("keys", "upload"), {"device_keys": device_keys(user, user.device_id)})
            await other.sync()
            for device_id in (other.device_id, "*"):
                number = unique("n")
                message = {"messages": {other.user_id: {device_id: {"number": number}}}}
                await user.put(("sendToDevice", "m.test", unique("t")), message)

                async def arrives(other: User = other, number: str = number) -> bool:
                    events: list[Any] = (await other.sync()).get("to_device", {}).get("events", [])
                    return any(event["content"].get("number") == number for event in events)

                await until(arrives, f"{other.user_id} gets the message")
            new = await second_device(user)
            await new.post(("keys", "upload"), {"device_keys": device_keys(user, new.device_id)})

            async def hears(other: User = other, user: User = user) -> bool:
                return user.user_id in (await other.sync()).get("device_lists", {}).get("changed", [])

            await until(hears, f"{other.user_id} hears of a new device")

            async def sees(other: User = other, user: User = user, new: User = new) -> bool:
                found = await other.post(("keys", "query"), {"device_keys": {user.user_id: []}})
                return new.device_id in found["device_keys"].get(user.user_id, {})

            await until(sees, f"{other.user_id} sees its keys")

    play(neighbours, steps)
