"""What another server gets of events of before it came, where history is shown to members alone."""

from typing import Any

import orjson
import pytest

from hs_common.matrix.room_versions import ROOM_VERSIONS
from hs_common.reading.server_view import ServerView
from hs_common.reading.stored_event import StoredEvent

LATER = 10


def _told(version: str, event_type: str, state_key: str | None, content: dict[str, Any]) -> dict[str, Any]:
    rules = ROOM_VERSIONS[version]
    pdu = {
        "type": event_type,
        "room_id": "!r:a",
        "sender": "@a:a",
        "content": content,
        "depth": 3,
        "origin_server_ts": 1,
    }
    pdu |= {"prev_events": [], "auth_events": [], "hashes": {"sha256": "x"}, "signatures": {}}
    pdu |= {} if state_key is None else {"state_key": state_key}
    place = ("!r:a", 5, 0, "$e", "@a:a", event_type, state_key, 1, None, 5, None, None, None, None, None)
    event = StoredEvent(rules, (*place, orjson.dumps(pdu).decode()))
    view = ServerView(rules, "b", [(LATER, 2**63 - 1, "join")], [], [(0, 2**63 - 1, "joined")])
    told: dict[str, Any] = orjson.loads(view.pdu(event))["content"]
    return told


@pytest.mark.parametrize("version", ["6", "10", "12"])
def test_what_a_server_may_not_see_is_redacted(version: str) -> None:
    assert _told(version, "m.room.message", None, {"body": "secret"}) == {}
    assert _told(version, "m.room.topic", "", {"topic": "secret"}) == {}
    assert _told(version, "m.room.power_levels", "x", {"invite": 50, "secret": 1}).get("secret") is None


@pytest.mark.parametrize("version", ["6", "10", "12"])
def test_power_levels_are_told_whole_since_later_events_are_judged_by_them(version: str) -> None:
    levels = {"users": {"@a:a": 100}, "invite": 50, "notifications": {"room": 50}}
    assert _told(version, "m.room.power_levels", "", levels) == levels
