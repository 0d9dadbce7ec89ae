"""The stage of user-interactive authentication in which people sign on at their identity provider again.

Rules: a client cannot attempt it, only a browser that comes back from the provider completes it. Before it goes there,
a page says what is about to be done, since the provider may not ask anything.

Spec: client-server API, #sso-during-user-interactive-authentication.
"""

from typing import Any, Final

from hs_common.http.reply import Response
from hs_common.storage.uia_sessions import StoredSession
from hs_workers.client.auth_fallback import Fields, StagePage
from hs_workers.client.pages.pages import Pages, redirect
from hs_workers.client.sso.signing_on import SigningOn, SignOnFailed
from hs_workers.client.sso_pages import SsoCookie
from hs_workers.client.uia_stages import StageFailed, StatelessStage

_DEEDS: Final = {
    "POST /account/password": "change your password",
    "POST /account/deactivate": "close your account for ever",
    "POST /account/3pid": "add a mail address to your account",
    "POST /account/3pid/add": "add a mail address to your account",
    "POST /keys/device_signing/upload": "replace the keys that show others who you are",
    "POST /login/get_token": "let another device log in to your account",
    "POST /delete_devices": "remove devices from your account",
}
_OTHER: Final = "change something in your account"


class SsoStage(StatelessStage):
    """The part of it that clients meet."""

    async def attempt(self, auth: dict[str, Any], user_id: str | None) -> dict[str, Any]:
        """Not by a client."""
        raise StageFailed("M_FORBIDDEN", "Open the page of this stage in a browser")


class SsoPage:
    """The part that people meet."""

    def __init__(self, pages: Pages, signing_on: SigningOn, cookie: SsoCookie) -> None:
        self._pages = pages
        self._signing_on = signing_on
        self._cookie = cookie

    def stage_page(self) -> StagePage:
        """For the list of pages."""
        return StagePage(self._show, self._submit)

    def _show(self, session: StoredSession, fields: Fields, problem: str) -> Response:
        deed = _DEEDS.get(session.operation, "remove a device" if "/devices/" in session.operation else _OTHER)
        providers = [client.settings for client in self._signing_on.providers.values()]
        return self._pages.page("auth_sso", {"problem": problem, "deed": deed, "providers": providers})

    async def _submit(self, session: StoredSession, fields: Fields) -> dict[str, Any] | Response:
        provider_id = fields.get("provider", "")
        if provider_id not in self._signing_on.providers:
            raise StageFailed("M_FORBIDDEN", "This server does not know this identity provider")
        try:
            departure = await self._signing_on.begin(provider_id, uia_session_id=session.session_id)
        except SignOnFailed as error:
            raise StageFailed("M_UNKNOWN", str(error)) from error
        return redirect(departure.url, self._cookie.header(departure.cookie))
