"""The page of each stage of user-interactive authentication: what it shows and what its form says.

Spec: client-server API, #authentication-types.
"""

from collections.abc import Callable
from typing import Any, Final

from hs_common.config.terms import Captcha
from hs_common.http.reply import Response
from hs_common.matrix.errors import MatrixError
from hs_common.storage.uia_sessions import StoredSession
from hs_workers.client import uia_stages
from hs_workers.client.accounts.address_validation import AddressValidation, Purpose, TokenRequest
from hs_workers.client.auth_fallback import Fields, StagePage
from hs_workers.client.pages.pages import Pages

SECRET_BYTES: Final = 16


class SimplePage:
    """A page whose form has the fields of the `auth` object, or fields that have other names there."""

    def __init__(self, pages: Pages, template: str, fields: dict[str, str], **values: object) -> None:
        self._pages = pages
        self._template = template
        self._fields = fields
        self._values = values

    def stage_page(self) -> StagePage:
        """For the list of pages."""
        return StagePage(self._show, self._submit)

    def _show(self, session: StoredSession, fields: Fields, problem: str) -> Response:
        return self._pages.page(self._template, {"problem": problem, **self._values})

    async def _submit(self, session: StoredSession, fields: Fields) -> dict[str, Any]:
        return {name: fields.get(field, "") for name, field in self._fields.items()}


class CaptchaPage(SimplePage):
    """Loads the captcha's script, which adds a field to the form."""

    def __init__(self, pages: Pages, settings: Captcha) -> None:
        super().__init__(pages, "auth_captcha", {"response": "g-recaptcha-response"})
        self._settings = settings

    def _show(self, session: StoredSession, fields: Fields, problem: str) -> Response:
        settings = self._settings
        values = {"problem": problem, "site_key": settings.public_key, "script_url": settings.script_url}
        origins = " ".join(settings.script_origins)
        sources = f"script-src 'nonce-{{nonce}}' {origins}; frame-src {origins}; connect-src {origins}"
        return self._pages.page("auth_captcha", values, sources=f"{sources}; style-src-attr 'unsafe-inline'")


class PasswordPage(SimplePage):
    """The name only of who is not known by an access token."""

    def __init__(self, pages: Pages) -> None:
        super().__init__(pages, "auth_password", {})

    def _show(self, session: StoredSession, fields: Fields, problem: str) -> Response:
        values = {"problem": problem, "user_id": session.user_id, "user": fields.get("user", "")}
        return self._pages.page("auth_password", values)

    async def _submit(self, session: StoredSession, fields: Fields) -> dict[str, Any]:
        user = session.user_id or fields.get("user", "")
        return {"identifier": {"type": "m.id.user", "user": user}, "password": fields.get("password", "")}


class EmailPage:
    """Sends the mail, and then waits for the press of a button after its link was followed. `random(n)` gives n
    unpredictable bytes."""

    def __init__(self, pages: Pages, validation: AddressValidation, random: Callable[[int], bytes]) -> None:
        self._pages = pages
        self._validation = validation
        self._random = random

    def stage_page(self) -> StagePage:
        """For the list of pages."""
        return StagePage(self._show, self._submit)

    def _show(self, session: StoredSession, fields: Fields, problem: str) -> Response:
        values = {name: fields.get(name, "") for name in ("email", "sid", "client_secret")}
        template = "auth_email_sent" if values["sid"] else "auth_email"
        return self._pages.page(template, {"problem": problem, **values})

    async def _submit(self, session: StoredSession, fields: Fields) -> dict[str, Any] | Response:
        sid, client_secret = fields.get("sid", ""), fields.get("client_secret", "")
        if sid:
            return {"threepid_creds": {"sid": sid, "client_secret": client_secret}}
        if not self._validation.is_possible:
            raise MatrixError(403, "M_FORBIDDEN", "This server sends no mails")
        is_new = session.operation == "POST /register"
        wish = TokenRequest(self._random(SECRET_BYTES).hex(), fields.get("email", ""), 1)
        sid = await self._validation.request(Purpose.REGISTRATION if is_new else Purpose.PASSWORD_RESET, wish)
        return self._show(session, {"email": wish.address, "sid": sid, "client_secret": wish.client_secret}, "")


def stage_pages(
    pages: Pages,
    policies: uia_stages.Policies,
    captcha: Captcha,
    validation: AddressValidation,
    random: Callable[[int], bytes],
) -> dict[str, StagePage]:
    """The pages of all stages that this server knows."""
    token = SimplePage(pages, "auth_token", {"token": "token"})
    return {
        uia_stages.DUMMY: SimplePage(pages, "auth_dummy", {}).stage_page(),
        uia_stages.PASSWORD: PasswordPage(pages).stage_page(),
        uia_stages.EMAIL: EmailPage(pages, validation, random).stage_page(),
        uia_stages.REGISTRATION_TOKEN: token.stage_page(),
        uia_stages.TERMS: SimplePage(pages, "auth_terms", {}, policies=uia_stages.documents(policies)).stage_page(),
        uia_stages.RECAPTCHA: CaptchaPage(pages, captcha).stage_page(),
    }
