"""Whether a requester may call an endpoint at all, from the endpoint's declaration and the account's state."""

from hs_common.http.endpoint import Auth, EndpointDeclaration
from hs_common.http.request import Requester
from hs_common.matrix.errors import MatrixError, forbidden, guests_cannot


def admit(declaration: EndpointDeclaration, requester: Requester) -> None:
    """Raises the error that keeps this requester out, if any.

    Locked: https://spec.matrix.org/v1.19/client-server-api/#account-locking
    Suspended: https://spec.matrix.org/v1.19/client-server-api/#account-suspension
    Guests: https://spec.matrix.org/v1.19/client-server-api/#guest-access
    """
    if requester.locked and not declaration.locked_ok:
        raise MatrixError(401, "M_USER_LOCKED", "This account has been locked", {"soft_logout": True})
    if requester.suspended and not declaration.suspended_ok:
        raise MatrixError(403, "M_USER_SUSPENDED", "This account has been suspended and cannot do this")
    if requester.is_guest and declaration.auth not in (Auth.USER_OR_GUEST, Auth.USER_OPTIONAL):
        raise guests_cannot()
    if declaration.auth is Auth.ADMIN and not requester.admin:
        raise forbidden("Only an administrator of this server can do this")
