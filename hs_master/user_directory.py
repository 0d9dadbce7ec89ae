"""Who is found by name: a row for each user, written where a profile or a member event changes it.

Guests and users whose accounts ended are not found. Whom somebody may find is decided when he looks.
"""

from collections.abc import Mapping
from typing import Any, Final

import orjson

from hs_common.matrix.limits import MAX_ID_BYTES
from hs_common.matrix.name_words import words_of
from hs_master import found_tables
from hs_master.step import Step

# Of a display name that is kept: more is nobody's name.
MAXIMUM_NAME: Final = 256


def list_user(step: Step, user_id: str, display_name: Any, avatar_url: Any) -> None:
    """Note how a user is called now; what is no string counts as none."""
    name = display_name[:MAXIMUM_NAME] if isinstance(display_name, str) and display_name else None
    is_avatar = isinstance(avatar_url, str) and 0 < len(avatar_url) <= MAX_ID_BYTES
    words = " ".join(words_of(user_id, name))
    step.upsert(found_tables.LISTED_USER, (user_id,), user_id, name, avatar_url if is_avatar else None, words)


def list_local(step: Step, user_id: str, profile: Mapping[str, str | bytes]) -> None:
    """The same of a profile, by field, as JSON."""
    fields = {field: orjson.loads(profile[field]) for field in ("displayname", "avatar_url") if field in profile}
    list_user(step, user_id, fields.get("displayname"), fields.get("avatar_url"))


def unlist(step: Step, user_id: str) -> None:
    """The user's account ended."""
    step.row(found_tables.UNLISTED_USER, user_id)
