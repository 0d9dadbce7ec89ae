"""ID tokens: what a good one says, and every way in which one is not good."""

from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, OctKey, RSAKey

from hs_workers.client.sso.id_token import BadToken, claims_of, is_key_missing, parse_keys

NOW_S = 1_700_000_000
KEY = RSAKey.generate_key(2048, {"kid": "one", "use": "sig"})
OTHER = ECKey.generate_key("P-256", {"kid": "two"})
KEYS = parse_keys({"keys": [KEY.as_dict(private=False)]})
GOOD = {"iss": "https://id", "aud": "us", "sub": "x", "exp": NOW_S + 60, "iat": NOW_S, "nonce": "n"}


def token(claims: dict[str, Any], key: Any = KEY, algorithm: str = "RS256", **header: str) -> str:
    return jwt.encode({"alg": algorithm, "kid": "one", **header}, claims, key, algorithms=[algorithm])


def read(text: str, keys: KeySet = KEYS) -> Any:
    return claims_of(text, keys, "https://id", "us", "n", NOW_S)


@pytest.mark.parametrize(
    "more", [{}, {"aud": ["us"]}, {"aud": ["us", "them"], "azp": "us"}, {"exp": NOW_S - 100}, {"iat": NOW_S + 100}]
)
def test_good(more: dict[str, Any]) -> None:
    assert read(token({**GOOD, **more}))["sub"] == "x"


@pytest.mark.parametrize(
    "more",
    [{"iss": "https://other"}, {"aud": "them"}, {"aud": ["us", "them"]}, {"aud": ["us", "them"], "azp": "them"},
     {"exp": NOW_S - 200}, {"iat": NOW_S + 200}, {"nonce": "m"}, {"sub": ""}, {"sub": 7}, {"sub": "x" * 256},
     {"sub": "a\0b"}, {"nbf": NOW_S + 200}, {"aud": []}],
)  # fmt: skip
def test_not_for_us_or_not_now(more: dict[str, Any]) -> None:
    with pytest.raises(BadToken):
        read(token({**GOOD, **more}))


@pytest.mark.parametrize("missing", list(GOOD))
def test_what_must_be_in_it(missing: str) -> None:
    with pytest.raises(BadToken):
        read(token({name: value for name, value in GOOD.items() if name != missing}))


def test_signed_by_somebody_else() -> None:
    good = token(GOOD)
    head, body, signature = good.split(".")
    forged = token({**GOOD, "sub": "y"}).split(".")[1]
    tries = [
        f"{head}.{forged}.{signature}",
        f"{head}.{body}.",
        token(GOOD, RSAKey.generate_key(2048, {"kid": "one"})),
        token(GOOD, OTHER, "ES256", kid="two"),
        token(GOOD, OctKey.generate_key(256), "HS256"),
        "eyJhbGciOiJub25lIn0." + body + ".",
        "",
        "a.b.c",
    ]
    for wrong in tries:
        with pytest.raises(BadToken):
            read(wrong)


def test_shared_secrets_are_no_keys_of_a_provider() -> None:
    secret = OctKey.generate_key(256, {"kid": "one"})
    keys = parse_keys({"keys": [secret.as_dict(), KEY.as_dict(private=False), {"kty": "new"}, 7]})
    assert [key.kid for key in keys.keys] == ["one"]
    with pytest.raises(BadToken):
        read(token(GOOD, secret, "HS256"), keys)
    broken: list[object] = [{}, [], {"keys": 7}, {"keys": [{"kty": "RSA"}]}]
    for wrong in broken:
        with pytest.raises(BadToken):
            parse_keys(wrong)


def test_a_new_key_is_noticed() -> None:
    assert not is_key_missing(token(GOOD), KEYS)
    assert is_key_missing(token(GOOD, OTHER, "ES256", kid="two"), KEYS)
    assert not is_key_missing("rubbish", KEYS)
