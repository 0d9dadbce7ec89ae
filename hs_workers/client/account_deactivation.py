"""Deactivating one's account.

Spec: client-server API, #account-deactivation.
"""

from hs_common.http.endpoint import Auth, Rate, endpoint, r0
from hs_common.http.reply import Reply
from hs_common.http.request import Request
from hs_common.replication.calls import DeactivateUser
from hs_common.replication.link_interface import Link
from hs_workers.client.accounts.json_fields import boolean, optional_string
from hs_workers.client.accounts.threepids import Threepids
from hs_workers.client.uia import Guarded, Proof, UserInteractiveAuthentication


class AccountDeactivation:
    """The password proves who asks. Suspended users may leave for good."""

    def __init__(self, uia: UserInteractiveAuthentication, threepids: Threepids, master: Link) -> None:
        self._uia = uia
        self._threepids = threepids
        self._master = master

    @endpoint(
        "POST",
        "/_matrix/client/v3/account/deactivate",
        auth=Auth.USER_OPTIONAL,
        rate=Rate.LOGIN,
        aliases=(r0,),
        suspended_ok=True,
        spec="client-server-api/#post_matrixclientv3accountdeactivate",
    )
    async def deactivate(self, request: Request) -> Reply:
        """Ends the account, and takes its identifiers back from where they were published, as far as that goes."""
        body = request.json(optional=True)
        erase = boolean(body, "erase")
        optional_string(body, "id_server")  # is not needed: it is known where identifiers were published

        async def perform(proof: Proof) -> Reply:
            assert proof.user_id is not None
            is_unbound = await self._threepids.unbind_all(proof.user_id)
            await self._master.call(DeactivateUser(user_id=proof.user_id, erase=erase))
            await self._threepids.forget_all(proof.user_id)
            return {"id_server_unbind_result": "success" if is_unbound else "no-support"}

        requester = request.optional_requester
        if requester is not None and requester.app_service_id is not None:
            return await perform(Proof(requester.user_id, {}))  # bridges clean up their ghosts, who have no passwords
        return await self._uia.run(Guarded.of(requester, "POST /account/deactivate", body), perform)
