"""Logging in and out, refreshing, and who may not."""

from typing import Any

from hs_common.config.accounts import PasswordHash
from hs_common.http.credentials import hash_token
from hs_common.matrix.errors import MatrixError
from hs_common.process.password_hasher import PasswordHasher
from hs_common.replication.calls import DeactivateUser, OpenSession, SetPassword, SetUserState
from tests.workers.client.conftest import Play
from tests.workers.client.world import PASSWORD, Inline, World, with_password

ALICE = "@alice:example.org"
GET_TOKEN = "/_matrix/client/v1/login/get_token"


def test_the_flows_are_told_to_everybody_also_at_the_old_paths(play: Play) -> None:
    async def scenario(world: World) -> None:
        for version in ("v3", "r0", "v1"):
            flows = await world.ask("GET", f"/_matrix/client/{version}/login")
            kinds = [flow["type"] for flow in flows.json["flows"]]
            assert kinds == ["m.login.password", "m.login.token", "m.login.application_service"]

    play(scenario)


def test_a_user_logs_in_by_localpart_full_id_or_the_old_key(play: Play) -> None:
    async def scenario(world: World) -> None:
        await world.register()
        for user in ("alice", ALICE, "ALICE", "@Alice:example.org"):
            answer = await world.login(user)
            assert (answer.status, answer.json["user_id"]) == (200, ALICE)
        old = await world.ask("POST", "/login", {"type": "m.login.password", "user": "alice", "password": PASSWORD})
        assert old.json["user_id"] == ALICE
        assert old.json["well_known"] == {"m.homeserver": {"base_url": "https://matrix.example.org"}}
        assert (await world.ask("GET", "/account/whoami", token=old.json["access_token"])).status == 200

    play(scenario)


def test_a_device_keeps_its_name_and_loses_its_old_token(play: Play) -> None:
    async def scenario(world: World) -> None:
        first = await world.login_ok(device_id="PHONE", initial_device_display_name="Phone")
        second = await world.login_ok(device_id="PHONE", initial_device_display_name="Other")
        assert second["device_id"] == "PHONE"
        assert (await world.ask("GET", "/account/whoami", token=first["access_token"])).errcode == "M_UNKNOWN_TOKEN"
        device = await world.ask("GET", "/devices/PHONE", token=second["access_token"])
        assert device.json["display_name"] == "Phone"
        long = await world.login_ok(initial_device_display_name="x" * 1000)
        device = await world.ask("GET", f"/devices/{long['device_id']}", token=long["access_token"])
        assert device.json["display_name"] == "x" * 255

    play(scenario)


WRONG: list[tuple[dict[str, Any], int, str]] = [
    ({"password": "wrong"}, 403, "M_FORBIDDEN"),
    ({"identifier": {"type": "m.id.user", "user": "nobody"}}, 403, "M_FORBIDDEN"),
    ({"identifier": {"type": "m.id.user", "user": "@alice:elsewhere.org"}}, 403, "M_FORBIDDEN"),
    ({"identifier": {"type": "m.id.user", "user": "a\0"}}, 403, "M_FORBIDDEN"),
    ({"identifier": {"type": "m.id.user"}}, 400, "M_MISSING_PARAM"),
    ({"identifier": {"type": "m.id.user", "user": 5}}, 400, "M_BAD_JSON"),
    ({"identifier": {"type": "m.id.thirdparty", "medium": "email", "address": "a@b.c"}}, 403, "M_FORBIDDEN"),
    ({"identifier": {"medium": "email", "address": "a@b.c"}}, 403, "M_FORBIDDEN"),
    ({"identifier": {"type": "m.id.phone", "country": "GB", "phone": "1"}}, 403, "M_FORBIDDEN"),
    ({"identifier": None, "medium": "email", "address": "a@b.c"}, 403, "M_FORBIDDEN"),
    ({"identifier": {}}, 400, "M_MISSING_PARAM"),
    ({"identifier": {"type": "x"}}, 400, "M_UNKNOWN"),
    ({"identifier": "alice"}, 400, "M_BAD_JSON"),
    ({"identifier": None}, 400, "M_MISSING_PARAM"),
    ({"password": None}, 400, "M_MISSING_PARAM"),
    ({"password": 5}, 400, "M_BAD_JSON"),
    ({"password": "x" * 1000}, 403, "M_FORBIDDEN"),
    ({"type": "m.login.magic"}, 400, "M_UNKNOWN"),
    ({"type": None}, 400, "M_MISSING_PARAM"),
    ({"type": "m.login.application_service"}, 401, "M_MISSING_TOKEN"),
    ({"type": "m.login.token", "token": "vlt_guess"}, 403, "M_FORBIDDEN"),
    ({"type": "m.login.token"}, 400, "M_MISSING_PARAM"),
    ({"device_id": "x" * 256}, 400, "M_INVALID_PARAM"),
    ({"refresh_token": "yes"}, 400, "M_BAD_JSON"),
]


def test_what_is_wrong_with_a_login_is_said(play: Play) -> None:
    async def scenario(world: World) -> None:
        await world.register()
        good = {"type": "m.login.password", "identifier": {"type": "m.id.user", "user": "alice"}, "password": PASSWORD}
        for change, status, errcode in WRONG:
            world.now_ms += 600_000
            answer = await world.ask("POST", "/login", {**good, **change})
            assert (answer.status, answer.errcode) == (status, errcode), change
        assert world.master.of(OpenSession) == []

    play(scenario)


def test_guessing_is_slowed_down_for_accounts_that_exist_and_others_alike(play: Play) -> None:
    async def scenario(world: World) -> None:
        await world.register()
        for user in ("alice", "nobody"):
            for _ in range(3):
                assert (await world.login(user, "guess")).status == 403
            limited = await world.login(user)
            assert (limited.status, limited.errcode) == (429, "M_LIMIT_EXCEEDED")
        assert (await world.login("Alice")).status == 429
        world.now_ms += 1_000_000
        assert (await world.login()).status == 200

    play(scenario)


def test_deactivated_and_locked_accounts_stay_out_and_suspended_ones_come_in(play: Play) -> None:
    async def scenario(world: World) -> None:
        session = await world.register()
        await world.master.call(SetUserState(user_id=ALICE, suspended=True))
        assert (await world.login()).status == 200
        await world.master.call(SetUserState(user_id=ALICE, locked=True))
        locked = await world.login()
        assert (locked.status, locked.errcode, locked.json["soft_logout"]) == (401, "M_USER_LOCKED", True)
        assert (await world.login(password="wrong")).status == 403
        assert (await world.ask("POST", "/logout", token=session["access_token"])).status == 200
        await world.master.call(DeactivateUser(user_id=ALICE))
        deactivated = await world.login()
        assert (deactivated.status, deactivated.errcode) == (403, "M_USER_DEACTIVATED")

    play(scenario)


def test_a_password_is_hashed_anew_when_the_cost_has_changed(play: Play) -> None:
    async def scenario(world: World) -> None:
        old = PasswordHash(time_cost=2, memory_kib=16)
        hasher = PasswordHasher(old.time_cost, old.memory_kib, Inline(), lambda size: b"s" * size)
        await world.register()
        await world.master.call(SetPassword(user_id=ALICE, password_hash=await hasher.hash(PASSWORD)))
        assert (await world.login()).status == 200
        assert len(world.master.of(SetPassword)) == 2
        assert (await world.login()).status == 200
        assert len(world.master.of(SetPassword)) == 2

    play(scenario)


def test_an_account_without_a_password_or_with_a_strange_hash_cannot_be_entered(play: Play) -> None:
    async def scenario(world: World) -> None:
        await world.register()
        for kept in (None, "$2b$12$strange"):
            await world.master.call(SetPassword(user_id=ALICE, password_hash=kept))
            assert (await world.login()).errcode == "M_FORBIDDEN"

    play(scenario)


def test_a_login_token_lets_one_other_device_in(play: Play) -> None:
    async def scenario(world: World) -> None:
        token = (await world.register())["access_token"]
        first = await world.ask("POST", GET_TOKEN, token=token)
        assert (first.status, first.json["flows"]) == (401, [{"stages": ["m.login.password"]}])
        answer = await world.ask("POST", GET_TOKEN, {"auth": with_password(session=first.json["session"])}, token)
        assert answer.json.keys() == {"login_token", "expires_in_ms"}
        login = {"type": "m.login.token", "token": answer.json["login_token"], "refresh_token": True}
        entered = await world.ask("POST", "/login", login)
        assert (entered.status, entered.json["user_id"]) == (200, ALICE)
        assert "refresh_token" in entered.json
        assert (await world.ask("POST", "/login", login)).errcode == "M_FORBIDDEN"
        late = await world.ask("POST", GET_TOKEN, {"auth": with_password()}, token)
        world.now_ms += late.json["expires_in_ms"]
        assert (await world.ask("POST", "/login", {**login, "token": late.json["login_token"]})).status == 403

    play(scenario)


def test_tokens_are_refreshed_until_they_expire_or_the_account_is_locked(play: Play) -> None:
    async def scenario(world: World) -> None:
        tokens = await world.register(refresh_token=True)
        world.now_ms += tokens["expires_in_ms"]
        expired = await world.ask("GET", "/account/whoami", token=tokens["access_token"])
        assert (expired.errcode, expired.json["soft_logout"]) == ("M_UNKNOWN_TOKEN", True)
        fresh = await world.ask("POST", "/refresh", {"refresh_token": tokens["refresh_token"]})
        assert fresh.json.keys() == {"access_token", "refresh_token", "expires_in_ms"}
        assert (await world.ask("GET", "/account/whoami", token=fresh.json["access_token"])).status == 200
        assert (await world.ask("POST", "/refresh", {"refresh_token": "vrt_x"})).status == 401
        assert (await world.ask("POST", "/refresh", {})).errcode == "M_MISSING_PARAM"
        await world.master.call(SetUserState(user_id=ALICE, locked=True))
        refresh = {"refresh_token": fresh.json["refresh_token"]}
        assert (await world.ask("POST", "/refresh", refresh)).errcode == "M_USER_LOCKED"
        await world.master.call(SetUserState(user_id=ALICE, locked=False))
        world.now_ms += 7_200_000
        late = await world.ask("POST", "/refresh", refresh)
        assert (late.status, late.errcode, late.json["soft_logout"]) == (401, "M_UNKNOWN_TOKEN", True)

    play(
        scenario, accounts={"password_hash": {"time_cost": 1, "memory_kib": 8}, "refresh_token_lifetime_ms": 7_200_000}
    )


def test_logging_out_ends_one_session_or_all(play: Play) -> None:
    async def scenario(world: World) -> None:
        first, second, third = [await world.login_ok() for _ in range(3)]
        assert (await world.ask("POST", "/logout", token=first["access_token"])).json == {}
        assert (await world.ask("POST", "/logout", token=first["access_token"])).errcode == "M_UNKNOWN_TOKEN"
        assert (await world.ask("POST", "/logout/all", {}, second["access_token"])).json == {}
        assert (await world.ask("GET", "/account/whoami", token=third["access_token"])).status == 401
        assert (await world.ask("POST", "/logout")).errcode == "M_MISSING_TOKEN"
        await world.db.execute(
            "INSERT INTO access_tokens (token_hash, user_id, pos) VALUES (%s, %s, 1)", (hash_token("deviceless"), ALICE)
        )
        assert (await world.ask("POST", "/logout", token="deviceless")).json == {}
        assert (await world.ask("GET", "/account/whoami", token="deviceless")).json == {
            "user_id": ALICE,
            "is_guest": False,
        }

    play(scenario)


def test_what_the_master_refuses_is_passed_on(play: Play) -> None:
    async def scenario(world: World) -> None:
        await world.register()
        world.master.failures = [MatrixError(503, "M_UNKNOWN", "busy")]
        assert (await world.login()).status == 503

    play(scenario)
