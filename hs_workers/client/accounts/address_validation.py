"""Showing that one reads what is sent to a mail address: a session, a mail with a link, and a click.

Rules: a session is known by its id and the client's secret, both of which only the client has; the link's token only
the reader of the mail. A mail is sent once for each `send_attempt`, and counted for each address, so that nobody's
mailbox is filled. What a session was begun for is all that it is good for.

Spec: client-server API, #post_matrixclientv3registeremailrequesttoken; identity service API, #email-associations.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Final, Protocol
from urllib.parse import urlencode, urlsplit

from twisted.logger import Logger

from hs_common.config.email import Email
from hs_common.email.mail import MailFailed, canonical_address, is_address
from hs_common.email.mailer import Mailer
from hs_common.http.credentials import hash_token
from hs_common.matrix.errors import MatrixError, invalid_param, unknown
from hs_common.storage import threepid_sessions as stored
from hs_common.storage.queries import Queries
from hs_common.storage.threepid_sessions import ValidationSession
from hs_common.storage.threepids import user_of_threepid

EMAIL: Final = "email"
CONFIRM_PATH: Final = "/_viaduct/client/email/confirm"
SESSION_ID_BYTES: Final = 16
TOKEN_BYTES: Final = 24
NEXT_LINK_LIMIT: Final = 2_000
"""Characters; browsers' own limit for a URL."""
SEND_ATTEMPT_LIMIT: Final = 1 << 53
SESSION_LIFETIME_MS: Final = 24 * 3_600_000
"""A session that was validated can be used that long after its mail."""
SWEEP_INTERVAL_MS: Final = 10 * 60 * 1000

_IDENTIFIER: Final = re.compile(r"[0-9a-zA-Z.=_-]{1,255}")
_log = Logger()


class Purpose(Enum):
    """What a session is for. The value is the name of its mail too."""

    REGISTRATION = "registration"
    ADD_ADDRESS = "add_address"
    PASSWORD_RESET = "password_reset"


class MailLimits(Protocol):
    """Counts mails per address."""

    def check_mail(self, address: str) -> None:
        """One more; raises 429 `M_LIMIT_EXCEEDED`."""


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """What a client asks for. Checked when it is made."""

    client_secret: str
    email: str
    send_attempt: int
    next_link: str | None = None

    def __post_init__(self) -> None:
        check_client_secret(self.client_secret)
        if not is_address(self.address):
            raise invalid_param("This is not a mail address to which mail can be sent")
        if not 0 <= self.send_attempt < SEND_ATTEMPT_LIMIT:
            raise invalid_param("`send_attempt` is too large, or negative")

    @property
    def address(self) -> str:
        """In canonical form."""
        return canonical_address(self.email)


class AddressValidation:
    """`mailer` is None where no mail is sent. `random(n)` gives n unpredictable bytes; `now_ms` is the time of day."""

    def __init__(
        self,
        db: Queries,
        mailer: Mailer | None,
        settings: Email,
        public_baseurl: str,
        limits: MailLimits,
        now_ms: Callable[[], int],
        random: Callable[[int], bytes],
    ) -> None:
        self._db = db
        self._mailer = mailer
        self._settings = settings
        self._baseurl = public_baseurl.rstrip("/")
        self._limits = limits
        self._now_ms = now_ms
        self._random = random
        self._swept_ms = 0

    @property
    def is_possible(self) -> bool:
        """Whether mail is sent at all."""
        return self._mailer is not None

    async def request(self, purpose: Purpose, wish: TokenRequest) -> str:
        """Sends a mail if need be; the session's id. The caller knows that mail is sent.

        403 `M_THREEPID_DENIED`, 400 `M_THREEPID_IN_USE` or `M_THREEPID_NOT_FOUND`, 429 `M_LIMIT_EXCEEDED`.
        """
        domains = {domain.lower() for domain in self._settings.allowed_domains}
        if domains and wish.address.rpartition("@")[2] not in domains:
            raise MatrixError(403, "M_THREEPID_DENIED", "Addresses of this domain are not accepted here")
        self._check_next_link(wish.next_link)
        await self._sweep()
        owner = await user_of_threepid(self._db, EMAIL, wish.address)
        if (owner is None) == (purpose is Purpose.PASSWORD_RESET):
            return await self._cannot(purpose, wish)
        secret_hash = hash_token(wish.client_secret)
        begun = await stored.begun_session(self._db, purpose.value, EMAIL, wish.address, secret_hash)
        if begun is None or begun.send_attempt < wish.send_attempt:
            session_id = await self._send(purpose, wish, begun)
            if session_id is not None:
                return session_id
            begun = await stored.begun_session(self._db, purpose.value, EMAIL, wish.address, secret_hash)
        if begun is None:
            raise unknown("The session has ended meanwhile: ask again with another `client_secret`", 503)
        return begun.session_id

    async def confirm(self, session_id: str, client_secret: str, token: str) -> ValidationSession | None:
        """The link was followed: the session, if all three belong together and the mail is not too old."""
        now_ms = self._now_ms()
        sent_after_ms = now_ms - self._settings.token_lifetime_ms
        return await stored.validate_session(
            self._db, session_id, hash_token(client_secret), hash_token(token), now_ms, sent_after_ms
        )

    async def validated(self, session_id: str, client_secret: str, *purposes: Purpose) -> ValidationSession | None:
        """The session, if its address is confirmed and it was begun for one of these purposes."""
        found = await stored.validation_session(self._db, session_id, hash_token(client_secret))
        if found is None or found.validated_at_ms is None or found.purpose not in {one.value for one in purposes}:
            return None
        return found if found.sent_ms > self._now_ms() - SESSION_LIFETIME_MS else None

    async def finished(self, session_id: str) -> None:
        """The session has served; it is good for nothing more."""
        await stored.delete_validation_session(self._db, session_id)

    async def _cannot(self, purpose: Purpose, wish: TokenRequest) -> str:
        """The address belongs to somebody, or to nobody, and should not. By choice only its reader learns of that."""
        is_reset = purpose is Purpose.PASSWORD_RESET
        if not self._settings.hides_addresses:
            if is_reset:
                raise MatrixError(400, "M_THREEPID_NOT_FOUND", "No account has this address")
            raise MatrixError(400, "M_THREEPID_IN_USE", "An account has this address already")
        if not is_reset:
            self._limits.check_mail(wish.address)
            await self._deliver("already_in_use", wish.address, {})
        return self._random(SESSION_ID_BYTES).hex()

    async def _send(self, purpose: Purpose, wish: TokenRequest, begun: ValidationSession | None) -> str | None:
        """The session's id; None if another request has sent a mail for this attempt, or is about to."""
        self._limits.check_mail(wish.address)
        token = self._random(TOKEN_BYTES).hex()
        session = ValidationSession(
            session_id=self._random(SESSION_ID_BYTES).hex() if begun is None else begun.session_id,
            purpose=purpose.value,
            medium=EMAIL,
            address=wish.address,
            send_attempt=wish.send_attempt,
            next_link=wish.next_link,
            sent_ms=self._now_ms(),
            validated_at_ms=None,
        )
        # The link must work as soon as the mail is there. The attempt counts unless it fails: it can be repeated then.
        secret_hash = hash_token(wish.client_secret)
        session_id = await stored.claim_attempt(self._db, session, secret_hash, hash_token(token))
        if session_id is None:
            return None
        query = urlencode({"sid": session_id, "client_secret": wish.client_secret, "token": token})
        try:
            await self._deliver(purpose.value, wish.address, {"link": f"{self._baseurl}{CONFIRM_PATH}?{query}"})
        except MatrixError:
            before = -1 if begun is None else begun.send_attempt
            await stored.give_attempt_back(self._db, session_id, wish.send_attempt, before)
            raise
        return session_id

    async def _deliver(self, name: str, address: str, values: dict[str, object]) -> None:
        assert self._mailer is not None, "nobody asks where no mail is sent"
        try:
            await self._mailer.send(name, address, values)
        except MailFailed as error:
            _log.warn("no mail was sent to confirm an address: {error}", error=error)
            if error.is_permanent:
                raise invalid_param("Mail to this address is refused") from error
            raise MatrixError(503, "M_UNKNOWN", "The mail could not be sent. Try again later") from error

    def _check_next_link(self, link: str | None) -> None:
        if link is None:
            return
        try:
            parts = urlsplit(link)
            host = parts.hostname
        except ValueError:
            host = None
        is_good = host and parts.scheme in ("http", "https") and len(link) <= NEXT_LINK_LIMIT and link.isprintable()
        hosts = self._settings.next_link_hosts
        if not is_good or (hosts and host not in {one.lower() for one in hosts}):
            raise invalid_param("`next_link` is no URL to which people may be sent from here")

    async def _sweep(self) -> None:
        now_ms = self._now_ms()
        if now_ms - self._swept_ms >= SWEEP_INTERVAL_MS:
            self._swept_ms = now_ms
            await stored.delete_old_validation_sessions(self._db, now_ms - SESSION_LIFETIME_MS)


def check_client_secret(client_secret: str) -> None:
    """400 `M_INVALID_PARAM`."""
    if _IDENTIFIER.fullmatch(client_secret) is None:
        raise invalid_param("`client_secret` has 1 to 255 characters of 0-9, a-z, A-Z and . = _ -")


def check_session_id(session_id: str) -> None:
    """400 `M_INVALID_PARAM`."""
    if _IDENTIFIER.fullmatch(session_id) is None:
        raise invalid_param("`sid` has 1 to 255 characters of 0-9, a-z, A-Z and . = _ -")
