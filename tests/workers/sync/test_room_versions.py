"""The versions of the rooms of one answer are all there, however many other rooms are asked for meanwhile."""

from hs_common.storage.queries import Arguments, Row
from hs_workers.sync.room_versions import RoomVersions
from tests.reactor import run


class TwoVersions:
    """A database in which `!old` is of version 1 and every other room of version 11. Notes what is asked for."""

    def __init__(self) -> None:
        self.asked: list[set[str]] = []

    async def fetch(self, sql: str, args: Arguments = ()) -> list[Row]:
        (room_ids,) = tuple(args)
        self.asked.append(set(room_ids))  # type: ignore[call-overload]
        return [(room_id, "1" if room_id == "!old" else "11") for room_id in self.asked[-1] if room_id != "!nowhere"]

    async def fetch_one(self, sql: str, args: Arguments = ()) -> Row | None:
        raise AssertionError(sql)

    async def execute(self, sql: str, args: Arguments = ()) -> int:
        raise AssertionError(sql)


def test_rooms_are_asked_for_once_and_more_of_them_than_are_remembered_are_answered() -> None:
    db = TwoVersions()
    versions = RoomVersions(db, maximum=2)
    assert run(versions.of(["!old", "!nowhere"])) == {"!old": "1"}
    first = run(versions.of(["!old", "!a"]))
    assert db.asked == [{"!old", "!nowhere"}, {"!a"}]
    assert run(versions.of(["!old", "!b", "!c"])) == {"!old": "1", "!b": "11", "!c": "11"}, "!old is forgotten by it"
    assert first == {"!old": "1", "!a": "11"}, "an answer that is being made keeps what it was given"
