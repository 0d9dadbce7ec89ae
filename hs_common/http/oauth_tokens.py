"""From an access token of the authentication service to the one who calls.

Rules: what the service said of a token is believed for two minutes, or until it expires, or until the account or its
devices change here; that is how long a token may outlive its end there. A token without the scope of the whole API is
good for nothing. The token itself goes to the service and is not kept.

Spec: client-server API, #scope.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from hs_common.bounded import Bounded
from hs_common.http.oauth_service import OAuthService
from hs_common.http.request import Requester
from hs_common.matrix.identifiers import is_device_id
from hs_common.replication.calls import MakeDevice
from hs_common.replication.link_interface import Link
from hs_common.storage.devices import device
from hs_common.storage.queries import Queries
from hs_common.storage.users import account

LIFETIME_MS: Final = 120_000
REMEMBERED_LIMIT: Final = 20_000
"""About 10 MiB."""
_UNSTABLE: Final = "urn:matrix:org.matrix.msc2967.client:"
_STABLE: Final = "urn:matrix:client:"
ADMIN_SCOPE: Final = "urn:synapse:admin:*"


@dataclass(frozen=True, slots=True)
class Scope:
    """What a token is for."""

    has_api: bool
    device_id: str | None
    is_admin: bool


def parse_scope(text: object) -> Scope:
    """The scope tokens that mean something here. With several devices it is for none."""
    tokens = text.split() if isinstance(text, str) else []
    names = [token.replace(_UNSTABLE, _STABLE, 1) if token.startswith(_UNSTABLE) else token for token in tokens]
    devices = {name.removeprefix(f"{_STABLE}device:") for name in names if name.startswith(f"{_STABLE}device:")}
    device_id = devices.pop() if len(devices) == 1 else None
    return Scope(
        has_api=f"{_STABLE}api:*" in names,
        device_id=device_id if device_id is not None and is_device_id(device_id) else None,
        is_admin=ADMIN_SCOPE in names,
    )


class OAuthTokens:
    """`is_fresh` says whether the log was heard of lately. `now_ms` is the time of day."""

    def __init__(
        self,
        db: Queries,
        master: Link,
        service: OAuthService,
        server_name: str,
        is_fresh: Callable[[], bool],
        now_ms: Callable[[], int],
    ) -> None:
        self._db = db
        self._master = master
        self._service = service
        self._server_name = server_name
        self._is_fresh = is_fresh
        self._now_ms = now_ms
        self._known = Bounded[bytes, tuple[int, Requester]](REMEMBERED_LIMIT)
        self._changes = 0

    def remembered(self, token_hash: bytes) -> Requester | None:
        """Who calls, if the service was asked about the token a moment ago."""
        until_ms, requester = self._known.get(token_hash, (0, None))
        return requester if until_ms > self._now_ms() and self._is_fresh() else None

    async def requester(self, token: str, token_hash: bytes) -> Requester | None:
        """Who calls; None if the token is not, or no longer, good."""
        changes = self._changes
        said = await self._service.introspect(token)
        scope = parse_scope(said.get("scope"))
        localpart = said.get("username")
        if said.get("active") is not True or not scope.has_api or not isinstance(localpart, str):
            return None
        found = await account(self._db, f"@{localpart}:{self._server_name}")
        if found is None or found.deactivated:
            return None
        device_id = scope.device_id or _device_of(said)
        if device_id is not None and await device(self._db, found.user_id, device_id) is None:
            await self._master.call(MakeDevice(user_id=found.user_id, device_id=device_id))
        requester = Requester(
            user_id=found.user_id,
            device_id=device_id,
            token_hash=token_hash,
            locked=found.locked,
            suspended=found.suspended,
            admin=found.admin or scope.is_admin,
            consent=found.consent,
            by_oauth=True,
        )
        # What changed meanwhile may be this very account.
        if changes == self._changes:
            self._remember(token_hash, said.get("exp"), requester)
        return requester

    def forget_user(self, user_id: str) -> None:
        """The account or its devices changed."""
        self._changes += 1
        for token_hash in [key for key, (_, known) in self._known.items() if known.user_id == user_id]:
            del self._known[token_hash]

    def forget_token(self, token_hash: bytes) -> None:
        """What is known of the token may be old."""
        self._changes += 1
        self._known.pop(token_hash, None)

    def void(self) -> None:
        """Part of the log was skipped: nothing that is remembered can be relied on."""
        self._changes += 1
        self._known.clear()

    def _remember(self, token_hash: bytes, expires_s: Any, requester: Requester) -> None:
        until_ms = self._now_ms() + LIFETIME_MS
        if isinstance(expires_s, int):
            until_ms = min(until_ms, expires_s * 1000)
        self._known[token_hash] = (until_ms, requester)


def _device_of(said: dict[str, Any]) -> str | None:
    """Some services name the device beside the scope."""
    device_id = said.get("device_id")
    return device_id if is_device_id(device_id) else None
