"""What of a user's profile stands in his membership events.

Spec: client-server API, #events-on-change-of-profile-information, #mroommember.
"""

from collections.abc import Sequence
from typing import Any

import orjson

from hs_common.storage import room_members
from hs_common.storage.queries import Queries


async def member_profiles(db: Queries, user_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    """`displayname` and `avatar_url`, where set, of each of the users."""
    found: dict[str, dict[str, Any]] = {user_id: {} for user_id in user_ids}
    for user_id, field, value in await room_members.profiles(db, user_ids):
        found[user_id][field] = orjson.loads(value)
    return found
