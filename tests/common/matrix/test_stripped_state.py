"""The state that an invited or knocking user is shown."""

from typing import Any

import pytest

from hs_common.matrix.stripped_state import (
    MAX_RECEIVED,
    STRIPPED_STATE_KEYS,
    has_create_event,
    prune_received,
    stripped,
    stripped_state_keys,
)
from tests.common.matrix.an_event import an_event

_NAME = {"type": "m.room.name", "state_key": "", "sender": "@a:x", "content": {"name": "N"}}


def test_a_stripped_event_has_four_keys() -> None:
    event = an_event("m.room.name", {"name": "N"}, state_key="", sender="@a:x")
    assert stripped(event) == _NAME


def test_a_message_is_not_state() -> None:
    with pytest.raises(AssertionError):
        stripped(an_event())


def test_the_inviter_is_shown() -> None:
    assert stripped_state_keys("@a:x") == (*STRIPPED_STATE_KEYS, ("m.room.member", "@a:x"))


def test_what_is_received_is_pruned() -> None:
    full_pdu = {**_NAME, "room_id": "!r:x", "auth_events": [], "signatures": {}, "hashes": {}}
    assert prune_received([full_pdu]) == [_NAME]


@pytest.mark.parametrize(
    "entry",
    [None, "m.room.name", {}, {**_NAME, "state_key": None}, {**_NAME, "content": []}, {**_NAME, "sender": 5}],
)
def test_what_is_received_malformed_is_dropped(entry: Any) -> None:
    assert prune_received([entry, _NAME]) == [_NAME]


def test_what_is_received_instead_of_a_list_is_nothing() -> None:
    assert prune_received({"events": [_NAME]}) == []


def test_what_is_received_is_limited() -> None:
    assert len(prune_received([_NAME] * (MAX_RECEIVED + 1))) == MAX_RECEIVED


def test_the_create_event_is_required() -> None:
    create = {"type": "m.room.create", "state_key": "", "sender": "@a:x", "content": {}}
    assert has_create_event([_NAME, create])
    assert not has_create_event([_NAME, {**create, "state_key": "x"}, {"type": "m.room.create"}])
