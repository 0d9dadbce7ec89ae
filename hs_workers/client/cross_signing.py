"""Keys that vouch for devices, and signatures made with them.

Spec: client-server-api/#cross-signing.
"""

from typing import Final

from hs_common.http.endpoint import Auth, Rate, endpoint, r0, unstable
from hs_common.http.reply import Reply
from hs_common.http.request import Request
from hs_common.matrix.errors import bad_json, forbidden, invalid_param, unknown
from hs_workers.client.encryption.cross_signing import CrossSigningKeys
from hs_workers.client.encryption.signing import Signing
from hs_workers.client.ownership import REPLACING_KEYS
from hs_workers.client.uia import Guarded, Proof, UserInteractiveAuthentication

MAXIMUM_SIGNATURES: Final = 1_000
"""Objects in one request; clients send a few."""


class CrossSigning:
    """Replacing keys takes the password, except for application services; the first keys, and the same, do not.
    Administrators who act as the user may do neither."""

    def __init__(self, keys: CrossSigningKeys, signing: Signing, uia: UserInteractiveAuthentication) -> None:
        self._keys = keys
        self._signing = signing
        self._uia = uia

    @endpoint(
        "POST",
        "/_matrix/client/v3/keys/device_signing/upload",
        auth=Auth.USER,
        rate=Rate.KEYS,
        aliases=(r0, unstable()),
        suspended_ok=True,
        spec="client-server-api/#post_matrixclientv3keysdevice_signingupload",
    )
    async def upload_keys(self, request: Request) -> Reply:
        """Publishes the user's cross-signing keys."""
        requester, body = request.requester, request.json()
        if requester.opened_by is not None:  # or others would trust what an administrator vouches for in his name
            raise forbidden("Only the user's own sessions may publish keys that vouch for him: log in as the user")
        is_service = requester.app_service_id is not None
        if await self._keys.publish(requester.user_id, body, is_authenticated=is_service):
            return {}

        async def perform(proof: Proof) -> Reply:
            if not await self._keys.publish(requester.user_id, body, is_authenticated=True):
                raise unknown("The keys were not published")
            return {}

        return await self._uia.run(Guarded.of(requester, REPLACING_KEYS, body), perform)

    @endpoint(
        "POST",
        "/_matrix/client/v3/keys/signatures/upload",
        auth=Auth.USER,
        rate=Rate.KEYS,
        aliases=(r0, unstable()),
        suspended_ok=True,
        spec="client-server-api/#post_matrixclientv3keyssignaturesupload",
    )
    async def upload_signatures(self, request: Request) -> Reply:
        """Publishes signatures; says of each object that failed, why."""
        uploads = request.json()
        if not all(isinstance(objects, dict) for objects in uploads.values()):
            raise bad_json("The body must have objects by user and key")
        if sum(len(objects) for objects in uploads.values()) > MAXIMUM_SIGNATURES:
            raise invalid_param(f"At most {MAXIMUM_SIGNATURES} objects can be signed at once")
        return {"failures": await self._signing.add(request.requester.user_id, uploads)}
