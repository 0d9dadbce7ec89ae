"""Making tokens: access tokens, refresh tokens, login tokens, and the ids of devices and users that nobody named.

Rules: a token is 32 random bytes behind a prefix that says what it is (so that one found in a log or a repository is
recognised); only its digest is ever stored or sent on.
"""

from base64 import b32encode, urlsafe_b64encode
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from hs_common.config.accounts import Accounts
from hs_common.http.credentials import hash_token
from hs_common.matrix.errors import invalid_param
from hs_common.matrix.identifiers import is_device_id
from hs_common.replication.calls import NewSession, RefreshSession

TOKEN_BYTES: Final = 32
ACCESS_PREFIX: Final = "vat_"
REFRESH_PREFIX: Final = "vrt_"
LOGIN_PREFIX: Final = "vlt_"
OPENID_PREFIX: Final = "vot_"
DISPLAY_NAME_LIMIT: Final = 255
"""Characters of a device's name. It is sent to everybody who sees the device."""


@dataclass(frozen=True, slots=True)
class DeviceWish:
    """What a client said about the device it logs in with."""

    device_id: str | None = None
    display_name: str | None = None
    refreshes: bool = False

    def __post_init__(self) -> None:
        if self.device_id is not None and not is_device_id(self.device_id):
            raise invalid_param("A device id has 1 to 255 bytes")
        if self.display_name is not None and "\0" in self.display_name:
            raise invalid_param("A display name cannot contain U+0000")


@dataclass(frozen=True, slots=True)
class Opened:
    """A session about to be opened: what the master keeps of it, and what the client is told."""

    session: NewSession
    answer: dict[str, Any]


class Tokens:
    """`random(n)` gives n unpredictable bytes; `now_ms` is the time of day."""

    def __init__(self, settings: Accounts, now_ms: Callable[[], int], random: Callable[[int], bytes]) -> None:
        self._settings = settings
        self._now_ms = now_ms
        self._random = random

    def new(self, prefix: str) -> str:
        """A token."""
        return prefix + urlsafe_b64encode(self._random(TOKEN_BYTES)).rstrip(b"=").decode()

    def new_device_id(self) -> str:
        """Ten letters and digits: with 50 bits, no user has one twice."""
        return b32encode(self._random(7))[:10].decode()

    def new_localpart(self) -> str:
        """The name of a user who chose none."""
        return b32encode(self._random(5)).decode().lower()

    def session(self, wish: DeviceWish) -> Opened:
        """A session with new tokens. Clients that cannot refresh get an access token that does not expire.

        https://spec.matrix.org/v1.19/client-server-api/#refreshing-access-tokens
        """
        access_token = self.new(ACCESS_PREFIX)
        answer: dict[str, Any] = {"access_token": access_token, "device_id": wish.device_id or self.new_device_id()}
        expires_at_ms = refresh_hash = None
        if wish.refreshes:
            refresh_token = self.new(REFRESH_PREFIX)
            refresh_hash = hash_token(refresh_token)
            expires_at_ms = self._now_ms() + self._settings.access_token_lifetime_ms
            answer |= {"refresh_token": refresh_token, "expires_in_ms": self._settings.access_token_lifetime_ms}
        session = NewSession(
            device_id=answer["device_id"],
            display_name=None if wish.display_name is None else wish.display_name[:DISPLAY_NAME_LIMIT],
            token_hash=hash_token(access_token),
            expires_at_ms=expires_at_ms,
            refresh_hash=refresh_hash,
            refresh_expires_at_ms=self._refresh_expiry() if wish.refreshes else None,
        )
        return Opened(session, answer)

    def refreshed(self, user_id: str, refresh_hash: bytes) -> tuple[RefreshSession, dict[str, Any]]:
        """The exchange of a refresh token for new tokens, and the answer to the client."""
        access_token, refresh_token = self.new(ACCESS_PREFIX), self.new(REFRESH_PREFIX)
        lifetime_ms = self._settings.access_token_lifetime_ms
        call = RefreshSession(
            user_id=user_id,
            refresh_hash=refresh_hash,
            token_hash=hash_token(access_token),
            expires_at_ms=self._now_ms() + lifetime_ms,
            new_refresh_hash=hash_token(refresh_token),
            refresh_expires_at_ms=self._refresh_expiry(),
        )
        return call, {"access_token": access_token, "refresh_token": refresh_token, "expires_in_ms": lifetime_ms}

    def _refresh_expiry(self) -> int | None:
        lifetime_ms = self._settings.refresh_token_lifetime_ms
        return self._now_ms() + lifetime_ms if lifetime_ms else None
