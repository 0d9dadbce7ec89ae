"""User-interactive authentication: what a session is good for, and what it is not."""

from twisted.internet.defer import ensureDeferred, gatherResults

from hs_common.matrix.errors import MatrixError
from hs_common.replication.calls import CloseSessions, DeactivateUser, RegisterUser, SetPassword, SetUserState
from tests.workers.client.conftest import Play
from tests.workers.client.world import PASSWORD, POLICY, World, with_password

NEW = {"new_password": "battery staple"}
DUMMY = {"type": "m.login.dummy"}


def test_changing_the_password_takes_the_old_one_and_logs_out_the_others(play: Play) -> None:
    async def scenario(world: World) -> None:
        mine, other = await world.login_ok(), await world.login_ok()
        token = mine["access_token"]
        first = await world.ask("POST", "/account/password", NEW, token)
        assert (first.status, first.json["flows"]) == (401, [{"stages": ["m.login.password"]}])
        session = first.json["session"]
        wrong = await world.ask(
            "POST", "/account/password", {**NEW, "auth": with_password("x", session=session)}, token
        )
        assert (wrong.status, wrong.errcode, wrong.json["session"]) == (401, "M_FORBIDDEN", session)
        assert "completed" not in wrong.json
        right = {**NEW, "auth": with_password(session=session)}
        assert (await world.ask("POST", "/account/password", right, token)).json == {}
        assert (await world.ask("GET", "/account/whoami", token=token)).status == 200
        assert (await world.ask("GET", "/account/whoami", token=other["access_token"])).status == 401
        assert (await world.login(password=PASSWORD)).status == 403
        world.now_ms += 600_000
        assert (await world.login(password=NEW["new_password"])).status == 200

    play(scenario)


def test_other_devices_stay_if_the_user_wants_it(play: Play) -> None:
    async def scenario(world: World) -> None:
        token = (await world.login_ok())["access_token"]
        body = {**NEW, "logout_devices": False, "auth": with_password()}
        assert (await world.ask("POST", "/account/password", body, token)).status == 200
        assert world.master.of(CloseSessions) == []

    play(scenario)


def test_a_weak_new_password_is_refused_before_the_old_one_is_asked_for(play: Play) -> None:
    async def scenario(world: World) -> None:
        token = (await world.login_ok())["access_token"]
        weak = await world.ask("POST", "/account/password", {"new_password": "1"}, token)
        assert (weak.status, weak.errcode) == (400, "M_WEAK_PASSWORD")
        assert (await world.ask("POST", "/account/password", {}, token)).errcode == "M_MISSING_PARAM"

    play(scenario)


def test_without_an_access_token_the_password_says_who_one_is(play: Play) -> None:
    async def scenario(world: World) -> None:
        session = await world.login_ok()
        body = {**NEW, "auth": with_password()}
        assert (await world.ask("POST", "/account/password", body)).status == 200
        assert (await world.ask("GET", "/account/whoami", token=session["access_token"])).status == 401
        await world.master.call(SetUserState(user_id="@alice:example.org", locked=True))
        body = {"auth": with_password(NEW["new_password"])}
        assert (await world.ask("POST", "/account/deactivate", body)).errcode == "M_USER_LOCKED"

    play(scenario)


def test_a_session_is_for_one_operation_one_body_and_one_user(play: Play) -> None:
    async def scenario(world: World) -> None:
        alice, bob = (await world.login_ok())["access_token"], (await world.login_ok("bob"))["access_token"]
        first = await world.ask("POST", "/account/password", NEW, alice)
        auth = with_password(session=first.json["session"])
        tries = [
            await world.ask("POST", "/account/deactivate", {"auth": auth}, alice),
            await world.ask("POST", "/account/password", {"new_password": "another one", "auth": auth}, alice),
            await world.ask("POST", "/account/password", {"auth": auth, **NEW, "logout_devices": False}, alice),
            await world.ask("POST", "/account/password", {**NEW, "auth": auth}, bob),
            await world.ask("POST", "/account/password", {**NEW, "auth": auth}),
            await world.ask("POST", "/account/password", {**NEW, "auth": with_password(session="made up")}, alice),
        ]
        for refused in tries:
            assert (refused.status, refused.errcode) == (401, "M_FORBIDDEN")
            assert refused.json["session"] != first.json["session"]
        assert world.master.of(SetPassword) == []
        assert world.master.of(DeactivateUser) == []
        alias = "/_matrix/client/r0/account/password"
        assert (await world.ask("POST", alias, {**NEW, "auth": auth}, alice)).status == 200

    play(scenario)


def test_the_password_of_somebody_else_proves_nothing(play: Play) -> None:
    async def scenario(world: World) -> None:
        token = (await world.login_ok())["access_token"]
        await world.register("bob", password="bobs own one")
        stolen = {**NEW, "auth": with_password("bobs own one", user="bob")}
        answer = await world.ask("POST", "/account/password", stolen, token)
        assert (answer.status, answer.errcode) == (401, "M_FORBIDDEN")

    play(scenario)


def test_the_identifier_may_be_left_out_and_the_password_may_not(play: Play) -> None:
    async def scenario(world: World) -> None:
        token = (await world.login_ok())["access_token"]
        auth = {"type": "m.login.password", "password": PASSWORD}
        assert (await world.ask("POST", "/account/password", {**NEW, "auth": auth}, token)).status == 200
        for wrong in ({"type": "m.login.password"}, {**auth, "password": 5}, {**auth, "type": 5}):
            answer = await world.ask("POST", "/account/password", {**NEW, "auth": wrong}, token)
            assert answer.status == 400

    play(scenario)


def test_a_session_is_used_once_and_expires(play: Play) -> None:
    async def scenario(world: World) -> None:
        token = (await world.login_ok())["access_token"]
        first = await world.ask("DELETE", "/devices/A", token=token)
        body = {"auth": with_password(session=first.json["session"])}
        assert (await world.ask("DELETE", "/devices/A", body, token)).status == 200
        again = await world.ask("DELETE", "/devices/A", body, token)
        assert (again.status, again.errcode) == (401, "M_FORBIDDEN")
        late = {"auth": with_password(session=again.json["session"])}
        world.now_ms += 900_000
        assert (await world.ask("DELETE", "/devices/A", late, token)).status == 401
        row = await world.db.fetch_one("SELECT count(*) FROM uia_sessions")
        assert row == (1,)  # the newest; what has expired is cleaned up

    play(scenario)


def test_an_operation_that_fails_leaves_the_session_for_another_try(play: Play) -> None:
    async def scenario(world: World) -> None:
        token = (await world.login_ok())["access_token"]
        first = await world.ask("POST", "/account/deactivate", {}, token)
        world.master.failures = [MatrixError(503, "M_UNKNOWN", "busy")]
        body = {"auth": with_password(session=first.json["session"])}
        assert (await world.ask("POST", "/account/deactivate", body, token)).status == 503
        # The completed stage need not be done again.
        again = await world.ask("POST", "/account/deactivate", {"auth": {"session": first.json["session"]}}, token)
        assert again.json == {"id_server_unbind_result": "success"}

    play(scenario)


def test_a_session_that_is_in_use_authorises_nothing_else(play: Play) -> None:
    async def scenario(world: World) -> None:
        token = (await world.login_ok())["access_token"]
        first = await world.ask("DELETE", "/devices/A", token=token)
        await world.db.execute("UPDATE uia_sessions SET details = '{\"claimed\": true}'")
        body = {"auth": with_password(session=first.json["session"])}
        assert (await world.ask("DELETE", "/devices/A", body, token)).status == 401
        assert world.master.of(CloseSessions) == []

    play(scenario)


def test_of_two_requests_at_once_with_one_session_one_is_done(play: Play) -> None:
    async def scenario(world: World) -> None:
        await world.db.execute("INSERT INTO registration_tokens (token, uses_allowed) VALUES ('secret', 5)")
        first = await world.ask("POST", "/register", {"username": "alice", "password": PASSWORD})
        auth = {"type": "m.login.registration_token", "token": "secret", "session": first.json["session"]}
        await gatherResults([ensureDeferred(world.db.fetch("SELECT pg_sleep(0.05)")) for _ in range(4)])
        answers = await gatherResults(
            [ensureDeferred(world.ask("POST", "/register", {"auth": auth})) for _ in range(2)]
        )
        assert sorted(answer.status for answer in answers) == [200, 401]
        assert len(world.master.of(RegisterUser)) == 1
        row = await world.db.fetch_one("SELECT pending, completed FROM registration_tokens")
        assert row == (0, 1)

    play(scenario, registration={"requires_token": True})


def test_stages_come_in_the_order_of_their_flow(play: Play) -> None:
    async def scenario(world: World) -> None:
        await world.db.execute("INSERT INTO registration_tokens (token, uses_allowed) VALUES ('secret', 1)")
        body = {"username": "alice", "password": PASSWORD}
        first = await world.ask("POST", "/register", body)
        session = {"session": first.json["session"]}
        assert first.json["flows"] == [{"stages": ["m.login.registration_token", "m.login.terms"]}]
        for early in ("m.login.terms", "m.login.dummy", "m.login.unheard_of"):
            refused = await world.ask("POST", "/register", {**body, "auth": {"type": early, **session}})
            assert (refused.status, refused.errcode, refused.json["session"]) == (
                401,
                "M_FORBIDDEN",
                session["session"],
            )
        for wrong in ({}, {"token": 5}):
            auth = {"type": "m.login.registration_token", **session, **wrong}
            assert (await world.ask("POST", "/register", {**body, "auth": auth})).status == 400
        token = {"type": "m.login.registration_token", "token": "secret", **session}
        for _ in range(2):  # repeating a completed stage changes nothing
            half = await world.ask("POST", "/register", {**body, "auth": token})
            assert (half.status, half.json["completed"]) == (401, ["m.login.registration_token"])
            assert "errcode" not in half.json
        done = await world.ask("POST", "/register", {**body, "auth": {"type": "m.login.terms", **session}})
        assert done.status == 200

    play(scenario, registration={"requires_token": True}, terms={"policies": [POLICY]})


def test_deactivating_takes_the_password_and_may_erase(play: Play) -> None:
    async def scenario(world: World) -> None:
        token = (await world.login_ok())["access_token"]
        await world.master.call(SetUserState(user_id="@alice:example.org", suspended=True))
        body = {"erase": True, "auth": with_password()}
        assert (await world.ask("POST", "/account/deactivate", body, token)).status == 200
        assert world.master.of(DeactivateUser)[0].erase is True
        assert (await world.ask("GET", "/profile/@alice:example.org")).errcode == "M_NOT_FOUND"

    play(scenario)
