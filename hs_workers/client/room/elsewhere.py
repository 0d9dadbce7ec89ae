"""What other servers tell of rooms that this one is not in: the place where federation is asked, by whoever can.

Spec: server-server API, #get_matrixfederationv1hierarchyroomid.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from hs_common.matrix.join_rules import is_knockable
from hs_common.matrix.room_versions import ROOM_VERSIONS
from hs_common.reading.room_summaries import Standing
from hs_common.storage import room_members
from hs_common.storage.queries import Queries


@dataclass(frozen=True, slots=True)
class RemoteRoom:
    """A room as another server tells of it: its summary, checked, with `children_state`; those of its children that it
    tells of, by room id; and those into which nobody of this server could get, so that nobody else is asked either."""

    summary: Mapping[str, Any]
    children: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    inaccessible: frozenset[str] = frozenset()


class Elsewhere(Protocol):
    """Asks other servers, and remembers for a while what they say."""

    async def room(self, room_id: str, via: Sequence[str], suggested_only: bool) -> RemoteRoom | None:
        """None if no server tells of the room. Never raises for what another server does."""


class Nowhere:
    """Asks nobody."""

    async def room(self, room_id: str, via: Sequence[str], suggested_only: bool) -> RemoteRoom | None:
        return None


async def may_hear(db: Queries, told: Mapping[str, Any], standing: Standing, user_id: str) -> bool:
    """Whether a user may hear of a room as another server tells of it; '' is somebody without an account."""
    if standing.membership in ("join", "invite") or is_open(told):
        return True
    rooms = told.get("allowed_room_ids")
    named = [room_id for room_id in rooms if isinstance(room_id, str)] if isinstance(rooms, list) else []
    return bool(named) and await room_members.is_joined_to_any(db, user_id, named)


def is_open(told: Mapping[str, Any]) -> bool:
    """Whether everybody may hear of it."""
    join_rule = told.get("join_rule")
    if join_rule == "public" or told.get("world_readable") is True:
        return True
    version = ROOM_VERSIONS.get(str(told.get("room_version", "1")))
    return version is not None and is_knockable(join_rule, version)
