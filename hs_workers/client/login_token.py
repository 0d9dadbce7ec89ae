"""Letting another device of one's own log in.

Spec: client-server API, #post_matrixclientv1loginget_token.
"""

from hs_common.http.endpoint import Auth, Rate, endpoint, unstable
from hs_common.http.reply import Reply
from hs_common.http.request import Request
from hs_workers.client.accounts.logging_in import LoginTokens
from hs_workers.client.uia import Guarded, Proof, UserInteractiveAuthentication


class LoginToken:
    """Asks for the password each time, as the specification demands."""

    def __init__(self, uia: UserInteractiveAuthentication, login_tokens: LoginTokens) -> None:
        self._uia = uia
        self._login_tokens = login_tokens

    @endpoint(
        "POST",
        "/_matrix/client/v1/login/get_token",
        auth=Auth.USER,
        rate=Rate.LOGIN,
        aliases=(unstable("org.matrix.msc3882"),),
        spec="client-server-api/#post_matrixclientv1loginget_token",
    )
    async def get_token(self, request: Request) -> Reply:
        """A token that is good for one login."""
        user_id = request.requester.user_id

        async def perform(proof: Proof) -> Reply:
            return await self._login_tokens.new(user_id)

        guarded = Guarded.of(request.requester, "POST /login/get_token", request.json(optional=True))
        return await self._uia.run(guarded, perform)
