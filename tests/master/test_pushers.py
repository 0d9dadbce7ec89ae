"""Pushers as the master keeps them: one for each user, app and key; they go with their device and their user."""

from dataclasses import replace
from typing import Any

import pytest

from hs_common.matrix.errors import MatrixError
from hs_common.replication import items
from hs_common.replication.calls import (
    CloseSessions,
    DeactivateUser,
    MakeDevice,
    RegisterUser,
    RemovePusher,
    SetPusher,
)
from hs_common.replication.entry import decode_body
from hs_common.storage.pushers import Pusher, pushers_of
from hs_master.decisions import pushers as deciding
from tests.master.harness import TestMaster, master
from tests.reactor import run

ALICE, BOB = "@alice:test", "@bob:test"


def pusher(user_id: str = ALICE, **changes: Any) -> SetPusher:
    fields: dict[str, Any] = {
        "user_id": user_id,
        "app_id": "org.app",
        "pushkey": "key",
        "kind": "http",
        "device_id": "PHONE",
        "app_display_name": "App",
        "device_display_name": "Phone",
        "profile_tag": None,
        "lang": "en",
        "data": b'{"url":"https://push.test/_matrix/push/v1/notify"}',
    }
    return SetPusher(**{**fields, **changes})


async def users(m: TestMaster, *user_ids: str) -> None:
    for user_id in user_ids:
        await m.call(RegisterUser(user_id=user_id, password_hash=None))
        for device_id in ("PHONE", "TABLET"):
            await m.call(MakeDevice(user_id=user_id, device_id=device_id))


async def keys(m: TestMaster, user_id: str) -> list[str]:
    return [one.pushkey for one in await pushers_of(m.db, user_id)]


def told(m: TestMaster) -> list[items.PushersItem]:
    decoded = [items.decode(item.kind, item.body) for entry in m.entries for item in decode_body(entry).items]
    return [item for item in decoded if isinstance(item, items.PushersItem)]


def test_a_pusher_is_made_changed_and_removed(database_url: str) -> None:
    async def play() -> None:
        async with master(database_url) as m:
            await users(m, ALICE)
            made = (await m.call(pusher())).pos
            before = (await pushers_of(m.db, ALICE))[0]
            data = {"url": "https://push.test/_matrix/push/v1/notify"}
            expected = Pusher(made, ALICE, "org.app", "key", "http", "PHONE", "App", "Phone", None, "en", data, 0)
            assert replace(before, set_ms=0) == expected
            await m.call(pusher())
            assert await pushers_of(m.db, ALICE) == [before]
            await m.call(pusher(lang="de", device_id="TABLET"))
            [changed] = await pushers_of(m.db, ALICE)
            assert (changed.pusher_id, changed.lang, changed.device_id) == (made, "de", "TABLET")
            assert changed.set_ms > before.set_ms
            await m.call(RemovePusher(user_id=ALICE, app_id="org.app", pushkey="key", set_ms=before.set_ms))
            assert await keys(m, ALICE) == ["key"]
            await m.call(RemovePusher(user_id=ALICE, app_id="org.app", pushkey="key", set_ms=changed.set_ms))
            await m.call(RemovePusher(user_id=ALICE, app_id="org.app", pushkey="key"))
            assert await keys(m, ALICE) == []
            assert len(told(m)) == 4

    run(play())


def test_a_key_is_one_users_unless_he_appends(database_url: str) -> None:
    async def play() -> None:
        async with master(database_url) as m:
            await users(m, ALICE, BOB)
            await m.call(pusher())
            await m.call(pusher(pushkey="other"))
            await m.call(pusher(BOB, append=True))
            assert (await keys(m, ALICE), await keys(m, BOB)) == (["key", "other"], ["key"])
            await m.call(pusher(BOB))
            assert (await keys(m, ALICE), await keys(m, BOB)) == (["other"], ["key"])
            assert told(m)[-1] == items.PushersItem(BOB, ("org.app", "key"))

    run(play())


def test_pushers_go_with_their_device_and_with_the_account(database_url: str) -> None:
    async def play() -> None:
        async with master(database_url) as m:
            await users(m, ALICE)
            await m.call(pusher())
            await m.call(pusher(pushkey="tablet", device_id="TABLET"))
            await m.call(pusher(pushkey="bridge", device_id=None))
            await m.call(CloseSessions(user_id=ALICE, device_ids=None, except_device="TABLET"))
            assert await keys(m, ALICE) == ["tablet", "bridge"]
            with pytest.raises(MatrixError, match="token"):
                await m.call(pusher())
            await m.call(DeactivateUser(user_id=ALICE))
            assert await keys(m, ALICE) == []
            with pytest.raises(MatrixError, match="token"):
                await m.call(pusher(device_id=None))

    run(play())


def test_a_user_has_a_bounded_number_of_them(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def play() -> None:
        async with master(database_url) as m:
            await users(m, ALICE)
            for number in range(3):
                await m.call(pusher(pushkey=f"k{number}"))
            with pytest.raises(MatrixError, match="at most 3 pushers"):
                await m.call(pusher(pushkey="one more"))
            await m.call(pusher(pushkey="k0", lang="de"))

    monkeypatch.setattr(deciding, "MAXIMUM_PUSHERS", 3)
    run(play())
