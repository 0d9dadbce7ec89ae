"""Turns events that were read into events of an answer: each with the `unsigned` that is the reader's. Pure.

Spec: client-server API, ClientEventWithoutRoomID (`unsigned`).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from hs_common.matrix.client_event import DELAYED_DEVICE, unsigned_data
from hs_common.matrix.event import Event
from hs_workers.sync.event_json import EventFormat
from hs_workers.sync.parameters import Reader
from hs_workers.sync.reading_rights import ReadingRights
from hs_workers.sync.timeline import TimelineEvent
from hs_workers.sync.windows import Window


@dataclass(slots=True)
class Related:
    """What was read besides the events told: redactions, replaced state events and bundled relations, by event id."""

    events: Mapping[str, Event] = field(default_factory=dict)
    relations: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


class EventParts:
    """Formats events for one reader in one answer."""

    def __init__(
        self, reader: Reader, format: EventFormat, rights: ReadingRights, related: Related, now_ms: int
    ) -> None:
        self._reader = reader
        self._format = format
        self._rights = rights
        self._related = related
        self._now_ms = now_ms

    def in_timeline(self, window: Window, told: TimelineEvent, event: Event) -> orjson.Fragment:
        """An event of a timeline."""
        row = told.row
        unsigned = unsigned_data(
            age_ms=self._now_ms - event.origin_server_ts,
            membership=self._rights.membership(window, told),
            transaction_id=row.txn_id if self._is_own(told) else None,
            delay_id=row.txn_id if row.device_id == DELAYED_DEVICE and row.sender == self._reader.user_id else None,
            replaces_state=row.replaces_state,
            prev_content=self._prev_content(window, told),
            redacted_because=self._redacted_because(row.redacted_by),
            relations=self._related.relations.get(row.event_id),
        )
        return self._format.encoded(event, unsigned, told.fragment(event) if self._format.is_plain else None)

    def in_state(self, event: Event, replaces_state: str | None, redacted_by: str | None) -> orjson.Fragment:
        """An event of `state` or `state_after`."""
        unsigned = unsigned_data(
            age_ms=self._now_ms - event.origin_server_ts,
            replaces_state=replaces_state,
            redacted_because=self._redacted_because(redacted_by),
        )
        return self._format.encoded(event, unsigned)

    def _is_own(self, told: TimelineEvent) -> bool:
        row = told.row
        return (
            row.sender == self._reader.user_id and row.device_id is not None and row.device_id == self._reader.device_id
        )

    def _prev_content(self, window: Window, told: TimelineEvent) -> Mapping[str, Any] | None:
        """What a state event replaced was in the state before it: who was joined then may see that, and the reader his
        own membership."""
        row = told.row
        replaced = None if row.replaces_state is None else self._related.events.get(row.replaces_state)
        if replaced is None:
            return None
        is_own = row.type == "m.room.member" and row.state_key == self._reader.user_id
        if is_own or self._rights.membership_before(window, told) == "join":
            return replaced.content
        return None

    def _redacted_because(self, redacted_by: str | None) -> dict[str, Any] | None:
        redaction = None if redacted_by is None else self._related.events.get(redacted_by)
        if redaction is None:
            return None
        return self._format.nested(redaction, {"age": self._now_ms - redaction.origin_server_ts})
