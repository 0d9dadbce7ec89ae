"""Whether a user has accepted the policies that the operator demands, and the page where he can.

Rules: without consent one may read, leave and log out, and not send, join, invite or make rooms. Application services
and guests are not asked. What was accepted is one text of ids and versions, so a new version is asked for anew.

Not in the specification; clients know the error `M_CONSENT_NOT_GIVEN` and its `consent_uri`.
"""

from collections.abc import Mapping
from hashlib import sha256
from hmac import compare_digest
from hmac import new as hmac
from typing import Final
from urllib.parse import urlencode

from hs_common.config.terms import Terms
from hs_common.http.endpoint import EndpointDeclaration, Rate
from hs_common.http.request import Requester
from hs_common.matrix.errors import MatrixError

PATH: Final = "/_viaduct/client/consent"
_GUARDED: Final = (Rate.MESSAGE, Rate.JOIN, Rate.INVITE, Rate.CREATE_ROOM)


def consent_text(versions: Mapping[str, str]) -> str:
    """What is kept of policies that were accepted: id → version."""
    return " ".join(f"{name}:{version}" for name, version in sorted(versions.items()))


class ConsentGate:
    """`secret` is the cluster's; `base_url` is where people reach this server."""

    def __init__(self, terms: Terms, secret: str, base_url: str) -> None:
        self.is_demanded = terms.required and bool(terms.policies)
        self.current = consent_text({policy.id: policy.version for policy in terms.policies})
        self._secret = secret.encode()
        self._base_url = base_url.rstrip("/")

    def check(self, declaration: EndpointDeclaration, requester: Requester) -> None:
        """403 `M_CONSENT_NOT_GIVEN` with `consent_uri`."""
        if not self.is_demanded or declaration.rate not in _GUARDED or declaration.method == "GET":
            return
        if requester.app_service_id is not None or requester.is_guest or requester.consent == self.current:
            return
        url = self.url(requester.user_id)
        error = f"To go on, read and accept the terms of this server at {url}"
        raise MatrixError(403, "M_CONSENT_NOT_GIVEN", error, {"consent_uri": url})

    def url(self, user_id: str) -> str:
        """The page on which this user accepts."""
        return f"{self._base_url}{PATH}?{urlencode({'user': user_id, 'proof': self._proof(user_id)})}"

    def is_ours(self, user_id: str, proof: str) -> bool:
        """Whether such a URL was made here."""
        return bool(self._secret) and compare_digest(self._proof(user_id).encode(), proof.encode())

    def _proof(self, user_id: str) -> str:
        return hmac(self._secret, f"consent\0{user_id}".encode(), sha256).hexdigest()
