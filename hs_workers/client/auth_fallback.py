"""The pages on which people go through a stage of user-interactive authentication that their client does not know.

Rules: a page knows the session by its id, and attempts its stage as the client's own request would, in the order of the
flows that the client was told. What a stage needs is asked by its page alone (`STAGE_PAGES`).

Spec: client-server API, #fallback.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from hs_common.http.endpoint import Auth, Rate, endpoint, r0, unstable
from hs_common.http.reply import Reply, Response
from hs_common.http.request import Request
from hs_common.matrix.errors import MatrixError
from hs_common.storage.uia_sessions import StoredSession
from hs_workers.client.pages.pages import Pages, form
from hs_workers.client.uia import SESSION_ID_LIMIT, UserInteractiveAuthentication
from hs_workers.client.uia_stages import StageFailed

PATH: Final = "/_matrix/client/v3/auth/{authType}/fallback/web"
_UNKNOWN: Final = "This page belongs to a sign-in that has ended. Go back to where you came from and begin again."

Fields = Mapping[str, str]
Show = Callable[[StoredSession, Fields, str], Response]
"""The page of a stage for a session, with what was typed before and what was wrong with it."""
Submit = Callable[[StoredSession, Fields], Awaitable[dict[str, Any] | Response]]
"""What the form says: the `auth` object to attempt the stage with, or another page."""


class StagePage:
    """How a stage is shown, and how its form is read."""

    def __init__(self, show: Show, submit: Submit) -> None:
        self.show = show
        self.submit = submit


class AuthFallback:
    """`stage_pages` are those that this server can show, by stage."""

    def __init__(self, pages: Pages, uia: UserInteractiveAuthentication, stage_pages: Mapping[str, StagePage]) -> None:
        self._pages = pages
        self._uia = uia
        self._stage_pages = stage_pages

    @endpoint(
        "GET",
        PATH,
        auth=Auth.NONE,
        rate=Rate.LOGIN,
        reads=False,
        aliases=(r0, unstable()),
        spec="client-server-api/#fallback",
    )
    async def show(self, request: Request) -> Reply:
        """The page of a stage."""
        name = request.path["authType"]
        session = await self._session(request.query.string("session", ""))
        page = self._stage_pages.get(name)
        if session is None:
            return self._pages.problem(_UNKNOWN)
        if page is None or not any(name in flow for flow in session.flows):
            return self._pages.problem("This sign-in has no such step.", 404)
        return self._done() if name in session.completed else page.show(session, {}, "")

    @endpoint(
        "POST",
        PATH,
        auth=Auth.NONE,
        rate=Rate.LOGIN,
        aliases=(r0, unstable()),
        spec="client-server-api/#fallback",
    )
    async def submit(self, request: Request) -> Reply:
        """Takes the form. The session is named in the path's query, as the page itself was."""
        name, fields = request.path["authType"], form(request)
        session = await self._session(request.query.string("session", "") or fields.get("session", ""))
        page = self._stage_pages.get(name)
        if session is None or page is None:
            return self._pages.problem(_UNKNOWN)
        try:
            auth = await page.submit(session, fields)
            if isinstance(auth, Response):
                return auth
            await self._uia.attempt(session.flows, session, {"type": name, **auth})
        except (StageFailed, MatrixError) as error:
            return page.show(session, fields, error.error)
        return self._done()

    def _done(self) -> Response:
        return self._pages.page("auth_done")

    async def _session(self, session_id: str) -> StoredSession | None:
        if not session_id or len(session_id) > SESSION_ID_LIMIT or "\0" in session_id:
            return None
        return await self._uia.session(session_id)
