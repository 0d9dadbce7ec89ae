"""The calls by which bridges bring a room's history from elsewhere, as it was sent there.

What is imported under ids that the bridge chose is this server's alone: nothing cites it in the event graph, and it is
never sent to other servers. Spec: none; `com.beeper.backfill`, as bridges of mautrix-go call it.
"""

from typing import Any, ClassVar

import msgspec

from hs_common.replication.call import Answer, Call


class ImportedEvent(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A message event. `event_id` is the one that the bridge chose, None if it leaves that to us."""

    sender: str
    type: str
    content: dict[str, Any]
    timestamp_ms: int
    event_id: str | None = None


class Imported(Answer, frozen=True, kw_only=True):
    event_ids: list[str]  # as the events; those that were there already as they are


class ImportHistory(Call, frozen=True, kw_only=True):
    """Put events into a room's past, before its first message and what was imported earlier; the oldest first.

    Errors: M_NOT_FOUND (room unknown here), M_TOO_LARGE, M_BAD_JSON, M_INVALID_PARAM (an id is another room's).
    """

    answer: ClassVar[type[Answer]] = Imported
    room_id: str
    events: list[ImportedEvent]


class AppendImported(Call, frozen=True, kw_only=True):
    """Put events behind the newest one of a room; the oldest first. `notify`: as if they were sent now.

    Where other servers are in the room they are events as all others, authorised, and their ids are ours.
    Errors: as ImportHistory; M_FORBIDDEN.
    """

    answer: ClassVar[type[Answer]] = Imported
    room_id: str
    events: list[ImportedEvent]
    notify: bool


IMPORT_CALLS: tuple[type[Call], ...] = (ImportHistory, AppendImported)
