"""Third-party identifiers of one's account: which they are, adding, removing, publishing them.

Spec: client-server API, #adding-account-administrative-contact-information.
"""

from typing import Any

import msgspec

from hs_common.http.endpoint import Auth, Rate, endpoint, r0, unstable
from hs_common.http.reply import Reply
from hs_common.http.request import Request
from hs_common.matrix.errors import MatrixError, forbidden, invalid_param
from hs_workers.client.accounts.address_validation import check_client_secret, check_session_id
from hs_workers.client.accounts.json_fields import string
from hs_workers.client.accounts.threepids import Threepids
from hs_workers.client.uia import Guarded, Proof, UserInteractiveAuthentication

ADDRESS_LIMIT = 255
"""Bytes; it is part of an index."""


class _OldBody(msgspec.Struct):
    three_pid_creds: dict[str, Any]


class _Binding(msgspec.Struct):
    client_secret: str
    sid: str
    id_server: str
    id_access_token: str


class _Identifier(msgspec.Struct):
    medium: str
    address: str
    id_server: str | None = None

    def check(self) -> "_Identifier":
        if self.medium not in ("email", "msisdn"):
            raise invalid_param("`medium` must be email or msisdn")
        if len(self.address.encode()) > ADDRESS_LIMIT:
            raise invalid_param(f"`address` has at most {ADDRESS_LIMIT} bytes")
        return self


class AdministrativeContact:
    """`can_change`: the capability `m.3pid_changes`. Suspended users may add, but not remove."""

    def __init__(self, threepids: Threepids, uia: UserInteractiveAuthentication, can_change: bool) -> None:
        self._threepids = threepids
        self._uia = uia
        self._can_change = can_change

    @endpoint(
        "GET",
        "/_matrix/client/v3/account/3pid",
        auth=Auth.USER,
        reads=False,
        aliases=(r0,),
        spec="client-server-api/#get_matrixclientv3account3pid",
    )
    async def list(self, request: Request) -> Reply:
        """The requester's identifiers."""
        found = await self._threepids.list_of(request.requester.user_id)
        return {
            "threepids": [
                {
                    "medium": one.medium,
                    "address": one.address,
                    "validated_at": one.validated_at_ms,
                    "added_at": one.added_at_ms,
                }
                for one in found
            ]
        }

    @endpoint(
        "POST",
        "/_matrix/client/v3/account/3pid",
        auth=Auth.USER,
        aliases=(r0,),
        suspended_ok=True,
        spec="client-server-api/#post_matrixclientv3account3pid",
    )
    async def add_old(self, request: Request) -> Reply:
        """As `add`, in the old form. An address that an identity server has confirmed is not believed."""
        credentials = request.body(_OldBody).three_pid_creds
        try:
            return await self._add("POST /account/3pid", request, credentials)
        except MatrixError as error:
            if error.errcode == "M_THREEPID_AUTH_FAILED":
                error.status = 403
            raise

    @endpoint(
        "POST",
        "/_matrix/client/v3/account/3pid/add",
        auth=Auth.USER,
        aliases=(r0, unstable()),
        suspended_ok=True,
        spec="client-server-api/#post_matrixclientv3account3pidadd",
    )
    async def add(self, request: Request) -> Reply:
        """Adds an address that this server has confirmed. Takes the password: by it the password can be changed."""
        return await self._add("POST /account/3pid/add", request, request.json())

    async def _add(self, name: str, request: Request, credentials: dict[str, Any]) -> Reply:
        sid, client_secret = string(credentials, "sid"), string(credentials, "client_secret")
        check_session_id(sid)
        check_client_secret(client_secret)
        self._check_changeable()
        user_id = request.requester.user_id
        confirmed = await self._threepids.confirmed(sid, client_secret)
        await self._threepids.check_free(confirmed, user_id)

        async def perform(proof: Proof) -> Reply:
            await self._threepids.add(user_id, confirmed)
            return {}

        return await self._uia.run(Guarded.of(request.requester, name, request.json()), perform)

    @endpoint(
        "POST",
        "/_matrix/client/v3/account/3pid/bind",
        auth=Auth.USER,
        rate=Rate.LOGIN,
        aliases=(r0, unstable()),
        spec="client-server-api/#post_matrixclientv3account3pidbind",
    )
    async def bind(self, request: Request) -> Reply:
        """Publishes an identifier at an identity server."""
        body = request.body(_Binding)
        check_session_id(body.sid)
        check_client_secret(body.client_secret)
        user_id = request.requester.user_id
        await self._threepids.bind(user_id, body.id_server, body.id_access_token, body.sid, body.client_secret)
        return {}

    @endpoint(
        "POST",
        "/_matrix/client/v3/account/3pid/unbind",
        auth=Auth.USER,
        rate=Rate.LOGIN,
        aliases=(r0, unstable()),
        suspended_ok=True,
        spec="client-server-api/#post_matrixclientv3account3pidunbind",
    )
    async def unbind(self, request: Request) -> Reply:
        """Takes that back; the identifier stays with the account."""
        body = request.body(_Identifier).check()
        user_id = request.requester.user_id
        return _result(await self._threepids.unbind(user_id, body.medium, body.address, body.id_server))

    @endpoint(
        "POST",
        "/_matrix/client/v3/account/3pid/delete",
        auth=Auth.USER,
        aliases=(r0, unstable()),
        spec="client-server-api/#post_matrixclientv3account3piddelete",
    )
    async def delete(self, request: Request) -> Reply:
        """Removes an identifier, and takes it back from where it was published."""
        body = request.body(_Identifier).check()
        self._check_changeable()
        user_id = request.requester.user_id
        return _result(await self._threepids.delete(user_id, body.medium, body.address, body.id_server))

    def _check_changeable(self) -> None:
        if not self._can_change:
            raise forbidden("Third-party identifiers cannot be changed on this server")


def _result(is_unbound: bool) -> dict[str, Any]:
    return {"id_server_unbind_result": "success" if is_unbound else "no-support"}
