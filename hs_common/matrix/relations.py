"""Relationships between events: reading `m.relates_to`, the rules of each relationship, the bundled aggregations.

A relationship that does not match the schema or breaks its rules is ignored, never an error. `m.annotation` is not
aggregated. Which children a reader may see (ignored users, history visibility, redacted children) is for the caller.

Spec: client-server API, #forming-relationships-between-events, #event-replacements, #threading, #reference-relations,
#event-annotations-and-reactions.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

from hs_common.matrix.event import Event

ANNOTATION = "m.annotation"
REFERENCE = "m.reference"
REPLACE = "m.replace"
THREAD = "m.thread"

# Event ids and relationship types, in UTF-8 bytes: the size limits of event ids and of identifiers.
MAX_IDENTIFIER_BYTES = 255
# The `key` of an annotation, in UTF-8 bytes. It is indexed to find duplicates; a longer one is not.
MAX_KEY_BYTES = 1024

# References bundled with one event: the rest is found by /relations.
MAX_REFERENCES = 100


@dataclass(frozen=True, slots=True)
class Relation:
    """The relationship of a child event to its parent."""

    rel_type: str
    event_id: str
    # Of annotations.
    key: str | None = None
    # Of events in threads: the reply is only for clients that do not know threads.
    is_falling_back: bool = False


def parse_relation(content: Mapping[str, Any]) -> Relation | None:
    """The relationship that an event's content declares, if it matches the schema."""
    relates_to = content.get("m.relates_to")
    if not isinstance(relates_to, Mapping):
        return None
    rel_type, event_id, key = relates_to.get("rel_type"), relates_to.get("event_id"), relates_to.get("key")
    if not isinstance(rel_type, str) or not rel_type or not _fits(rel_type, MAX_IDENTIFIER_BYTES):
        return None
    if not _is_event_id(event_id):
        return None
    return Relation(
        rel_type,
        event_id,
        key if isinstance(key, str) and _fits(key, MAX_KEY_BYTES) else None,
        relates_to.get("is_falling_back") is True,
    )


def is_valid_edit(original: Event, edit: Event) -> bool:
    """Whether `edit`, an event with an m.replace relationship to `original`, is a valid one.

    Spec: #validity-of-replacement-events.
    """
    original_relation = parse_relation(original.content)
    return (
        original.room_id == edit.room_id
        and original.sender == edit.sender
        and original.type == edit.type
        and not original.is_state
        and not edit.is_state
        # You cannot edit an edit.
        and (original_relation is None or original_relation.rel_type != REPLACE)
        # What an encrypted event says is not for us to judge.
        and (edit.type == "m.room.encrypted" or isinstance(edit.content.get("m.new_content"), Mapping))
    )


def latest_edit(original: Event, edits: Iterable[Event]) -> Event | None:
    """The most recent valid one of the edits of an event. Spec: #server-side-aggregation-of-mreplace-relationships."""
    valid = (edit for edit in edits if is_valid_edit(original, edit))
    return max(valid, key=lambda edit: (edit.origin_server_ts, edit.event_id), default=None)


def thread_summary(latest_event: Mapping[str, Any], count: int, current_user_participated: bool) -> dict[str, Any]:
    """The aggregation of a thread. `latest_event` in the same format as the root, with its own aggregations; the count
    without events of users whom the reader ignores. Spec: #server-side-aggregation-of-mthread-relationships.
    """
    return {"latest_event": latest_event, "count": count, "current_user_participated": current_user_participated}


def reference_chunk(event_ids: Sequence[str]) -> dict[str, Any]:
    """The aggregation of references, the oldest first. Spec: #server-side-aggregation-of-mreference."""
    return {"chunk": [{"event_id": event_id} for event_id in event_ids[:MAX_REFERENCES]]}


def bundle(
    *,
    references: Sequence[str] = (),
    edit: Mapping[str, Any] | None = None,
    thread: Mapping[str, Any] | None = None,
    is_state: bool = False,
    is_redacted: bool = False,
) -> dict[str, Any]:
    """The value of `m.relations`, empty if nothing is to be bundled.

    State events get none; a redacted event is not bundled with its edits. Spec: #aggregations-of-child-events.
    """
    if is_state:
        return {}
    relations: dict[str, Any] = {}
    if references:
        relations[REFERENCE] = reference_chunk(references)
    if edit is not None and not is_redacted:
        relations[REPLACE] = edit
    if thread is not None:
        relations[THREAD] = thread
    return relations


def _is_event_id(value: object) -> TypeGuard[str]:
    return isinstance(value, str) and value.startswith("$") and _fits(value, MAX_IDENTIFIER_BYTES)


def _fits(text: str, limit: int) -> bool:
    # A lone surrogate, possible in rooms of versions 1 to 5, counts like any other character of that size.
    return len(text.encode("utf-8", "surrogatepass")) <= limit
