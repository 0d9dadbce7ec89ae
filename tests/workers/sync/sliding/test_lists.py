"""Which rooms a list has, and in which order: as if each room were looked at by itself."""

import orjson
from hypothesis import given
from hypothesis import strategies as st

from hs_common.reading.settings import read_settings
from hs_workers.sync.sliding.lists import View, filtered, server_list
from hs_workers.sync.sliding.question import Filters
from hs_workers.sync.sliding.room_memory import Activity
from hs_workers.sync.sliding.user_memory import UserRooms
from hs_workers.sync.windows import STILL_SO, Membership

ME, OTHER = "@me:x", "@other:x"
ROOMS = [f"!{number}" for number in range(6)]
MEMBERSHIPS = ("join", "leave", "ban", "invite", "knock")
TYPES = (None, "m.space", "game")


def _membership(room_id: str, membership: str, from_pos: int, sender: str, is_forgotten: bool) -> Membership:
    stripped = orjson.dumps([{"type": "m.room.create", "content": {"type": "m.space"}}]).decode()
    is_asked = membership in ("invite", "knock")
    head = (room_id, membership, f"${room_id}", sender, stripped if is_asked else None)
    return Membership(*head, False, is_forgotten, from_pos, STILL_SO)


_ROWS = st.tuples(st.sampled_from(MEMBERSHIPS), st.integers(1, 9), st.sampled_from((ME, OTHER)), st.booleans())
_TYPE_SETS = st.frozensets(st.sampled_from(TYPES))


@given(
    st.lists(st.none() | _ROWS, min_size=len(ROOMS), max_size=len(ROOMS)),
    st.dictionaries(st.sampled_from(ROOMS), st.integers(0, 9)),
    st.dictionaries(st.sampled_from(ROOMS), st.sampled_from(TYPES)),
    st.sets(st.sampled_from(ROOMS)),
    st.frozensets(st.sampled_from(ROOMS)),
    st.none() | _TYPE_SETS,
    _TYPE_SETS,
)
def test_rooms_are_listed_by_what_happened_last_and_by_their_types(
    rows: list[tuple[str, int, str, bool] | None],
    lasts: dict[str, int],
    types: dict[str, str | None],
    sent: set[str],
    were_in: frozenset[str],
    wanted: frozenset[str | None] | None,
    unwanted: frozenset[str | None],
) -> None:
    held = {room_id: _membership(room_id, *row) for room_id, row in zip(ROOMS, rows, strict=True) if row is not None}
    rooms = UserRooms(held, frozenset(), {})
    view = View(9, rooms, {room: Activity(last, last) for room, last in lasts.items()}, types, were_in=were_in)
    settings = read_settings(ME, {"m.ignored_user_list": orjson.dumps({"ignored_users": {}})})

    def is_listed(row: Membership) -> bool:
        if row.membership not in ("leave", "ban") or row.room_id in sent:
            return True
        return row.sender == OTHER and not row.forgotten and row.room_id in were_in

    def last(row: Membership) -> int:
        return max(row.from_pos, lasts.get(row.room_id, 0) if row.membership == "join" else 0)

    def type_of(row: Membership) -> str | None:
        return "m.space" if row.membership in ("invite", "knock") else types.get(row.room_id)

    expected = sorted(filter(is_listed, held.values()), key=lambda row: (-last(row), row.room_id))
    listed = server_list(view, settings, sent, ME)
    assert listed == expected
    filters = Filters(room_types=wanted, not_room_types=unwanted)
    assert list(filtered(filters, listed, view)) == [
        row for row in expected if (wanted is None or type_of(row) in wanted) and type_of(row) not in unwanted
    ]


def test_what_is_derived_of_a_users_rooms_is_that_of_each() -> None:
    held = {
        room_id: _membership(room_id, membership, 1, OTHER, False)
        for room_id, membership in zip(ROOMS, MEMBERSHIPS, strict=False)
    }
    rooms = UserRooms(held, frozenset(), {})
    assert list(rooms.joined) == ["!0"]
    assert [row.room_id for row in rooms.out] == ["!1", "!2"]
    assert list(rooms.with_state) == ["!0", "!1", "!2"]
