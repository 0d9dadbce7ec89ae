"""What is missing from a room's timeline, of events that others cite.

Rejected and soft failed events stand in no timeline, as nobody is shown them: what is missing before one of them is
missing before whoever builds on it. It was noted with the event when that came (`event_state.absent`), so a long row of
them costs no more than one.
"""

from collections.abc import Iterable
from typing import Final

import orjson

from hs_common.matrix.event import Event
from hs_common.matrix.room_versions import RoomVersion
from hs_common.storage import room_forks
from hs_common.storage.queries import Queries

ROUNDS: Final = 10
"""In which what was noted has come meanwhile, kept aside itself; of events from before it was noted, so many in a row
are read one by one."""
BESIDE_EACH_OTHER: Final = 50
"""Kept aside, of which one round looks behind: mostly one."""


async def missing_from_timeline(db: Queries, version: RoomVersion, event_ids: Iterable[str]) -> dict[str, None]:
    """Those of the events that are in no timeline; instead of one that is kept aside, what is missing before it. What
    is here without state has no place in the timeline either. In an order that is always the same."""
    missing: dict[str, None] = {}
    seen: set[str] = set()
    wanted = set(event_ids)
    for _ in range(ROUNDS):
        wanted -= seen
        if not wanted:
            break
        seen |= wanted
        here = {row[0]: row[1:] for row in await room_forks.citing(db, sorted(wanted))}
        stateless = {one for one, (status, *_) in here.items() if status == room_forks.WITHOUT_STATE}
        missing.update((one, None) for one in sorted((wanted - here.keys()) | stateless))
        aside = [one for one in sorted(here) if here[one][0] in room_forks.ASIDE][:BESIDE_EACH_OTHER]
        wanted = {behind for one in aside for behind in _behind(version, one, *here[one][1:])}
    return missing


def _behind(version: RoomVersion, event_id: str, json: str, absent: str | None) -> Iterable[str]:
    if absent is not None:
        return absent.split()
    return Event.from_pdu(orjson.loads(json), version, event_id).prev_event_ids
