"""`GET /keys/changes`: whose devices changed between two tokens."""

from hs_common.matrix.tokens import SyncToken
from hs_common.storage import log
from tests.workers.client.encryption.world import DeviceWithKeys, play
from tests.workers.client.room_world import RoomWorld


def test_changes_are_those_between_the_tokens(database_url: str) -> None:
    async def scenario(world: RoomWorld) -> None:
        alice, bob = await world.user("alice"), await world.user("bob")

        async def token() -> str:
            return str(SyncToken(await log.head(world.db)))

        start = await token()
        await DeviceWithKeys(bob).upload()
        apart = await token()
        room_id = await alice.create(preset="public_chat")
        await bob.join(room_id)
        together = await token()
        await DeviceWithKeys(bob, generation=1).upload()
        changed = await token()
        await bob.ok("POST", f"/rooms/{room_id}/leave", {})
        left = await token()
        for begin, end, answer in (
            (start, apart, {"changed": [], "left": []}),
            (apart, together, {"changed": [bob.user_id], "left": []}),
            (together, changed, {"changed": [], "left": []}),  # he shares no room by now
            (changed, left, {"changed": [], "left": [bob.user_id]}),
            (left, changed, {"changed": [], "left": []}),
        ):
            assert await alice.ok("GET", "/keys/changes", from_=begin, to=end) == answer
        assert await alice.refused("GET", "/keys/changes", from_=start) == (400, "M_MISSING_PARAM")
        assert await alice.refused("GET", "/keys/changes", from_="t1_0", to=left) == (400, "M_INVALID_PARAM")

    play(database_url, scenario)
