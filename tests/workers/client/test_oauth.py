"""A server that leaves accounts to an authentication service: whose tokens are good, and what is left to do here."""

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import orjson
import pytest

from hs_common.config.oauth import OAuth
from hs_common.http.egress.client import Fetched
from hs_common.http.egress.failures import Unreachable
from hs_common.http.oauth_service import OAuthService
from hs_common.http.oauth_tokens import Scope, parse_scope
from hs_common.http.reply import Reply, Response
from hs_workers.client.account_parts import AccountParts
from hs_workers.client.ownership import REPLACING_KEYS
from hs_workers.client.uia import Guarded, Proof
from tests.workers.client.conftest import Play
from tests.workers.client.world import START_MS, World

ISSUER = "https://account.example.org/"
SECRET = "the secret of both"
API = "urn:matrix:client:api:*"
OLD = "urn:matrix:org.matrix.msc2967.client:"
MAS = "/_synapse/mas"
ALICE = "@alice:example.org"


class Service:
    """What it says of tokens, and what it was asked: (url, headers, body)."""

    def __init__(self) -> None:
        self.tokens: dict[str, dict[str, Any]] = {}
        self.asked: list[tuple[str, dict[str, str], bytes | None]] = []
        self.is_away = False

    async def fetch(self, purpose: Any, method: str, url: str, headers: Any, body: Any, limits: Any) -> Fetched:
        self.asked.append((url, headers, body))
        if self.is_away:
            raise Unreachable("away")
        said: dict[str, Any] = {
            "issuer": ISSUER,
            "introspection_endpoint": f"{ISSUER}oauth2/introspect",
            "account_management_uri": f"{ISSUER}account/",
        }
        if body is not None:
            token = body.decode().partition("token=")[2].partition("&")[0]
            said = self.tokens.get(token, {"active": False})
        return Fetched(200, [], orjson.dumps(said), url)

    def know(self, token: str, scope: str, **more: Any) -> None:
        """A token of alice's."""
        self.tokens[token] = {"active": True, "username": "alice", "scope": scope, **more}


def play_with(
    play: Play, scenario: Callable[[World, Service], Awaitable[None]], clock: list[int] | None = None, **more: Any
) -> None:
    service = Service()
    settings = {"issuer": ISSUER, "secret": SECRET, "endpoint": "http://mas:8080/", **more}
    known = msgspec.convert(settings, OAuth, dec_hook=lambda kind, value: kind(value))
    oauth = OAuthService(known, service, lambda: START_MS)  # type: ignore[arg-type]
    play(lambda world: scenario(world, service), {"oauth": oauth}, oauth=settings)


async def mas(world: World, path: str, body: Any = None, secret: str = SECRET) -> Any:
    """What the service is answered: (status, body)."""
    answer = await world.ask("GET" if body is None else "POST", f"{MAS}/{path}", body, secret)
    return answer.status, answer.json


async def provision(world: World) -> None:
    assert (await mas(world, "provision_user", {"localpart": "alice"}))[0] == 201


def test_a_token_of_the_service_is_as_good_as_ours(play: Play) -> None:
    async def scenario(world: World, service: Service) -> None:
        await provision(world)
        service.know("good", f"{API} urn:matrix:client:device:PHONE openid", exp=START_MS // 1000 + 3600)
        for _ in range(2):
            whoami = await world.ask("GET", "/account/whoami", token="good")
            assert whoami.json == {"user_id": ALICE, "device_id": "PHONE", "is_guest": False}
        asked = [one for one in service.asked if one[2] is not None]
        assert [(url, headers["Authorization"]) for url, headers, _ in asked] == [
            ("http://mas:8080/oauth2/introspect", f"Bearer {SECRET}")
        ]
        devices = await world.ask("GET", "/devices", token="good")
        assert [one["device_id"] for one in devices.json["devices"]] == ["PHONE"]
        # What changes here is seen at once, what ends there within two minutes.
        await mas(world, "provision_user", {"localpart": "alice", "locked": True})
        assert world.oauth_tokens is not None
        world.oauth_tokens.forget_user(ALICE)
        assert (await world.ask("GET", "/account/whoami", token="good")).errcode == "M_USER_LOCKED"
        await mas(world, "provision_user", {"localpart": "alice", "locked": False})
        world.oauth_tokens.void()
        assert (await world.ask("GET", "/account/whoami", token="good")).status == 200
        service.tokens.clear()
        assert (await world.ask("GET", "/account/whoami", token="good")).status == 200
        world.now_ms += 120_000
        assert (await world.ask("GET", "/account/whoami", token="good")).errcode == "M_UNKNOWN_TOKEN"

    play_with(play, scenario)


def test_tokens_that_are_good_for_nothing(play: Play) -> None:
    async def scenario(world: World, service: Service) -> None:
        await provision(world)
        service.know("narrow", "openid")
        service.know("nobody", API)
        service.tokens["nobody"]["username"] = "nobody"
        service.know("strange", API)
        service.tokens["strange"]["username"] = 7
        for token in ("narrow", "nobody", "strange", "unheard"):
            assert (await world.ask("GET", "/account/whoami", token=token)).errcode == "M_UNKNOWN_TOKEN"
        await mas(world, "delete_user", {"localpart": "alice", "erase": False})
        service.know("late", API)
        assert (await world.ask("GET", "/account/whoami", token="late")).errcode == "M_UNKNOWN_TOKEN"
        service.is_away = True
        assert (await world.ask("GET", "/account/whoami", token="other")).status == 503

    play_with(play, scenario)


def test_asking_as_a_client_and_administrators(play: Play) -> None:
    async def scenario(world: World, service: Service) -> None:
        await provision(world)
        service.know("admin", f"{API} urn:synapse:admin:*")
        assert (await world.ask("GET", "/_synapse/admin/v2/users", token="admin")).status == 200
        assert service.asked[-1][1]["Authorization"] == "Basic dXM6dGhlJTIwc2VjcmV0JTIwb2YlMjBib3Ro"

    play_with(play, scenario, client_id="us")


@pytest.mark.parametrize(
    ("text", "scope"),
    [
        (f"{API} urn:matrix:client:device:A", Scope(True, "A", False)),
        (f"{OLD}api:* {OLD}device:B", Scope(True, "B", False)),
        (f"{API} urn:matrix:client:device:A urn:matrix:client:device:B", Scope(True, None, False)),
        (f"{API} urn:matrix:client:device:", Scope(True, None, False)),
        ("urn:matrix:client:api:read", Scope(False, None, False)),
        (None, Scope(False, None, False)),
    ],
)  # fmt: skip
def test_scopes(text: object, scope: Scope) -> None:
    assert parse_scope(text) == scope


def test_what_clients_are_told(play: Play) -> None:
    async def scenario(world: World, service: Service) -> None:
        metadata = (await world.ask("GET", "/_matrix/client/v1/auth_metadata")).json
        assert (metadata["issuer"], metadata["account_management_uri"]) == (ISSUER, "https://account.example.org/me")
        issuer = await world.ask("GET", "/_matrix/client/unstable/org.matrix.msc2965/auth_issuer")
        assert issuer.json == {"issuer": ISSUER}
        well_known = (await world.ask("GET", "/.well-known/matrix/client")).json
        told = {"issuer": ISSUER, "account": "https://account.example.org/me"}
        assert well_known["org.matrix.msc2965.authentication"] == told
        flows = (await world.ask("GET", "/login")).json["flows"]
        assert flows == [{"type": "m.login.application_service"}]
        assert (await world.ask("POST", "/register", {})).errcode == "M_FORBIDDEN"

    play_with(play, scenario, account_management_url="https://account.example.org/me")


def test_without_a_service(play: Play) -> None:
    async def scenario(world: World) -> None:
        for path in ("v1/auth_metadata", "unstable/org.matrix.msc2965/auth_issuer"):
            answer = await world.ask("GET", f"/_matrix/client/{path}")
            assert (answer.status, answer.errcode) == (404, "M_UNRECOGNIZED")
        assert (await mas(world, "query_user?localpart=alice", secret=""))[0] == 404

    play(scenario)


def test_what_the_service_does_to_accounts_and_devices(play: Play) -> None:
    async def scenario(world: World, service: Service) -> None:
        for secret in ("wrong", f"{SECRET}x"):
            assert (await mas(world, "query_user?localpart=alice", secret=secret))[1]["errcode"] == "M_FORBIDDEN"
        assert (await mas(world, "query_user?localpart=alice"))[1]["errcode"] == "M_NOT_FOUND"
        assert await mas(world, "is_localpart_available?localpart=alice") == (200, {})
        body = {"localpart": "alice", "set_displayname": "Alice", "set_emails": ["a@example.org"], "locked": False}
        assert await mas(world, "provision_user", body) == (201, {})
        assert await mas(world, "provision_user", {**body, "unset_emails": True, "set_emails": None}) == (200, {})
        assert (await mas(world, "is_localpart_available?localpart=alice"))[1]["errcode"] == "M_USER_IN_USE"
        assert (await mas(world, "is_localpart_available?localpart=%C3%84"))[1]["errcode"] == "M_INVALID_USERNAME"
        found: dict[str, Any] = {"user_id": ALICE, "display_name": "Alice", "avatar_url": None}
        found |= {"is_suspended": False, "is_deactivated": False}
        assert await mas(world, "query_user?localpart=alice") == (200, found)
        phone = {"localpart": "alice", "device_id": "PHONE"}
        assert await mas(world, "upsert_device", {**phone, "display_name": "Phone"}) == (201, {})
        assert await mas(world, "upsert_device", phone) == (200, {})
        assert await mas(world, "update_device_display_name", {**phone, "display_name": "Old"}) == (200, {})
        assert await mas(world, "sync_devices", {"localpart": "alice", "devices": ["A", "B"]}) == (200, {})
        assert await mas(world, "delete_device", {"localpart": "alice", "device_id": "B"}) == (200, {})
        rows = await world.db.fetch("SELECT device_id FROM devices")
        assert rows == [("A",)]
        await mas(world, "set_displayname", {"localpart": "alice", "displayname": "A."})
        assert (await world.ask("GET", f"/profile/{ALICE}")).json == {"displayname": "A."}
        await mas(world, "unset_displayname", {"localpart": "alice"})
        assert (await mas(world, "delete_user", {"localpart": "alice", "erase": True}))[0] == 200
        assert (await mas(world, "query_user?localpart=alice"))[1]["is_deactivated"] is True
        assert (await mas(world, "reactivate_user", {"localpart": "alice"}))[0] == 200
        assert (await mas(world, "query_user?localpart=alice"))[1]["is_deactivated"] is False
        assert (await mas(world, "delete_user", {"localpart": "nobody"}))[1]["errcode"] == "M_NOT_FOUND"

    play_with(play, scenario)


def test_what_takes_the_password_elsewhere_is_not_done_here(play: Play) -> None:
    async def scenario(world: World, service: Service) -> None:
        await provision(world)
        service.know("good", f"{API} urn:matrix:client:device:PHONE")
        for method, path, body in (
            ("POST", "/account/password", {"new_password": "battery staple"}),
            ("POST", "/account/deactivate", {}),
            ("DELETE", "/devices/PHONE", {}),
            ("POST", "/_matrix/client/v1/login/get_token", {}),
        ):
            answer = await world.ask(method, path, body, "good")
            assert (answer.status, answer.errcode) == (404, "M_UNRECOGNIZED")

    play_with(play, scenario)


def test_replacing_keys_is_confirmed_at_the_service(play: Play) -> None:
    async def scenario(world: World, service: Service) -> None:
        await provision(world)
        uia = AccountParts(world.settings, world.outside).uia
        done: list[Proof] = []

        async def perform(proof: Proof) -> Reply:
            done.append(proof)
            return {}

        async def attempt(auth: dict[str, Any] | None = None) -> Any:
            body = {"master_key": {}, **({} if auth is None else {"auth": auth})}
            reply = await uia.run(Guarded(REPLACING_KEYS, body, ALICE), perform)
            return reply.body if isinstance(reply, Response) else reply

        first = await attempt()
        assert first["flows"] == [{"stages": ["m.oauth"]}, {"stages": ["org.matrix.cross_signing_reset"]}]
        url = f"{ISSUER}?action=org.matrix.cross_signing_reset"
        assert first["params"]["m.oauth"] == {"url": url}
        await world.ask("GET", "/_matrix/client/v1/auth_metadata")
        url = f"{ISSUER}account/?action=org.matrix.cross_signing_reset"
        assert (await attempt())["params"]["m.oauth"] == {"url": url}
        session = {"session": first["session"]}
        assert (await attempt(session))["errcode"] == "M_FORBIDDEN"
        assert (await mas(world, "allow_cross_signing_reset", {"localpart": "alice"}))[0] == 200
        assert await attempt(session) == {}
        assert len(done) == 1
        # Once, and not for ever.
        again = {"session": (await attempt())["session"]}
        assert (await attempt(again))["errcode"] == "M_FORBIDDEN"
        await mas(world, "allow_cross_signing_reset", {"localpart": "alice"})
        world.now_ms += 10 * 60 * 1000
        late = {"session": (await attempt())["session"], "type": "org.matrix.cross_signing_reset"}
        assert (await attempt(late))["errcode"] == "M_FORBIDDEN"

    play_with(play, scenario)
