"""Which events of an answer the reader may see: the rules on history visibility, with their data for many rooms. Pure.

Spec: client-server API, #room-history-visibility.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hs_common.matrix.erasure import is_personal, knew
from hs_common.matrix.history_visibility import Point, Row, joined_after, membership_at, user_may_see, value_at
from hs_workers.sync.timeline import TimelineEvent
from hs_workers.sync.windows import Window


@dataclass(slots=True)
class ReadingRights:
    """What is known of the rooms: history visibilities over positions, and what forks have instead."""

    user_id: str
    visibilities: dict[str, Sequence[Row]] = field(default_factory=dict)
    # delta_id → {type: content, None where the fork has no such entry}
    deltas: dict[int, Mapping[str, Mapping[str, Any] | None]] = field(default_factory=dict)
    # user id → the position at which his content was to be erased, 0 where it was not
    erasures: dict[str, int] = field(default_factory=dict)

    def is_withheld(self, window: Window, event: TimelineEvent) -> bool:
        """Whether the event is shown redacted, as its sender was erased before the reader could know it."""
        row, erased_pos = event.row, self.erasures.get(event.row.sender, 0)
        if erased_pos == 0 or not is_personal(row.type, row.state_key, row.sender):
            return False
        return not knew(window.spans, row.order_pos, erased_pos)

    def is_decided(self, window: Window, event: TimelineEvent) -> bool:
        """Whether `may_see` needs nothing more for the event than the reader's memberships: he was joined then."""
        return event.row.delta_id is None and value_at(window.spans, event.row.state_pos) == "join"

    def membership_before(self, window: Window, event: TimelineEvent) -> str | None:
        """The reader's membership in the state before the event."""
        delta = self._delta(event)
        if "m.room.member" in delta:
            content = delta["m.room.member"]
            return None if content is None else content.get("membership")
        return value_at(window.spans, event.row.state_pos)

    def membership(self, window: Window, event: TimelineEvent) -> str:
        """`unsigned.membership`."""
        row = event.row
        before = self.membership_before(window, event)
        if row.type != "m.room.member" or row.state_key != self.user_id:
            return before or "leave"
        return membership_at(row.type, row.state_key, event.content, self.user_id, before)

    def may_see(self, window: Window, event: TimelineEvent) -> bool:
        """Whether the reader may see the event. The one by which he was put out is told him in any case."""
        row = event.row
        if row.event_id == window.parting or self.is_decided(window, event):
            return True
        point = Point(self._visibility(event), self.membership_before(window, event))
        later = joined_after(window.spans, row.state_pos)
        return user_may_see(row.type, row.state_key, event.content, self.user_id, point, later)

    def _visibility(self, event: TimelineEvent) -> str | None:
        delta = self._delta(event)
        if "m.room.history_visibility" in delta:
            content = delta["m.room.history_visibility"]
            return None if content is None else content.get("history_visibility")
        return value_at(self.visibilities.get(event.row.room_id, ()), event.row.state_pos)

    def _delta(self, event: TimelineEvent) -> Mapping[str, Mapping[str, Any] | None]:
        return {} if event.row.delta_id is None else self.deltas.get(event.row.delta_id, {})
