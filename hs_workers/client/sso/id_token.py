"""What an identity provider says of a person, from its signed ID token. Pure: keys and time are given.

Rules: only signatures that the provider's published keys verify; never `none`, and no shared secrets as keys. The token
must be from this provider, for us, not expired, and the answer to our very question (nonce).

Spec: OpenID Connect Core 1.0, 3.1.3.7.
"""

from collections.abc import Mapping
from typing import Any, Final

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from joserfc.jws import extract_compact

ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
LEEWAY_S: Final = 120
"""Clocks differ."""
SUBJECT_LIMIT: Final = 255
"""(OpenID Connect Core, 2) ASCII characters."""


class BadToken(Exception):
    """The ID token proves nothing; the text says why."""


def parse_keys(document: object) -> KeySet:
    """The keys of a provider's JWK set that can be used; others it may have are left out. Raises BadToken."""
    keys = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(keys, list):
        raise BadToken("the provider's keys are no JWK set")
    usable = [key for key in keys if isinstance(key, dict) and key.get("kty") in ("RSA", "EC", "OKP")]
    usable = [key for key in usable if key.get("use", "sig") == "sig"]
    try:
        return KeySet.import_key_set({"keys": usable})
    except (JoseError, ValueError, TypeError, KeyError) as error:
        raise BadToken(f"the provider's keys cannot be read: {error}") from error


def is_key_missing(token: str, keys: KeySet) -> bool:
    """Whether the token is signed by a key that is not among these: the provider may have new ones."""
    try:
        key_id = extract_compact(token.encode()).headers().get("kid")
    except (JoseError, ValueError):
        return False
    return key_id is not None and all(key.kid != key_id for key in keys.keys)


def claims_of(token: str, keys: KeySet, issuer: str, client_id: str, nonce: str, now_s: int) -> Mapping[str, Any]:
    """The claims of a good token. Raises BadToken."""
    try:
        claims: dict[str, Any] = jwt.decode(token, keys, algorithms=ALGORITHMS).claims
        registry = jwt.JWTClaimsRegistry(
            now=now_s,
            leeway=LEEWAY_S,
            iss={"essential": True, "value": issuer},
            aud={"essential": True, "value": client_id},
            exp={"essential": True},
            iat={"essential": True},
            sub={"essential": True},
            nonce={"essential": True, "value": nonce},
        )
        registry.validate(claims)
    except (JoseError, ValueError, TypeError) as error:
        raise BadToken(str(error)) from error
    audience = claims["aud"]
    if isinstance(audience, list) and len(audience) > 1 and claims.get("azp") != client_id:
        raise BadToken("the token is for several clients and not authorised for us")
    subject = claims["sub"]
    if not isinstance(subject, str) or not 0 < len(subject) <= SUBJECT_LIMIT or "\0" in subject:
        raise BadToken("the token's subject is not usable")
    return claims
