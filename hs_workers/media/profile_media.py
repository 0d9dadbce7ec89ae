"""The pictures that users and rooms show of themselves: what is kept although nobody asked for it lately, since clients
keep them for a year."""

import orjson

from hs_common.storage import media_administration
from hs_common.storage.queries import Queries
from hs_workers.media.administration.mentioned import key_of, media_of_event


async def profile_media(db: Queries, server_name: str) -> set[str]:
    """The ids of those that were uploaded here."""
    keys = [key_of(orjson.loads(value)) for value in await media_administration.profile_pictures(db)]
    for json in await media_administration.room_pictures(db):
        keys += media_of_event(json)
    return {key[1] for key in keys if key is not None and key[0] == server_name}
