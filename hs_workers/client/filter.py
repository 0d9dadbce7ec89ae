"""Filters that clients define once and name in each /sync.

Spec: client-server API, #filtering.
"""

from base64 import urlsafe_b64encode
from hashlib import sha256
from typing import Final

import orjson

from hs_common.http.endpoint import Auth, endpoint, r0
from hs_common.http.reply import Encoded, Reply
from hs_common.http.request import Request
from hs_common.matrix.errors import invalid_param, not_found, too_large
from hs_common.matrix.filters import parse_filter
from hs_common.storage.filters import add_filter, count_filters, filter_json
from hs_common.storage.queries import Queries
from hs_workers.client.own_user import own_user_id

FILTER_LIMIT_BYTES: Final = 64 * 1024
"""It is parsed for each sync of its clients; lists of rooms make the longest ones."""
FILTERS_LIMIT: Final = 1_000
"""Different filters of one user; clients use a handful each."""
HASH_BYTES: Final = 12


class Filters:
    """The id of a filter is its hash, so clients that define theirs at each start make no new rows."""

    def __init__(self, db: Queries) -> None:
        self._db = db

    @endpoint(
        "POST",
        "/_matrix/client/v3/user/{userId}/filter",
        auth=Auth.USER,
        aliases=(r0,),
        suspended_ok=True,
        spec="client-server-api/#post_matrixclientv3useruseridfilter",
    )
    async def define(self, request: Request) -> Reply:
        """Keeps a filter that is valid."""
        user_id = own_user_id(request, "Cannot create filters for other users")
        definition = request.json()
        parse_filter(definition)
        encoded = orjson.dumps(definition, option=orjson.OPT_SORT_KEYS)
        if len(encoded) > FILTER_LIMIT_BYTES:
            raise too_large(f"A filter has at most {FILTER_LIMIT_BYTES} bytes")
        filter_id = urlsafe_b64encode(sha256(encoded).digest()[:HASH_BYTES]).decode()
        if await filter_json(self._db, user_id, filter_id) is None:
            if await count_filters(self._db, user_id) >= FILTERS_LIMIT:
                raise invalid_param(f"A user has at most {FILTERS_LIMIT} filters")
            await add_filter(self._db, user_id, filter_id, encoded.decode())
        return {"filter_id": filter_id}

    @endpoint(
        "GET",
        "/_matrix/client/v3/user/{userId}/filter/{filterId}",
        auth=Auth.USER,
        reads=False,
        aliases=(r0,),
        spec="client-server-api/#get_matrixclientv3useruseridfilterfilterid",
    )
    async def get(self, request: Request) -> Reply:
        """The filter as it was defined."""
        user_id = own_user_id(request, "Cannot get filters of other users")
        found = await filter_json(self._db, user_id, request.path["filterId"])
        if found is None:
            raise not_found("No such filter")
        return Encoded(found.encode())
