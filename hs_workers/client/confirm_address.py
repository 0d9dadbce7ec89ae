"""The page that the link in a mail leads to.

Rules: looking at the page confirms nothing, since programs that check mails follow links too; its button does.

Not in the specification, which leaves it to the server. Client-server API, #legacy-account-registration.
"""

from hs_common.http.endpoint import Auth, Rate, endpoint
from hs_common.http.reply import Reply
from hs_common.http.request import Request
from hs_workers.client.accounts.address_validation import CONFIRM_PATH, AddressValidation
from hs_workers.client.pages.pages import Pages, form, redirect

FIELDS = ("sid", "client_secret", "token")
_GONE = "This link is wrong or too old. Ask for a new mail."


class ConfirmAddress:
    """Shows the page, and takes the press of its button."""

    def __init__(self, pages: Pages, validation: AddressValidation) -> None:
        self._pages = pages
        self._validation = validation

    @endpoint("GET", CONFIRM_PATH, auth=Auth.NONE, rate=Rate.LOGIN, reads=False, spec="viaduct: link in a mail")
    async def show(self, request: Request) -> Reply:
        """The page with the button."""
        return self._pages.page("confirm_address", {name: request.query.string(name, "") for name in FIELDS})

    @endpoint("POST", CONFIRM_PATH, auth=Auth.NONE, rate=Rate.LOGIN, spec="viaduct: link in a mail")
    async def confirm(self, request: Request) -> Reply:
        """Confirms the address, and sends the browser to where the client wished."""
        fields = form(request)
        session = await self._validation.confirm(*(fields.get(name, "") for name in FIELDS))
        if session is None:
            return self._pages.problem(_GONE)
        return self._pages.page("address_confirmed") if session.next_link is None else redirect(session.next_link)
