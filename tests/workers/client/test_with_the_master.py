"""The life of an account over the real master: what it writes is what the endpoints read."""

from typing import Any

from hs_common.replication.calls import Answer, Call
from hs_common.replication.link_interface import DEFAULT_OPTIONS, CallOptions
from tests.master.harness import TestMaster, master
from tests.reactor import run
from tests.workers.client.world import PASSWORD, World, below_user, config, with_password

ALICE = "@alice:test"


class NearLink:
    """A link to the master of the harness."""

    def __init__(self, near: TestMaster) -> None:
        self._near = near

    async def call(self, call: Call, key: bytes | None = None, options: CallOptions = DEFAULT_OPTIONS) -> Answer:
        return await self._near.call(call, key)


def test_an_account_from_its_first_request_to_its_end(database_url: str) -> None:
    async def life() -> None:
        async with master(database_url) as near:
            world = World(
                database_url, config(server={"name": "test"}, registration={"guests": True}), master=NearLink(near)
            )
            try:
                token = await comes_in(world)
                await keeps_things(world, token)
                await logs_in_and_out(world, token)
                await leaves(world, token)
                await a_guest_stays(world)
            finally:
                await world.db.close()

    run(life())


async def comes_in(world: World) -> str:
    session = await world.register(device_id="PHONE", initial_device_display_name="Phone")
    again = await world.ask("POST", "/register", {"username": "alice"})
    assert (again.status, again.errcode) == (400, "M_USER_IN_USE")
    assert (await world.ask("GET", "/account/whoami", token=session["access_token"])).json["user_id"] == ALICE
    return str(session["access_token"])


async def keeps_things(world: World, token: str) -> None:
    async def put(path: str, body: dict[str, Any]) -> None:
        answer = await world.ask("PUT", path, body, token)
        assert (answer.status, answer.json) == (200, {})

    await put(f"/profile/{ALICE}/displayname", {"displayname": "Alice"})
    await put(f"/profile/{ALICE}/displayname", {"displayname": "Alice"})
    assert (await world.ask("GET", f"/profile/{ALICE}")).json == {"displayname": "Alice"}
    await put(below_user(ALICE, "account_data/org.x"), {"a": 1})
    await put(below_user(ALICE, "account_data/org.x"), {"a": 2})
    assert (await world.ask("GET", below_user(ALICE, "account_data/org.x"), token=token)).json == {"a": 2}
    for tag in ("u.one", "u.two"):
        await put(below_user(ALICE, f"rooms/!r:test/tags/{tag}"), {})
    tags = await world.ask("GET", below_user(ALICE, "rooms/!r:test/tags"), token=token)
    assert tags.json == {"tags": {"u.one": {}, "u.two": {}}}
    await put("/pushrules/global/override/.m.rule.master/enabled", {"enabled": True})
    await put("/devices/PHONE", {"display_name": "Old phone"})
    await put(f"/presence/{ALICE}/status", {"presence": "online"})
    large = {"org.x.big": "x" * 60_000}
    await put(f"/profile/{ALICE}/org.x.big", large)
    over = await world.ask("PUT", f"/profile/{ALICE}/org.x.more", {"org.x.more": "x" * 10_000}, token)
    assert (over.status, over.errcode) == (400, "M_PROFILE_TOO_LARGE")


async def logs_in_and_out(world: World, token: str) -> None:
    laptop = await world.login_ok(device_id="LAPTOP", refresh_token=True)
    fresh = await world.ask("POST", "/refresh", {"refresh_token": laptop["refresh_token"]})
    assert fresh.status == 200
    once_more = await world.ask("POST", "/refresh", {"refresh_token": laptop["refresh_token"]})
    assert once_more.status == 200  # the first answer may have been lost
    assert (await world.ask("GET", "/account/whoami", token=fresh.json["access_token"])).status == 401
    devices = await world.ask("GET", "/devices", token=once_more.json["access_token"])
    names = {one["device_id"]: one["display_name"] for one in devices.json["devices"]}
    assert names == {"PHONE": "Old phone", "LAPTOP": ""}
    new_password = {"new_password": "battery staple", "auth": with_password()}
    assert (await world.ask("POST", "/account/password", new_password, token)).json == {}
    assert (await world.ask("GET", "/account/whoami", token=once_more.json["access_token"])).status == 401
    assert (await world.login(password=PASSWORD)).status == 403
    again = (await world.login(password="battery staple")).json["access_token"]
    assert (await world.ask("POST", "/logout", token=again)).json == {}
    assert (await world.ask("GET", "/account/whoami", token=again)).errcode == "M_UNKNOWN_TOKEN"


async def leaves(world: World, token: str) -> None:
    body = {"erase": True, "auth": with_password("battery staple")}
    assert (await world.ask("POST", "/account/deactivate", body, token)).json == {"id_server_unbind_result": "success"}
    assert (await world.ask("GET", "/account/whoami", token=token)).errcode == "M_UNKNOWN_TOKEN"
    assert (await world.login(password="battery staple")).errcode == "M_USER_DEACTIVATED"
    assert (await world.ask("GET", "/register/available", username="alice")).errcode == "M_USER_IN_USE"
    assert (await world.ask("GET", f"/profile/{ALICE}")).errcode == "M_NOT_FOUND"


async def a_guest_stays(world: World) -> None:
    guest = (await world.ask("POST", "/register?kind=guest", {})).json
    name = guest["user_id"][1:].partition(":")[0]
    body = {"username": name, "password": PASSWORD, "guest_access_token": guest["access_token"]}
    done = await world.ask("POST", "/register", {**body, "auth": {"type": "m.login.dummy"}})
    assert done.status == 200, done
    assert (await world.ask("GET", "/account/whoami", token=guest["access_token"])).errcode == "M_UNKNOWN_TOKEN"
    whoami = await world.ask("GET", "/account/whoami", token=done.json["access_token"])
    assert whoami.json["is_guest"] is False
    devices = await world.ask("GET", "/devices", token=done.json["access_token"])
    assert [one["device_id"] for one in devices.json["devices"]] == [done.json["device_id"]]
    again = await world.ask("POST", "/register", {**body, "auth": {"type": "m.login.dummy"}})
    assert again.errcode == "M_FORBIDDEN"
