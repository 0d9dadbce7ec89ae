"""How commands of the operator prove that they know the server's shared secret, request by request.

The proof is an HMAC over method, path, time and body. It is good for some minutes on either side of the server's clock:
what the commands ask for may be done twice without harm.
"""

import hmac
from typing import Final

from hs_common.http.request import Request
from hs_common.matrix.errors import MatrixError, forbidden

HEADER: Final = "X-Viaduct-Proof"
LIFETIME_MS: Final = 300_000
"""Clocks of two machines differ by less, and a proof that leaks is useless soon."""


def proof(secret: str, method: str, path: str, now_ms: int, body: bytes) -> str:
    """The header's value. `path` has no query string."""
    covered = f"{method}\n{path}\n{now_ms}\n".encode() + body
    return f"{now_ms}.{hmac.new(secret.encode(), covered, 'sha256').hexdigest()}"


def check_proof(secret: str, request: Request, now_ms: int) -> None:
    """403 `M_FORBIDDEN` for a request without a good proof; 400 `M_UNKNOWN` where the server has no secret."""
    if not secret:
        raise MatrixError(400, "M_UNKNOWN", "This server has no registration.shared_secret in its config")
    given = request.headers.get(HEADER, "") or ""
    made = given.partition(".")[0]
    if not (made.isascii() and made.isdigit() and len(made) <= 16):
        raise forbidden("The request has no proof of the shared secret")
    wanted = proof(secret, request.method, request.uri_path, int(made), request.raw)
    if not hmac.compare_digest(wanted.encode(), given.encode("latin-1")) or abs(now_ms - int(made)) > LIFETIME_MS:
        raise forbidden("The proof of the shared secret is wrong, or the clocks differ by minutes")
