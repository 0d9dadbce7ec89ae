"""A redaction that another server sends before what it redacts: clients hear of it after that, and once.

Spec: rooms/v3.md#handling-redactions.
"""

from typing import Any
from urllib.parse import quote

from tests.federation.hostile.stage import Stage

Json = dict[str, Any]


def _synced(stage: Stage, room_id: str, since: str) -> tuple[list[Json], str]:
    """What is new in a room, and the token after it."""
    answer = stage.alice.call("GET", ("sync",), query=f"?timeout=0&since={quote(since)}")
    room = answer.get("rooms", {}).get("join", {}).get(room_id, {})
    return list(room.get("timeline", {}).get("events", ())), str(answer["next_batch"])


def test_a_redaction_is_shown_after_what_it_redacts(hostile_stage: Stage) -> None:
    stage = hostile_stage
    room = stage.joined()
    start = str(stage.alice.call("GET", ("sync",), query="?timeout=0")["next_batch"])
    heads = list(room.heads)
    late = room.compose("m.room.message", {"msgtype": "m.text", "body": "a secret"}, prev=heads)
    early = room.compose("m.room.redaction", {"redacts": late.event_id}, prev=heads)
    assert stage.evil.results(early) == {early.event_id: {}}
    stage.arrives(room)
    stage.unseen(room, early.event_id)
    assert stage.alice.event(room.room_id, early.event_id) is None
    before, middle = _synced(stage, room.room_id, start)
    assert early.event_id not in {event["event_id"] for event in before}

    assert stage.evil.results(late) == {late.event_id: {}}
    stage.until(lambda: stage.alice.sees(room.room_id, early.event_id), "the redaction is shown")
    after, end = _synced(stage, room.room_id, middle)
    assert [event["event_id"] for event in after] == [late.event_id, early.event_id]
    redacted, redaction = after
    assert redacted["content"] == {}
    assert redacted["unsigned"]["redacted_because"]["event_id"] == early.event_id
    assert redaction["content"]["redacts"] == late.event_id
    whole, _ = _synced(stage, room.room_id, start)
    assert [event["event_id"] for event in whole] == [event["event_id"] for event in (*before, *after)]
    assert _synced(stage, room.room_id, end)[0] == []
    shown = stage.alice.event(room.room_id, early.event_id)
    assert shown is not None
    assert shown["type"] == "m.room.redaction"
    stage.arrives(room)
