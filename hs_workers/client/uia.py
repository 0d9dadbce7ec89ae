"""User-interactive authentication: an operation runs only after the client has gone through one of its flows.

Rules: a session is bound to one operation (method, path, parameters), one body and one user, and runs it once. It ends
with the operation's success or by age. A failed stage keeps it; so does an operation that fails for another reason,
so that the client can try again. Stages come in the order of their flow.

Knows stages by name only, and nothing of what it guards.

Spec: client-server API, #user-interactive-authentication-api.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any, Final

import orjson

from hs_common.http.reply import Reply, Response
from hs_common.http.request import Requester
from hs_common.matrix.errors import bad_json
from hs_common.storage import uia_sessions
from hs_common.storage.queries import Queries
from hs_common.storage.uia_sessions import StoredSession
from hs_workers.client.uia_stages import OAUTH, Stage, StageFailed

Flows = tuple[tuple[str, ...], ...]

SESSION_ID_BYTES: Final = 18
SESSION_ID_LIMIT: Final = 255
"""Ours have 36 characters; nothing longer is looked up."""
CLEANING_INTERVAL_MS: Final = 10 * 60 * 1000
"""Expired sessions are unusable at once; their rows may lie a while."""


@dataclass(frozen=True, slots=True)
class Guarded:
    """What a client wants to have done. `name` is the method and path with its parameters, without version.

    `user_id` is whom the access token belongs to, if there is one; `by_oauth`: it is one of the authentication service.
    Without `flows` it takes what shows that the account is the user's own. `body_may_be_omitted`: a follow-up may
    consist of `auth` alone, as the operation remembers the first body itself.
    """

    name: str
    body: dict[str, Any]
    user_id: str | None
    flows: Flows = ()
    body_may_be_omitted: bool = False
    by_oauth: bool = False

    @classmethod
    def of(cls, requester: Requester | None, name: str, body: dict[str, Any]) -> "Guarded":
        """What this requester wants, if it takes what shows that the account is his own."""
        if requester is None:
            return cls(name, body, None)
        return cls(name, body, requester.user_id, by_oauth=requester.by_oauth)

    @property
    def body_hash(self) -> bytes:
        """Of the body without `auth`."""
        rest = {key: value for key, value in self.body.items() if key != "auth"}
        return sha256(orjson.dumps(rest, option=orjson.OPT_SORT_KEYS)).digest()

    def is_for(self, session: StoredSession) -> bool:
        """Whether the session was begun for this very operation."""
        same_body = session.body_hash == self.body_hash or (self.body_may_be_omitted and self.body.keys() <= {"auth"})
        return same_body and (session.operation, session.user_id) == (self.name, self.user_id)


@dataclass(frozen=True, slots=True)
class Proof:
    """A completed flow. `user_id` is who was authenticated (None if no stage and no token said so)."""

    user_id: str | None
    details: Mapping[str, Any]


OwnershipFlows = Callable[[Guarded], Awaitable[Flows]]
"""Raises MatrixError for what cannot be done here."""
Remember = Callable[[], Awaitable[dict[str, Any]]]
Perform = Callable[[Proof], Awaitable[Reply]]


async def nothing_to_remember() -> dict[str, Any]:
    """What most operations remember of their first request: each follow-up brings the whole body again."""
    return {}


class UserInteractiveAuthentication:
    """Runs guarded operations. `ownership` has the flows by which a user shows that an account is his. `random(n)`
    gives n unpredictable bytes; `now_ms` is the time of day."""

    def __init__(
        self,
        db: Queries,
        stages: Mapping[str, Stage],
        ownership: OwnershipFlows,
        lifetime_ms: int,
        now_ms: Callable[[], int],
        random: Callable[[int], bytes],
    ) -> None:
        self._db = db
        self._stages = stages
        self.ownership = ownership
        self._lifetime_ms = lifetime_ms
        self._now_ms = now_ms
        self._random = random
        self._cleaned_ms = 0

    async def run(self, guarded: Guarded, perform: Perform, remember: Remember = nothing_to_remember) -> Reply:
        """What `perform` answers once a flow is complete; until then 401 with what is left to do.

        `remember` is asked for details to keep when a session begins.
        """
        if not guarded.flows:
            guarded = replace(guarded, flows=await self.ownership(guarded))
        auth = guarded.body.get("auth")
        if auth is None:
            return self._challenge(guarded, await self._begin(guarded, remember))
        session_id = _session_id(auth)
        if session_id is None:
            session: StoredSession | None = await self._begin(guarded, remember)
        else:
            session = await self.session(session_id)
        if session is None or not guarded.is_for(session):
            failure = StageFailed("M_FORBIDDEN", "The session is unknown, has expired, or belongs to another request")
            return self._challenge(guarded, await self._begin(guarded, remember), failure)
        try:
            session = await self.attempt(guarded.flows, session, auth)
        except StageFailed as failure:
            return self._challenge(guarded, session, failure)
        if session.completed not in guarded.flows:
            return self._challenge(guarded, session)
        return await self._perform(guarded, session, perform)

    async def _begin(self, guarded: Guarded, remember: Remember) -> StoredSession:
        await self._clean()
        session = StoredSession(
            session_id=self._random(SESSION_ID_BYTES).hex(),
            operation=guarded.name,
            body_hash=guarded.body_hash,
            user_id=guarded.user_id,
            completed=(),
            details=await remember(),
            flows=guarded.flows,
        )
        await uia_sessions.add_session(self._db, session, self._now_ms())
        return session

    async def session(self, session_id: str) -> StoredSession | None:
        """A session that is not too old and not in use; for the pages of stages too."""
        return await uia_sessions.session(self._db, session_id, self._now_ms() - self._lifetime_ms)

    async def attempt(self, flows: Flows, session: StoredSession, auth: dict[str, Any]) -> StoredSession:
        """The session after the stage that `auth` is for. One that is complete already stays so, whatever is sent.

        Raises StageFailed, and MatrixError for what is not even an attempt.
        """
        name = auth.get("type")
        if name is None and any(flow[len(session.completed) :][:1] == (OAUTH,) for flow in flows):
            name = OAUTH  # (spec) which is attempted with nothing but the session
        if name is None or name in session.completed:
            return session
        if not isinstance(name, str):
            raise bad_json("`auth.type` must be a string")
        _check_continues(flows, session, name)
        details = await self._stages[name].attempt(auth, session.user_id)
        return await self.complete(flows, session, name, details)

    async def complete(self, flows: Flows, session: StoredSession, name: str, details: dict[str, Any]) -> StoredSession:
        """The session after a stage that was gone through. Raises StageFailed if no flow goes on with it."""
        _check_continues(flows, session, name)
        if not await uia_sessions.complete_stage(self._db, session.session_id, name, details):
            # Another request with the same session was faster; it counts.
            await self._stages[name].abandoned(details)
        return replace(session, completed=(*session.completed, name), details={**session.details, **details})

    async def _perform(self, guarded: Guarded, session: StoredSession, perform: Perform) -> Reply:
        if not await uia_sessions.claim_session(self._db, session.session_id):
            failure = StageFailed("M_FORBIDDEN", "The session is used up")
            return self._challenge(guarded, session, failure)
        try:
            reply = await perform(Proof(session.user_id or session.details.get("user_id"), session.details))
        except BaseException:
            await uia_sessions.unclaim_session(self._db, session.session_id)
            raise
        for name in session.completed:
            await self._stages[name].succeeded(session.details)
        await uia_sessions.delete_session(self._db, session.session_id)
        return reply

    def _challenge(self, guarded: Guarded, session: StoredSession, failure: StageFailed | None = None) -> Response:
        """401 with the flows, what is completed of them, and why the last attempt failed."""
        names = {name for flow in guarded.flows for name in flow}
        params = {name: self._stages[name].params() for name in sorted(names)}
        body: dict[str, Any] = {
            "session": session.session_id,
            "flows": [{"stages": list(flow)} for flow in guarded.flows],
            "params": {name: value for name, value in params.items() if value is not None},
        }
        if session.completed:
            body["completed"] = list(session.completed)
        if failure is not None:
            body |= {"errcode": failure.errcode, "error": failure.error}
        return Response(401, body)

    async def _clean(self) -> None:
        now_ms = self._now_ms()
        if now_ms - self._cleaned_ms < CLEANING_INTERVAL_MS:
            return
        self._cleaned_ms = now_ms
        for details in await uia_sessions.delete_old_sessions(self._db, now_ms - self._lifetime_ms):
            for stage in self._stages.values():
                await stage.abandoned(details)


def _check_continues(flows: Flows, session: StoredSession, name: str) -> None:
    so_far = (*session.completed, name)
    if not any(flow[: len(so_far)] == so_far for flow in flows):
        raise StageFailed("M_FORBIDDEN", "No flow goes on with this stage")


def _session_id(auth: object) -> str | None:
    if not isinstance(auth, dict):
        raise bad_json("`auth` must be an object")
    session_id = auth.get("session")
    if session_id is None:
        return None
    if not isinstance(session_id, str) or len(session_id) > SESSION_ID_LIMIT or "\0" in session_id:
        raise bad_json("`auth.session` must be a session id")
    return session_id
