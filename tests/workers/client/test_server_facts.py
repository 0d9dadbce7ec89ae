"""What the server says about itself, who is there, and what it does not have."""

from hs_common.replication.calls import SetPresence, SetTyping
from hs_common.replication.ephemeral import Presence
from tests.workers.client.conftest import Play
from tests.workers.client.world import World

ALICE, BOB = "@alice:example.org", "@bob:example.org"
ROOM = "!room:example.org"
WELL_KNOWN = "/.well-known/matrix"
KEY = "6yhHGKhCiXTSEN2ksjV7kX_N6rBQZ3Xb-M7LlC6NS-s"


def test_versions_and_capabilities(play: Play) -> None:
    async def scenario(world: World) -> None:
        versions = (await world.ask("GET", "/_matrix/client/versions")).json
        assert versions["versions"][0] == "r0.0.1"
        assert versions["versions"][-1] == "v1.19"
        assert len(versions["versions"]) == 27
        assert versions["unstable_features"].items() >= {"org.example.feature": True}.items()
        assert (await world.ask("GET", "/capabilities")).errcode == "M_MISSING_TOKEN"
        token = (await world.login_ok())["access_token"]
        capabilities = (await world.ask("GET", "/capabilities", token=token)).json["capabilities"]
        assert capabilities["m.room_versions"]["default"] == "12"
        assert set(capabilities["m.room_versions"]["available"]) == {str(number) for number in range(1, 13)}
        assert capabilities["m.3pid_changes"] == {"enabled": False}

    play(scenario, {"unstable_features": {"org.example.feature": True}})


def test_well_known_answers_what_is_configured(play: Play) -> None:
    async def scenario(world: World) -> None:
        client = await world.ask("GET", f"{WELL_KNOWN}/client")
        assert client.json == {"m.homeserver": {"base_url": "https://matrix.example.org"}}
        assert (await world.ask("GET", f"{WELL_KNOWN}/server")).json == {"m.server": "matrix.example.org:443"}
        support = await world.ask("GET", f"{WELL_KNOWN}/support")
        assert support.json == {"contacts": [{"role": "m.role.admin", "matrix_id": "@root:example.org"}]}
        policy_server = await world.ask("GET", f"{WELL_KNOWN}/policy_server")
        assert policy_server.json == {"public_keys": {"ed25519": KEY}}

    told = {"well_known_server": "matrix.example.org:443", "admin_contact": "@root:example.org"}
    play(scenario, server={**told, "policy_server_key": KEY})


def test_well_known_answers_nothing_else(play: Play) -> None:
    async def scenario(world: World) -> None:
        for name in ("client", "server", "support", "policy_server"):
            answer = await world.ask("GET", f"{WELL_KNOWN}/{name}")
            assert (answer.status, answer.errcode) == (404, "M_NOT_FOUND")
        assert "well_known" not in await world.login_ok()

    play(scenario, server={"public_baseurl": ""})


def test_a_mail_address_is_a_contact_too(play: Play) -> None:
    async def scenario(world: World) -> None:
        contact = (await world.ask("GET", f"{WELL_KNOWN}/support")).json["contacts"][0]
        assert contact == {"role": "m.role.admin", "email_address": "root@example.org"}

    play(scenario, server={"admin_contact": "mailto:root@example.org"})


def test_presence_is_set_by_oneself_and_seen_by_those_in_the_same_room(play: Play) -> None:
    async def scenario(world: World) -> None:
        alice, bob = (await world.login_ok())["access_token"], (await world.login_ok("bob"))["access_token"]
        mine = f"/presence/{ALICE}/status"
        assert (await world.ask("PUT", mine, {"presence": "online", "status_msg": "hi"}, alice)).json == {}
        assert world.master.of(SetPresence) == [
            SetPresence(user_id=ALICE, presence="online", status_msg="hi", status_msg_given=True)
        ]
        assert (await world.ask("GET", mine, token=alice)).json == {"presence": "offline"}
        world.presences.known[ALICE] = Presence(ALICE, "online", world.now_ms - 5000, True, "hi")
        assert (await world.ask("GET", mine, token=bob)).errcode == "M_FORBIDDEN"
        for user_id in (ALICE, BOB):
            await world.join(user_id, ROOM)
        seen = await world.ask("GET", mine, token=bob)
        assert seen.json == {
            "presence": "online",
            "status_msg": "hi",
            "last_active_ago": 5000,
            "currently_active": True,
        }
        world.presences.known[ALICE] = Presence(ALICE, "unavailable", world.now_ms, False, None)
        idle = await world.ask("GET", mine, token=bob)
        assert idle.json == {"presence": "unavailable", "last_active_ago": 0}
        assert (await world.ask("GET", "/presence/@nobody:example.org/status", token=bob)).errcode == "M_NOT_FOUND"
        far = "/presence/@carol:elsewhere.org/status"
        assert (await world.ask("GET", far, token=bob)).errcode == "M_NOT_FOUND"
        world.presences.known["@carol:elsewhere.org"] = Presence("@carol:elsewhere.org", "online", 0, True, None)
        assert (await world.ask("GET", far, token=bob)).errcode == "M_FORBIDDEN"
        await world.join_remote("@carol:elsewhere.org", ROOM)
        assert (await world.ask("GET", far, token=bob)).json["presence"] == "online"

    play(scenario)


def test_presence_that_is_wrong_is_refused(play: Play) -> None:
    async def scenario(world: World) -> None:
        token = (await world.login_ok())["access_token"]
        mine = f"/presence/{ALICE}/status"
        assert (await world.ask("PUT", mine, {}, token)).errcode == "M_MISSING_PARAM"
        assert (await world.ask("PUT", mine, {"presence": "asleep"}, token)).errcode == "M_BAD_JSON"
        long = {"presence": "online", "status_msg": "x" * 1025}
        assert (await world.ask("PUT", mine, long, token)).errcode == "M_INVALID_PARAM"
        foreign = await world.ask("PUT", f"/presence/{BOB}/status", {"presence": "online"}, token)
        assert foreign.errcode == "M_FORBIDDEN"
        assert world.master.of(SetPresence) == []

    play(scenario)


def test_presence_that_is_switched_off_is_neither_kept_nor_told(play: Play) -> None:
    async def scenario(world: World) -> None:
        token = (await world.login_ok())["access_token"]
        mine = f"/presence/{ALICE}/status"
        assert (await world.ask("PUT", mine, {"presence": "online"}, token)).json == {}
        assert world.master.of(SetPresence) == []
        assert (await world.ask("GET", mine, token=token)).errcode == "M_NOT_FOUND"

    play(scenario, presence={"enabled": False})


def test_typing_is_for_members_and_bounded(play: Play) -> None:
    async def scenario(world: World) -> None:
        token = (await world.login_ok())["access_token"]
        mine = f"/rooms/{ROOM}/typing/{ALICE}"
        assert (await world.ask("PUT", mine, {"typing": True}, token)).errcode == "M_FORBIDDEN"
        await world.join(ALICE, ROOM)
        for body, timeout_ms in (
            ({"typing": True}, 30_000),
            ({"typing": True, "timeout": 5_000}, 5_000),
            ({"typing": True, "timeout": 10**12}, 120_000),
            ({"typing": True, "timeout": -5}, 0),
            ({"typing": False, "timeout": 5_000}, 0),
        ):
            assert (await world.ask("PUT", mine, body, token)).json == {}
            assert world.master.of(SetTyping)[-1] == SetTyping(room_id=ROOM, user_id=ALICE, timeout_ms=timeout_ms)
        assert (await world.ask("PUT", mine, {}, token)).errcode == "M_MISSING_PARAM"
        assert (await world.ask("PUT", mine, {"typing": "yes"}, token)).errcode == "M_BAD_JSON"
        foreign = await world.ask("PUT", f"/rooms/{ROOM}/typing/{BOB}", {"typing": True}, token)
        assert foreign.errcode == "M_FORBIDDEN"

    play(scenario)


def test_what_is_not_here_says_so_in_the_specifications_words(play: Play) -> None:
    async def scenario(world: World) -> None:
        token = (await world.login_ok())["access_token"]
        assert (await world.ask("GET", "/account/3pid", token=token)).json == {"threepids": []}
        assert (await world.ask("GET", "/pushers", token=token)).json == {"pushers": []}
        assert (await world.ask("GET", "/thirdparty/protocols", token=token)).json == {}
        for path in ("protocol/irc", "location/irc", "user/irc", "location?alias=%23a:b", "user?userid=@a:b"):
            answer = await world.ask("GET", f"/thirdparty/{path}", token=token)
            assert (answer.status, answer.errcode) == (404, "M_NOT_FOUND")
        assert (await world.ask("GET", "/thirdparty/user", token=token)).errcode == "M_MISSING_PARAM"
        credentials = {"client_secret": "s", "sid": "1", "id_server": "id.example.org", "id_access_token": "t"}
        identifier = {"medium": "email", "address": "a@example.org"}
        for path, body, status, outcome in (
            ("", {"three_pid_creds": credentials}, 403, "M_THREEPID_AUTH_FAILED"),
            ("/add", credentials, 400, "M_THREEPID_AUTH_FAILED"),
            ("/bind", credentials, 400, "M_SERVER_NOT_TRUSTED"),
            ("/bind", {}, 400, "M_MISSING_PARAM"),
            ("/delete", identifier, 200, "no-support"),
            ("/unbind", identifier, 200, "no-support"),
        ):
            answer = await world.ask("POST", f"/account/3pid{path}", body, token)
            assert (answer.status, answer.errcode or answer.json["id_server_unbind_result"]) == (status, outcome)

    play(scenario)


def test_no_tokens_are_sent_by_mail_or_phone(play: Play) -> None:
    email = {"client_secret": "s", "email": "a@example.org", "send_attempt": 1}
    phone = {"client_secret": "s", "country": "GB", "phone_number": "1", "send_attempt": 1}

    async def scenario(world: World) -> None:
        for path, status, errcode in (
            ("account/3pid", 400, "M_THREEPID_MEDIUM_NOT_SUPPORTED"),
            ("register", 403, "M_THREEPID_DENIED"),
            ("account/password", 400, "M_THREEPID_NOT_FOUND"),
        ):
            for medium, body in (("email", email), ("msisdn", phone)):
                answer = await world.ask("POST", f"/{path}/{medium}/requestToken", body)
                assert (answer.status, answer.errcode) == (status, errcode)
                wrong = await world.ask("POST", f"/{path}/{medium}/requestToken", {**body, "client_secret": "ü"})
                assert wrong.errcode == "M_INVALID_PARAM"

    play(scenario)
