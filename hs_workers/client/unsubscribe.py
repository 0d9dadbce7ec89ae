"""The page behind the link in notifications by email: a button that ends them.

Fetching the link changes nothing: programs that look at mails do so.

Spec: client-server API, #post_matrixclientv3pushersset (kind `email`); RFC 8058 (one click in the mail program).
"""

from typing import Final

from hs_common.email.unsubscribing import PATH, Unsubscribing
from hs_common.http.endpoint import Auth, Rate, endpoint
from hs_common.http.reply import Reply
from hs_common.http.request import Request
from hs_common.matrix.pushers import EMAIL_APP_ID
from hs_common.replication.calls import RemovePusher
from hs_common.replication.link_interface import Link
from hs_workers.client.pages.pages import Pages

_NOT_OURS: Final = "This link is not complete. Copy all of it from the mail."


class Unsubscribe:
    """Whoever holds the link may end the mails it came with."""

    def __init__(self, pages: Pages, unsubscribing: Unsubscribing, master: Link) -> None:
        self._pages = pages
        self._unsubscribing = unsubscribing
        self._master = master

    @endpoint("GET", PATH, auth=Auth.NONE, rate=Rate.LOGIN, reads=False, spec="viaduct: link in a mail")
    async def show(self, request: Request) -> Reply:
        """The page with the button."""
        _, address, is_ours = self._asked(request)
        return self._pages.page("unsubscribe", {"address": address}) if is_ours else self._pages.problem(_NOT_OURS)

    @endpoint("POST", PATH, auth=Auth.NONE, rate=Rate.LOGIN, spec="viaduct: link in a mail")
    async def end(self, request: Request) -> Reply:
        """Removes the pusher, if it is still there."""
        user_id, address, is_ours = self._asked(request)
        if not is_ours:
            return self._pages.problem(_NOT_OURS)
        await self._master.call(RemovePusher(user_id=user_id, app_id=EMAIL_APP_ID, pushkey=address))
        return self._pages.page("unsubscribed", {"address": address})

    def _asked(self, request: Request) -> tuple[str, str, bool]:
        user_id, address, proof = (request.query.string(name, "") for name in ("user", "address", "proof"))
        return user_id, address, self._unsubscribing.is_ours(user_id, address, proof)
