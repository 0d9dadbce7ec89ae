"""Deciding on administrators who act as users: a token without a device.

Rules: whether he is an administrator is asked for here too, at the position from which the token is good. Tokens whose
time is over are dropped when the next one of their user is made.
"""

from typing import Final

from hs_common.matrix.errors import MatrixError, forbidden, not_found
from hs_common.replication.calls import Answer
from hs_common.replication.items import SessionsItem
from hs_common.replication.sign_on_calls import LogInAs
from hs_common.storage import master_reads
from hs_common.storage.queries import Queries, Row
from hs_master import tables
from hs_master.decisions.sessions import DEACTIVATED, LOCKED, SUSPENDED, end_token, user_queue
from hs_master.step import Step

TOKENS_LIMIT: Final = 200
"""Of one user: a bridge or tool keeps its token, and whoever makes one each day should let it end."""
_ADMIN: Final = 3  # index into `master_reads.user` rows


class LogInAsDecider:
    def queue(self, call: LogInAs) -> str:
        return user_queue(call.user_id)

    async def load(self, call: LogInAs, db: Queries) -> tuple[Row | None, Row | None, list[Row]]:
        return (
            await master_reads.user(db, call.admin_id),
            await master_reads.user(db, call.user_id),
            await master_reads.tokens_as(db, call.user_id),
        )

    def decide(self, call: LogInAs, step: Step, loaded: tuple[Row | None, Row | None, list[Row]]) -> Answer:
        admin, user, tokens = loaded
        if admin is None or not admin[_ADMIN] or admin[LOCKED] or admin[SUSPENDED] or admin[DEACTIVATED]:
            raise forbidden("Only an administrator's own account can act as others")
        if user is None:
            raise not_found("There is no such user")
        if user[DEACTIVATED]:
            raise MatrixError(403, "M_USER_DEACTIVATED", "The account is deactivated")
        over = [bytes(token) for token, expires_at_ms in tokens if expires_at_ms and expires_at_ms <= step.now_ms]
        if len(tokens) - len(over) >= TOKENS_LIMIT:
            raise forbidden(f"There are {TOKENS_LIMIT} tokens for this user already: log some of them out")
        for token_hash in over:
            end_token(step, call.user_id, token_hash)
        row = (call.token_hash, call.user_id, None, call.expires_at_ms, None, step.next_pos(), call.admin_id)
        step.row(tables.ACCESS_TOKEN, *row)
        # The barrier needs a position after which the token is known everywhere.
        return Answer(pos=step.item(SessionsItem(call.user_id, [])))
