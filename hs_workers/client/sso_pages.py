"""What a browser meets on its way through single sign-on: choosing a provider, coming back from it, choosing a name,
and being asked whether a client may be let in.

Rules: a client that the config does not trust gets a token only when a button is pressed on a page that names it.

Spec: client-server API, #handling-the-callback-from-the-authentication-server.
"""

import re
from collections.abc import Sequence
from typing import Final
from urllib.parse import urlsplit

from hs_common.http.endpoint import Auth, Rate, endpoint
from hs_common.http.reply import Reply, Response
from hs_common.http.request import Request
from hs_common.matrix.errors import MatrixError
from hs_common.storage.sso_sessions import SsoSession
from hs_workers.client.pages.pages import Pages, cookies, form, redirect
from hs_workers.client.sso.signing_on import SESSION_LIFETIME_MS, SigningOn, SignOnFailed, check_redirect_url
from hs_workers.client.uia import UserInteractiveAuthentication
from hs_workers.client.uia_stages import SSO, StageFailed

_BASE: Final = "/_viaduct/client/sso"
CHOOSE_PATH: Final = f"{_BASE}/choose"
CALLBACK_PATH: Final = f"{_BASE}/callback"
NAME_PATH: Final = f"{_BASE}/name"
CONTINUE_PATH: Final = f"{_BASE}/continue"
_COOKIE: Final = "viaduct_sso"
# Browsers leave out dots, also such as are encoded, and take a backslash for a slash.
_LEADS_ELSEWHERE: Final = re.compile(r"[\\\s]|/(?:\.|%2e){1,2}(?:/|$)", re.IGNORECASE)
_ENDED: Final = "This sign-on has ended. Begin again in your app."


class SsoCookie:
    """The cookie by which a browser is known, for these pages alone and not for scripts. It comes along when the
    provider sends the browser back, and not with forms of other sites."""

    def __init__(self, is_secure: bool) -> None:
        self._ending = f"; Path={_BASE}; HttpOnly; SameSite=Lax" + ("; Secure" if is_secure else "")

    def header(self, value: str) -> dict[str, str]:
        """The header that sets it; an empty value takes it away."""
        age_s = SESSION_LIFETIME_MS // 1000 if value else 0
        return {"Set-Cookie": f"{_COOKIE}={value}; Max-Age={age_s}{self._ending}"}

    @staticmethod
    def value(request: Request) -> str:
        """What the browser brings; empty if nothing."""
        return cookies(request).get(_COOKIE, "")


def is_below(url: str, beginnings: Sequence[str]) -> bool:
    """Whether a URL is one of these, or goes on from one: `https://a.org` does not go on to `https://a.org.evil`. Nor
    does any to a path that browsers understand otherwise than it is written."""
    return not _LEADS_ELSEWHERE.search(url.split("?")[0].split("#")[0]) and any(
        url.startswith(beginning) and (beginning.endswith("/") or url[len(beginning) :][:1] in ("", "/", "?", "#"))
        for beginning in beginnings
    )


class SsoPages:
    """`trusted_clients` are beginnings of URLs; those of this server's own pages are trusted."""

    def __init__(
        self,
        signing_on: SigningOn,
        uia: UserInteractiveAuthentication,
        pages: Pages,
        cookie: SsoCookie,
        trusted_clients: Sequence[str],
    ) -> None:
        self._signing_on = signing_on
        self._uia = uia
        self._pages = pages
        self._cookie = cookie
        self._trusted_clients = trusted_clients

    @endpoint("GET", CHOOSE_PATH, auth=Auth.NONE, rate=Rate.LOGIN, reads=False, spec="viaduct: pages of sign-on")
    async def choose(self, request: Request) -> Reply:
        """A link for each provider."""
        redirect_url, action = request.query.string("redirectUrl"), request.query.string("action", "login")
        check_redirect_url(redirect_url)
        providers = [client.settings for client in self._signing_on.providers.values()]
        values = {"providers": providers, "redirect_url": redirect_url, "action": action}
        return self._pages.page("sso_choose", values)

    @endpoint("GET", CALLBACK_PATH, auth=Auth.NONE, rate=Rate.LOGIN, spec="viaduct: pages of sign-on")
    async def callback(self, request: Request) -> Reply:
        """The browser comes back from the provider."""
        query = request.query
        if "error" in query:
            said = query.string("error_description", "") or query.string("error")
            return self._pages.problem(f"The identity provider did not let you in: {said}")
        try:
            session = await self._signing_on.answered(
                self._cookie.value(request), query.string("state", ""), query.string("code", "")
            )
            if session.uia_session_id is not None:
                return await self._authenticated(session)
            return await self._onward(session)
        except SignOnFailed as error:
            return self._pages.problem(str(error))
        except MatrixError as error:
            return self._pages.problem(error.error, 403)

    @endpoint("GET", NAME_PATH, auth=Auth.NONE, rate=Rate.LOGIN, spec="viaduct: pages of sign-on")
    async def ask_name(self, request: Request) -> Reply:
        """The page on which a new user chooses his name."""
        session = await self._signing_on.session(self._cookie.value(request))
        if session is None or session.user_id is not None:
            return self._pages.problem(_ENDED)
        return self._name_page(session, session.details or {}, "")

    @endpoint("POST", NAME_PATH, auth=Auth.NONE, rate=Rate.REGISTRATION, spec="viaduct: pages of sign-on")
    async def take_name(self, request: Request) -> Reply:
        """Makes the account."""
        fields = form(request)
        session = await self._signing_on.session(self._cookie.value(request))
        if session is None or session.user_id is not None:
            return self._pages.problem(_ENDED)
        try:
            localpart = fields.get("localpart", "").strip()
            session = await self._signing_on.register(session, localpart, fields.get("display_name", "").strip())
            return await self._onward(session)
        except MatrixError as error:
            return self._name_page(session, fields, error.error)
        except SignOnFailed as error:
            return self._pages.problem(str(error))

    @endpoint("GET", CONTINUE_PATH, auth=Auth.NONE, rate=Rate.LOGIN, spec="viaduct: pages of sign-on")
    async def ask_to_continue(self, request: Request) -> Reply:
        """The page that names the client that wants in."""
        session = await self._signing_on.session(self._cookie.value(request))
        if session is None or session.user_id is None or session.redirect_url is None:
            return self._pages.problem(_ENDED)
        parts = urlsplit(session.redirect_url)
        client = parts.hostname if parts.scheme in ("http", "https") else f"{parts.scheme}:"
        return self._pages.page("sso_continue", {"problem": "", "client": client, "user_id": session.user_id})

    @endpoint("POST", CONTINUE_PATH, auth=Auth.NONE, rate=Rate.LOGIN, spec="viaduct: pages of sign-on")
    async def let_in(self, request: Request) -> Reply:
        """The button was pressed."""
        session = await self._signing_on.session(self._cookie.value(request))
        if session is None or session.user_id is None or session.redirect_url is None:
            return self._pages.problem(_ENDED)
        return await self._to_client(session)

    async def _onward(self, session: SsoSession) -> Response:
        if session.user_id is None:
            return redirect(NAME_PATH)
        if session.redirect_url is not None and is_below(session.redirect_url, self._trusted_clients):
            return await self._to_client(session)
        return redirect(CONTINUE_PATH)

    async def _to_client(self, session: SsoSession) -> Response:
        try:
            return redirect(await self._signing_on.login_url(session), self._cookie.header(""))
        except SignOnFailed as error:
            return self._pages.problem(str(error))

    async def _authenticated(self, session: SsoSession) -> Response:
        """The person has shown who he is; the authentication of his client goes on if it is he who began it."""
        await self._signing_on.end(session)
        assert session.uia_session_id is not None, "the session is for an authentication"
        waiting = await self._uia.session(session.uia_session_id)
        if waiting is None:
            raise SignOnFailed(_ENDED)
        if waiting.user_id not in (None, session.user_id):
            raise SignOnFailed("You signed on as somebody else than whose account your app uses.")
        try:
            await self._uia.complete(waiting.flows, waiting, SSO, {"user_id": session.user_id})
        except StageFailed as error:
            raise SignOnFailed(error.error) from error
        return self._pages.page("auth_done", headers=self._cookie.header(""))

    def _name_page(self, session: SsoSession, fields: "dict[str, str]", problem: str) -> Response:
        values = {name: fields.get(name, "") for name in ("localpart", "display_name")}
        provider = self._signing_on.providers[session.provider_id].settings.name
        return self._pages.page("sso_name", {"problem": problem, "provider": provider, **values})
