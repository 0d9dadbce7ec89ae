"""Which accounts are locked or suspended, as the one who decides knows it.

A worker lets requests through by what it has heard, which may be a moment old, or older where the log does not reach
it. Whatever such a request would change ends here: once a lock is answered, nothing of that user's is decided any more.

Rules: judged is who calls, not whom a call is about, so that administrators and jobs are not held up. What a suspended
user may still do stands in the endpoints' declarations; refused here is what none of them allows.

Spec: client-server API, #account-locking, #account-suspension.
"""

from typing import Final

from hs_common.matrix.errors import MatrixError
from hs_common.replication import calls
from hs_common.replication.calls import Call, Intent
from hs_common.replication.delayed_calls import ScheduleEvent
from hs_common.storage import master_reads
from hs_common.storage.queries import Queries

# Logging out is all that a locked user can do.
_OF_THE_LOCKED: Final = (calls.CloseSessions,)
_NOT_OF_THE_SUSPENDED: Final = (
    *(calls.CreateRoom, calls.UpgradeRoom, calls.SetAlias, calls.DeleteAlias, calls.SetDirectory),
    *(calls.SetProfile, calls.SetTyping, ScheduleEvent),
)


class Standing:
    """Of one term of leadership: read when first asked, kept up by the calls that are done."""

    def __init__(self, db: Queries) -> None:
        self._db = db
        self._locked: set[str] = set()
        self._suspended: set[str] = set()
        self._changed: list[calls.SetUserState] = []
        self._is_known = False

    async def check(self, call: Call, user_id: str) -> None:
        """Raises 401 `M_USER_LOCKED` or 403 `M_USER_SUSPENDED` if this user cannot make this call."""
        if not self._is_known:
            await self._read()
        if user_id in self._locked and not isinstance(call, _OF_THE_LOCKED):
            raise MatrixError(401, "M_USER_LOCKED", "This account has been locked", {"soft_logout": True})
        if user_id in self._suspended and _is_refused(call):
            raise MatrixError(403, "M_USER_SUSPENDED", "This account has been suspended and cannot do this")

    def answered(self, call: Call) -> None:
        """A call was done."""
        if isinstance(call, calls.SetUserState):
            if not self._is_known:
                self._changed.append(call)  # the reading that is under way may be older
            self._apply(call)

    async def _read(self) -> None:
        rows = await master_reads.restricted_users(self._db)
        if self._is_known:
            return
        self._is_known = True
        self._locked = {user_id for user_id, locked, _ in rows if locked}
        self._suspended = {user_id for user_id, _, suspended in rows if suspended}
        for call in self._changed:
            self._apply(call)
        self._changed.clear()

    def _apply(self, call: calls.SetUserState) -> None:
        for users, wanted in ((self._locked, call.locked), (self._suspended, call.suspended)):
            if wanted is not None:
                (users.add if wanted else users.discard)(call.user_id)


def _is_refused(call: Call) -> bool:
    if isinstance(call, calls.AppendEvents):
        return not all(map(_is_allowed, call.intents))
    if isinstance(call, calls.ComposeEvent):
        return not _is_allowed(call.intent)
    return isinstance(call, _NOT_OF_THE_SUSPENDED)


def _is_allowed(intent: Intent) -> bool:
    """Redacting, and leaving: which redactions, the endpoint has looked at."""
    leaves = intent.state_key == intent.sender and intent.content.get("membership") == "leave"
    return intent.type == "m.room.redaction" or (intent.type == "m.room.member" and leaves)
