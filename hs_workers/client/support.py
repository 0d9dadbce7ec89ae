"""Whom to ask for help with this server.

Spec: client-server API, #getwell-knownmatrixsupport.
"""

from typing import Any

from hs_common.config.identity import Server
from hs_common.http.endpoint import Auth, Rate, endpoint
from hs_common.http.reply import Reply
from hs_common.http.request import Request
from hs_common.matrix.errors import not_found

MAIL = "mailto:"


class Support:
    """Answers from the configured contact, a Matrix id or a mail address."""

    def __init__(self, server: Server) -> None:
        self._answer = _contacts(server.admin_contact) if server.well_known else None

    @endpoint(
        "GET",
        "/.well-known/matrix/support",
        auth=Auth.NONE,
        rate=Rate.NONE,
        reads=False,
        spec="client-server-api/#getwell-knownmatrixsupport",
    )
    async def support(self, request: Request) -> Reply:
        """The administrator's contact, or 404 `M_NOT_FOUND`."""
        if self._answer is None:
            raise not_found("No contact is configured")
        return self._answer


def _contacts(contact: str) -> dict[str, Any] | None:
    if not contact:
        return None
    if contact.startswith("@"):
        return {"contacts": [{"role": "m.role.admin", "matrix_id": contact}]}
    return {"contacts": [{"role": "m.role.admin", "email_address": contact.removeprefix(MAIL)}]}
