"""Stripped state: what somebody who is not in a room is told about it with an invite or a knock.

Between servers it is full PDUs with the create event among them; to clients only four keys of each.

Spec: client-server API, #stripped-state; server-server API, #inviting-to-a-room.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from hs_common.matrix.event import Event, StateKey

# The state events that identify a room, the required one first.
STRIPPED_STATE_KEYS: tuple[StateKey, ...] = (
    ("m.room.create", ""),
    ("m.room.name", ""),
    ("m.room.avatar", ""),
    ("m.room.topic", ""),
    ("m.room.join_rules", ""),
    ("m.room.canonical_alias", ""),
    ("m.room.encryption", ""),
)

# Entries taken from another server: a few more than there are keys above, as servers may add others.
MAX_RECEIVED = 64


def stripped(event: Event) -> dict[str, Any]:
    """A state event in the stripped format."""
    assert event.state_key is not None, "only state events are stripped state"
    return {
        "type": event.type,
        "state_key": event.state_key,
        "sender": event.sender,
        "content": event.content,
    }


def stripped_state_keys(sender: str) -> tuple[StateKey, ...]:
    """What of a room's state goes with an invite by `sender`: what identifies the room, and who that is."""
    return (*STRIPPED_STATE_KEYS, ("m.room.member", sender))


def prune_received(entries: object) -> list[dict[str, Any]]:
    """The stripped format of what another server sent as `invite_room_state` or `knock_room_state`.

    Servers cannot pass on what they receive: entries that are not state events are dropped, other keys too.
    """
    if not isinstance(entries, list):
        return []
    well_formed = [entry for entry in entries if _is_state_event(entry)]
    return [
        {key: entry[key] for key in ("type", "state_key", "sender", "content")} for entry in well_formed[:MAX_RECEIVED]
    ]


def has_create_event(entries: Iterable[Mapping[str, Any]]) -> bool:
    """Whether the create event, which is required, is among the entries (stripped or not)."""
    return any(entry.get("type") == "m.room.create" and entry.get("state_key") == "" for entry in entries)


def _is_state_event(entry: object) -> bool:
    return (
        isinstance(entry, Mapping)
        and all(isinstance(entry.get(key), str) for key in ("type", "state_key", "sender"))
        and isinstance(entry.get("content"), Mapping)
    )
