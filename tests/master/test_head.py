"""What the master holds of a room stays bounded, whatever is looked up in it."""

import pytest

from hs_common.matrix.room_versions import ROOM_VERSIONS
from hs_master.rooms.head import MAXIMUM_HELD_STATE, NotLoaded, RoomDraft, RoomHead

VERSION = ROOM_VERSIONS["12"]


def test_look_ups_of_what_is_not_there_are_bounded() -> None:
    head = RoomHead("!room", VERSION)
    head.fill({("m.room.create", ""): None})
    for number in range(3 * MAXIMUM_HELD_STATE):
        key = ("org.test", str(number))
        head.fill({key: None})
        assert head.has(key)
        assert len(head.state) <= MAXIMUM_HELD_STATE
    assert not head.has(("m.room.create", ""))


def test_what_one_call_needs_is_held_together_however_much_it_is() -> None:
    head = RoomHead("!room", VERSION)
    wanted = {("org.test", str(number)): None for number in range(2 * MAXIMUM_HELD_STATE)}
    head.fill(wanted)
    assert all(head.has(key) for key in wanted)
    head.fill({("org.test", "next"): None})
    assert len(head.state) == MAXIMUM_HELD_STATE // 2


def test_a_head_that_drops_entries_does_not_take_them_for_absent() -> None:
    head = RoomHead("!room", VERSION, complete=True)
    draft = RoomDraft(head)
    draft.changed = {("org.test", str(number)): None for number in range(MAXIMUM_HELD_STATE)}
    head.install(draft)
    draft = RoomDraft(head)
    draft.changed = {("org.test", "next"): None}
    head.install(draft)
    assert not head.complete
    assert len(head.state) == MAXIMUM_HELD_STATE // 2
    with pytest.raises(NotLoaded):
        head.entry(("org.test", "0"))
