"""Registering, from the first 401 to a session that works."""

import hmac
from typing import Any

from hs_common.config.option import Secret
from hs_common.matrix.errors import MatrixError
from hs_common.replication.calls import RegisterUser
from hs_common.storage.registration_tokens import add_token
from tests.workers.client.conftest import Play
from tests.workers.client.world import PASSWORD, POLICY, World

TAKEN = MatrixError(400, "M_USER_IN_USE", "taken")
DUMMY = {"type": "m.login.dummy"}
VALIDITY = "/_matrix/client/v1/register/m.login.registration_token/validity"
SHARED = "/_synapse/admin/v1/register"


def test_a_user_registers_in_two_requests_and_is_logged_in(play: Play) -> None:
    async def scenario(world: World) -> None:
        wanted = {"username": "alice", "password": PASSWORD, "device_id": "PHONE", "initial_device_display_name": "P"}
        first = await world.ask("POST", "/register", wanted)
        assert first.status == 401
        assert first.json["flows"] == [{"stages": ["m.login.dummy"]}]
        assert first.json["params"] == {}
        assert "errcode" not in first.json
        auth = {**DUMMY, "session": first.json["session"]}
        done = await world.ask("POST", "/register", {**wanted, "auth": auth})
        assert done.status == 200
        assert done.json.keys() == {"user_id", "access_token", "device_id"}
        assert (done.json["user_id"], done.json["device_id"]) == ("@alice:example.org", "PHONE")
        token = done.json["access_token"]
        assert token.startswith("vat_")
        whoami = await world.ask("GET", "/account/whoami", token=token)
        assert whoami.json == {"user_id": "@alice:example.org", "device_id": "PHONE", "is_guest": False}
        in_query = await world.ask("GET", "/account/whoami", access_token=token)
        assert in_query.json == whoami.json

    play(scenario)


def test_the_last_request_may_consist_of_auth_alone(play: Play) -> None:
    async def scenario(world: World) -> None:
        first = await world.ask("POST", "/register", {"username": "alice", "password": PASSWORD})
        done = await world.ask("POST", "/register", {"auth": {**DUMMY, "session": first.json["session"]}})
        assert done.json["user_id"] == "@alice:example.org"
        assert (await world.login()).status == 200

    play(scenario)


def test_no_password_lies_in_the_session(play: Play) -> None:
    async def scenario(world: World) -> None:
        await world.ask("POST", "/register", {"username": "alice", "password": PASSWORD})
        row = await world.db.fetch_one("SELECT details FROM uia_sessions")
        assert row is not None
        assert PASSWORD not in row[0]
        assert "$argon2id$" in row[0]

    play(scenario)


def test_whoever_wants_no_session_gets_none(play: Play) -> None:
    async def scenario(world: World) -> None:
        assert await world.register(inhibit_login=True) == {"user_id": "@alice:example.org"}
        assert world.master.of(RegisterUser)[0].session is None

    play(scenario)


def test_a_client_that_refreshes_gets_a_refresh_token(play: Play) -> None:
    async def scenario(world: World) -> None:
        answer = await world.register(refresh_token=True)
        assert answer["refresh_token"].startswith("vrt_")
        assert answer["expires_in_ms"] == 3_600_000

    play(scenario)


def test_without_a_name_the_server_makes_one_up_again_if_it_is_taken(play: Play) -> None:
    async def scenario(world: World) -> None:
        world.master.failures = [TAKEN]
        answer = await world.ask("POST", "/register", {"password": PASSWORD, "auth": DUMMY})
        assert answer.status == 200
        first, second = world.master.of(RegisterUser)
        assert first.user_id != second.user_id == answer.json["user_id"]
        for failures, status in (([TAKEN] * 5, 400), ([MatrixError(503, "M_UNKNOWN", "busy")], 503)):
            world.master.failures = list(failures)
            assert (await world.ask("POST", "/register", {"password": PASSWORD, "auth": DUMMY})).status == status
            assert world.master.failures == []

    play(scenario)


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"username": "Alice"}, "M_INVALID_USERNAME"),
    ({"username": ""}, "M_INVALID_USERNAME"),
    ({"username": "x" * 255}, "M_INVALID_USERNAME"),
    ({"username": "taken"}, "M_USER_IN_USE"),
    ({"username": "taken", "password": "short"}, "M_USER_IN_USE"),
    ({"username": "_irc_bot"}, "M_EXCLUSIVE"),
    ({"username": 5}, "M_BAD_JSON"),
    ({"password": "short"}, "M_WEAK_PASSWORD"),
    ({"password": "x" * 600}, "M_INVALID_PARAM"),
    ({"device_id": ""}, "M_INVALID_PARAM"),
    ({"device_id": "a\0b"}, "M_INVALID_PARAM"),
    ({"initial_device_display_name": "a\0b"}, "M_INVALID_PARAM"),
    ({"inhibit_login": "yes"}, "M_BAD_JSON"),
    ({"auth": "dummy"}, "M_BAD_JSON"),
    ({"auth": {"session": 5}}, "M_BAD_JSON"),
    ({"auth": DUMMY}, "M_MISSING_PARAM"),  # no password
]


def test_what_is_wrong_is_said_before_any_stage(play: Play) -> None:
    async def scenario(world: World) -> None:
        await world.register("taken")
        await world.reserve("@_irc_.*")
        for body, errcode in WRONG:
            answer = await world.ask("POST", "/register", body)
            assert (answer.status, answer.errcode) == (400, errcode), body
        assert len(world.master.of(RegisterUser)) == 1

    play(scenario)


def test_a_body_that_is_no_json_object_is_refused(play: Play) -> None:
    async def scenario(world: World) -> None:
        assert (await world.ask("POST", "/register", b"{")).errcode == "M_NOT_JSON"
        assert (await world.ask("POST", "/register", [])).errcode == "M_BAD_JSON"

    play(scenario)


def test_a_name_taken_meanwhile_is_refused_at_the_end_and_the_session_lives_on(play: Play) -> None:
    async def scenario(world: World) -> None:
        body = {"username": "alice", "password": PASSWORD, "auth": DUMMY}
        world.master.failures = [TAKEN]
        assert (await world.ask("POST", "/register", body)).errcode == "M_USER_IN_USE"
        row = await world.db.fetch_one("SELECT session_id FROM uia_sessions")
        assert row is not None
        again = await world.ask("POST", "/register", {"auth": {"session": row[0]}})
        assert again.status == 200

    play(scenario)


def test_closed_registration_says_so(play: Play) -> None:
    async def scenario(world: World) -> None:
        for answer in (
            await world.ask("POST", "/register", {"username": "alice"}),
            await world.ask("GET", "/register/available", username="alice"),
            await world.ask("GET", VALIDITY + "?token=t"),
            await world.ask("POST", "/register", {}, kind="guest"),
        ):
            assert (answer.status, answer.errcode) == (403, "M_FORBIDDEN")

    play(scenario, registration={"enabled": False})


def test_names_are_available_or_the_error_says_why(play: Play) -> None:
    async def scenario(world: World) -> None:
        await world.register("bob")
        assert (await world.ask("GET", "/register/available", username="alice")).json == {"available": True}
        assert (await world.ask("GET", "/register/available", username="bob")).errcode == "M_USER_IN_USE"
        assert (await world.ask("GET", "/register/available", username="Bob")).errcode == "M_INVALID_USERNAME"
        assert (await world.ask("GET", "/register/available")).errcode == "M_MISSING_PARAM"

    play(scenario)


def test_a_guest_gets_a_name_and_a_device_of_the_servers_choice(play: Play) -> None:
    async def scenario(world: World) -> None:
        body = {"username": "alice", "device_id": "MINE", "initial_device_display_name": "Web"}
        answer = await world.ask("POST", "/register", body, kind="guest")
        assert answer.status == 200
        assert answer.json["user_id"] != "@alice:example.org"
        assert answer.json["device_id"] != "MINE"
        token = answer.json["access_token"]
        assert (await world.ask("GET", "/account/whoami", token=token)).json["is_guest"] is True
        assert (await world.ask("GET", "/pushers", token=token)).errcode == "M_GUEST_ACCESS_FORBIDDEN"
        new = await world.ask("POST", "/account/password", {"new_password": "correct horse battery"}, token)
        assert (new.status, new.errcode) == (403, "M_GUEST_ACCESS_FORBIDDEN")
        path = f"/profile/{answer.json['user_id']}"
        assert (await world.ask("PUT", f"{path}/displayname", {"displayname": "G"}, token)).status == 200
        refused = await world.ask("PUT", f"{path}/m.tz", {"m.tz": "Europe/Paris"}, token)
        assert (refused.status, refused.errcode) == (403, "M_GUEST_ACCESS_FORBIDDEN")

    play(scenario, registration={"guests": True})


def test_an_unknown_kind_and_services_without_a_token_are_refused(play: Play) -> None:
    async def scenario(world: World) -> None:
        assert (await world.ask("POST", "/register", {}, kind="king")).errcode == "M_INVALID_PARAM"
        service = await world.ask("POST", "/register", {"type": "m.login.application_service", "username": "x"})
        assert (service.status, service.errcode) == (401, "M_MISSING_TOKEN")

    play(scenario)


def test_a_registration_token_is_good_for_as_many_as_it_says(play: Play) -> None:
    async def scenario(world: World) -> None:
        await add_token(world.db, "secret", uses_allowed=1, expires_at_ms=None)
        assert (await world.ask("GET", VALIDITY + "?token=secret")).json == {"valid": True}
        assert (await world.ask("GET", VALIDITY + "?token=other")).json == {"valid": False}
        auth = {"type": "m.login.registration_token", "token": "secret"}
        body = {"username": "alice", "password": PASSWORD}
        wrong = await world.ask("POST", "/register", {**body, "auth": {**auth, "token": "other"}})
        assert (wrong.status, wrong.errcode) == (401, "M_UNAUTHORIZED")
        assert wrong.json["flows"] == [{"stages": ["m.login.registration_token"]}]
        right = {**auth, "session": wrong.json["session"]}
        assert (await world.ask("POST", "/register", {**body, "auth": right})).status == 200
        assert (await world.ask("GET", VALIDITY + "?token=secret")).json == {"valid": False}
        second = await world.ask("POST", "/register", {"password": PASSWORD, "auth": auth})
        assert (second.status, second.errcode) == (401, "M_UNAUTHORIZED")
        row = await world.db.fetch_one("SELECT pending, completed FROM registration_tokens")
        assert row == (0, 1)

    play(scenario, registration={"requires_token": True})


def test_a_use_that_came_to_nothing_is_free_again_when_its_session_has_expired(play: Play) -> None:
    async def scenario(world: World) -> None:
        await add_token(world.db, "secret", uses_allowed=1, expires_at_ms=None)
        auth = {"type": "m.login.registration_token", "token": "secret"}
        unfinished = await world.ask("POST", "/register", {"username": "alice", "auth": auth})
        assert unfinished.errcode == "M_MISSING_PARAM"
        assert (await world.ask("GET", VALIDITY + "?token=secret")).json == {"valid": False}
        world.now_ms += 20 * 60 * 1000
        await world.ask("POST", "/register", {})
        assert (await world.ask("GET", VALIDITY + "?token=secret")).json == {"valid": True}

    play(scenario, registration={"requires_token": True})


def test_an_expired_registration_token_is_not_valid(play: Play) -> None:
    async def scenario(world: World) -> None:
        assert await add_token(world.db, "secret", uses_allowed=None, expires_at_ms=world.now_ms + 1)
        assert not await add_token(world.db, "secret", uses_allowed=None, expires_at_ms=None)
        assert (await world.ask("GET", VALIDITY + "?token=secret")).json == {"valid": True}
        world.now_ms += 1
        assert (await world.ask("GET", VALIDITY + "?token=secret")).json == {"valid": False}

    play(scenario)


def test_terms_are_shown_and_accepted(play: Play) -> None:
    german = {**POLICY, "language": "de", "name": "Datenschutz"}
    shown = {
        name: {"name": title, "url": POLICY["url"]} for name, title in (("en", POLICY["name"]), ("de", "Datenschutz"))
    }

    async def scenario(world: World) -> None:
        first = await world.ask("POST", "/register", {"username": "alice", "password": PASSWORD})
        assert first.json["flows"] == [{"stages": ["m.login.terms"]}]
        assert first.json["params"] == {"m.login.terms": {"policies": {"privacy": {"version": "1", **shown}}}}
        auth = {"type": "m.login.terms", "session": first.json["session"]}
        assert (await world.ask("POST", "/register", {"auth": auth})).status == 200

    play(scenario, terms={"policies": [POLICY, german]})


def signed(nonce: str, secret: str = "open sesame", **more: Any) -> dict[str, Any]:
    body = {"nonce": nonce, "username": "root", "password": "short", "admin": True, **more}
    parts = [nonce, body["username"], body["password"], "admin" if body["admin"] else "notadmin"]
    parts += [body["user_type"]] if "user_type" in body else []
    return {**body, "mac": hmac.new(secret.encode(), "\0".join(parts).encode(), "sha1").hexdigest()}


def test_a_tool_with_the_shared_secret_makes_an_administrator(play: Play) -> None:
    async def scenario(world: World) -> None:
        nonce = (await world.ask("GET", SHARED)).json["nonce"]
        answer = await world.ask("POST", SHARED, signed(nonce, displayname="Root"))
        assert answer.status == 200
        assert answer.json.keys() == {"user_id", "access_token", "device_id", "home_server"}
        call = world.master.of(RegisterUser)[0]
        assert (call.user_id, call.admin, call.profile) == ("@root:example.org", True, {"displayname": b'"Root"'})
        again = await world.ask("POST", SHARED, signed(nonce))
        assert (again.status, again.errcode) == (400, "M_USER_IN_USE")
        bot = await world.ask("POST", SHARED, signed(nonce, username="bot", admin=False, user_type="bot"))
        assert bot.status == 200

    play(scenario, registration={"enabled": False, "shared_secret": Secret("open sesame")})


def test_without_the_secret_or_with_an_old_nonce_nothing_is_made(play: Play) -> None:
    async def scenario(world: World) -> None:
        nonce = (await world.ask("GET", SHARED)).json["nonce"]
        wrong = await world.ask("POST", SHARED, signed(nonce, secret="guess"))
        assert (wrong.status, wrong.errcode) == (403, "M_UNKNOWN")
        assert (await world.ask("POST", SHARED, signed("made.up"))).status == 400
        assert (await world.ask("POST", SHARED, {"nonce": nonce})).errcode == "M_MISSING_PARAM"
        world.now_ms += 60_000
        assert (await world.ask("POST", SHARED, signed(nonce))).status == 400
        assert world.master.calls == []

    play(scenario, registration={"shared_secret": Secret("open sesame")})


def test_no_secret_means_no_such_registration(play: Play) -> None:
    async def scenario(world: World) -> None:
        assert (await world.ask("GET", SHARED)).status == 400
        assert (await world.ask("POST", SHARED, signed("n", secret=""))).status == 400

    play(scenario)


def test_a_guest_stays_under_his_name(play: Play) -> None:
    async def scenario(world: World) -> None:
        guest = (await world.ask("POST", "/register?kind=guest", {})).json
        name = guest["user_id"][1:].partition(":")[0]
        token = guest["access_token"]
        body = {"username": name, "password": PASSWORD, "guest_access_token": token}
        assert (await world.ask("POST", "/register", {**body, "username": "alice"})).errcode == "M_INVALID_PARAM"
        user = (await world.register("bob"))["access_token"]
        for wrong in ("unknown", user):
            refused = await world.ask("POST", "/register", {**body, "guest_access_token": wrong})
            assert refused.errcode == "M_FORBIDDEN"
        first = await world.ask("POST", "/register", body)
        assert first.status == 401
        auth = {"type": "m.login.dummy", "session": first.json["session"]}
        done = await world.ask("POST", "/register", {**body, "auth": auth})
        assert (done.status, done.json["user_id"]) == (200, guest["user_id"])
        assert (await world.ask("GET", "/account/whoami", token=token)).errcode == "M_UNKNOWN_TOKEN"
        whoami = (await world.ask("GET", "/account/whoami", token=done.json["access_token"])).json
        assert whoami["is_guest"] is False
        assert (await world.login(name)).status == 200

    play(scenario, registration={"guests": True})


def test_what_a_password_needs(play: Play) -> None:
    async def scenario(world: World) -> None:
        weak_ones = {"short": "12", "all lower case": "digit", "lower case 1": "upper", "Lowercase1111": "symbol"}
        for weak, reason in weak_ones.items():
            answer = await world.ask("POST", "/register", {"username": "alice", "password": weak})
            assert (answer.status, answer.errcode) == (400, "M_WEAK_PASSWORD")
            assert reason in answer.json["error"]
        good = await world.ask("POST", "/register", {"username": "alice", "password": "Lower case 1"})
        assert good.status == 401

    play(scenario, accounts={"minimum_password_length": 12, "password_needs": ["digit", "uppercase", "symbol"]})
