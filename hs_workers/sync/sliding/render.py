"""The body of an answer, in the words of the merged endpoint or of the older one. Pure.

Spec: MSC4186, "Response Body", and its changelog for what the older form has instead.
"""

from collections.abc import Mapping
from typing import Any

import orjson

from hs_workers.sync.sliding.load_rooms import RoomResult
from hs_workers.sync.sliding.question import Json


def body(
    pos: str, counts: Mapping[str, int], rooms: Mapping[str, RoomResult], extensions: Json, *, is_unstable: bool
) -> bytes:
    """The encoded answer."""
    told: Json = {
        "pos": pos,
        "lists": {name: {"count": count} for name, count in counts.items()},
        "rooms": {room_id: _room(result, is_unstable) for room_id, result in rooms.items()},
        "extensions": extensions,
    }
    return orjson.dumps(told)


def _room(result: RoomResult, is_unstable: bool) -> Json:
    plan = result.plan
    told: Json = {"bump_stamp": result.bump_stamp}
    if not is_unstable:
        told["membership"] = plan.membership
        if plan.match.lists:
            told["lists"] = plan.match.lists
    if plan.is_dm or (plan.is_dm is not None and not plan.initial):
        told["is_dm"] = plan.is_dm
    if plan.initial or plan.is_asked:
        told["initial"] = True
    if not plan.was_in:
        stripped = orjson.Fragment((plan.row and plan.row.stripped_state) or "[]")
        told["invite_state" if is_unstable else "stripped_state"] = stripped
        if plan.is_asked:
            return told
        if not is_unstable:
            return told
    _add_room(told, result, is_unstable)
    return told


def _add_room(told: Json, result: RoomResult, is_unstable: bool) -> None:
    plan = result.plan
    if result.timeline or result.limited or plan.initial or plan.is_expanded:
        told["timeline"] = result.timeline
        told["limited"] = result.limited
        told["num_live"] = result.num_live
        told["prev_batch"] = result.prev_batch
    if plan.is_expanded and not plan.initial:
        told["unstable_expanded_timeline" if is_unstable else "expanded_timeline"] = True
    state: list[Any] = list(result.required_state)
    if not is_unstable:
        state += [{"type": event_type, "state_key": state_key} for event_type, state_key in result.removed]
    if state or plan.initial:
        told["required_state"] = state
    for key, value in (("name", result.name), ("avatar", result.avatar)):
        if value is not None and (value[0] is not None or not is_unstable):
            told[key] = value[0]
    if result.summary is not None:
        told["joined_count"], told["invited_count"] = result.summary.joined, result.summary.invited
        if result.heroes:
            told["heroes"] = result.heroes
    if is_unstable and result.unread is not None:
        told |= result.unread
