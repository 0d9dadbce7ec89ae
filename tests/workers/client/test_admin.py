"""Administrators: whois, locking and suspending; and what locked and suspended users may do."""

from typing import Any

from hs_common.replication.calls import SetUserState
from tests.workers.client.conftest import Play
from tests.workers.client.world import World

V1 = "/_matrix/client/v1/admin"
ALICE, ROOT = "@alice:example.org", "@root:example.org"


async def administrator(world: World, name: str = "root") -> str:
    """The token of a new one."""
    token = str((await world.login_ok(name))["access_token"])
    await world.db.execute("UPDATE users SET admin = true WHERE user_id = %s", (f"@{name}:example.org",))
    return token


def test_locking_keeps_all_but_logging_out_from_a_user(play: Play) -> None:
    async def scenario(world: World) -> None:
        root, alice = await administrator(world), (await world.login_ok())["access_token"]
        assert (await world.ask("GET", f"{V1}/lock/{ALICE}", token=root)).json == {"locked": False}
        assert (await world.ask("PUT", f"{V1}/lock/{ALICE}", {"locked": True}, root)).json == {"locked": True}
        assert (await world.ask("PUT", f"{V1}/lock/{ALICE}", {"locked": True}, root)).json == {"locked": True}
        assert world.master.of(SetUserState) == [SetUserState(user_id=ALICE, locked=True)]
        assert (await world.ask("GET", f"{V1}/lock/{ALICE}", token=root)).json == {"locked": True}
        locked = await world.ask("GET", "/account/whoami", token=alice)
        assert (locked.status, locked.errcode, locked.json["soft_logout"]) == (401, "M_USER_LOCKED", True)
        assert (await world.login()).errcode == "M_USER_LOCKED"
        assert (await world.ask("PUT", f"{V1}/lock/{ALICE}", {"locked": False}, root)).json == {"locked": False}
        assert (await world.ask("GET", "/account/whoami", token=alice)).status == 200
        await world.ask("PUT", f"{V1}/lock/{ALICE}", {"locked": True}, root)
        assert (await world.ask("POST", "/logout", token=alice)).json == {}

    play(scenario)


def test_suspending_lets_a_user_read_and_leave(play: Play) -> None:
    async def scenario(world: World) -> None:
        root, alice = await administrator(world), (await world.login_ok())["access_token"]
        assert (await world.ask("PUT", f"{V1}/suspend/{ALICE}", {"suspended": True}, root)).json == {"suspended": True}
        assert (await world.ask("GET", f"{V1}/suspend/{ALICE}", token=root)).json == {"suspended": True}
        assert (await world.ask("GET", "/account/whoami", token=alice)).status == 200
        renamed = await world.ask("PUT", f"/profile/{ALICE}/displayname", {"displayname": "A"}, alice)
        assert (renamed.status, renamed.errcode) == (403, "M_USER_SUSPENDED")
        assert (await world.login()).status == 200
        await world.ask("PUT", f"{V1}/suspend/{ALICE}", {"suspended": False}, root)
        assert (await world.ask("PUT", f"/profile/{ALICE}/displayname", {"displayname": "A"}, alice)).status == 200

    play(scenario)


def test_who_may_moderate_whom(play: Play) -> None:
    async def scenario(world: World) -> None:
        root, alice = await administrator(world), (await world.login_ok())["access_token"]
        await administrator(world, "admin2")

        async def refused(token: str, user_id: str, body: Any = None) -> tuple[int, str | None]:
            method = "GET" if body is None else "PUT"
            answers = {
                ((answer := await world.ask(method, f"{V1}/{kind}/{user_id}", body, token)).status, answer.errcode)
                for kind in ("lock", "suspend")
            }
            assert len(answers) == 1
            return answers.pop()

        both = {"locked": True, "suspended": True}
        for user_id in (ALICE, "@nobody:example.org", "@x:elsewhere.org"):
            assert await refused(alice, user_id, both) == (403, "M_FORBIDDEN")
            assert await refused(alice, user_id) == (403, "M_FORBIDDEN")
        assert await refused(root, ROOT, both) == (403, "M_FORBIDDEN")
        assert await refused(root, "@admin2:example.org", both) == (403, "M_FORBIDDEN")
        assert await refused(root, "@admin2:example.org") == (403, "M_FORBIDDEN")
        assert await refused(root, "@nobody:example.org", both) == (404, "M_NOT_FOUND")
        assert await refused(root, "@x:elsewhere.org", both) == (400, "M_INVALID_PARAM")
        assert await refused(root, "alice") == (400, "M_INVALID_PARAM")
        assert await refused(root, ALICE, {}) == (400, "M_MISSING_PARAM")
        assert await refused(root, ALICE, {"locked": "yes", "suspended": 1}) == (400, "M_BAD_JSON")
        await world.db.execute("UPDATE users SET deactivated = true WHERE user_id = %s", (ALICE,))
        assert await refused(root, ALICE, both) == (404, "M_NOT_FOUND")
        assert world.master.of(SetUserState) == []

    play(scenario)


def test_administrators_are_told_what_they_can(play: Play) -> None:
    async def scenario(world: World) -> None:
        root, alice = await administrator(world), (await world.login_ok())["access_token"]
        of_root = (await world.ask("GET", "/capabilities", token=root)).json["capabilities"]
        assert of_root["m.account_moderation"] == {"suspend": True, "lock": True}
        assert "m.account_moderation" not in (await world.ask("GET", "/capabilities", token=alice)).json["capabilities"]

    play(scenario)


def test_whois_tells_oneself_and_administrators(play: Play) -> None:
    async def scenario(world: World) -> None:
        root = await administrator(world)
        alice = (await world.login_ok(device_id="PHONE"))["access_token"]
        bob = (await world.login_ok("bob"))["access_token"]
        for token in (alice, root):
            answer = await world.ask("GET", f"/admin/whois/{ALICE}", token=token)
            connection = {"ip": "10.0.0.1", "last_seen": world.now_ms, "user_agent": ""}
            assert answer.json == {
                "user_id": ALICE,
                "devices": {"PHONE": {"sessions": [{"connections": [connection]}]}},
            }
        assert (await world.ask("GET", f"/admin/whois/{ALICE}", token=bob)).errcode == "M_FORBIDDEN"
        assert (await world.ask("GET", "/admin/whois/@nobody:example.org", token=root)).errcode == "M_NOT_FOUND"
        assert (await world.ask("GET", "/admin/whois/@a:elsewhere.org", token=root)).errcode == "M_INVALID_PARAM"

    play(scenario)
