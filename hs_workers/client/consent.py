"""The page on which a user accepts the policies of this server.

Not in the specification: clients open it when they meet the error `M_CONSENT_NOT_GIVEN`.
"""

from hs_common.http.consent import PATH, ConsentGate
from hs_common.http.endpoint import Auth, Rate, endpoint
from hs_common.http.reply import Reply, Response
from hs_common.http.request import Request
from hs_common.replication.calls import SetUserState
from hs_common.replication.link_interface import Link
from hs_workers.client.pages.pages import Pages
from hs_workers.client.uia_stages import Policies, documents


class Consent:
    """The link says who the user is, and that we made it."""

    def __init__(self, gate: ConsentGate, policies: Policies, pages: Pages, master: Link) -> None:
        self._gate = gate
        self._policies = policies
        self._pages = pages
        self._master = master

    @endpoint("GET", PATH, auth=Auth.NONE, rate=Rate.LOGIN, reads=False, spec="viaduct: link in an error")
    async def show(self, request: Request) -> Reply:
        """The policies, and a button."""
        user_id = self._user_id(request)
        if user_id is None:
            return _wrong_link(self._pages)
        return self._pages.page("auth_terms", {"problem": "", "policies": documents(self._policies)})

    @endpoint("POST", PATH, auth=Auth.NONE, rate=Rate.LOGIN, reads=False, spec="viaduct: link in an error")
    async def accept(self, request: Request) -> Reply:
        """The button was pressed."""
        user_id = self._user_id(request)
        if user_id is None:
            return _wrong_link(self._pages)
        await self._master.call(SetUserState(user_id=user_id, consent=self._gate.current))
        return self._pages.page("consent_given")

    def _user_id(self, request: Request) -> str | None:
        user_id, proof = request.query.string("user", ""), request.query.string("proof", "")
        return user_id if self._gate.is_demanded and self._gate.is_ours(user_id, proof) else None


def _wrong_link(pages: Pages) -> Response:
    return pages.problem("This link is wrong. Open it again from your app.")
