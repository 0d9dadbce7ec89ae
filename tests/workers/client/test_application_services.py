"""Application services at the client-server API: whose token it is, as whom it acts, which users it makes."""

from typing import Any

from hs_common.config.rate_limits import Bucket
from hs_common.http.endpoint import Rate
from hs_common.http.rate_limits import RateLimits
from hs_common.replication.calls import SetUserState
from tests.master.harness import TestMaster, master
from tests.master.services import set_service
from tests.reactor import run
from tests.workers.client.test_with_the_master import NearLink
from tests.workers.client.world import World, config

GHOST = "@irc_ghost:test"
REGISTER = {"type": "m.login.application_service", "inhibit_login": True}


def play(database_url: str, scenario: Any, **sections: Any) -> None:
    async def played() -> None:
        async with master(database_url) as near:
            await near.call(set_service())
            world = World(database_url, config(server={"name": "test"}, **sections), master=NearLink(near))
            try:
                await scenario(world, near)
            finally:
                await world.db.close()

    run(played())


async def register(world: World, username: str, token: str | None = "as_irc", **more: Any) -> Any:
    return await world.ask("POST", "/register", {**REGISTER, "username": username, **more}, token)


def test_a_service_acts_as_itself_and_as_its_registered_ghosts(database_url: str) -> None:
    async def scenario(world: World, near: TestMaster) -> None:
        whoami = await world.ask("GET", "/account/whoami", token="as_irc")
        assert whoami.json == {"user_id": "@ircbot:test", "is_guest": False}
        unregistered = await world.ask("GET", "/account/whoami", token="as_irc", user_id=GHOST)
        assert (unregistered.status, unregistered.errcode) == (403, "M_FORBIDDEN")
        named = {"username": "irc_early", **REGISTER}
        early = await world.ask("POST", "/register", named, "as_irc", user_id="@irc_early:test")
        assert early.status == 200  # as bridges ask, for whom it does not exist yet
        made = await register(world, "irc_ghost")
        assert (made.status, made.json) == (200, {"user_id": GHOST})
        ghost = await world.ask("GET", "/account/whoami", token="as_irc", user_id=GHOST)
        assert ghost.json["user_id"] == GHOST
        in_query = await world.ask("GET", "/account/whoami", access_token="as_irc", user_id=GHOST)
        assert in_query.json["user_id"] == GHOST
        other = await world.ask("GET", "/account/whoami", token="as_irc", user_id="@alice:test")
        assert (other.status, other.errcode) == (403, "M_FORBIDDEN")
        foreign = await world.ask("GET", "/account/whoami", token="as_irc", user_id="@irc_ghost:elsewhere")
        assert foreign.errcode == "M_FORBIDDEN"
        assert (await world.ask("GET", "/account/whoami", token="as_unknown")).errcode == "M_UNKNOWN_TOKEN"
        await near.call(SetUserState(user_id=GHOST, locked=True))
        locked = await world.ask("GET", "/account/whoami", token="as_irc", user_id=GHOST)
        assert locked.errcode == "M_USER_LOCKED"

    play(database_url, scenario)


def test_ghosts_are_made_without_a_device_unless_one_is_wanted(database_url: str) -> None:
    async def scenario(world: World, near: TestMaster) -> None:
        assert (await register(world, "irc_a")).json == {"user_id": "@irc_a:test"}
        assert await near.db.fetch("SELECT 1 FROM devices") == []
        rows = await near.db.fetch("SELECT appservice_id, password_hash FROM users WHERE user_id = '@irc_a:test'")
        assert rows == [("irc", None)]
        session = (await register(world, "irc_b", inhibit_login=False, device_id="BRIDGE")).json
        assert session["device_id"] == "BRIDGE"
        whoami = await world.ask("GET", "/account/whoami", token=session["access_token"])
        assert whoami.json["device_id"] == "BRIDGE"
        assert (await register(world, "irc_a")).errcode == "M_USER_IN_USE"
        assert (await register(world, "alice")).errcode == "M_EXCLUSIVE"
        assert (await register(world, "irc_Upper")).errcode == "M_INVALID_USERNAME"
        missing = await world.ask("POST", "/register", REGISTER, "as_irc")
        assert missing.errcode == "M_MISSING_PARAM"

    play(database_url, scenario)


def test_registering_as_a_service_takes_its_token(database_url: str) -> None:
    async def scenario(world: World, near: TestMaster) -> None:
        none = await register(world, "irc_a", token=None)
        assert (none.status, none.errcode) == (401, "M_MISSING_TOKEN")
        wrong = await register(world, "irc_a", token="vat_no")
        assert (wrong.status, wrong.errcode) == (401, "M_UNKNOWN_TOKEN")
        # A token that is not looked at does no harm to anybody else.
        plain = {"username": "alice", "password": "correct horse", "auth": {"type": "m.login.dummy"}}
        assert (await world.ask("POST", "/register", plain, "vat_old")).status == 200

    play(database_url, scenario)


def test_others_cannot_have_what_a_service_reserved(database_url: str) -> None:
    async def scenario(world: World, near: TestMaster) -> None:
        for name in ("irc_mine", "ircbot"):
            body = {"username": name, "password": "correct horse", "auth": {"type": "m.login.dummy"}}
            assert (await world.ask("POST", "/register", body)).errcode == "M_EXCLUSIVE"
            assert (await world.ask("GET", "/register/available", username=name)).errcode == "M_EXCLUSIVE"
        shared = {"users": [{"regex": "@shared_.*", "exclusive": False}]}
        await near.call(set_service("open", namespaces=shared))
        await world.register("shared_a")
        assert (await world.ask("GET", "/account/whoami", token="as_open", user_id="@shared_a:test")).status == 200

    play(database_url, scenario)


def test_a_service_logs_its_users_in(database_url: str) -> None:
    async def scenario(world: World, near: TestMaster) -> None:
        await register(world, "irc_a")
        flows = (await world.ask("GET", "/login")).json["flows"]
        assert {"type": "m.login.application_service"} in flows
        login = {"type": "m.login.application_service", "identifier": {"type": "m.id.user", "user": "irc_a"}}
        session = await world.ask("POST", "/login", {**login, "device_id": "D"}, "as_irc")
        assert (session.json["user_id"], session.json["device_id"]) == ("@irc_a:test", "D")
        acting = await world.ask("GET", "/account/whoami", token="as_irc", user_id="@irc_a:test", device_id="D")
        assert acting.json["device_id"] == "D"
        query: Any = {"user_id": "@irc_a:test", "org.matrix.msc3202.device_id": "D"}
        assert (await world.ask("GET", "/account/whoami", token="as_irc", **query)).json["device_id"] == "D"
        unknown = await world.ask("GET", "/account/whoami", token="as_irc", user_id="@irc_a:test", device_id="X")
        assert (unknown.status, unknown.errcode) == (400, "M_UNKNOWN_DEVICE")
        assert (await world.ask("POST", "/login", login)).errcode == "M_MISSING_TOKEN"
        assert (await world.ask("POST", "/login", login, "vat_no")).errcode == "M_UNKNOWN_TOKEN"
        other = {**login, "identifier": {"type": "m.id.user", "user": "alice"}}
        assert (await world.ask("POST", "/login", other, "as_irc")).errcode == "M_EXCLUSIVE"
        missing = {**login, "identifier": {"type": "m.id.user", "user": "irc_nobody"}}
        assert (await world.ask("POST", "/login", missing, "as_irc")).errcode == "M_FORBIDDEN"

    play(database_url, scenario)


def test_services_pass_the_gate_of_rate_limits(database_url: str) -> None:
    async def scenario(world: World, near: TestMaster) -> None:
        await near.call(set_service("limited", rate_limited=True))
        slow: dict[Rate, Bucket] = {rate: Bucket(per_second=0.001, burst=1) for rate in Rate if rate is not Rate.NONE}
        world.limit(RateLimits(slow, lambda: 0.0, world.services.is_exempt))
        for number in range(3):
            assert (await register(world, f"irc_{number}")).status == 200
            assert (await register(world, f"limited_{number}", "as_limited")).status == 200
        as_ghosts = [
            (await world.ask("GET", "/devices", token=f"as_{name}", user_id=f"@{name}_1:test")).status
            for name in ("irc", "irc", "limited", "limited")
        ]
        assert as_ghosts == [200, 200, 200, 429]
        assert [(await world.ask("GET", "/devices", token="as_limited")).status for _ in range(3)] == [200] * 3

    play(database_url, scenario)


def test_a_service_makes_and_deletes_devices_without_logging_in(database_url: str) -> None:
    async def scenario(world: World, near: TestMaster) -> None:
        await register(world, "irc_ghost")

        async def ask(method: str, path: str, body: Any = None, **query: Any) -> Any:
            return await world.ask(method, path, body, "as_irc", user_id=GHOST, **query)

        made = await ask("PUT", "/devices/BRIDGE", {"display_name": "Bridge"})
        assert (made.status, made.json) == (201, {})
        assert (await ask("PUT", "/devices/BRIDGE", {"display_name": "The bridge"})).status == 200
        assert (await ask("GET", "/devices/BRIDGE")).json["display_name"] == "The bridge"
        assert (await ask("GET", "/account/whoami", device_id="BRIDGE")).json["device_id"] == "BRIDGE"
        assert await near.db.fetch("SELECT 1 FROM access_tokens") == []
        assert (await ask("DELETE", "/devices/BRIDGE")).json == {}
        assert (await ask("GET", "/devices")).json == {"devices": []}
        assert (await ask("PUT", "/devices/" + "x" * 300, {})).errcode == "M_INVALID_PARAM"
        alice = (await world.register("alice"))["access_token"]
        assert (await world.ask("PUT", "/devices/OTHER", {}, alice)).errcode == "M_NOT_FOUND"

    play(database_url, scenario)


def test_a_service_ends_its_ghosts_without_a_password(database_url: str) -> None:
    async def scenario(world: World, near: TestMaster) -> None:
        await register(world, "irc_ghost")
        ended = await world.ask("POST", "/account/deactivate", {}, "as_irc", user_id=GHOST)
        assert ended.status == 200
        gone = await world.ask("GET", "/account/whoami", token="as_irc", user_id=GHOST)
        assert gone.errcode == "M_USER_DEACTIVATED"

    play(database_url, scenario)
