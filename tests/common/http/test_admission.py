"""Who may call what."""

import pytest

from hs_common.http.admission import admit
from hs_common.http.endpoint import Auth, EndpointDeclaration, declarations_of, endpoint
from hs_common.http.reply import Reply
from hs_common.http.request import Request, Requester
from tests.common.http.refusals import refusal


class Several:
    @endpoint("GET", "/read", auth=Auth.USER, spec="#")
    async def read(self, request: Request) -> Reply:
        return {}

    @endpoint("POST", "/write", auth=Auth.USER, spec="#")
    async def write(self, request: Request) -> Reply:
        return {}

    @endpoint("POST", "/logout", auth=Auth.USER_OR_GUEST, spec="#", locked_ok=True, suspended_ok=True)
    async def logout(self, request: Request) -> Reply:
        return {}

    @endpoint("GET", "/optional", auth=Auth.USER_OPTIONAL, spec="#")
    async def optional(self, request: Request) -> Reply:
        return {}

    @endpoint("GET", "/admin", auth=Auth.ADMIN, spec="#")
    async def admin(self, request: Request) -> Reply:
        return {}


DECLARED: dict[str, EndpointDeclaration] = dict(declarations_of(Several))
LOCKED, SUSPENDED, GUEST, FORBIDDEN = "M_USER_LOCKED", "M_USER_SUSPENDED", "M_GUEST_ACCESS_FORBIDDEN", "M_FORBIDDEN"


def outcome(name: str, requester: Requester) -> str | None:
    error = refusal(lambda: admit(DECLARED[name], requester))
    if error is None:
        return None
    assert error.status == (401 if error.errcode == LOCKED else 403)
    assert error.fields == ({"soft_logout": True} if error.errcode == LOCKED else {})
    return error.errcode


@pytest.mark.parametrize(
    ("flag", "expected"),
    [
        ("", {"admin": FORBIDDEN}),
        ("admin", {}),
        ("locked", {"read": LOCKED, "write": LOCKED, "optional": LOCKED, "admin": LOCKED}),
        ("suspended", {"write": SUSPENDED, "admin": FORBIDDEN}),
        ("is_guest", {"read": GUEST, "write": GUEST, "admin": GUEST}),
    ],
)
def test_admission(flag: str, expected: dict[str, str]) -> None:
    requester = Requester(
        "@a:b",
        "D",
        b"",
        is_guest=flag == "is_guest",
        locked=flag == "locked",
        suspended=flag == "suspended",
        admin=flag == "admin",
    )
    assert {name: outcome(name, requester) for name in DECLARED} == {name: expected.get(name) for name in DECLARED}
