"""The TURN server that clients are told of."""

from tests.workers.client.conftest import Play
from tests.workers.client.world import START_MS, World

TURN = "/voip/turnServer"
URIS = ["turn:turn.example.org?transport=udp", "turns:turn.example.org"]


def test_each_user_gets_credentials_that_end(play: Play) -> None:
    async def scenario(world: World) -> None:
        token = (await world.login_ok())["access_token"]
        answer = await world.ask("GET", TURN, token=token)
        assert answer.status == 200
        until = START_MS // 1000 + 3600
        assert answer.json == {
            "username": f"{until}:@alice:example.org",
            "password": answer.json["password"],
            "uris": URIS,
            "ttl": 3600,
        }
        assert len(answer.json["password"]) == 28
        guest = await world.ask("POST", "/register", {}, kind="guest")
        refused = await world.ask("GET", TURN, token=guest.json["access_token"])
        assert (refused.status, refused.errcode) == (403, "M_GUEST_ACCESS_FORBIDDEN")

    turn = {"uris": URIS, "shared_secret": "north", "lifetime_ms": 3_600_000}
    play(scenario, turn=turn, registration={"guests": True})


def test_one_name_and_password_for_all(play: Play) -> None:
    async def scenario(world: World) -> None:
        token = (await world.login_ok())["access_token"]
        answer = await world.ask("GET", TURN, token=token)
        assert answer.json == {"username": "u", "password": "p", "uris": URIS, "ttl": 86_400}

    play(scenario, turn={"uris": URIS, "username": "u", "password": "p"})


def test_a_server_without_one_says_so(play: Play) -> None:
    async def scenario(world: World) -> None:
        token = (await world.login_ok())["access_token"]
        answer = await world.ask("GET", TURN, token=token)
        assert (answer.status, answer.errcode) == (404, "M_NOT_FOUND")
        assert (await world.ask("GET", TURN)).errcode == "M_MISSING_TOKEN"

    play(scenario)
