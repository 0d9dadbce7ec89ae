"""Key backup: versions, keys in their three scopes, and which of two keys is kept."""

from typing import Any

from twisted.internet.defer import Deferred, DeferredList

from tests.workers.client.encryption.world import play
from tests.workers.client.room_world import Json, RoomWorld, User

ALGORITHM = "m.megolm_backup.v1.curve25519-aes-sha2"
ROOM, OTHER_ROOM = "!room:test", "!other:test"
Key = tuple[int, int, bool]


def key(first: int = 0, forwarded: int = 0, verified: bool = True, data: str = "x") -> Json:
    """The key of a session."""
    return {
        "first_message_index": first,
        "forwarded_count": forwarded,
        "is_verified": verified,
        "session_data": {"ciphertext": data},
    }


async def begin(user: User, public_key: str = "abc") -> str:
    """A new backup's version."""
    body = {"algorithm": ALGORITHM, "auth_data": {"public_key": public_key}}
    version: str = (await user.ok("POST", "/room_keys/version", body))["version"]
    return version


async def put(user: User, version: str, session: str = "s", room: str = ROOM, **more: Any) -> Json:
    """Stores one key; count and etag."""
    stored: Json = await user.ok("PUT", f"/room_keys/keys/{room}/{session}", key(**more), version=version)
    return stored


def test_versions(database_url: str) -> None:
    async def scenario(world: RoomWorld) -> None:
        alice, bob = await world.user("alice"), await world.user("bob")
        assert await alice.refused("GET", "/room_keys/version") == (404, "M_NOT_FOUND")
        first, second = await begin(alice, "1"), await begin(alice, "2")
        assert int(second) > int(first)
        current = {"algorithm": ALGORITHM, "auth_data": {"public_key": "2"}, "version": second, "etag": "0", "count": 0}
        assert await alice.ok("GET", "/room_keys/version") == current
        assert (await alice.ok("GET", f"/room_keys/version/{first}"))["auth_data"] == {"public_key": "1"}
        for version in ("0", "x", "-1", "01", "9" * 30):
            assert await alice.refused("GET", f"/room_keys/version/{version}") == (404, "M_NOT_FOUND")
            assert await alice.refused("DELETE", f"/room_keys/version/{version}") == (404, "M_NOT_FOUND")
        assert await bob.refused("GET", f"/room_keys/version/{first}") == (404, "M_NOT_FOUND")

    play(database_url, scenario)


def test_only_the_data_of_a_version_can_be_changed(database_url: str) -> None:
    async def scenario(world: RoomWorld) -> None:
        alice = await world.user("alice")
        version = await begin(alice)
        path, body = f"/room_keys/version/{version}", {"algorithm": ALGORITHM, "auth_data": {"public_key": "new"}}
        assert await alice.ok("PUT", path, body) == {}
        assert await alice.ok("PUT", path, {**body, "version": version}) == {}
        assert (await alice.ok("GET", path))["auth_data"] == {"public_key": "new"}
        assert await alice.refused("PUT", path, {**body, "version": "1"}) == (400, "M_INVALID_PARAM")
        assert await alice.refused("PUT", path, {**body, "algorithm": "other"}) == (400, "M_INVALID_PARAM")
        assert await alice.refused("PUT", "/room_keys/version/1", body) == (404, "M_NOT_FOUND")
        assert await alice.refused("POST", "/room_keys/version", {**body, "algorithm": "x" * 300}) == (
            400,
            "M_INVALID_PARAM",
        )

    play(database_url, scenario)


def test_a_deleted_version_is_gone_and_its_number_with_it(database_url: str) -> None:
    async def scenario(world: RoomWorld) -> None:
        alice = await world.user("alice")
        first, second = await begin(alice), await begin(alice)
        await put(alice, second)
        for _ in range(2):
            assert await alice.ok("DELETE", f"/room_keys/version/{second}") == {}
        assert await alice.refused("GET", f"/room_keys/version/{second}") == (404, "M_NOT_FOUND")
        assert await alice.refused("GET", "/room_keys/keys", version=second) == (404, "M_NOT_FOUND")
        assert (await alice.ok("GET", "/room_keys/version"))["version"] == first
        assert int(await begin(alice)) > int(second)
        rows = await world.db.fetch("SELECT 1 FROM backed_up_keys")
        assert rows == []

    play(database_url, scenario)


def test_keys_of_all_rooms_of_one_and_of_a_session(database_url: str) -> None:
    async def scenario(world: RoomWorld) -> None:
        alice = await world.user("alice")
        version = await begin(alice)
        assert await alice.ok("GET", "/room_keys/keys", version=version) == {"rooms": {}}
        assert await alice.ok("GET", f"/room_keys/keys/{ROOM}", version=version) == {"sessions": {}}
        assert await alice.refused("GET", f"/room_keys/keys/{ROOM}/s", version=version) == (404, "M_NOT_FOUND")
        assert await put(alice, version, "a%2Fb%2Bc") == {"etag": "1", "count": 1}
        rooms = {ROOM: {"sessions": {"s1": key(), "s2": key()}}, OTHER_ROOM: {"sessions": {"s3": key()}}}
        assert await alice.ok("PUT", "/room_keys/keys", {"rooms": rooms}, version=version) == {"etag": "2", "count": 4}
        one = {"sessions": {"s4": key(data="4")}}
        assert (await alice.ok("PUT", f"/room_keys/keys/{OTHER_ROOM}", one, version=version))["count"] == 5
        assert await alice.ok("GET", f"/room_keys/keys/{OTHER_ROOM}", version=version) == {
            "sessions": {"s3": key(), "s4": key(data="4")}
        }
        assert await alice.ok("GET", f"/room_keys/keys/{OTHER_ROOM}/s4", version=version) == key(data="4")
        told = await alice.ok("GET", "/room_keys/keys", version=version)
        assert {room: len(found["sessions"]) for room, found in told["rooms"].items()} == {ROOM: 3, OTHER_ROOM: 2}
        for path, count in ((f"/{OTHER_ROOM}/s4", 4), (f"/{OTHER_ROOM}", 3), ("", 0)):
            assert (await alice.ok("DELETE", f"/room_keys/keys{path}", version=version))["count"] == count
        etag = (await alice.ok("GET", "/room_keys/version"))["etag"]
        assert await alice.ok("DELETE", "/room_keys/keys", version=version) == {"etag": etag, "count": 0}

    play(database_url, scenario)


def test_keys_go_into_the_current_version_only(database_url: str) -> None:
    async def scenario(world: RoomWorld) -> None:
        alice = await world.user("alice")
        path = f"/room_keys/keys/{ROOM}/s"
        assert await alice.refused("PUT", path, key(), version="1") == (404, "M_NOT_FOUND")
        assert await alice.refused("PUT", path, key()) == (400, "M_MISSING_PARAM")
        old, new = await begin(alice), await begin(alice)
        answer = await alice.ask("PUT", path, key(), version=old)
        assert (answer.status, answer.errcode) == (403, "M_WRONG_ROOM_KEYS_VERSION")
        assert answer.json["current_version"] == new
        assert await alice.refused("PUT", path, {**key(), "is_verified": 1}, version=new) == (400, "M_BAD_JSON")
        assert await alice.refused("PUT", path, {**key(), "forwarded_count": -1}, version=new) == (400, "M_BAD_JSON")
        long = {"sessions": {"x" * 256: key()}}
        assert await alice.refused("PUT", f"/room_keys/keys/{ROOM}", long, version=new) == (400, "M_INVALID_PARAM")

    play(database_url, scenario)


def test_a_key_that_is_not_better_changes_nothing(database_url: str) -> None:
    async def scenario(world: RoomWorld) -> None:
        alice = await world.user("alice")
        version = await begin(alice)
        first = await put(alice, version, first=5, data="old")
        assert await put(alice, version, first=5, data="same") == first
        better = await put(alice, version, first=4, data="new")
        assert (better["count"], better["etag"] != first["etag"]) == (1, True)
        assert await alice.ok("GET", f"/room_keys/keys/{ROOM}/s", version=version) == key(4, data="new")

    play(database_url, scenario)


def kept(keys: list[Key]) -> Key:
    """The rules of the specification, in their words."""
    best = keys[0]
    for new in keys[1:]:
        if best[2] != new[2]:
            best = new if new[2] else best
        elif best[0] != new[0]:
            best = new if new[0] < best[0] else best
        elif new[1] < best[1]:
            best = new
    return best


def test_the_best_key_is_kept_whatever_the_order(database_url: str) -> None:
    async def scenario(world: RoomWorld) -> None:
        alice = await world.user("alice")
        version = await begin(alice)
        all_keys = [
            (first, forwarded, verified) for first in (0, 1) for forwarded in (0, 1) for verified in (True, False)
        ]
        for number, (old, new) in enumerate((old, new) for old in all_keys for new in all_keys):
            for first, forwarded, verified in (old, new):
                await put(alice, version, f"s{number}", first=first, forwarded=forwarded, verified=verified)
            told = await alice.ok("GET", f"/room_keys/keys/{ROOM}/s{number}", version=version)
            assert (told["first_message_index"], told["forwarded_count"], told["is_verified"]) == kept([old, new])

    play(database_url, scenario)


def test_keys_put_at_once_are_counted_once(database_url: str) -> None:
    async def scenario(world: RoomWorld) -> None:
        alice = await world.user("alice")
        version = await begin(alice)

        async def put_some(first: int) -> Json:
            sessions = {f"s{number}": key(first=9 - first) for number in range(first, first + 4)}
            stored: Json = await alice.ok("PUT", f"/room_keys/keys/{ROOM}", {"sessions": sessions}, version=version)
            return stored

        puts = [Deferred.fromCoroutine(put_some(first)) for first in range(6)]
        answers = [answer for _, answer in await DeferredList(puts, fireOnOneErrback=True)]
        state = await alice.ok("GET", "/room_keys/version")
        assert state["count"] == 9
        assert max(answer["count"] for answer in answers) == 9
        assert state["etag"] == max(answer["etag"] for answer in answers)
        told = (await alice.ok("GET", f"/room_keys/keys/{ROOM}", version=version))["sessions"]
        assert len(told) == 9

    play(database_url, scenario)
