"""Whether users may be invited: they exist, and do not block invites.

Spec: client-server API, #invite-permission.
"""

from collections.abc import Sequence

import orjson

from hs_common.appservices.service_queries import ServiceQueries
from hs_common.matrix.errors import MatrixError, not_found
from hs_common.matrix.identifiers import domain_of, parse_user_id
from hs_common.storage import room_members
from hs_common.storage.queries import Queries
from hs_common.storage.users import Account, accounts


class Invitees:
    """Looks at the accounts of users who are to be invited."""

    def __init__(self, db: Queries, server_name: str, queries: ServiceQueries | None = None) -> None:
        """`queries` asks application services for users that do not exist yet."""
        self._db = db
        self._queries = queries
        self._server_name = server_name

    async def check(self, user_ids: Sequence[str]) -> None:
        """400 `M_INVALID_PARAM` for what is no user id, 404 `M_NOT_FOUND` for users of this server that do not exist,
        403 `M_INVITE_BLOCKED` for those who want no invites. Of other users their servers are asked when they are
        invited."""
        for user_id in user_ids:
            parse_user_id(user_id)
        ours = [user_id for user_id in user_ids if domain_of(user_id) == self._server_name]
        known = await self._accounts(ours)
        for user_id in ours:
            if user_id not in known or known[user_id].deactivated:
                raise not_found(f"There is no user {user_id}")
        for user_id in await blocking_invites(self._db, ours):
            raise MatrixError(403, "M_INVITE_BLOCKED", f"{user_id} does not want to be invited")

    async def _accounts(self, user_ids: Sequence[str]) -> dict[str, Account]:
        """Those that exist, once application services have made those of theirs that are asked for."""
        known = await accounts(self._db, user_ids)
        missing = [user_id for user_id in user_ids if user_id not in known]
        if self._queries is None or not missing:
            return known
        made = [user_id for user_id in missing if await self._queries.user_was_made(user_id)]
        return {**known, **await accounts(self._db, made)} if made else known


async def blocking_invites(db: Queries, user_ids: Sequence[str]) -> list[str]:
    """Those of the users of this server who want no invites."""
    configured = await room_members.blocking_invites(db, user_ids)
    return [user_id for user_id, content in configured if orjson.loads(content).get("default_action") == "block"]
