"""A server that has both: accounts of its own by the legacy API, and an authentication service beside it.

Spec: client-server API, #client-authentication: a server may support both; who logged in by one uses only that.
"""

from typing import Any

from hs_common.config.sso import OidcProvider
from hs_common.storage.dehydrated_devices import keep_dehydrated_device
from hs_workers.client.login import login_flows
from tests.workers.client.conftest import Play
from tests.workers.client.test_oauth import API, ISSUER, Service, mas, play_with
from tests.workers.client.world import PASSWORD, World

PHONE = f"{API} urn:matrix:client:device:PHONE"
GET_TOKEN = "/_matrix/client/v1/login/get_token"
BY_PASSWORD = [{"stages": ["m.login.password"]}]
GUARDED: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("POST", "/account/password", {"new_password": "battery staple"}),
    ("POST", "/account/deactivate", {}),
    ("DELETE", "/devices/LAPTOP", {}),
    ("POST", "/delete_devices", {"devices": ["LAPTOP"]}),
    ("POST", GET_TOKEN, {}),
)


def test_both_apis_are_found(play: Play) -> None:
    async def scenario(world: World, service: Service) -> None:
        assert (await world.ask("GET", "/_matrix/client/v1/auth_metadata")).json["issuer"] == ISSUER
        flows = (await world.ask("GET", "/login")).json["flows"]
        assert [flow["type"] for flow in flows] == [
            "m.login.password",
            "m.login.token",
            "m.login.application_service",
        ]
        await world.register()
        assert (await world.login()).status == 200

    play_with(play, scenario, legacy_api=True)


def test_who_logged_in_by_one_uses_only_that(play: Play) -> None:
    async def scenario(world: World, service: Service) -> None:
        own = (await world.register(device_id="LAPTOP"))["access_token"]
        service.know("theirs", PHONE)
        for token, device_id in ((own, "LAPTOP"), ("theirs", "PHONE")):
            whoami = (await world.ask("GET", "/account/whoami", token=token)).json
            assert (whoami["user_id"], whoami["device_id"]) == ("@alice:example.org", device_id)
        for method, path, body in GUARDED:
            refused = await world.ask(method, path, body, "theirs")
            assert (refused.status, refused.errcode) == (404, "M_UNRECOGNIZED"), path
            asked = await world.ask(method, path, body, own)
            assert (asked.status, asked.json["flows"]) == (401, BY_PASSWORD), path
        # What was begun by the one API is not finished by the other.
        session = (await world.ask("POST", GET_TOKEN, {}, own)).json["session"]
        auth = {
            "type": "m.login.password",
            "session": session,
            "identifier": {"type": "m.id.user", "user": "alice"},
            "password": PASSWORD,
        }
        assert (await world.ask("POST", GET_TOKEN, {"auth": auth}, "theirs")).errcode == "M_UNRECOGNIZED"
        assert (await world.ask("POST", GET_TOKEN, {"auth": auth}, own)).status == 200

    play_with(play, scenario, legacy_api=True)


def test_each_is_told_what_it_can_do(play: Play) -> None:
    async def scenario(world: World, service: Service) -> None:
        own = (await world.register())["access_token"]
        service.know("theirs", PHONE)
        for token, enabled in ((own, True), ("theirs", False)):
            told = (await world.ask("GET", "/capabilities", token=token)).json["capabilities"]
            assert [told[name]["enabled"] for name in ("m.change_password", "m.get_login_token")] == [enabled] * 2

    play_with(play, scenario, legacy_api=True)


def test_a_session_ends_where_it_began(play: Play) -> None:
    async def scenario(world: World, service: Service) -> None:
        own = (await world.register(device_id="LAPTOP"))["access_token"]
        service.know("theirs", PHONE)
        for path in ("/logout", "/logout/all"):
            assert (await world.ask("POST", path, {}, "theirs")).errcode == "M_UNRECOGNIZED"
        assert (await world.ask("GET", "/account/whoami", token="theirs")).status == 200
        assert (await world.ask("POST", "/logout", {}, own)).status == 200
        assert (await world.ask("GET", "/account/whoami", token=own)).errcode == "M_UNKNOWN_TOKEN"

    play_with(play, scenario, legacy_api=True)


def test_the_service_ends_only_devices_that_it_knows_of(play: Play) -> None:
    async def scenario(world: World, service: Service) -> None:
        await world.register(device_id="LAPTOP")
        phones = {"localpart": "alice", "devices": ["OLD", "KEPT"]}
        assert (await mas(world, "sync_devices", phones))[0] == 200
        assert (await mas(world, "upsert_device", {"localpart": "alice", "device_id": "ASLEEP"}))[0] == 201
        await keep_dehydrated_device(world.db, "@alice:example.org", "ASLEEP", "{}")
        assert (await mas(world, "sync_devices", {"localpart": "alice", "devices": ["KEPT"]}))[0] == 200
        rows = await world.db.fetch("SELECT device_id FROM devices ORDER BY device_id")
        assert rows == [("ASLEEP",), ("KEPT",), ("LAPTOP",)]

    play_with(play, scenario, legacy_api=True)


def test_clients_that_know_of_such_services_prefer_single_sign_on() -> None:
    provider = OidcProvider(id="main", name="Main", issuer="https://id.example.org", client_id="matrix")
    for has_oauth, preferred in ((True, {"oauth_aware_preferred": True}), (False, {})):
        flows = login_flows(True, [provider], has_oauth=has_oauth)
        sso = {"type": "m.login.sso", "identity_providers": [{"id": "main", "name": "Main"}], **preferred}
        assert [flow for flow in flows if flow["type"] == "m.login.sso"] == [sso]
