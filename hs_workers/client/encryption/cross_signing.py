"""Publishing cross-signing keys: who may do so without authenticating anew, and what must be signed by what.

Spec: client-server-api/#post_matrixclientv3keysdevice_signingupload.
"""

from typing import Any, Final

from hs_common.matrix.errors import MatrixError, missing_param, unknown
from hs_common.matrix.public_keys import (
    MASTER,
    USAGES,
    CrossSigningUpload,
    check_signature,
    parse_cross_signing_key,
    verify_key,
)
from hs_common.replication.encryption_calls import NewCrossSigningKey, SetCrossSigningKeys
from hs_common.replication.link_interface import Link
from hs_common.storage.cross_signing import CrossSigningKey, cross_signing_keys
from hs_common.storage.queries import Queries

# Each attempt meets another client of the same user that publishes keys at the same time.
ATTEMPTS: Final = 3

Current = dict[str, CrossSigningKey]


class CrossSigningKeys:
    """A user's own keys."""

    def __init__(self, db: Queries, master: Link) -> None:
        self._db = db
        self._master = master

    async def publish(self, user_id: str, body: dict[str, Any], is_authenticated: bool) -> bool:
        """Publishes the keys of a request. False: the user has to authenticate for that, and nothing was done.

        Raises M_INVALID_SIGNATURE, M_MISSING_PARAM without a master key, M_FORBIDDEN for a key that is a device id.
        """
        uploads = [
            parse_cross_signing_key(body[f"{usage}_key"], usage, user_id) for usage in USAGES if _has(body, usage)
        ]
        for _ in range(ATTEMPTS):
            current = {key.usage: key for key in await cross_signing_keys(self._db, [user_id])}
            _check_signatures(user_id, uploads, current)
            if all(one.usage in current and one.public_key == current[one.usage].public_key for one in uploads):
                return True
            if MASTER in current and not is_authenticated:
                return False
            if await self._write(user_id, uploads, current):
                return True
        raise unknown("The keys are changed by others at the same time; try again", 503)

    async def _write(self, user_id: str, uploads: list[CrossSigningUpload], current: Current) -> bool:
        """False: others published keys meanwhile."""
        keys = {
            one.usage: NewCrossSigningKey(
                public_key=one.public_key, keys=one.signed.keys, signatures=one.signed.signatures
            )
            for one in uploads
        }
        expected = {usage: key.public_key for usage, key in current.items()}
        try:
            await self._master.call(SetCrossSigningKeys(user_id=user_id, keys=keys, expected=expected))
        except MatrixError as error:
            if error.errcode != "M_CONFLICT":
                raise
            return False
        return True


def _has(body: dict[str, Any], usage: str) -> bool:
    return body.get(f"{usage}_key") is not None


def _check_signatures(user_id: str, uploads: list[CrossSigningUpload], current: Current) -> None:
    """The master key, uploaded or known, must have signed the others."""
    public_key = next((one.public_key for one in uploads if one.usage == MASTER), None)
    if public_key is None and MASTER in current:
        public_key = current[MASTER].public_key
    if public_key is None:
        raise missing_param("There is no master signing key")
    master = verify_key(f"ed25519:{public_key}", public_key)
    for one in uploads:
        if one.usage != MASTER:
            check_signature(one.value, user_id, master)
