"""What another server may see of one room: a server is judged like a user whose membership is the best of its users'.

What it may not see is not left out but redacted, so that the graph of events stays whole. Power levels are told whole:
with the state of later events they are anyway, and before room version 11 a redacted copy has lost one of them
(`invite`), so that whoever has that judges what was allowed as forbidden, and all that builds on it. So is other state
that held while the server was in the room: it is asked for one by one as well, and who keeps a redacted copy has a room
without a name, or one whose access control list lets nobody speak.

Spec: client-server API, #room-history-visibility; server-server API, #backfilling-and-retrieving-missing-events.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson

from hs_common.matrix.canonical_json import encode_lenient
from hs_common.matrix.erasure import is_personal, knew
from hs_common.matrix.history_visibility import DEFAULT_VISIBILITY, Point, may_see, understood, value_at
from hs_common.matrix.history_visibility import Row as Span
from hs_common.matrix.identifiers import domain_of
from hs_common.matrix.redaction import redact
from hs_common.matrix.room_versions import RoomVersion
from hs_common.reading.stored_event import StoredEvent
from hs_common.storage import room_views, server_views, users
from hs_common.storage.queries import Queries

_VISIBILITY = "m.room.history_visibility"


class ServerView:
    """One server's view of one room. Spans are (from_pos, to_pos, value) by rising position."""

    def __init__(
        self,
        version: RoomVersion,
        server: str,
        joined: Sequence[Span],
        invited: Sequence[Span],
        visibilities: Sequence[Span],
    ) -> None:
        self.version = version
        self.server = server
        self._joined = joined
        self._invited = invited
        self._visibilities = visibilities
        self._overrides: dict[int, str | None] = {}
        self._told: set[str] = set()

    def learn(self, overrides: Mapping[int, str | None]) -> None:
        """The visibility on forks, by delta."""
        self._overrides.update(overrides)

    def learn_told(self, event_ids: Iterable[str]) -> None:
        """Of these state events the server is told with the state of others."""
        self._told.update(event_ids)

    def unknown_deltas(self, events: Iterable[StoredEvent]) -> set[int]:
        """The forks among the events that `learn` was not told of."""
        return {event.delta_id for event in events if event.delta_id is not None} - self._overrides.keys()

    def knew(self, event: StoredEvent, erased_pos: int) -> bool:
        """Whether the server was in the room while the event could be read there."""
        return knew(self._joined, event.order_pos, erased_pos)

    def may_see(self, event: StoredEvent) -> bool:
        """By history visibility."""
        pos = event.state_pos
        visibility = value_at(self._visibilities, pos)
        if event.delta_id is not None:
            visibility = self._overrides.get(event.delta_id) or visibility
        point = Point(visibility, self._membership(pos))
        joined_later = any(to_pos > pos for _, to_pos, _ in self._joined)
        sets_visibility, sets_membership = None, None
        if event.type == _VISIBILITY and event.state_key == "":
            sets_visibility = event.content.get("history_visibility", DEFAULT_VISIBILITY)
        elif event.type == "m.room.member" and domain_of(event.state_key or "") == self.server:
            sets_membership = event.content.get("membership")
        return may_see(point, joined_later, sets_visibility=sets_visibility, sets_membership=sets_membership)

    def pdu(self, event: StoredEvent) -> bytes:
        """The event as the server gets it."""
        is_judged_by = event.type == "m.room.power_levels" and event.state_key == ""
        is_visible = event.event_id in self._told or self.may_see(event)
        if is_judged_by or (is_visible and not event.is_withheld):
            return event.json.encode()
        return encode_lenient(redact(event.event.pdu, self.version))

    def _membership(self, pos: int) -> str | None:
        if value_at(self._joined, pos) is not None:
            return "join"
        return "invite" if any(begin <= pos < end for begin, end, _ in self._invited) else None


class ServerViews:
    """Reads views from the database."""

    def __init__(self, db: Queries) -> None:
        self._db = db

    async def view(self, room_id: str, version: RoomVersion, server: str) -> ServerView:
        """A server's view of a room that is known here."""
        visibilities = [
            (begin, end, understood(orjson.loads(json)["content"].get("history_visibility")))
            for begin, end, json in await server_views.visibilities(self._db, room_id)
        ]
        joined = await server_views.joined_spans(self._db, room_id, server)
        counts = any(visibility == "invited" for _, _, visibility in visibilities)
        invited = await server_views.invited_spans(self._db, room_id, server) if counts else []
        return ServerView(
            version,
            server,
            [(begin, end, "join") for begin, end in joined],
            [(begin, end, "invite") for begin, end in invited],
            visibilities,
        )

    async def learn(self, view: ServerView, events: Sequence[StoredEvent]) -> None:
        """Reads what the view must know of forks before it judges these events, and withholds what erased users said:
        mostly nothing."""
        erased = await users.erasures(self._db, list({event.sender for event in events}))
        for event in events:
            is_erased = event.sender in erased and is_personal(event.type, event.state_key, event.sender)
            if is_erased and not view.knew(event, erased[event.sender]):
                event.withhold()
        await self._learn_deltas(view, events)
        hidden = [event for event in events if event.is_state and not view.may_see(event)]
        if hidden:
            keys = sorted({(event.type, event.state_key or "") for event in hidden})
            ids = [event.event_id for event in hidden]
            view.learn_told(await server_views.told_as_state(self._db, hidden[0].room_id, view.server, keys, ids))

    async def _learn_deltas(self, view: ServerView, events: Sequence[StoredEvent]) -> None:
        unknown = view.unknown_deltas(events)
        if not unknown:
            return
        overrides: dict[int, str | None] = dict.fromkeys(unknown)
        for delta_id, event_type, json in await room_views.overrides(self._db, list(unknown), ""):
            if event_type == _VISIBILITY:
                content: dict[str, Any] = {} if json is None else orjson.loads(json)["content"]
                overrides[delta_id] = understood(content.get("history_visibility"))
        view.learn(overrides)
