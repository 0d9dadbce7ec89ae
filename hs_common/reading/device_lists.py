"""Whose device lists a client has to fetch anew, and whose it needs no more: the same for /sync and /keys/changes.

Rules: all rooms count, encrypted or not, as clients decide for themselves whom they track. Somebody who comes to share
a room is `changed` also if there was another shared room before, as the specification allows.

Spec: client-server-api/#tracking-the-device-list-for-a-user, #e2e-extensions-to-sync.
"""

from dataclasses import dataclass

from hs_common.storage import device_lists
from hs_common.storage.queries import Queries


@dataclass(frozen=True, slots=True)
class DeviceLists:
    """User ids, each list in order. `came`: those of the changed who came to share a room."""

    changed: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    came: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.changed or self.left)


async def device_lists_between(db: Queries, reader_id: str, since: int, upto: int) -> DeviceLists:
    """What changed for the reader after `since`, up to `upto`."""
    if upto <= since:
        return DeviceLists()
    changed = set(await device_lists.changed_users(db, reader_id, since, upto))
    spans = await device_lists.joined_spans(db, reader_id, since, upto)
    entered = [room_id for room_id, begin, end in spans if begin > since and end > upto]
    left_rooms = [room_id for room_id, begin, end in spans if begin <= since and end <= upto]
    stayed = [room_id for room_id, begin, end in spans if begin <= since and end > upto]
    came: set[str] = await device_lists.members(db, entered, upto) if entered else set()
    went: set[str] = await device_lists.members(db, left_rooms, since) if left_rooms else set()
    if stayed:
        joined, parted = await device_lists.came_and_went(db, stayed, since, upto)
        came |= joined
        went |= parted
    changed |= came - {reader_id}
    went -= changed | {reader_id}
    if went:
        went -= await device_lists.sharing(db, reader_id, sorted(went), upto)
    return DeviceLists(tuple(sorted(changed)), tuple(sorted(went)), frozenset(came - {reader_id}))
