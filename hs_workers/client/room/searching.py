"""Searching the rooms that a user has been in: candidates by their words, then each judged as any other reading is.

Of what matches, the newest `MAXIMUM_CANDIDATES` are paged, or the newest `MAXIMUM_RANKED` by how well they match. What
the reader may not see, does not want to, or was redacted, is passed over, at most `MAXIMUM_EXAMINED` of it for a page.
Nor is it counted: that would tell which words are in it. What cannot be told without looking is not counted either.

Spec: client-server API, #server-side-search.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import orjson

from hs_common.http.request import Requester
from hs_common.matrix.filters import RoomEventFilter
from hs_common.matrix.room_upgrades import CREATE
from hs_common.matrix.searched_texts import KEYS, searched_text
from hs_common.reading.client_events import ClientEvents
from hs_common.reading.room_view import RoomView, RoomViews
from hs_common.reading.stored_event import StoredEvent
from hs_common.storage import room_directory, room_state, search
from hs_common.storage.queries import Queries, Row
from hs_workers.client.room.answers import array
from hs_workers.client.room.found_neighbours import Around, NeighbourReading
from hs_workers.client.room.reading import reader_of
from hs_workers.client.room.search_matches import Match, Matches
from hs_workers.client.room.search_scope import MAXIMUM_NAMED, ROOM, Place, positive, scope

MAXIMUM_CANDIDATES: Final = 5_000
MAXIMUM_RANKED: Final = 2_000
"""Of these the words are read to tell which match best."""
MAXIMUM_EXAMINED: Final = 500
LEAST_LOOKED_AT: Final = 20
"""Candidates that are looked at together once not all of those looked at first could be told; first as many as are
wanted, as most can be."""
MAXIMUM_COUNTED_ROOMS: Final = 500
"""Rooms of which the reader may not see everything, and in which more is counted than a page has: those with the newest
or best first."""
MAXIMUM_ROOMS: Final = 10_000
"""Rooms that a client may name."""
MAXIMUM_STATE: Final = 1_000
"""State events of a room that are told whole with results in it."""
MAXIMUM_PREDECESSORS: Final = 10
"""Upgrades of a room that are followed back."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A search."""

    term: str
    keys: Sequence[str]
    filter: RoomEventFilter
    limit: int
    by_rank: bool
    context: Around | None
    include_state: bool
    group_by: Sequence[str]
    place: Place


@dataclass(slots=True)
class _Found:
    """What a page has: views by room, and results with their matches. `upto`: the place behind the last looked at."""

    views: dict[str, RoomView]
    results: list[tuple[Match, StoredEvent]] = field(default_factory=list)
    upto: int = 0


class Searching:
    """Answers searches."""

    def __init__(self, db: Queries, views: RoomViews, events: ClientEvents, neighbours: NeighbourReading) -> None:
        self._db = db
        self._views = views
        self._events = events
        self._neighbours = neighbours

    async def find(self, requester: Requester, wanted: Wanted) -> dict[str, Any]:
        """The `room_events` of an answer."""
        place = wanted.place
        views: dict[str, RoomView] = {}
        rooms = await self._rooms(requester, wanted, place, views)
        matches, found = await self._found(requester, rooms, wanted, place, views)
        if place.upto is None and matches.head is not None:
            # A new search is of what is there now, and so are its further pages.
            place = Place(0, matches.head)
        ranks, highlights = await self._ranked(wanted.term, [event for _, event in found.results])
        answer: dict[str, Any] = {
            "count": len(found.results) + await self._counted(requester, matches, place.offset, found),
            "highlights": highlights,
            "results": await self._results([event for _, event in found.results], ranks, found.views, wanted),
        }
        if found.upto < matches.total:
            answer["next_batch"] = str(Place(found.upto, place.upto, place.groups))
        if wanted.group_by:
            answer["groups"] = {key: _groups(key, matches.page, found, place) for key in wanted.group_by}
        if wanted.include_state:
            answer["state"] = await self._state(found)
        return answer

    # --- where ---

    async def _rooms(
        self, requester: Requester, wanted: Wanted, place: Place, views: dict[str, RoomView]
    ) -> list[str] | None:
        """The rooms to search: those named and what they replaced, or all that the user has been in: None if these are
        too many to be named to the index. `views` is given what was looked at."""
        within = [value for key, value in place.groups if key == ROOM]
        named = wanted.filter.rooms.wanted
        if named is None and not within:
            rooms = await search.rooms_been_in(self._db, requester.user_id, MAXIMUM_NAMED + 1)
            if len(rooms) > MAXIMUM_NAMED:
                return None
        else:
            rooms = within[:1] if named is None else await self._with_predecessors(sorted(named))
            # Even how much was found in a room is for its readers alone.
            views |= await self._readable(requester, rooms)
            rooms = [room_id for room_id in rooms if room_id in views]
        unwanted = wanted.filter.rooms.unwanted
        return [room for room in rooms if room not in unwanted and all(room == value for value in within)]

    async def _readable(self, requester: Requester, room_ids: Sequence[str]) -> dict[str, RoomView]:
        """Those of the rooms in which there is something for the reader."""
        found = await self._views.views(room_ids, reader_of(requester))
        return {room_id: view for room_id, view in found.items() if view.is_readable}

    async def _with_predecessors(self, room_ids: list[str]) -> list[str]:
        rooms = dict.fromkeys(room_ids[:MAXIMUM_ROOMS])
        new = list(rooms)
        for _ in range(MAXIMUM_PREDECESSORS):
            rows = await room_directory.described(self._db, new, [CREATE[0]]) if new else []
            contents = [orjson.loads(json)["content"] for _, _, json in rows]
            named = [content.get("predecessor") for content in contents]
            old = [one.get("room_id") for one in named if isinstance(one, dict)]
            new = [
                room_id for room_id in old if isinstance(room_id, str) and room_id not in rooms and "\0" not in room_id
            ]
            rooms.update(dict.fromkeys(new))
        return list(rooms)

    # --- what ---

    async def _found(
        self,
        requester: Requester,
        rooms: list[str] | None,
        wanted: Wanted,
        place: Place,
        views: dict[str, RoomView],
    ) -> tuple[Matches, _Found]:
        """The matches, and those of them that the page has. Mostly so many suffice as are wanted; groups need all."""
        end = place.offset + MAXIMUM_EXAMINED
        if wanted.group_by:
            matches = await self._matches(requester.user_id, rooms, wanted, place, 0, MAXIMUM_CANDIDATES)
        else:
            matches = await self._matches(requester.user_id, rooms, wanted, place, place.offset, wanted.limit)
        found = await self._page(requester, matches, wanted, place.offset, views)
        if len(found.results) < wanted.limit and found.upto == matches.end < min(matches.total, end):
            same = replace(place, upto=matches.head if place.upto is None else place.upto)
            matches = await self._matches(requester.user_id, rooms, wanted, same, place.offset, MAXIMUM_EXAMINED)
            found = await self._page(requester, matches, wanted, place.offset, views)
        return matches, found

    async def _matches(
        self, user_id: str, rooms: list[str] | None, wanted: Wanted, place: Place, first: int, told: int
    ) -> Matches:
        senders = wanted.filter.senders.wanted
        within = [value for key, value in place.groups if key != ROOM]
        if within:
            senders = frozenset(within) if senders is None else senders.intersection(within)
        if rooms == [] or (senders is not None and (not senders or len(within) > 1)):
            return Matches([], first, told)
        rows = await search.matches(
            self._db,
            positive(wanted.term),
            scope=scope(rooms, senders, wanted.filter.senders.unwanted),
            user_id=user_id,
            room_ids=rooms,
            unwanted_rooms=[] if rooms is not None else sorted(wanted.filter.rooms.unwanted),
            keys=[KEYS.index(key) for key in wanted.keys],
            upto=place.upto,
            limit=MAXIMUM_RANKED if wanted.by_rank else MAXIMUM_CANDIDATES,
            by_rank=wanted.by_rank,
            first=first,
            told=told,
        )
        return Matches(rows, first, told)

    async def _page(
        self, requester: Requester, matches: Matches, wanted: Wanted, offset: int, views: dict[str, RoomView]
    ) -> _Found:
        found = _Found(views, upto=min(offset, matches.total))
        last = min(matches.end, offset + MAXIMUM_EXAMINED)
        while found.upto < last and len(found.results) < wanted.limit:
            missing = wanted.limit - len(found.results)
            together = missing if found.upto == offset else max(missing, LEAST_LOOKED_AT)
            begin = found.upto - matches.first
            some = matches.page[begin : min(begin + together, last - matches.first)]
            seen = await self._seen(requester, some, found.views)
            for match in some:
                if len(found.results) == wanted.limit:
                    break
                found.upto += 1
                event = seen.get(match.event_id)
                if event is not None and _passes(wanted.filter, event):
                    found.results.append((match, event))
        return found

    async def _seen(
        self, requester: Requester, matches: Sequence[Match], views: dict[str, RoomView]
    ) -> dict[str, StoredEvent]:
        """Those of the events that the reader is shown, by id."""
        unknown = list(dict.fromkeys(match.room_id for match in matches if match.room_id not in views))
        if unknown:
            views |= await self._readable(requester, unknown)
        readable = [match.event_id for match in matches if match.room_id in views]
        stored = await self._events.stored_of_rooms(views, readable)
        return {
            event_id: event
            for event_id, event in stored.items()
            if event.redacted_by is None and not event.is_withheld and views[event.room_id].shows(event)
        }

    async def _counted(self, requester: Requester, matches: Matches, offset: int, found: _Found) -> int:
        """How many of the matches that are not on the page the reader could be shown, as far as it can be told."""
        others, views = matches.others(offset, found.upto), found.views
        unknown = list(dict.fromkeys(match.room_id for match in others.doubtful if match.room_id not in views))
        if not views and others.room_id is not None:  # any view tells whom the reader ignores
            unknown.append(others.room_id)
        if unknown:
            views |= await self._readable(requester, unknown[:MAXIMUM_COUNTED_ROOMS])
        ignored = next((view.ignored for view in views.values()), frozenset[str]())
        plain = sum(count for sender, count in others.plain.items() if sender not in ignored)
        looked_at = [match for match in others.doubtful if match.room_id in views][:MAXIMUM_EXAMINED]
        return plain + (len(await self._seen(requester, looked_at, views)) if looked_at else 0)

    # --- how it is told ---

    async def _ranked(self, term: str, events: Iterable[StoredEvent]) -> tuple[dict[str, float], list[str]]:
        """How well the events match, by id, and the words in them that do."""
        searched = {event.event_id: searched_text(event.type, event.state_key, event.content) for event in events}
        texts = {event_id: text.text for event_id, text in searched.items() if text is not None}
        rows = await search.ranked(self._db, positive(term), texts) if texts else []
        parts = (part for _, _, marked in rows for part in marked.split(search.BEGIN_MARK)[1:])
        words = {part.partition(search.END_MARK)[0].casefold() for part in parts}
        return {event_id: rank for event_id, rank, _ in rows}, sorted(words)

    async def _results(
        self, events: Sequence[StoredEvent], ranks: Mapping[str, float], views: Mapping[str, RoomView], wanted: Wanted
    ) -> list[dict[str, Any]]:
        found = [(views[event.room_id], event) for event in events]
        contexts = await self._neighbours.of(found, wanted.context) if wanted.context is not None else []
        shown = [contexts[number].shown if contexts else [] for number in range(len(found))]
        encoded = await self._events.encoded_of_rooms(
            [(view, [event, *more]) for (view, event), more in zip(found, shown, strict=True)]
        )
        results: list[dict[str, Any]] = []
        for number, event in enumerate(events):
            first, *others = encoded[number]
            result = {"rank": ranks.get(event.event_id, 0.0), "result": orjson.Fragment(first)}
            results.append({**result, "context": contexts[number].told(others)} if contexts else result)
        return results

    async def _state(self, found: _Found) -> dict[str, Any]:
        told: dict[str, Any] = {}
        for room_id in dict.fromkeys(event.room_id for _, event in found.results):
            view = found.views[room_id]
            if view.state_pos is not None:
                senders = {event.sender for _, event in found.results if event.room_id == room_id}
                rows = await self._state_of(room_id, view.state_pos, {*senders, view.reader.user_id})
                told[room_id] = array(self._events.state(view.version, rows))
        return told

    async def _state_of(self, room_id: str, at: int, members: Iterable[str]) -> list[Row]:
        """The whole state; of a large room's members only those who matter, or a page would be tens of MiB."""
        rows = await room_state.first_entries(self._db, room_id, at, MAXIMUM_STATE + 1)
        if len(rows) <= MAXIMUM_STATE:
            return rows
        keys = [("m.room.member", user_id) for user_id in members]
        return [
            *await room_state.without_members(self._db, room_id, at),
            *await room_state.entries(self._db, room_id, keys, at),
        ]


def _groups(key: str, matches: Sequence[Match], found: _Found, place: Place) -> dict[str, Any]:
    """The results by room or sender, and where each group goes on; `matches` are all."""
    values = [match.room_id if key == ROOM else match.sender for match in matches]
    looked_at = Counter(values[: found.upto])
    left = set(values[found.upto :])
    groups: dict[str, dict[str, Any]] = {}
    for match, event in found.results:
        group = groups.setdefault(values[match.place], {"order": len(groups) + 1, "results": []})
        group["results"].append(event.event_id)
    for value in groups.keys() & left:
        groups[value]["next_batch"] = str(place.within(key, value, looked_at[value]))
    return groups


def _passes(filter: RoomEventFilter, event: StoredEvent) -> bool:
    return filter.allows_event(event.type, event.sender, event.content if filter.contains_url is not None else {})
