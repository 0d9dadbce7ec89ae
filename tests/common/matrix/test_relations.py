"""Relations: parsing, validity, and what is bundled with an event."""

from typing import Any

import pytest

from hs_common.matrix.event import Event
from hs_common.matrix.relations import (
    MAX_KEY_BYTES,
    MAX_REFERENCES,
    Relation,
    bundle,
    is_valid_edit,
    latest_edit,
    parse_relation,
    thread_summary,
)
from tests.common.matrix.an_event import an_event

_THREAD = Relation("m.thread", "$root")
_REACTION = Relation("m.annotation", "$event", key="👍")


@pytest.mark.parametrize(
    ("relates_to", "expected"),
    [
        ({"rel_type": "m.thread", "event_id": "$root"}, _THREAD),
        (
            {"rel_type": "m.thread", "event_id": "$root", "is_falling_back": True, "m.in_reply_to": {}},
            Relation("m.thread", "$root", is_falling_back=True),
        ),
        ({"rel_type": "m.thread", "event_id": "$root", "is_falling_back": 1}, _THREAD),
        ({"rel_type": "m.annotation", "event_id": "$event", "key": "👍"}, _REACTION),
        ({"rel_type": "m.annotation", "event_id": "$event", "key": 5}, Relation("m.annotation", "$event")),
        (
            {"rel_type": "m.annotation", "event_id": "$event", "key": "x" * (MAX_KEY_BYTES + 1)},
            Relation("m.annotation", "$event"),
        ),
        ({"rel_type": "m.thread"}, None),
        ({"event_id": "$root"}, None),
        ({"rel_type": "", "event_id": "$root"}, None),
        ({"rel_type": 5, "event_id": "$root"}, None),
        ({"rel_type": "m.thread", "event_id": "root"}, None),
        ({"rel_type": "m.thread", "event_id": 5}, None),
        ({"rel_type": "x" * 256, "event_id": "$root"}, None),
        ({"rel_type": "m.thread", "event_id": "$" + "é" * 128}, None),
        ({"rel_type": "m.thread", "event_id": "$\ud800"}, Relation("m.thread", "$\ud800")),
        ({"m.in_reply_to": {"event_id": "$e"}}, None),
        ("$root", None),
    ],
)
def test_parse_relation(relates_to: Any, expected: Relation | None) -> None:
    assert parse_relation({"m.relates_to": relates_to}) == expected


def test_no_relation() -> None:
    assert parse_relation({}) is None


def _edit(event_id: str = "$edit", **changes: Any) -> Event:
    content = {"m.new_content": {"body": "b"}, "m.relates_to": {"rel_type": "m.replace", "event_id": "$event"}}
    arguments: dict[str, Any] = {"event_type": "m.room.message", "content": content, "event_id": event_id, **changes}
    return an_event(**arguments)


_ORIGINAL = an_event(content={"body": "a"}, event_id="$event")


def test_a_valid_edit() -> None:
    assert is_valid_edit(_ORIGINAL, _edit())


@pytest.mark.parametrize(
    "changes",
    [
        {"room_id": "!other:example.org"},
        {"sender": "@mallory:example.org"},
        {"event_type": "m.sticker"},
        {"state_key": ""},
        {"content": {"body": "no new content"}},
        {"content": {"m.new_content": "text"}},
    ],
)
def test_invalid_edits(changes: dict[str, Any]) -> None:
    assert not is_valid_edit(_ORIGINAL, _edit(**changes))


def test_state_and_edits_cannot_be_edited() -> None:
    assert not is_valid_edit(an_event(state_key=""), _edit())
    assert not is_valid_edit(_edit("$event"), _edit())


def test_an_event_with_another_relationship_can_be_edited() -> None:
    original = an_event(content={"m.relates_to": {"rel_type": "m.thread", "event_id": "$root"}})
    assert is_valid_edit(original, _edit())


def test_an_encrypted_edit_needs_no_new_content_in_the_clear() -> None:
    original = an_event("m.room.encrypted", {"ciphertext": "a"})
    edit = _edit(event_type="m.room.encrypted", content={"ciphertext": "b"})
    assert is_valid_edit(original, edit)


def test_the_latest_edit_is_by_time_then_by_id_and_valid() -> None:
    early = _edit("$z", origin_server_ts=1)
    late_a = _edit("$a", origin_server_ts=2)
    late_b = _edit("$b", origin_server_ts=2)
    foreign = _edit("$c", origin_server_ts=3, sender="@mallory:example.org")
    assert latest_edit(_ORIGINAL, [late_b, early, foreign, late_a]) is late_b
    assert latest_edit(_ORIGINAL, [foreign]) is None


def test_the_bundle() -> None:
    edit = {"event_id": "$edit"}
    thread = thread_summary({"event_id": "$latest"}, 7, True)
    assert thread == {"latest_event": {"event_id": "$latest"}, "count": 7, "current_user_participated": True}
    assert bundle(references=["$one", "$two"], edit=edit, thread=thread) == {
        "m.reference": {"chunk": [{"event_id": "$one"}, {"event_id": "$two"}]},
        "m.replace": edit,
        "m.thread": thread,
    }


def test_what_is_not_bundled() -> None:
    assert bundle() == {}
    assert bundle(edit={"event_id": "$edit"}, is_redacted=True) == {}
    assert bundle(references=["$one"], is_state=True) == {}
    # Unlike edits, other aggregations stay with a redacted event.
    assert set(bundle(references=["$one"], is_redacted=True)) == {"m.reference"}


def test_references_are_limited() -> None:
    chunk = bundle(references=[f"${number}" for number in range(MAX_REFERENCES + 5)])["m.reference"]["chunk"]
    assert len(chunk) == MAX_REFERENCES
