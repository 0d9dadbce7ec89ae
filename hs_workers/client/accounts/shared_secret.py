"""Proof that a tool knows the shared secret for registering accounts, in the form that existing tools use.

The tool gets a nonce and sends HMAC-SHA1 (key: the secret) over nonce, user name, password and `admin` or `notadmin`
(and the type of the user, if it sends one), joined by NUL. A nonce carries its time and our own HMAC, so that any
worker can check one that another gave out, and nothing is stored. That one can be used twice within its minute does no
harm: the same request again finds its user name taken.
"""

import hmac
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from hs_common.matrix.errors import MatrixError

NONCE_LIFETIME_MS: Final = 60_000
RANDOM_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class Claim:
    """What the tool's HMAC is over."""

    nonce: str
    username: str
    password: str
    admin: bool
    user_type: str | None = None


class SharedSecret:
    """Gives nonces and checks claims. `random(n)` gives n unpredictable bytes; `now_ms` is the time of day."""

    def __init__(self, secret: str, now_ms: Callable[[], int], random: Callable[[int], bytes]) -> None:
        self._secret = secret.encode()
        self._now_ms = now_ms
        self._random = random

    def nonce(self) -> str:
        """A nonce that is good for a minute. 400 `M_UNKNOWN` if there is no secret."""
        if not self._secret:
            raise MatrixError(400, "M_UNKNOWN", "Shared secret registration is not enabled")
        body = f"{self._now_ms():x}.{self._random(RANDOM_BYTES).hex()}"
        return f"{body}.{self._seal(body)}"

    def check(self, claim: Claim, mac: str) -> None:
        """400 `M_UNKNOWN` for a nonce that is not ours or too old, 403 `M_UNKNOWN` for a wrong HMAC."""
        if not self._secret:
            raise MatrixError(400, "M_UNKNOWN", "Shared secret registration is not enabled")
        body, _, seal = claim.nonce.rpartition(".")
        if not hmac.compare_digest(seal.encode(), self._seal(body).encode()):
            raise MatrixError(400, "M_UNKNOWN", "Unrecognised nonce")
        made_ms = int(body.partition(".")[0], 16)
        if not 0 <= self._now_ms() - made_ms < NONCE_LIFETIME_MS:
            raise MatrixError(400, "M_UNKNOWN", "Unrecognised nonce")
        parts = [claim.nonce, claim.username, claim.password, "admin" if claim.admin else "notadmin"]
        if claim.user_type is not None:
            parts.append(claim.user_type)
        wanted = hmac.new(self._secret, "\0".join(parts).encode(), "sha1").hexdigest()
        if not hmac.compare_digest(wanted.encode(), mac.lower().encode()):
            raise MatrixError(403, "M_UNKNOWN", "HMAC incorrect")

    def _seal(self, body: str) -> str:
        return hmac.new(self._secret, f"nonce {body}".encode(), "sha256").hexdigest()[:32]
