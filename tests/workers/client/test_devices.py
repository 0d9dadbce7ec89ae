"""The list of devices, and when each was last seen."""

from hs_common.http.last_seen import LastSeen
from hs_common.http.request import Requester
from hs_common.replication.calls import CloseSessions, RenameDevice
from tests.workers.client.conftest import Play
from tests.workers.client.world import World, with_password

ALICE = "@alice:example.org"


def test_devices_are_listed_with_what_is_known_of_them_and_nothing_else(play: Play) -> None:
    async def scenario(world: World) -> None:
        session = await world.login_ok(device_id="A", initial_device_display_name="Phone")
        await world.login_ok(device_id="B")
        await world.login_ok("bob", device_id="C")
        world.now_ms += 5
        seen = LastSeen(world.db, lambda: world.now_ms)
        seen.note(Requester(ALICE, "A", b""), "10.0.0.7", "Browser")
        assert await seen.flush() == 1
        answer = await world.ask("GET", "/devices", token=session["access_token"])
        phone = {"device_id": "A", "display_name": "Phone", "last_seen_ip": "10.0.0.7", "last_seen_ts": world.now_ms}
        laptop = {
            **phone,
            "device_id": "B",
            "display_name": "",
            "last_seen_ip": "10.0.0.1",
            "last_seen_ts": world.now_ms - 5,
        }
        assert answer.json == {"devices": [phone, laptop]}
        assert (await world.ask("GET", "/devices/A", token=session["access_token"])).json == phone
        foreign = await world.ask("GET", "/devices/C", token=session["access_token"])
        assert (foreign.status, foreign.errcode) == (404, "M_NOT_FOUND")

    play(scenario)


def test_a_device_is_renamed_by_its_owner(play: Play) -> None:
    async def scenario(world: World) -> None:
        token = (await world.login_ok(device_id="A"))["access_token"]
        await world.login_ok("bob", device_id="B")
        assert (await world.ask("PUT", "/devices/A", {"display_name": "Phone"}, token)).json == {}
        assert (await world.ask("PUT", "/devices/A", {}, token)).json == {}
        assert (await world.ask("GET", "/devices/A", token=token)).json["display_name"] == "Phone"
        assert (await world.ask("PUT", "/devices/B", {"display_name": "Mine"}, token)).errcode == "M_NOT_FOUND"
        assert (await world.ask("PUT", "/devices/A", {"display_name": 5}, token)).errcode == "M_BAD_JSON"
        for bad in ("x" * 256, "a\0"):
            assert (await world.ask("PUT", "/devices/A", {"display_name": bad}, token)).errcode == "M_INVALID_PARAM"
        assert len(world.master.of(RenameDevice)) == 1

    play(scenario)


def test_deleting_devices_takes_the_password(play: Play) -> None:
    async def scenario(world: World) -> None:
        token = (await world.login_ok(device_id="A"))["access_token"]
        for device_id in "BCD":
            await world.login_ok(device_id=device_id)
        assert (await world.ask("DELETE", "/devices/B", token=token)).status == 401
        assert (await world.ask("DELETE", "/devices/B", {"auth": with_password()}, token)).json == {}
        assert (await world.ask("DELETE", "/devices/B", {"auth": with_password()}, token)).json == {}
        body = {"devices": ["C", "D", "Z"], "auth": with_password()}
        assert (await world.ask("POST", "/delete_devices", body, token)).json == {}
        left = (await world.ask("GET", "/devices", token=token)).json["devices"]
        assert [one["device_id"] for one in left] == ["A"]
        assert world.master.of(CloseSessions)[-1].device_ids == ["C", "D", "Z"]

    play(scenario)


def test_a_list_of_devices_is_checked(play: Play) -> None:
    async def scenario(world: World) -> None:
        token = (await world.login_ok())["access_token"]
        for body, errcode in (
            ({}, "M_MISSING_PARAM"),
            ({"devices": "A"}, "M_BAD_JSON"),
            ({"devices": [1]}, "M_BAD_JSON"),
            ({"devices": ["A"] * 1001}, "M_INVALID_PARAM"),
            ({"devices": ["\0"]}, "M_INVALID_PARAM"),
        ):
            answer = await world.ask("POST", "/delete_devices", body, token)
            assert (answer.status, answer.errcode) == (400, errcode)
        assert (await world.ask("POST", "/delete_devices", b"{", token)).errcode == "M_NOT_JSON"

    play(scenario)


def test_a_service_deletes_its_users_devices_without_a_password(play: Play) -> None:
    async def scenario(world: World) -> None:
        token = (await world.login_ok(device_id="A"))["access_token"]
        await world.db.execute("UPDATE users SET appservice_id = 'irc'")
        assert (await world.ask("DELETE", "/devices/B", token=token)).json == {}
        assert len(world.master.of(CloseSessions)) == 1

    play(scenario)


def test_the_newest_sight_stays_whichever_process_wrote_first(play: Play) -> None:
    async def scenario(world: World) -> None:
        late, early = LastSeen(world.db, lambda: 2000), LastSeen(world.db, lambda: 1000)
        late.note(Requester(ALICE, "A", b""), "late", "")
        early.note(Requester(ALICE, "A", b""), "early", "")
        await late.flush()
        await early.flush()
        assert await world.db.fetch("SELECT ip, ts FROM device_seen") == [("late", 2000)]

    play(scenario)


def test_sights_of_devices_that_are_gone_go(play: Play) -> None:
    """With the user's next: or every login would leave a row for ever."""

    async def scenario(world: World) -> None:
        for device_id in ("A", "B"):
            await world.login_ok(device_id=device_id)
        bob = await world.login_ok("bob", device_id="C")
        seen = LastSeen(world.db, lambda: world.now_ms)
        for user_id, device_id in ((ALICE, "A"), (ALICE, "gone"), (ALICE, "B"), ("@bob:example.org", "C")):
            seen.note(Requester(user_id, device_id, b""), "10.0.0.7", "")
        await seen.flush()
        assert (await world.ask("POST", "/logout", token=bob["access_token"])).json == {}
        seen.note(Requester(ALICE, "B", b""), "10.0.0.8", "")
        await seen.flush()
        left = await world.db.fetch("SELECT user_id, device_id FROM device_seen ORDER BY user_id, device_id")
        assert left == [(ALICE, "A"), (ALICE, "B"), ("@bob:example.org", "C")]

    play(scenario)
