"""Sending browsers to identity providers.

Spec: client-server API, #redirecting-to-the-authentication-server.
"""

from urllib.parse import urlencode

from hs_common.http.endpoint import Auth, Rate, endpoint, r0
from hs_common.http.reply import Reply, Response
from hs_common.http.request import Request
from hs_common.matrix.errors import invalid_param, not_found
from hs_workers.client.pages.pages import Pages, redirect
from hs_workers.client.sso.signing_on import SigningOn, SignOnFailed, check_redirect_url
from hs_workers.client.sso_pages import CHOOSE_PATH, SsoCookie


class SsoLoginRedirect:
    """With several providers, people choose on a page."""

    def __init__(self, signing_on: SigningOn, pages: Pages, cookie: SsoCookie) -> None:
        self._signing_on = signing_on
        self._pages = pages
        self._cookie = cookie

    @endpoint(
        "GET",
        "/_matrix/client/v3/login/sso/redirect",
        auth=Auth.NONE,
        rate=Rate.LOGIN,
        reads=False,
        aliases=(r0,),
        spec="client-server-api/#get_matrixclientv3loginssoredirect",
    )
    async def redirect(self, request: Request) -> Reply:
        """To the one provider, or to the page where one is chosen."""
        redirect_url, action = self._wish(request)
        providers = self._signing_on.providers
        if len(providers) == 1:
            return await self._depart(next(iter(providers)), redirect_url, action)
        query = urlencode({"redirectUrl": redirect_url, "action": action})
        return redirect(f"{CHOOSE_PATH}?{query}", status=302)

    @endpoint(
        "GET",
        "/_matrix/client/v3/login/sso/redirect/{idpId}",
        auth=Auth.NONE,
        rate=Rate.LOGIN,
        reads=False,
        aliases=(r0, "/_matrix/client/unstable/org.matrix.msc2858/login/sso/redirect/{idpId}"),
        spec="client-server-api/#get_matrixclientv3loginssoredirectidpid",
    )
    async def redirect_to(self, request: Request) -> Reply:
        """To this provider."""
        redirect_url, action = self._wish(request)
        provider_id = request.path["idpId"]
        if provider_id not in self._signing_on.providers:
            return self._pages.problem("This server does not know this identity provider.", 404)
        return await self._depart(provider_id, redirect_url, action)

    def _wish(self, request: Request) -> tuple[str, str]:
        """Where to go back to, and what the person wants; anything else than registering is logging in."""
        if not self._signing_on.providers:
            raise not_found("This server knows no identity providers")
        redirect_url = request.query.string("redirectUrl")
        check_redirect_url(redirect_url)
        action = request.query.string("action", "login")
        if action not in ("login", "register"):
            raise invalid_param("`action` must be login or register")
        return redirect_url, action

    async def _depart(self, provider_id: str, redirect_url: str, action: str) -> Response:
        try:
            departure = await self._signing_on.begin(
                provider_id, redirect_url=redirect_url, create=action == "register"
            )
        except SignOnFailed as error:
            return self._pages.problem(str(error), 503)
        return redirect(departure.url, self._cookie.header(departure.cookie), status=302)
