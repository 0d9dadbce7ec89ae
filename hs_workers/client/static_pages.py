"""Pages on which people log in or make an account whose client cannot do that itself.

Spec: client-server API, #login-fallback. The page for registering is not in the specification any more; clients of
before version 1.1 open it.
"""

from typing import Final

from hs_common.http.endpoint import Auth, Rate, endpoint
from hs_common.http.reply import Reply
from hs_common.http.request import Request
from hs_workers.client.pages.pages import Pages

LOGIN: Final = "/_matrix/static/client/login/"
REGISTER: Final = "/_matrix/static/client/register/"
API: Final = "/_matrix/client/v3"


class StaticPages:
    """The pages call the endpoints of clients by themselves."""

    def __init__(self, pages: Pages) -> None:
        self._pages = pages

    @endpoint(
        "GET",
        LOGIN,
        auth=Auth.NONE,
        reads=False,
        aliases=(LOGIN.rstrip("/"), LOGIN + "index.html"),
        rate=Rate.DEFAULT,
        spec="client-server-api/#login-fallback",
    )
    async def login(self, request: Request) -> Reply:
        """The page for logging in."""
        return self._pages.page("login", {"api": API})

    @endpoint(
        "GET",
        REGISTER,
        auth=Auth.NONE,
        reads=False,
        aliases=(REGISTER.rstrip("/"), REGISTER + "index.html"),
        rate=Rate.DEFAULT,
        spec="client-server-api/#login-fallback",
    )
    async def register(self, request: Request) -> Reply:
        """The page for registering."""
        return self._pages.page("register", {"api": API})
