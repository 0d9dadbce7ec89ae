"""Changing one's password, or setting a new one by a confirmed mail address.

Spec: client-server API, #password-management.
"""

from dataclasses import replace
from typing import Final

from hs_common.http.endpoint import Auth, Rate, endpoint, r0
from hs_common.http.reply import Reply
from hs_common.http.request import Request
from hs_common.matrix.errors import forbidden, guests_cannot
from hs_common.replication.calls import CloseSessions
from hs_common.replication.link_interface import Link
from hs_workers.client.accounts.json_fields import boolean, string
from hs_workers.client.accounts.passwords import PasswordRules, Passwords
from hs_workers.client.uia import Flows, Guarded, Proof, UserInteractiveAuthentication
from hs_workers.client.uia_stages import EMAIL

NAME: Final = "POST /account/password"


class PasswordManagement:
    """The old password or the address proves who asks, so that no access token is needed, as in the specification."""

    def __init__(
        self,
        uia: UserInteractiveAuthentication,
        rules: PasswordRules,
        passwords: Passwords,
        master: Link,
        has_email: bool,
    ) -> None:
        self._more: Flows = ((EMAIL,),) if has_email else ()
        self._uia = uia
        self._rules = rules
        self._passwords = passwords
        self._master = master

    @endpoint(
        "POST",
        "/_matrix/client/v3/account/password",
        auth=Auth.USER_OPTIONAL,
        rate=Rate.LOGIN,
        aliases=(r0,),
        suspended_ok=True,
        spec="client-server-api/#post_matrixclientv3accountpassword",
    )
    async def change(self, request: Request) -> Reply:
        """Sets the new password, and logs out the user's other devices unless told not to."""
        requester = request.optional_requester
        if requester is not None and requester.is_guest:
            raise guests_cannot()
        body = request.json()
        new_password = string(body, "new_password")
        logout_devices = boolean(body, "logout_devices", default=True)
        self._rules.check(new_password)

        async def perform(proof: Proof) -> Reply:
            if proof.user_id is None:
                raise forbidden("This address was confirmed for something else")
            await self._passwords.set(proof.user_id, new_password)
            if logout_devices:
                device_id = None if requester is None else requester.device_id
                await self._master.call(CloseSessions(user_id=proof.user_id, device_ids=None, except_device=device_id))
            return {}

        guarded = Guarded.of(requester, NAME, body)
        flows = (*await self._uia.ownership(guarded), *self._more)
        return await self._uia.run(replace(guarded, flows=flows), perform)
