"""Administration tools: accounts, their devices, registration tokens; and the operator's own commands."""

from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import orjson
import pytest
from click.testing import CliRunner

from hs_common.http.operator_proof import HEADER, proof
from hs_common.process.commands import admin_server
from hs_common.process.commands.admin import admin
from hs_common.replication.calls import CloseSessions, DeactivateUser, SetUserState
from tests.workers.client.conftest import Play
from tests.workers.client.test_admin import administrator
from tests.workers.client.world import PASSWORD, World

ADMIN = "/_synapse/admin"
ALICE, ROOT = "@alice:example.org", "@root:example.org"
SECRET = "a shared secret of the operator"


def test_nobody_else_may(play: Play) -> None:
    async def scenario(world: World) -> None:
        alice = (await world.login_ok())["access_token"]
        for method, path in (
            ("GET", f"{ADMIN}/v2/users"),
            ("PUT", f"{ADMIN}/v2/users/{ALICE}"),
            ("POST", f"{ADMIN}/v1/deactivate/{ALICE}"),
            ("POST", f"{ADMIN}/v1/registration_tokens/new"),
            ("GET", f"{ADMIN}/v1/server_version"),
        ):
            assert (await world.ask(method, path, {}, alice)).errcode == "M_FORBIDDEN"
            assert (await world.ask(method, path, {})).errcode == "M_MISSING_TOKEN"

    play(scenario)


def test_listing(play: Play) -> None:
    async def scenario(world: World) -> None:
        root = await administrator(world)
        for name in ("alice", "bob", "carol"):
            await world.register(name)
        await world.db.execute("UPDATE users SET deactivated = true WHERE user_id = '@carol:example.org'")
        await world.db.execute("UPDATE users SET locked = true WHERE user_id = '@bob:example.org'")

        async def names(**query: str) -> list[str]:
            answer = await world.ask("GET", f"{ADMIN}/v2/users?{urlencode(query)}", token=root)
            return [user["name"][1:].partition(":")[0] for user in answer.json["users"]]

        assert await names() == ["alice", "bob", "root"]
        assert await names(deactivated="true") == ["alice", "bob", "carol", "root"]
        assert await names(locked="false") == ["alice", "root"]
        assert await names(name="LIC") == ["alice"]
        assert await names(user_id=":example") == ["alice", "bob", "root"]
        assert await names(admins="true") == ["root"]
        assert await names(dir="b") == ["root", "bob", "alice"]
        assert await names(order_by="admin", dir="b") == ["root", "bob", "alice"]
        first = (await world.ask("GET", f"{ADMIN}/v2/users", token=root, limit="2")).json
        assert (first["total"], first["next_token"]) == (3, "2")
        assert await names(**{"from": "2"}) == ["root"]
        for bad in ({"order_by": "x; DROP TABLE users"}, {"dir": "x"}, {"from": "-1"}):
            wrong = await world.ask("GET", f"{ADMIN}/v2/users?{urlencode(bad)}", token=root)
            assert wrong.errcode == "M_INVALID_PARAM"

    play(scenario)


def test_making_and_changing_an_account(play: Play) -> None:
    async def scenario(world: World) -> None:
        root = await administrator(world)
        where = f"{ADMIN}/v2/users/{ALICE}"
        assert (await world.ask("GET", where, token=root)).errcode == "M_NOT_FOUND"
        threepids = [{"medium": "email", "address": "Alice@example.org"}]
        body = {"password": "short", "displayname": "Alice", "threepids": threepids}
        made = await world.ask("PUT", where, body, root)
        assert (made.status, made.json["name"], made.json["displayname"]) == (201, ALICE, "Alice")
        assert [one["address"] for one in made.json["threepids"]] == ["alice@example.org"]
        token = (await world.login(password="short")).json["access_token"]
        changed = await world.ask("PUT", where, {"password": PASSWORD, "threepids": [], "locked": True}, root)
        assert (changed.status, changed.json["threepids"], changed.json["locked"]) == (200, [], True)
        assert (await world.ask("GET", "/account/whoami", token=token)).status == 401
        await world.ask("PUT", where, {"locked": False, "admin": True}, root)
        assert world.master.of(SetUserState)[-1] == SetUserState(user_id=ALICE, locked=False, admin=True)
        ties = [{"auth_provider": "main", "external_id": "subject"}]
        assert (await world.ask("PUT", where, {"external_ids": ties}, root)).json["external_ids"] == ties
        found = (await world.ask("GET", where, token=root)).json
        assert found["external_ids"] == [{"auth_provider": "main", "external_id": "subject"}]
        ties = [{"auth_provider": "main", "external_id": "other"}]
        assert (await world.ask("PUT", where, {"external_ids": ties}, root)).json["external_ids"] == ties
        taken = await world.ask("PUT", f"{ADMIN}/v2/users/@bob:example.org", {"external_ids": ties}, root)
        assert (taken.status, taken.errcode) == (409, "M_UNKNOWN")
        assert (await world.ask("PUT", where, {"deactivated": True}, root)).status == 200
        assert (await world.ask("PUT", where, {"deactivated": False}, root)).errcode == "M_INVALID_PARAM"
        assert (await world.ask("PUT", f"{ADMIN}/v2/users/{ROOT}", {"admin": False}, root)).errcode == "M_FORBIDDEN"
        assert (await world.ask("PUT", f"{ADMIN}/v2/users/@a:b.org", {}, root)).errcode == "M_INVALID_PARAM"
        assert (await world.ask("PUT", f"{ADMIN}/v2/users/@Ä:example.org", {}, root)).status == 400

    play(scenario)


def test_single_deeds(play: Play) -> None:
    async def scenario(world: World) -> None:
        root = await administrator(world)
        alice = await world.login_ok(device_id="PHONE")

        async def ask(method: str, path: str, body: Any = None) -> Any:
            answer = await world.ask(method, f"{ADMIN}{path}", body, root)
            assert answer.status == 200, answer
            return answer.json

        await world.join(ALICE, "!room:example.org")
        assert await ask("GET", f"/v1/users/{ALICE}/joined_rooms") == {
            "joined_rooms": ["!room:example.org"],
            "total": 1,
        }
        devices = await ask("GET", f"/v2/users/{ALICE}/devices")
        assert [one["device_id"] for one in devices["devices"]] == ["PHONE"]
        await ask("POST", f"/v2/users/{ALICE}/delete_devices", {"devices": ["PHONE"]})
        assert (await world.ask("GET", "/account/whoami", token=alice["access_token"])).status == 401
        gone = await world.ask("DELETE", f"{ADMIN}/v2/users/{ALICE}/devices/PHONE", token=root)
        assert gone.errcode == "M_NOT_FOUND"
        await ask("POST", f"/v1/reset_password/{ALICE}", {"new_password": "battery staple"})
        assert (await world.login(password="battery staple")).status == 200
        assert await ask("GET", f"/v1/users/{ALICE}/admin") == {"admin": False}
        await ask("PUT", f"/v1/users/{ALICE}/admin", {"admin": True})
        assert world.master.of(SetUserState)[-1].admin is True
        assert await ask("PUT", f"/v1/suspend/{ALICE}", {"suspend": True}) == {f"user_{ALICE}_suspended": True}
        assert await ask("GET", "/v1/username_available?username=bob") == {"available": True}
        assert "Viaduct" in (await ask("GET", "/v1/server_version"))["server_version"]
        assert await ask("POST", f"/v1/deactivate/{ALICE}", {"erase": True}) == {"id_server_unbind_result": "success"}
        assert world.master.of(DeactivateUser) == [DeactivateUser(user_id=ALICE, erase=True)]
        refused = await world.ask("POST", f"{ADMIN}/v1/reset_password/{ALICE}", {"new_password": "x"}, root)
        assert refused.errcode == "M_INVALID_PARAM"
        assert (await world.ask("GET", f"{ADMIN}/v1/username_available?username=root", token=root)).status == 400

    play(scenario)


def test_registration_tokens(play: Play) -> None:
    async def scenario(world: World) -> None:
        root = await administrator(world)
        path = f"{ADMIN}/v1/registration_tokens"

        async def ask(method: str, rest: str = "", body: Any = None) -> Any:
            return (await world.ask(method, path + rest, body, root)).json

        made = await ask("POST", "/new", {"token": "abcd", "uses_allowed": 1})
        assert made == {"token": "abcd", "uses_allowed": 1, "pending": 0, "completed": 0, "expiry_time": None}
        assert len((await ask("POST", "/new", {"length": 20}))["token"]) == 20
        later = world.now_ms + 1000
        assert (await ask("PUT", "/abcd", {"expiry_time": later}))["expiry_time"] == later
        assert (await ask("PUT", "/abcd", {"uses_allowed": None}))["expiry_time"] == later
        assert len((await ask("GET"))["registration_tokens"]) == 2
        world.now_ms += 2000
        assert [one["token"] for one in (await ask("GET", "?valid=false"))["registration_tokens"]] == ["abcd"]
        assert (await ask("GET", "/abcd"))["uses_allowed"] is None
        for body in ({"token": "abcd"}, {"token": "a b"}, {"length": 65}, {"uses_allowed": -1}, {"expiry_time": 5}):
            assert (await ask("POST", "/new", body))["errcode"] == "M_INVALID_PARAM"
        assert await ask("DELETE", "/abcd") == {}
        for method in ("GET", "PUT", "DELETE"):
            assert (await ask(method, "/abcd", {}))["errcode"] == "M_NOT_FOUND"

    play(scenario)


def test_the_operators_endpoints_want_a_proof(play: Play) -> None:
    async def scenario(world: World) -> None:
        await world.register()
        base = "/_viaduct/admin/v1/users"

        async def ask(method: str, rest: str, body: Any = None, secret: str = SECRET) -> Any:
            content = b"" if body is None else orjson.dumps(body)
            headers = {HEADER: proof(secret, method, base + rest, world.now_ms, content)}
            return (await world.ask(method, base + rest, content, headers=headers)).json

        assert (await ask("POST", "/list", {}, "wrong secret"))["errcode"] == "M_FORBIDDEN"
        assert (await world.ask("POST", f"{base}/list", {})).errcode == "M_FORBIDDEN"
        assert [user["name"] for user in (await ask("POST", "/list", {"name": "ali"}))["users"]] == [ALICE]
        assert (await ask("GET", f"/{ALICE}"))["name"] == ALICE
        assert (await ask("PUT", f"/{ALICE}/state", {"locked": True}))["locked"] is True
        assert await ask("PUT", f"/{ALICE}/password", {"password": "x y z"}) == {}
        assert len(world.master.of(CloseSessions)) == 1
        assert await ask("POST", f"/{ALICE}/deactivate", {}) == {}
        assert (await ask("PUT", f"/{ALICE}/state", {"locked": True}))["errcode"] == "M_INVALID_PARAM"
        assert (await ask("PUT", f"/{ALICE}/password", {"password": "x"}))["errcode"] == "M_INVALID_PARAM"

    play(scenario, registration={"shared_secret": SECRET})


def test_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What each asks of the server, and what it tells of the answer."""
    config = tmp_path / "viaduct.toml"
    config.write_text(f'[server]\nname = "example.org"\n[registration]\nshared_secret = "{SECRET}"\n')
    user = {"name": ALICE, "displayname": "Alice", "creation_ts": 0, "threepids": [], "external_ids": []}
    user |= dict.fromkeys(("admin", "is_guest", "suspended", "deactivated"), False) | {"locked": True}
    asked: list[Any] = []

    def ask(self: Any, method: str, path: str, body: Any = None) -> Any:
        asked.append((method, path, body))
        return {"users": [user], **user}

    monkeypatch.setattr(admin_server.Server, "ask", ask)

    def run(*arguments: str) -> str:
        result = CliRunner().invoke(admin, ["users", *arguments, "--config", str(config), "--url", "http://x"])
        assert result.exit_code == 0, result.output
        return result.output

    line = f"{ALICE}\tAlice\tsince 1970-01-01\tlocked\n"
    path = "/_viaduct/admin/v1/users"
    alice = f"{path}/%40alice%3Aexample.org"
    assert run("list", "ali", "--admins") == line
    assert run("show", "alice") == line
    assert run("lock", ALICE) == f"{ALICE} is locked.\n"
    assert run("unsuspend", "alice") == f"{ALICE} is no longer suspended.\n"
    assert run("make-admin", "alice") == f"{ALICE} is an administrator.\n"
    run("reset-password", "alice", "--password", "new")
    run("deactivate", "alice", "--yes", "--erase")
    assert asked == [
        ("POST", f"{path}/list", {"name": "ali", "deactivated": False, "admins": True}),
        ("GET", alice, None),
        ("PUT", f"{alice}/state", {"locked": True}),
        ("PUT", f"{alice}/state", {"suspended": False}),
        ("PUT", f"{alice}/state", {"admin": True}),
        ("PUT", f"{alice}/password", {"password": "new", "logout_devices": True}),
        ("POST", f"{alice}/deactivate", {"erase": True}),
    ]
