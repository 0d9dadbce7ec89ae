"""Asking for a message that confirms a mail address. Phone numbers cannot be confirmed here, and every endpoint of
theirs says so with the error that the specification has for it.

Spec: client-server API, #adding-account-administrative-contact-information, #password-management,
#legacy-account-registration.
"""

import msgspec

from hs_common.http.endpoint import Auth, Rate, endpoint, r0, unstable
from hs_common.http.reply import Reply
from hs_common.http.request import Request
from hs_common.matrix.errors import MatrixError, forbidden
from hs_workers.client.accounts.address_validation import (
    AddressValidation,
    Purpose,
    TokenRequest,
    check_client_secret,
)


class _Email(msgspec.Struct):
    client_secret: str
    email: str
    send_attempt: int
    next_link: str | None = None


class _PhoneNumber(msgspec.Struct):
    client_secret: str
    country: str
    phone_number: str
    send_attempt: int


class ValidationTokens:
    """`can_register`, `can_change`, `can_reset`: whether clients may make accounts, change their identifiers, set new
    passwords."""

    def __init__(self, validation: AddressValidation, can_register: bool, can_change: bool, can_reset: bool) -> None:
        self._validation = validation
        self._can_reset = can_reset
        self._can_register = can_register
        self._can_change = can_change

    @endpoint(
        "POST",
        "/_matrix/client/v3/account/3pid/email/requestToken",
        auth=Auth.NONE,
        rate=Rate.MAIL,
        aliases=(r0, unstable()),
        spec="client-server-api/#post_matrixclientv3account3pidemailrequesttoken",
    )
    async def add_email(self, request: Request) -> Reply:
        """For an address to be added to an account. 400 `M_THREEPID_IN_USE`, `M_THREEPID_MEDIUM_NOT_SUPPORTED`."""
        wish = _wish(request)
        if not self._validation.is_possible or not self._can_change:
            raise _medium_not_supported()
        return {"sid": await self._validation.request(Purpose.ADD_ADDRESS, wish)}

    @endpoint(
        "POST",
        "/_matrix/client/v3/account/3pid/msisdn/requestToken",
        auth=Auth.NONE,
        aliases=(r0, unstable()),
        spec="client-server-api/#post_matrixclientv3account3pidmsisdnrequesttoken",
    )
    async def add_phone_number(self, request: Request) -> Reply:
        """400: phone numbers cannot be added."""
        check_client_secret(request.body(_PhoneNumber).client_secret)
        raise _medium_not_supported()

    @endpoint(
        "POST",
        "/_matrix/client/v3/register/email/requestToken",
        auth=Auth.NONE,
        rate=Rate.MAIL,
        aliases=(r0,),
        spec="client-server-api/#post_matrixclientv3registeremailrequesttoken",
    )
    async def register_email(self, request: Request) -> Reply:
        """For an account to be made. 400 `M_THREEPID_IN_USE`, 403 where no account or no address is accepted."""
        wish = _wish(request)
        if not self._can_register:
            raise forbidden("Registration is disabled")
        if not self._validation.is_possible:
            raise _denied()
        return {"sid": await self._validation.request(Purpose.REGISTRATION, wish)}

    @endpoint(
        "POST",
        "/_matrix/client/v3/register/msisdn/requestToken",
        auth=Auth.NONE,
        aliases=(r0,),
        spec="client-server-api/#post_matrixclientv3registermsisdnrequesttoken",
    )
    async def register_phone_number(self, request: Request) -> Reply:
        """403: no phone number can be registered with."""
        check_client_secret(request.body(_PhoneNumber).client_secret)
        raise _denied()

    @endpoint(
        "POST",
        "/_matrix/client/v3/account/password/email/requestToken",
        auth=Auth.NONE,
        rate=Rate.MAIL,
        aliases=(r0,),
        spec="client-server-api/#post_matrixclientv3accountpasswordemailrequesttoken",
    )
    async def reset_by_email(self, request: Request) -> Reply:
        """For a new password. 400 `M_THREEPID_NOT_FOUND`."""
        wish = _wish(request)
        if not self._validation.is_possible or not self._can_reset:
            raise _nobody_has_it()
        return {"sid": await self._validation.request(Purpose.PASSWORD_RESET, wish)}

    @endpoint(
        "POST",
        "/_matrix/client/v3/account/password/msisdn/requestToken",
        auth=Auth.NONE,
        aliases=(r0,),
        spec="client-server-api/#post_matrixclientv3accountpasswordmsisdnrequesttoken",
    )
    async def reset_by_phone_number(self, request: Request) -> Reply:
        """400: no account has a phone number."""
        check_client_secret(request.body(_PhoneNumber).client_secret)
        raise _nobody_has_it()


def _wish(request: Request) -> TokenRequest:
    body = request.body(_Email)
    return TokenRequest(body.client_secret, body.email, body.send_attempt, body.next_link)


def _medium_not_supported() -> MatrixError:
    return MatrixError(400, "M_THREEPID_MEDIUM_NOT_SUPPORTED", "This server adds no such identifiers to accounts")


def _denied() -> MatrixError:
    return MatrixError(403, "M_THREEPID_DENIED", "This server accepts no such identifiers for accounts")


def _nobody_has_it() -> MatrixError:
    return MatrixError(400, "M_THREEPID_NOT_FOUND", "No account has this third-party identifier")
