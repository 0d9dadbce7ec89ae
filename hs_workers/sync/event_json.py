"""Events as a client gets them in an answer, each encoded once and closed with what is the reader's alone. Pure.

Spec: client-server API, ClientEventWithoutRoomID, #filtering (event_format, event_fields).
"""

from collections.abc import Mapping
from typing import Any

import orjson

from hs_common.matrix.client_event import client_json, close, encode, federation_json, fragment
from hs_common.matrix.event import Event
from hs_common.matrix.filters import CLIENT_FORMAT, Filter
from hs_common.matrix.room_versions import ROOM_VERSIONS


def event_of(pdu: Mapping[str, Any], event_id: str, room_version: str) -> Event:
    """The event of a stored PDU."""
    return Event.from_pdu(pdu, ROOM_VERSIONS[room_version], event_id)


class EventFormat:
    """How a client wants its events."""

    __slots__ = ("_fields", "_is_federation", "_is_plain")

    def __init__(self, filter: Filter) -> None:
        self._fields = filter.fields
        self._is_federation = filter.event_format != CLIENT_FORMAT
        self._is_plain = filter.fields.everything and not self._is_federation

    @property
    def is_plain(self) -> bool:
        """Whether events are as everybody gets them, so that they can be encoded once for all."""
        return self._is_plain

    def nested(self, event: Event, unsigned: Mapping[str, Any]) -> dict[str, Any]:
        """An event that stands inside another's `unsigned`."""
        if self._is_federation:
            return self._fields.project(federation_json(event, unsigned))
        return self._fields.project(client_json(event, unsigned, with_room_id=False))

    def encoded(self, event: Event, unsigned: Mapping[str, Any], open_json: bytes | None = None) -> orjson.Fragment:
        """An event of the answer. `open_json`: its fragment, if that was made before."""
        if self._is_plain:
            return orjson.Fragment(close(open_json or fragment(event), unsigned))
        return orjson.Fragment(encode(self.nested(event, unsigned)))
