"""The events around what a search found, of all results of a page together.

Two statements read the neighbours of all results. A side on which there is more to it (events that the reader is not
shown, history that only other servers have) is read as a page of the room's timeline instead.

Spec: client-server API, #server-side-search.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from hs_common.matrix.tokens import RoomToken
from hs_common.reading.room_view import RoomView, RoomViews
from hs_common.reading.stored_event import StoredEvent
from hs_common.storage import room_events, room_gaps, room_state
from hs_common.storage.queries import Queries
from hs_workers.client.room.answers import array
from hs_workers.client.room.pages import Pages


@dataclass(frozen=True, slots=True)
class Around:
    """Which events around a result are wanted."""

    before: int
    after: int
    profiles: bool


@dataclass(slots=True)
class Neighbours:
    """What is around one result, the nearest first; `profiles`: by user, if they are wanted."""

    event: StoredEvent
    before: list[StoredEvent] = field(default_factory=list)
    after: list[StoredEvent] = field(default_factory=list)
    profiles: dict[str, dict[str, str]] | None = None

    @property
    def shown(self) -> list[StoredEvent]:
        """All events around it."""
        return [*self.before, *self.after]

    @property
    def senders(self) -> set[str]:
        """Whose events these are, and whose the result is."""
        return {event.sender for event in (self.event, *self.shown)}

    @property
    def latest_pos(self) -> int:
        """The last position among them."""
        return max(event.order_pos for event in (self.event, *self.shown))

    def told(self, encoded: Sequence[bytes]) -> dict[str, Any]:
        """As an answer has it; `encoded` are the events that are shown."""
        told: dict[str, Any] = {
            "start": str((self.before[-1] if self.before else self.event).place_before),
            "end": str((self.after[-1] if self.after else self.event).place),
            "events_before": array(encoded[: len(self.before)]),
            "events_after": array(encoded[len(self.before) :]),
        }
        return told if self.profiles is None else {**told, "profile_info": self.profiles}


class NeighbourReading:
    """Reads them."""

    def __init__(self, db: Queries, views: RoomViews, pages: Pages) -> None:
        self._db = db
        self._views = views
        self._pages = pages

    async def of(self, results: Sequence[tuple[RoomView, StoredEvent]], wanted: Around) -> list[Neighbours]:
        """The context of each result."""
        found = [Neighbours(event) for _, event in results]
        if not found:
            return found
        gapped = await room_gaps.rooms_with_gaps(self._db, [event.room_id for _, event in results])
        neighbours = await self._neighbours([view for view, _ in results], found, wanted)
        for number, (view, event) in enumerate(results):
            context, sides = found[number], neighbours[number]
            await self._views.learn(view, [*sides.before, *sides.after])
            is_plain = event.room_id not in gapped and all(view.shows(one) for one in sides.before)
            context.before = sides.before if is_plain else await self._page(view, event, wanted.before, forwards=False)
            is_plain = all(view.shows(one) for one in sides.after)
            context.after = sides.after if is_plain else await self._page(view, event, wanted.after, forwards=True)
        if wanted.profiles:
            await self._add_profiles(found)
        return found

    async def _neighbours(
        self, views: Sequence[RoomView], results: Sequence[Neighbours], wanted: Around
    ) -> list[Neighbours]:
        stretches = []
        for view, one in zip(views, results, strict=True):
            first, last = view.visible_positions
            place = (one.event.order_pos, one.event.order_sub)
            low, high = RoomToken(max(first - 1, 0)), RoomToken(max(min(last, view.upto), 0))
            stretches.append((view.room_id, (low.order_pos, low.order_sub), place, (high.order_pos, high.order_sub)))
        found = [Neighbours(one.event) for one in results]
        for number, is_after, *row in await room_events.around(self._db, stretches, wanted.before, wanted.after):
            side = found[number - 1].after if is_after else found[number - 1].before
            side.append(StoredEvent(views[number - 1].version, tuple(row)))
        for one in found:
            one.before.sort(key=_place, reverse=True)
            one.after.sort(key=_place)
        return found

    async def _page(self, view: RoomView, event: StoredEvent, limit: int, *, forwards: bool) -> list[StoredEvent]:
        start = event.place if forwards else event.place_before
        return (await self._pages.read(view, start, None, forwards=forwards, limit=limit)).events if limit else []

    async def _add_profiles(self, contexts: Sequence[Neighbours]) -> None:
        wanted = [(one.event.room_id, user_id, one.latest_pos) for one in contexts for user_id in sorted(one.senders)]
        rows = await room_state.members_of_rooms(self._db, list(dict.fromkeys(wanted)))
        members = {(room_id, user_id, pos): orjson.loads(json)["content"] for room_id, user_id, pos, json in rows}
        for one in contexts:
            keys = [(one.event.room_id, user_id, one.latest_pos) for user_id in sorted(one.senders)]
            one.profiles = {key[1]: _profile(members[key]) for key in keys if key in members}


def _place(event: StoredEvent) -> tuple[int, int]:
    return event.order_pos, event.order_sub


def _profile(content: dict[str, Any]) -> dict[str, str]:
    named = {key: content.get(key) for key in ("displayname", "avatar_url")}
    return {key: value for key, value in named.items() if isinstance(value, str)}
