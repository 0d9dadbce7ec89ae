"""Endpoints below `/user/{userId}` and the like, which everybody may call for himself only."""

from hs_common.http.request import Request
from hs_common.matrix.errors import forbidden


def own_user_id(request: Request, error: str) -> str:
    """The requester's user id, which the path must name. 403 `M_FORBIDDEN` with that error."""
    user_id = request.requester.user_id
    if request.path["userId"] != user_id:
        raise forbidden(error)
    return user_id
