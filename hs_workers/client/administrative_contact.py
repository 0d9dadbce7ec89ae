"""Third-party identifiers of accounts: mail addresses and phone numbers. This server keeps none.

Every endpoint of theirs is here, so that clients get the error that the specification has for it.

Spec: client-server API, #adding-account-administrative-contact-information.
"""

import re
from typing import Final

import msgspec

from hs_common.http.endpoint import Auth, endpoint, r0, unstable
from hs_common.http.reply import Reply
from hs_common.http.request import Request
from hs_common.matrix.errors import MatrixError, forbidden, invalid_param

_CLIENT_SECRET: Final = re.compile(r"[0-9a-zA-Z.=_-]{1,255}")


class _Credentials(msgspec.Struct):
    client_secret: str
    sid: str


class _OldCredentials(msgspec.Struct):
    three_pid_creds: _Credentials


class _Binding(msgspec.Struct):
    client_secret: str
    sid: str
    id_server: str
    id_access_token: str


class _Identifier(msgspec.Struct):
    medium: str
    address: str


class _Email(msgspec.Struct):
    client_secret: str
    email: str
    send_attempt: int


class _PhoneNumber(msgspec.Struct):
    client_secret: str
    country: str
    phone_number: str
    send_attempt: int


class AdministrativeContact:
    """The list is empty, and nothing can be added to it."""

    @endpoint(
        "GET",
        "/_matrix/client/v3/account/3pid",
        auth=Auth.USER,
        reads=False,
        aliases=(r0,),
        spec="client-server-api/#get_matrixclientv3account3pid",
    )
    async def list(self, request: Request) -> Reply:
        """The empty list."""
        return {"threepids": []}

    @endpoint(
        "POST",
        "/_matrix/client/v3/account/3pid",
        auth=Auth.USER,
        aliases=(r0,),
        spec="client-server-api/#post_matrixclientv3account3pid",
    )
    async def add_old(self, request: Request) -> Reply:
        """403: no identity server is asked."""
        request.body(_OldCredentials)
        raise MatrixError(403, "M_THREEPID_AUTH_FAILED", "The third-party identifier could not be verified")

    @endpoint(
        "POST",
        "/_matrix/client/v3/account/3pid/add",
        auth=Auth.USER,
        aliases=(r0,),
        spec="client-server-api/#post_matrixclientv3account3pidadd",
    )
    async def add(self, request: Request) -> Reply:
        """403: the capability `m.3pid_changes` is off."""
        request.body(_Credentials)
        raise forbidden("Third-party identifiers cannot be changed on this server")

    @endpoint(
        "POST",
        "/_matrix/client/v3/account/3pid/bind",
        auth=Auth.USER,
        aliases=(r0,),
        spec="client-server-api/#post_matrixclientv3account3pidbind",
    )
    async def bind(self, request: Request) -> Reply:
        """400: no identity server is trusted."""
        request.body(_Binding)
        raise MatrixError(400, "M_SERVER_NOT_TRUSTED", "This server uses no identity servers")

    @endpoint(
        "POST",
        "/_matrix/client/v3/account/3pid/delete",
        auth=Auth.USER,
        aliases=(r0,),
        spec="client-server-api/#post_matrixclientv3account3piddelete",
    )
    @endpoint(
        "POST",
        "/_matrix/client/v3/account/3pid/unbind",
        auth=Auth.USER,
        aliases=(r0,),
        spec="client-server-api/#post_matrixclientv3account3pidunbind",
    )
    async def remove(self, request: Request) -> Reply:
        """It is not there; and no identity server is known that it could be unbound from."""
        request.body(_Identifier)
        return {"id_server_unbind_result": "no-support"}


def _check_secret(client_secret: str) -> None:
    if _CLIENT_SECRET.fullmatch(client_secret) is None:
        raise invalid_param("`client_secret` has 1 to 255 characters of 0-9, a-z, A-Z and . = _ -")


class ValidationTokens:
    """Requests for a token by mail or phone, which this server cannot send."""

    @endpoint(
        "POST",
        "/_matrix/client/v3/account/3pid/email/requestToken",
        auth=Auth.NONE,
        aliases=(r0, unstable()),
        spec="client-server-api/#post_matrixclientv3account3pidemailrequesttoken",
    )
    async def add_email(self, request: Request) -> Reply:
        """400: mail addresses cannot be added."""
        _check_secret(request.body(_Email).client_secret)
        raise _medium_not_supported()

    @endpoint(
        "POST",
        "/_matrix/client/v3/account/3pid/msisdn/requestToken",
        auth=Auth.NONE,
        aliases=(r0, unstable()),
        spec="client-server-api/#post_matrixclientv3account3pidmsisdnrequesttoken",
    )
    async def add_phone_number(self, request: Request) -> Reply:
        """400: phone numbers cannot be added."""
        _check_secret(request.body(_PhoneNumber).client_secret)
        raise _medium_not_supported()

    @endpoint(
        "POST",
        "/_matrix/client/v3/register/email/requestToken",
        auth=Auth.NONE,
        aliases=(r0,),
        spec="client-server-api/#post_matrixclientv3registeremailrequesttoken",
    )
    async def register_email(self, request: Request) -> Reply:
        """403: no mail address can be registered with."""
        _check_secret(request.body(_Email).client_secret)
        raise _denied()

    @endpoint(
        "POST",
        "/_matrix/client/v3/register/msisdn/requestToken",
        auth=Auth.NONE,
        aliases=(r0,),
        spec="client-server-api/#post_matrixclientv3registermsisdnrequesttoken",
    )
    async def register_phone_number(self, request: Request) -> Reply:
        """403: no phone number can be registered with."""
        _check_secret(request.body(_PhoneNumber).client_secret)
        raise _denied()

    @endpoint(
        "POST",
        "/_matrix/client/v3/account/password/email/requestToken",
        auth=Auth.NONE,
        aliases=(r0,),
        spec="client-server-api/#post_matrixclientv3accountpasswordemailrequesttoken",
    )
    async def reset_by_email(self, request: Request) -> Reply:
        """400: no account has a mail address."""
        _check_secret(request.body(_Email).client_secret)
        raise _nobody_has_it()

    @endpoint(
        "POST",
        "/_matrix/client/v3/account/password/msisdn/requestToken",
        auth=Auth.NONE,
        aliases=(r0,),
        spec="client-server-api/#post_matrixclientv3accountpasswordmsisdnrequesttoken",
    )
    async def reset_by_phone_number(self, request: Request) -> Reply:
        """400: no account has a phone number."""
        _check_secret(request.body(_PhoneNumber).client_secret)
        raise _nobody_has_it()


def _medium_not_supported() -> MatrixError:
    return MatrixError(400, "M_THREEPID_MEDIUM_NOT_SUPPORTED", "This server keeps no third-party identifiers")


def _denied() -> MatrixError:
    return MatrixError(403, "M_THREEPID_DENIED", "This server keeps no third-party identifiers")


def _nobody_has_it() -> MatrixError:
    return MatrixError(400, "M_THREEPID_NOT_FOUND", "No account has this third-party identifier")
