"""An account's life in plain HTTP: sessions, devices, passwords, data, presence, and its end."""

import asyncio
from collections.abc import Awaitable, Callable

from tests.scenarios.client import PASSWORD, Caller, Json, User, http_session, register, unique
from tests.scenarios.server import Server

Play = Callable[[User], Awaitable[None]]


def run(server: Server, play: Play) -> None:
    """Play with Alice, who has just registered."""

    async def prepared() -> None:
        async with http_session() as http:
            await play(await register(http, [server.url, *server.worker_urls()], "alice"))

    asyncio.run(prepared())


async def log_in(user: User, password: str = PASSWORD, **fields: object) -> User:
    """Another session of the same user."""
    identifier = {"type": "m.id.user", "user": user.user_id}
    body = {"type": "m.login.password", "identifier": identifier, "password": password, **fields}
    return User(user.http, user.urls, await Caller(user.http, user.urls).post(("login",), body))


async def until_refused(user: User) -> None:
    """Wait until the user's token is no longer good: what is used first ends what it was exchanged for, soon."""
    for _ in range(50):
        answer = await user.ask("GET", ("account", "whoami"))
        if answer.status == 401:
            assert answer.body["errcode"] == "M_UNKNOWN_TOKEN"
            return
        await asyncio.sleep(0.1)
    raise AssertionError("the replaced token still works")


async def confirmed(user: User, method: str, path: tuple[str, ...], body: Json, password: str = PASSWORD) -> None:
    """A call that asks for the password first."""
    asked = await user.call(method, path, body, status=401)
    assert {"stages": ["m.login.password"]} in asked["flows"]
    identifier = {"type": "m.id.user", "user": user.user_id}
    auth = {"type": "m.login.password", "identifier": identifier, "password": "wrong", "session": asked["session"]}
    await user.call(method, path, {**body, "auth": auth}, status=401, errcode="M_FORBIDDEN")
    await user.call(method, path, {**body, "auth": {**auth, "password": password}})


def test_registering_asks_for_its_stage_and_refuses_a_taken_name(server: Server) -> None:
    async def play(alice: User) -> None:
        anybody = Caller(alice.http, alice.urls)
        body: Json = {"username": unique("newcomer"), "password": PASSWORD}
        asked = await anybody.post(("register",), body, status=401)
        auth = {"type": "m.login.dummy", "session": asked["session"]}
        made = await anybody.post(("register",), {**body, "auth": auth})
        assert made["user_id"].startswith(f"@{body['username']}:")
        local = alice.user_id[1:].partition(":")[0]
        taken = {"username": local, "password": PASSWORD}
        await anybody.post(("register",), taken, status=400, errcode="M_USER_IN_USE")
        available = await anybody.ask("GET", ("register", "available"), query={"username": local})
        assert (available.status, available.body["errcode"]) == (400, "M_USER_IN_USE")

    run(server, play)


def test_refreshed_token_replaces_the_old_one(server: Server) -> None:
    async def play(alice: User) -> None:
        identifier = {"type": "m.id.user", "user": alice.user_id}
        body = {"type": "m.login.password", "identifier": identifier, "password": PASSWORD, "refresh_token": True}
        session = await Caller(alice.http, alice.urls).post(("login",), body)
        assert session["expires_in_ms"] > 0
        user = User(alice.http, alice.urls, session)
        fresh = await Caller(alice.http, alice.urls).post(("refresh",), {"refresh_token": session["refresh_token"]})
        newer = User(alice.http, alice.urls, {**session, **fresh})
        assert (await newer.get(("account", "whoami")))["device_id"] == session["device_id"]
        await until_refused(user)
        old = {"refresh_token": session["refresh_token"]}
        await Caller(alice.http, alice.urls).post(("refresh",), old, status=401, errcode="M_UNKNOWN_TOKEN")
        unknown = {"refresh_token": "not one of ours"}
        await Caller(alice.http, alice.urls).post(("refresh",), unknown, status=401, errcode="M_UNKNOWN_TOKEN")

    run(server, play)


def test_an_exchange_of_tokens_is_repeated_anywhere_until_one_of_the_new_is_used(server: Server) -> None:
    """An answer that was lost costs nobody his session, whichever process is asked again."""

    async def play(alice: User) -> None:
        anybody = Caller(alice.http, alice.urls)
        identifier = {"type": "m.id.user", "user": alice.user_id}
        body = {"type": "m.login.password", "identifier": identifier, "password": PASSWORD, "refresh_token": True}
        first = await anybody.post(("login",), body)
        for at in alice.urls:
            second = await anybody.post(("refresh",), {"refresh_token": first["refresh_token"]}, at=at)
        for at in alice.urls:  # nor has what was exchanged ended anywhere
            await User(alice.http, [at], first).get(("account", "whoami"))
        # The first use of the new refresh token, by whoever never used the new access token.
        for at in reversed(alice.urls):
            third = await anybody.post(("refresh",), {"refresh_token": second["refresh_token"]}, at=at)
        for at in alice.urls:
            await until_refused(User(alice.http, [at], first))
            old = {"refresh_token": first["refresh_token"]}
            await anybody.post(("refresh",), old, status=401, errcode="M_UNKNOWN_TOKEN", at=at)
        third = await anybody.post(("refresh",), {"refresh_token": second["refresh_token"]})
        # The first use of the new access token, at the process that was asked last.
        await User(alice.http, alice.urls[-1:], {**first, **third}).get(("account", "whoami"))
        for at in alice.urls:
            await until_refused(User(alice.http, [at], {**first, **second}))
            old = {"refresh_token": second["refresh_token"]}
            await anybody.post(("refresh",), old, status=401, errcode="M_UNKNOWN_TOKEN", at=at)
        fourth = await anybody.post(("refresh",), {"refresh_token": third["refresh_token"]})
        assert (await User(alice.http, alice.urls, {**first, **fourth}).get(("account", "whoami")))["device_id"]

    run(server, play)


def test_devices_are_named_listed_and_deleted_with_the_password(server: Server) -> None:
    async def play(alice: User) -> None:
        phone = await log_in(alice, initial_device_display_name="Phone")
        await alice.put(("devices", alice.device_id), {"display_name": "Desk"})
        listed = {device["device_id"]: device for device in (await alice.get(("devices",)))["devices"]}
        assert listed[phone.device_id]["display_name"] == "Phone"
        assert listed[alice.device_id]["display_name"] == "Desk"
        await confirmed(alice, "DELETE", ("devices", phone.device_id), {})
        await phone.get(("account", "whoami"), status=401, errcode="M_UNKNOWN_TOKEN")
        await alice.get(("devices", phone.device_id), status=404, errcode="M_NOT_FOUND")

    run(server, play)


def test_new_password_logs_out_the_others(server: Server) -> None:
    async def play(alice: User) -> None:
        other = await log_in(alice)
        await confirmed(alice, "POST", ("account", "password"), {"new_password": "something much better"})
        await other.get(("account", "whoami"), status=401, errcode="M_UNKNOWN_TOKEN")
        await alice.get(("account", "whoami"))
        identifier = {"type": "m.id.user", "user": alice.user_id}
        old = {"type": "m.login.password", "identifier": identifier, "password": PASSWORD}
        await Caller(alice.http, alice.urls).post(("login",), old, status=403, errcode="M_FORBIDDEN")
        await log_in(alice, "something much better")

    run(server, play)


def test_logout_everywhere_ends_all_sessions(server: Server) -> None:
    async def play(alice: User) -> None:
        other = await log_in(alice)
        await alice.post(("logout", "all"))
        for session in (alice, other):
            await session.get(("account", "whoami"), status=401, errcode="M_UNKNOWN_TOKEN")

    run(server, play)


def test_account_data_and_tags_reach_the_other_session(server: Server) -> None:
    async def play(alice: User) -> None:
        other = await log_in(alice)
        room_id = await alice.create_room()
        await other.sync()
        await alice.put(("user", alice.user_id, "account_data", "org.example.a"), {"n": 1})
        await alice.put(("user", alice.user_id, "rooms", room_id, "account_data", "org.example.b"), {"n": 2})
        await alice.put(("user", alice.user_id, "rooms", room_id, "tags", "m.favourite"), {"order": 0.5})
        answer = await other.sync()
        assert {"type": "org.example.a", "content": {"n": 1}} in answer["account_data"]["events"]
        in_room = answer["rooms"]["join"][room_id]["account_data"]["events"]
        assert {"type": "org.example.b", "content": {"n": 2}} in in_room
        assert {"type": "m.tag", "content": {"tags": {"m.favourite": {"order": 0.5}}}} in in_room
        await alice.delete(("user", alice.user_id, "rooms", room_id, "tags", "m.favourite"))
        assert (await other.get(("user", alice.user_id, "rooms", room_id, "tags")))["tags"] == {}
        path = ("user", alice.user_id, "account_data", "m.fully_read")
        assert (await alice.ask("PUT", path, {})).status in (400, 405)

    run(server, play)


def test_push_rule_reaches_the_other_session(server: Server) -> None:
    async def play(alice: User) -> None:
        other = await log_in(alice)
        await other.sync()
        rule = {"actions": ["notify"], "pattern": "arch"}
        await alice.put(("pushrules", "global", "content", "arches"), rule)
        answer = await other.sync()
        (event,) = [event for event in answer["account_data"]["events"] if event["type"] == "m.push_rules"]
        assert "arches" in {rule["rule_id"] for rule in event["content"]["global"]["content"]}
        await alice.put(("pushrules", "global", "content", "arches", "enabled"), {"enabled": False})
        assert await other.get(("pushrules", "global", "content", "arches", "enabled")) == {"enabled": False}

    run(server, play)


def test_presence_is_told_to_who_shares_a_room(server: Server) -> None:
    async def play(alice: User) -> None:
        bob = await register(alice.http, alice.urls, "bob")
        room_id = await alice.create_room(preset="public_chat")
        await bob.join(room_id)
        await bob.sync()
        await alice.put(("presence", alice.user_id, "status"), {"presence": "unavailable", "status_msg": "at lunch"})

        def told(answer: Json) -> bool:
            events = answer.get("presence", {}).get("events", [])
            return any(
                event["sender"] == alice.user_id and event["content"].get("status_msg") == "at lunch"
                for event in events
            )

        await bob.sync_until(told, set_presence="offline")
        status = await bob.get(("presence", alice.user_id, "status"))
        assert status["status_msg"] == "at lunch"

    run(server, play)


def test_profile_change_reaches_all_rooms(server: Server) -> None:
    async def play(alice: User) -> None:
        bob = await register(alice.http, alice.urls, "bob")
        rooms = [await alice.create_room(preset="public_chat") for _ in range(3)]
        for room_id in rooms:
            await bob.join(room_id)
        await alice.put(("profile", alice.user_id, "displayname"), {"displayname": "Alicia"})
        await alice.put(("profile", alice.user_id, "m.tz"), {"m.tz": "Europe/Rome"})
        renamed: set[str] = set()

        def seen(answer: Json) -> bool:
            for room_id, room in answer.get("rooms", {}).get("join", {}).items():
                events = [*room.get("timeline", {}).get("events", []), *room.get("state", {}).get("events", [])]
                if any(event["content"].get("displayname") == "Alicia" for event in events):
                    renamed.add(room_id)
            return renamed == set(rooms)

        await bob.sync_until(seen)
        profile = await bob.get(("profile", alice.user_id))
        assert profile == {"displayname": "Alicia", "m.tz": "Europe/Rome"}

    run(server, play)


def test_deactivated_account_leaves_everything_and_never_returns(server: Server) -> None:
    async def play(alice: User) -> None:
        bob = await register(alice.http, alice.urls, "bob")
        room_id = await bob.create_room(preset="public_chat")
        await alice.join(room_id)
        await confirmed(alice, "POST", ("account", "deactivate"), {"erase": False})
        await alice.get(("account", "whoami"), status=401, errcode="M_UNKNOWN_TOKEN")

        def has_left(answer: Json) -> bool:
            room = answer.get("rooms", {}).get("join", {}).get(room_id, {})
            events = [*room.get("timeline", {}).get("events", []), *room.get("state", {}).get("events", [])]
            return any(
                event.get("state_key") == alice.user_id and event["content"]["membership"] == "leave"
                for event in events
                if event["type"] == "m.room.member"
            )

        await bob.sync_until(has_left)
        identifier = {"type": "m.id.user", "user": alice.user_id}
        body = {"type": "m.login.password", "identifier": identifier, "password": PASSWORD}
        await Caller(alice.http, alice.urls).post(("login",), body, status=403)

    run(server, play)
