"""Changed devices are told to other servers in one sequence: each update has a number and names the one before."""

from typing import Any

import orjson
import pytest

from hs_common.replication.calls import CloseSessions, NewSession, OpenSession, RegisterUser, RenameDevice
from hs_common.replication.encryption_calls import (
    AddSignatures,
    NewCrossSigningKey,
    NewSignature,
    SetCrossSigningKeys,
    SetDeviceKeys,
)
from hs_common.storage import device_lists
from hs_master import trimming
from hs_master.encryption_tables import DEVICE_LIST_CHANGES_LIMIT
from hs_workers.federation_sender import devices
from tests.reactor import run, until
from tests.workers.federation_sender.world import ALICE, World, world

BOB, CAROL = "@bob:there", "@carol:else"
Json = dict[str, Any]


async def open_device(w: World, device_id: str) -> None:
    session = NewSession(device_id=device_id, token_hash=device_id.encode().ljust(32))
    await w.master.call(OpenSession(user_id=ALICE, session=session))
    keys = orjson.dumps(
        {"user_id": ALICE, "device_id": device_id, "algorithms": [], "keys": {f"ed25519:{device_id}": "x"}}
    )
    await w.master.call(SetDeviceKeys(user_id=ALICE, device_id=device_id, keys=keys, signatures=b"{}"))


async def cross_sign(w: World) -> None:
    """Publishes a master key."""
    key = NewCrossSigningKey(public_key="MASTER", keys=b'{"keys":{}}', signatures=b"{}")
    await w.master.call(SetCrossSigningKeys(user_id=ALICE, keys={"master": key}, expected={}))


async def sign(w: World, *targets: str) -> None:
    signatures = [NewSignature(user_id=ALICE, target=one, key_id="ed25519:MASTER", signature="s") for one in targets]
    await w.master.call(AddSignatures(signer_id=ALICE, signatures=signatures))


async def rename(w: World, device_id: str, name: str) -> None:
    await w.master.call(RenameDevice(user_id=ALICE, device_id=device_id, display_name=name))


def updates(w: World, server: str = "there") -> list[Json]:
    return w.elsewhere.edus(server, "m.device_list_update")


def assert_is_chain(told: list[Json], before: list[int]) -> None:
    """Each follows the one before it, the first what was `before`."""
    for update in told:
        assert update["prev_id"] == before
        before = [update["stream_id"]]
    numbers = [update["stream_id"] for update in told]
    assert numbers == sorted({*numbers})


async def all_told(w: World, server: str = "there") -> None:
    """Until the newest change of a device is."""
    last = await device_lists.last_change(w.master.db, ALICE)
    await until(lambda: last in [update["stream_id"] for update in updates(w, server)])


def test_every_told_device_has_a_number_of_its_own_and_names_the_one_before(database_url: str) -> None:
    async def play() -> None:
        async with world(database_url) as w:
            w.start_worker()
            await w.shared_room(BOB)
            await w.master.call(RegisterUser(user_id=ALICE, password_hash=None))
            for device_id in ("A", "B", "C"):
                await open_device(w, device_id)
            await cross_sign(w)
            await sign(w, "A", "B", "MASTER")
            await rename(w, "C", "third")
            await w.master.call(CloseSessions(user_id=ALICE, device_ids=None, except_device="C"))
            await all_told(w)
            told = updates(w)
            assert_is_chain(told, [])
            assert len(told) == 3 * 2 + 2 + 1 + 2
            assert [(one["device_id"], one.get("deleted")) for one in told[-2:]] == [("A", True), ("B", True)]
            assert w.elsewhere.edus("there", "m.signing_key_update")

    run(play())


def test_who_comes_to_share_a_room_is_told_what_the_next_change_follows(database_url: str) -> None:
    async def play() -> None:
        async with world(database_url) as w:
            w.start_worker()
            room = await w.shared_room(BOB)
            await w.master.call(RegisterUser(user_id=ALICE, password_hash=None))
            for device_id in ("A", "B", "C"):
                await open_device(w, device_id)
            await cross_sign(w)
            await w.master.call(CloseSessions(user_id=ALICE, device_ids=["B"]))
            await all_told(w)
            last = {update["device_id"]: update for update in updates(w)}
            await w.join(room, CAROL)
            await until(lambda: updates(w, "else")[-3:] == [last["A"], last["C"], last["B"]])
            await until(lambda: w.elsewhere.edus("else", "m.signing_key_update"))
            await cross_sign_again(w)
            await rename(w, "A", "first")
            await all_told(w, "else")
            await all_told(w)
            assert updates(w, "else")[-1]["prev_id"] == [last["B"]["stream_id"]]
            assert updates(w, "else")[-1] == updates(w)[-1]

    run(play())


async def cross_sign_again(w: World) -> None:
    """Publishes another key, which no number counts."""
    key = NewCrossSigningKey(public_key="SELF", keys=b'{"keys":{}}', signatures=b"{}")
    call = SetCrossSigningKeys(user_id=ALICE, keys={"self_signing": key}, expected={"master": "MASTER"})
    await w.master.call(call)


def test_who_shares_a_room_is_told_nothing_by_another(database_url: str) -> None:
    async def play() -> None:
        async with world(database_url) as w:
            w.start_worker()
            await w.shared_room(BOB)
            await w.master.call(RegisterUser(user_id=ALICE, password_hash=None))
            await open_device(w, "A")
            await all_told(w)
            before = len(updates(w))
            second = await w.shared_room(BOB)
            await w.master.send(second, ALICE, "and now")
            await until(lambda: "and now" in w.elsewhere.bodies("there"))
            await rename(w, "A", "first")
            await all_told(w)
            assert len(updates(w)) == before + 1
            # Who left all of them is told anew when he comes back.
            for (room,) in await w.master.db.fetch("SELECT DISTINCT room_id FROM room_servers WHERE server = 'there'"):
                await w.change(room, BOB, "leave")
            await rename(w, "A", "unheard")
            await w.change(second, BOB, "join")
            await all_told(w)
            assert updates(w)[before + 1]["device_display_name"] == "unheard"

    run(play())


def test_what_was_written_under_one_number_for_all_is_told_so(database_url: str) -> None:
    """By the version before. What comes later follows it."""

    async def play() -> None:
        async with world(database_url) as w:
            await w.shared_room(BOB)
            await w.master.call(RegisterUser(user_id=ALICE, password_hash=None))
            for device_id in ("A", "B"):
                await open_device(w, device_id)
            rows = await w.master.db.fetch("SELECT pos FROM device_list_changes ORDER BY pos")
            (first,), (last,) = rows[0], rows[-1]
            await w.master.db.execute("DELETE FROM device_list_changes WHERE pos > %s AND pos < %s", (first, last))
            await w.master.db.execute(
                'UPDATE device_list_changes SET device_ids = \'["A","B"]\' WHERE pos = %s', (last,)
            )
            await rename(w, "B", "second")
            w.start_worker()
            await all_told(w)
            told = [(one["device_id"], one["stream_id"], one["prev_id"]) for one in updates(w)[-3:-1]]
            assert told == [("A", last, [first]), ("B", last, [last])]
            assert updates(w)[-1]["prev_id"] == [last]

    run(play())


def test_changes_of_long_ago_are_told_as_one_of_all_devices(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is kept of a user is bounded; who was away meanwhile hears of all devices, and looks the list up."""
    monkeypatch.setattr(trimming, "TRIMMED_ONE_IN", 1)

    async def play() -> None:
        async with world(database_url) as w:
            await w.shared_room(BOB)
            await w.master.call(RegisterUser(user_id=ALICE, password_hash=None))
            for device_id in ("A", "B", "gone"):
                await open_device(w, device_id)
            await cross_sign(w)
            before = await device_lists.last_change(w.master.db, ALICE)
            await w.master.call(CloseSessions(user_id=ALICE, device_ids=["gone"]))
            for number in range(DEVICE_LIST_CHANGES_LIMIT + 20):
                await rename(w, "A", str(number))
            rows = await w.master.db.fetch("SELECT device_ids FROM device_list_changes ORDER BY pos")
            kinds = [device_ids for (device_ids,) in rows]
            assert len(kinds) == 1 + 1 + DEVICE_LIST_CHANGES_LIMIT
            assert kinds[:3] == ["[]", None, '["A"]']
            assert await device_lists.changed_users(w.master.db, ALICE, before, before + 10_000) == [ALICE]
            w.start_worker()
            await all_told(w)
            told = updates(w)
            assert {one["device_id"] for one in told} == {"A", "B"}
            assert told[0]["prev_id"] == [devices.UNKNOWN_CHANGE]
            assert w.elsewhere.edus("there", "m.signing_key_update")

    run(play())


def test_last_changes_are_those_of_devices_that_are_there() -> None:
    changes = [(9, '["gone"]'), (7, '["A"]'), (6, '["gone"]'), (5, '["A","B"]'), (3, None), (1, '["C"]')]
    there = {"A": 1, "B": 1, "C": 1}
    assert devices._last_changes(changes, there) == [("C", 3, [1]), ("B", 5, [3]), ("A", 7, [6]), ("gone", 9, [7])]
    assert devices._last_changes(changes[-1:], there) == [("C", 1, [])]
    assert devices._last_changes([], there) == []
    assert devices._last_changes([(3, None)], {"A": 1}) == [("A", 3, [devices.UNKNOWN_CHANGE])]


def test_no_more_devices_and_changes_are_told_than_fit() -> None:
    many = [(pos, f'["{pos}"]') for pos in range(1000, 1000 - devices.CHANGES_OF_USER_LIMIT - 1, -1)]
    told = devices._last_changes(many, {str(pos): 1 for pos, _ in many})
    assert [device_id for device_id, _, _ in told] == [str(1000 - back) for back in range(devices.DEVICES_LIMIT)][::-1]
    old = devices._last_changes(many, {str(many[-1][0]): 1})
    assert old == [("1000", 1000, [999])]
    edge = devices._last_changes(many, {str(many[-2][0]): 1})
    assert edge[0] == (str(many[-2][0]), many[-2][0], [many[-1][0]])
