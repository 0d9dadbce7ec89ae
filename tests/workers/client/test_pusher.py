"""Setting and listing pushers over the endpoints and the real master."""

from typing import Any

from tests.master.harness import master
from tests.reactor import run
from tests.workers.client.test_with_the_master import NearLink
from tests.workers.client.world import World, config

URL = "https://push.example.org/_matrix/push/v1/notify"
BODY: dict[str, Any] = {
    "app_id": "org.app",
    "pushkey": "key",
    "kind": "http",
    "app_display_name": "App",
    "device_display_name": "Phone",
    "lang": "en",
    "data": {"url": URL, "format": "event_id_only"},
}


def test_pushers_over_the_endpoints(database_url: str) -> None:
    async def life() -> None:
        async with master(database_url) as near:
            world = World(database_url, config(server={"name": "test"}), master=NearLink(near))
            try:
                await play(world)
            finally:
                await world.db.close()

    run(life())


async def play(world: World) -> None:
    alice = (await world.register(device_id="PHONE"))["access_token"]
    bob = (await world.register("bob"))["access_token"]

    async def listed(token: str) -> list[dict[str, Any]]:
        answer = await world.ask("GET", "/pushers", token=token)
        return list(answer.json["pushers"])

    assert await listed(alice) == []
    assert (await world.ask("POST", "/pushers/set", BODY, alice)).json == {}
    assert (await world.ask("POST", "/pushers/set", {**BODY, "profile_tag": "x", "pushkey": "2"}, alice)).json == {}
    assert await listed(alice) == [BODY, {**BODY, "profile_tag": "x", "pushkey": "2"}]
    assert (await world.ask("POST", "/pushers/set", BODY, bob)).json == {}
    assert [one["pushkey"] for one in await listed(alice)] == ["2"]
    assert await listed(bob) == [BODY]
    gone = {"app_id": "org.app", "pushkey": "2", "kind": None}
    for _ in range(2):  # a pusher that is not there counts as deleted
        assert (await world.ask("POST", "/pushers/set", gone, alice)).json == {}
    assert await listed(alice) == []
    near_url = {**BODY, "data": {"url": "http://127.0.0.1/_matrix/push/v1/notify"}}
    for wrong in (near_url, {**BODY, "kind": "pigeon"}, {**BODY, "data": {}}, {}):
        answer = await world.ask("POST", "/pushers/set", wrong, alice)
        assert answer.status == 400
        assert answer.errcode in ("M_INVALID_PARAM", "M_MISSING_PARAM")
    assert (await world.ask("POST", "/pushers/set", {})).errcode == "M_MISSING_TOKEN"
    await world.ask("POST", "/pushers/set", BODY, alice)
    await world.ask("POST", "/logout", {}, alice)
    rows = await world.db.fetch("SELECT 1 FROM pushers WHERE user_id = '@alice:test'")
    assert rows == []
