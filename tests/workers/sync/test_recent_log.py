"""The memory window says what it has, and never claims to have what fell out of it."""

from hypothesis import given
from hypothesis import strategies as st

from hs_common.replication.items import AccountDataItem, Item, ReceiptItem
from hs_workers.sync.recent_log import MAXIMUM_AGE_S, RecentLog

ROOMS = ("!a", "!b", "!c", "!d")


def item(room_id: str | None) -> Item:
    if room_id is None:
        return AccountDataItem("@u:x", "", "t", b"{}")
    return ReceiptItem(room_id, "@u:x", "m.read", "", "$e", 0, 1, 0)


@given(
    log=st.lists(st.tuples(st.sampled_from([*ROOMS, None]), st.integers(1, 3), st.integers(0, 25)), max_size=40),
    begun=st.integers(0, 5),
    maximum=st.integers(1, 10),
    marks=st.integers(1, 3),
    asked=st.integers(0, 120),
    limit=st.integers(0, 12),
)
def test_it_gives_all_or_nothing(
    log: list[tuple[str | None, int, int]], begun: int, maximum: int, marks: int, asked: int, limit: int
) -> None:
    recent = RecentLog(begun, maximum_items=maximum, maximum_bytes=4 * maximum, maximum_marks=marks)
    written: list[tuple[int, str | None]] = []
    position, now = begun, 0.0
    for room_id, step, seconds in log:
        position, now = position + step, now + seconds
        written.append((position, room_id))
        recent.add(position, item(room_id), step, now)
    assert len(recent) <= maximum
    after = [pos for pos, _ in written if pos > asked]
    found = recent.since(asked, limit)
    assert found is None or [one.pos for one in found] == after
    if found is None:
        assert asked < recent.start or len(after) > limit
    for room_id in ROOMS:
        of_room = recent.of_room(room_id, asked)
        expected = [pos for pos, of in written if of == room_id and pos > asked]
        assert of_room is None or [one.pos for one in of_room] == expected
        if asked >= position and asked >= begun:
            assert of_room is not None  # nothing can have fallen out that is above the end


def test_what_is_old_falls_out_and_a_reset_forgets() -> None:
    recent = RecentLog(0)
    recent.add(1, item("!a"), 1, 0.0)
    recent.add(2, item("!b"), 1, MAXIMUM_AGE_S + 1)
    assert (recent.start, len(recent)) == (1, 1)
    assert recent.of_room("!a", 0) is None
    assert recent.of_room("!b", 0) is not None
    recent.reset(9)
    assert (recent.start, len(recent)) == (9, 0)
    assert recent.since(8, 10) is None
    assert recent.of_room("!a", 9) is not None
