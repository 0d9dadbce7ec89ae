"""What clients learn from application services: pings, users and aliases made on demand, networks; their operator."""

import re
from typing import Any
from urllib.parse import quote

import orjson
from click.testing import CliRunner
from twisted.internet.defer import Deferred

from hs_common.config import Bucket
from hs_common.http.endpoint import Auth, Rate
from hs_common.http.operator_proof import LIFETIME_MS, proof
from hs_common.http.rate_limits import RateLimits
from hs_common.http.router import declared_endpoints
from hs_common.matrix.network_instances import instance_id
from hs_common.process.commands.admin_appservices import appservice, status_line
from hs_common.replication.calls import RegisterUser, SetAlias
from hs_common.storage import appservices, service_queue
from hs_workers.registry import endpoint_classes
from tests.master.services import registration, set_service
from tests.reactor import until
from tests.workers.appservice.fake_service import Received
from tests.workers.client.service_world import SECRET, ServiceWorld, play
from tests.workers.client.world import Answer
from tests.workers.fake_site import HANG

PING = "/_matrix/client/v1/appservice/irc/ping"
ADMIN = "/_viaduct/admin/v1/appservices"


def test_a_ping_reaches_the_service_and_is_timed(database_url: str) -> None:
    async def scenario(w: ServiceWorld) -> None:
        pong = await w.ask("POST", PING, {"transaction_id": "meow"}, "as_irc")
        assert pong.status == 200
        assert isinstance(pong.json["duration_ms"], int)
        (asked,) = w.service.requests
        assert (asked.path, asked.json, asked.authorization) == (
            "/_matrix/app/v1/ping",
            {"transaction_id": "meow"},
            "hs_irc",
        )
        w.service.behave = lambda received: 403
        bad = await w.ask("POST", PING, {}, "as_irc")
        assert (bad.status, bad.errcode, bad.json["status"]) == (502, "M_BAD_STATUS", 403)
        assert orjson.loads(bad.json["body"]) == {"errcode": "M_UNRECOGNIZED"}
        await w.register_service(url="http://127.0.0.1:9")
        assert (await w.ask("POST", PING, {}, "as_irc")).errcode == "M_CONNECTION_FAILED"
        await w.register_service(url=None)
        unset = await w.ask("POST", PING, {}, "as_irc")
        assert (unset.status, unset.errcode) == (400, "M_URL_NOT_SET")

    play(database_url, scenario)


def test_only_the_service_itself_may_ping(database_url: str) -> None:
    async def scenario(w: ServiceWorld) -> None:
        await w.near.call(set_service("other"))
        other = await w.ask("POST", PING, {}, "as_other")
        assert (other.status, other.errcode) == (403, "M_FORBIDDEN")
        alice = (await w.register("alice"))["access_token"]
        assert (await w.ask("POST", PING, {}, alice)).errcode == "M_FORBIDDEN"
        assert w.service.requests == []

    play(database_url, scenario)


def test_a_ping_ends_the_pause_after_failures(database_url: str) -> None:
    async def scenario(w: ServiceWorld) -> None:
        await service_queue.claim(w.db, "irc", 1, 0)
        await service_queue.failed(w.db, "irc", 1, 3, "refused")
        before = len(w.near.entries)
        assert (await w.ask("POST", PING, {}, "as_irc")).status == 200
        assert len(w.near.entries) == before + 1

    play(database_url, scenario)


def test_a_ghost_that_is_invited_is_made_by_its_service(database_url: str) -> None:
    async def scenario(w: ServiceWorld) -> None:
        alice = (await w.register("alice"))["access_token"]
        room = (await w.ask("POST", "/createRoom", {}, alice)).json["room_id"]

        w.service.behave = lambda received: HANG
        inviting = Deferred.fromCoroutine(w.ask("POST", f"/rooms/{room}/invite", {"user_id": "@irc_new:test"}, alice))
        await until(lambda: w.service.requests)
        await w.near.call(RegisterUser(user_id="@irc_new:test", password_hash=None, appservice_id="irc"))
        w.service.answer_the_hung()
        assert (await inviting).status == 200
        w.service.requests.clear()
        w.service.behave = lambda received: 404
        unknown = await w.ask("POST", f"/rooms/{room}/invite", {"user_id": "@irc_none:test"}, alice)
        assert unknown.errcode == "M_NOT_FOUND"
        assert [one.path for one in w.service.requests] == [
            "/_matrix/app/v1/users/%40irc_none%3Atest",
            "/users/%40irc_none%3Atest",
        ]
        assert (await w.ask("POST", f"/rooms/{room}/invite", {"user_id": "@bob:test"}, alice)).errcode == "M_NOT_FOUND"
        assert len(w.service.requests) == 2  # not in the namespace

    play(database_url, scenario)


def test_an_alias_is_made_while_it_is_asked_for(database_url: str) -> None:
    async def scenario(w: ServiceWorld) -> None:
        alice = (await w.register("alice"))["access_token"]
        room = (await w.ask("POST", "/createRoom", {"preset": "public_chat"}, alice)).json["room_id"]

        w.service.behave = lambda received: HANG
        asking = Deferred.fromCoroutine(w.ask("GET", "/directory/room/%23irc_channel%3Atest"))
        await until(lambda: w.service.requests)
        # The service answers only once it has called back into the server.
        await w.near.call(SetAlias(alias="#irc_channel:test", room_id=room, creator="@ircbot:test"))
        w.service.answer_the_hung()
        assert (await asking).json["room_id"] == room
        joined = await w.ask("POST", "/join/%23irc_channel%3Atest", {}, alice)
        assert joined.json == {"room_id": room}
        w.service.behave = lambda received: 404
        assert (await w.ask("GET", "/directory/room/%23irc_none%3Atest")).errcode == "M_NOT_FOUND"

    play(database_url, scenario)


def test_reserved_aliases_are_the_services_alone(database_url: str) -> None:
    async def scenario(w: ServiceWorld) -> None:
        alice = (await w.register("alice"))["access_token"]
        room = (await w.ask("POST", "/createRoom", {}, alice)).json["room_id"]
        alias = "/directory/room/%23irc_channel%3Atest"
        assert (await w.ask("PUT", alias, {"room_id": room}, alice)).errcode == "M_EXCLUSIVE"
        new = {"room_alias_name": "irc_other"}
        assert (await w.ask("POST", "/createRoom", new, alice)).errcode == "M_EXCLUSIVE"
        assert (await w.ask("PUT", alias, {"room_id": room}, "as_irc")).status == 200
        outside = "/directory/room/%23elsewhere%3Atest"
        assert (await w.ask("PUT", outside, {"room_id": room}, "as_irc")).errcode == "M_EXCLUSIVE"
        assert (await w.ask("DELETE", alias, token=alice)).errcode == "M_EXCLUSIVE"
        assert (await w.ask("DELETE", alias, token="as_irc")).status == 200

    play(database_url, scenario)


def test_a_service_dates_events_as_far_as_events_have_dates(database_url: str) -> None:
    async def scenario(w: ServiceWorld) -> None:
        room = (await w.ask("POST", "/createRoom", {"room_version": "11"}, "as_irc")).json["room_id"]
        sends = iter(range(100))

        async def sent(ts: object) -> Answer:
            path = f"/rooms/{room}/send/m.room.message/{next(sends)}"
            return await w.ask("PUT", path, {"body": "old"}, "as_irc", ts=str(ts))

        for good in (0, 1_234_567_890_123, 2**53 - 1):
            event_id = (await sent(good)).json["event_id"]
            event = await w.ask("GET", f"/rooms/{room}/event/{quote(event_id)}", token="as_irc")
            assert event.json["origin_server_ts"] == good
        for bad in (-1, 2**53, 10**15 * 9_999, "1.5", ""):
            refused = await sent(bad)
            assert (refused.status, refused.errcode) == (400, "M_INVALID_PARAM"), bad

    play(database_url, scenario)


def test_third_party_networks_are_asked_for(database_url: str) -> None:
    def answers(received: Received) -> Any:
        if "/protocol/" in received.path:
            instances = [{"network_id": "libera", "desc": "Libera", "fields": {}}]
            return {
                "user_fields": ["nick"],
                "location_fields": [],
                "icon": "",
                "field_types": {},
                "instances": instances,
            }
        return [{"protocol": "irc", "userid": "@irc_a:test", "fields": received.query}]

    async def scenario(w: ServiceWorld) -> None:
        await w.register_service(protocols=["irc"])
        w.service.answers = answers
        alice = (await w.register("alice"))["access_token"]
        protocols = (await w.ask("GET", "/thirdparty/protocols", token=alice)).json
        assert protocols["irc"]["instances"][0]["instance_id"] == instance_id("irc", "libera")
        assert (await w.ask("GET", "/thirdparty/protocol/irc", token=alice)).json["user_fields"] == ["nick"]
        assert (await w.ask("GET", "/thirdparty/protocol/xmpp", token=alice)).errcode == "M_NOT_FOUND"
        users = await w.ask("GET", "/thirdparty/user/irc", token=alice, nick="a")
        assert users.json == [{"protocol": "irc", "userid": "@irc_a:test", "fields": {"nick": "a"}}]
        assert w.service.requests[-1].path == "/_matrix/app/v1/thirdparty/user/irc"
        reverse = await w.ask("GET", "/thirdparty/user", access_token=alice, userid="@irc_a:test")
        assert reverse.json[0]["fields"] == {"userid": "@irc_a:test"}

    play(database_url, scenario)


def test_a_service_publishes_rooms_of_its_networks(database_url: str) -> None:
    async def scenario(w: ServiceWorld) -> None:
        alice = (await w.register("alice"))["access_token"]
        room = (await w.ask("POST", "/createRoom", {}, alice)).json["room_id"]
        path = f"/directory/list/appservice/libera/{room}"
        assert (await w.ask("PUT", path, {"visibility": "public"}, alice)).errcode == "M_FORBIDDEN"
        assert (await w.ask("PUT", path, {"visibility": "public"}, "as_irc")).json == {}
        assert await appservices.published_rooms(w.db, "irc", "libera") == [room]
        for search, found in (
            ({}, []),
            ({"third_party_instance_id": instance_id("irc", "libera")}, [room]),
            ({"third_party_instance_id": instance_id("irc", "oftc")}, []),
            ({"third_party_instance_id": "unknown"}, []),
            ({"include_all_networks": True}, [room]),
        ):
            page = (await w.ask("POST", "/publicRooms", search, alice)).json
            assert [one["room_id"] for one in page["chunk"]] == found, search
        assert (await w.ask("PUT", path, {"visibility": "half"}, "as_irc")).errcode == "M_BAD_JSON"
        assert (await w.ask("PUT", path, {"visibility": "private"}, "as_irc")).json == {}
        assert await appservices.published_rooms(w.db, None, None) == []

    play(database_url, scenario)


def test_the_operator_looks_after_services(database_url: str) -> None:
    async def scenario(w: ServiceWorld) -> None:
        async def ask(
            method: str, rest: str = "", body: Any = None, *, late_ms: int = 0, secret: str = SECRET
        ) -> Answer:
            content = b"" if body is None else orjson.dumps(body)
            proved = proof(secret, method, ADMIN + rest, w.now_ms - late_ms, content)
            return await w.ask(method, ADMIN + rest, content, headers={"X-Viaduct-Proof": proved})

        added = await ask("POST", "", {"registration": orjson.dumps(registration("xmpp")).decode()})
        assert added.json == {"id": "xmpp"}
        listed = (await ask("GET")).json["appservices"]
        assert [(one["id"], one["paused"], one["waiting"]) for one in listed] == [("irc", False, 0), ("xmpp", False, 0)]
        assert "hs_" not in str(listed)
        assert status_line(listed[0]) == "irc: nothing waits"
        assert (await ask("PUT", "/xmpp/state", {"paused": True})).json == {}
        assert (await ask("POST", "/xmpp/wake", {})).json == {}
        assert (await ask("DELETE", "/xmpp")).json == {}
        assert (await ask("DELETE", "/xmpp")).errcode == "M_NOT_FOUND"
        assert (await ask("POST", "", {"registration": "id: x"})).errcode == "M_BAD_JSON"
        assert (await ask("GET", secret="another secret of it")).errcode == "M_FORBIDDEN"
        assert (await ask("GET", late_ms=LIFETIME_MS + 1)).errcode == "M_FORBIDDEN"
        assert (await w.ask("GET", ADMIN)).errcode == "M_FORBIDDEN"

    play(database_url, scenario)


def test_the_commands_are_there() -> None:
    said = CliRunner().invoke(appservice, ["--help"]).output
    for name in ("add", "list", "status", "remove", "pause", "resume", "retry"):
        assert f"  {name}" in said


def test_no_endpoint_limits_a_service_that_is_exempt(database_url: str) -> None:
    """Each endpoint of a client worker is tried more often than anybody else may."""
    parameter = re.compile(r"\{[^}]*\}")

    async def scenario(w: ServiceWorld) -> None:
        w.service.behave = lambda received: 404
        await w.services.services()
        slow: dict[Rate, Bucket] = {rate: Bucket(per_second=0.001, burst=1) for rate in Rate if rate is not Rate.NONE}
        w.limit(RateLimits(slow, lambda: 0.0, w.services.is_exempt))
        tried = 0
        for declaration in declared_endpoints(endpoint_classes()["client"]):
            if declaration.auth is Auth.NONE:
                continue  # no token is looked at, whoever calls
            path = parameter.sub("x", declaration.path)
            codes = {(await w.ask(declaration.method, path, {}, "as_irc")).errcode for _ in range(2)}
            assert "M_LIMIT_EXCEEDED" not in codes, declaration
            tried += 1
        assert tried > 50
        assert (await w.ask("POST", "/register", {}, "no token of a service")).errcode != "M_LIMIT_EXCEEDED"
        assert (await w.ask("POST", "/register", {}, "no token of a service")).errcode == "M_LIMIT_EXCEEDED"

    play(database_url, scenario)
