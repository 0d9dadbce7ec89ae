"""Accounts that application services make and open without a password.

Spec: application-service-api/#server-admin-style-permissions.
"""

from hs_common.http.request import Request
from hs_common.matrix.appservice import Service, Services
from hs_common.matrix.errors import MatrixError, missing_token, unknown_token


def calling_service(request: Request, services: Services) -> Service:
    """The service whose token came with a request that needs none. 401 `M_MISSING_TOKEN` or `M_UNKNOWN_TOKEN`."""
    requester = request.optional_requester
    service = None if requester is None else services.get(requester.app_service_id)
    if service is not None:
        return service
    if request.headers.get("Authorization") is None and request.query.string("access_token", None) is None:
        raise missing_token()
    raise unknown_token()


def check_in_namespace(service: Service, user_id: str) -> None:
    """400 `M_EXCLUSIVE` for a user that is not the service's."""
    if not service.has_user(user_id):
        raise MatrixError(400, "M_EXCLUSIVE", f"{user_id} is not in the namespace of the application service")
