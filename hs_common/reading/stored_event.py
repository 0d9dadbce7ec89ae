"""An event of a timeline as it is stored, decoded when somebody first looks inside.

A row has the columns of `hs_common.storage.room_events.COLUMNS`.
"""

from collections.abc import Mapping
from typing import Any

import orjson

from hs_common.matrix.event import Event
from hs_common.matrix.redaction import redact
from hs_common.matrix.room_versions import RoomVersion
from hs_common.matrix.tokens import RoomToken
from hs_common.storage.queries import Row


class StoredEvent:
    """One event in its place. `json` is the PDU, redacted if `redacted_by` is set."""

    __slots__ = (
        "_event",
        "delta_id",
        "device_id",
        "event_id",
        "is_withheld",
        "json",
        "order_pos",
        "order_sub",
        "origin_server_ts",
        "redacted_by",
        "replaces_state",
        "room_id",
        "sender",
        "state_key",
        "state_pos",
        "thread_root",
        "txn_id",
        "type",
        "version",
    )

    def __init__(self, version: RoomVersion, row: Row) -> None:
        self.version = version
        self._event: Event | None = None
        self.is_withheld = False
        self.room_id: str
        self.order_pos: int
        self.order_sub: int
        self.event_id: str
        self.sender: str
        self.type: str
        self.state_key: str | None
        self.origin_server_ts: int
        self.thread_root: str | None
        self.state_pos: int
        self.delta_id: int | None
        self.device_id: str | None
        self.txn_id: str | None
        self.replaces_state: str | None
        self.redacted_by: str | None
        self.json: str
        (
            self.room_id,
            self.order_pos,
            self.order_sub,
            self.event_id,
            self.sender,
            self.type,
            self.state_key,
            self.origin_server_ts,
            self.thread_root,
            self.state_pos,
            self.delta_id,
            self.device_id,
            self.txn_id,
            self.replaces_state,
            self.redacted_by,
            self.json,
        ) = row

    @property
    def event(self) -> Event:
        """The event with its parts."""
        if self._event is None:
            pdu = orjson.loads(self.json)
            shown = redact(pdu, self.version) if self.is_withheld else pdu
            self._event = Event.from_pdu(shown, self.version, self.event_id)
        return self._event

    def withhold(self) -> None:
        """Shows the event as if it were redacted: whoever sent it was erased before the reader could know it."""
        self.is_withheld = True
        self._event = None

    @property
    def content(self) -> Mapping[str, Any]:
        """The event's content."""
        return self.event.content

    @property
    def is_state(self) -> bool:
        """Whether this is a state event."""
        return self.state_key is not None

    @property
    def place(self) -> RoomToken:
        """The place just after the event."""
        return RoomToken(self.order_pos, self.order_sub)

    @property
    def place_before(self) -> RoomToken:
        """The place just before the event."""
        return RoomToken.before(self.order_pos, self.order_sub)
